//! Agents at the door, over real TLS on loopback: who gets in, what is said, and how sessions end.

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::dr::lease::Terms;
use lockstep_core::dr::posture::{Role, WriteProtection};
use lockstep_core::status::About;
use lockstep_proto::agent::agents_client::AgentsClient;
use lockstep_proto::agent::from_agent::Message as From;
use lockstep_proto::agent::to_agent::Message as To;
use lockstep_proto::agent::{
    Answer, Ask, AskKind, Exposure, FromAgent, Heartbeat, Hello, Hold, Link, LinkReport, Partitions, Refused,
    Released, Share, ToAgent, answer,
};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Status, Streaming};

use super::*;
use crate::dispatch::{AskFault, Lead, Leadership, Notice, Question, Standing, Wanted, WantedLink};
use crate::papers::Pem;
use crate::testing::{Authority, Issued};

const CLUSTER: &str = "0b6f";
const AGENT: &str = "lockstep://agent/paris/a1";
const SOON: Duration = Duration::from_secs(20);

/// A majority as the tests play it: each confirmation takes one word from the channel, in order.
struct Majority(tokio::sync::Mutex<mpsc::Receiver<Result<(), Lead>>>);

#[tonic::async_trait]
impl Leadership for Majority {
    async fn confirm(&self) -> Result<(), Lead> {
        self.0.lock().await.recv().await.unwrap_or(Err(Lead::Nobody))
    }
}

struct World {
    majority: mpsc::Sender<Result<(), Lead>>,
    authority: Authority,
    address: String,
    desk: Desk,
    standing: watch::Sender<Standing>,
    notices: mpsc::Receiver<Notice>,
}

fn standing() -> Standing {
    let share = Share { agent: "a1".to_owned(), weight: 1 };
    let claims = Link { name: "claims".to_owned(), epoch: 4, shares: vec![share], ..Link::default() };
    let links = vec![WantedLink { link: claims, formerly: Vec::new() }];
    Standing {
        cluster_id: CLUSTER.to_owned(),
        incarnation: 2,
        lead: Lead::Here,
        terms: Terms::default(),
        wanted: Arc::new(Wanted { revision: 7, links, clusters: Vec::new() }),
    }
}

async fn world() -> World {
    world_with(standing()).await
}

async fn world_with(first: Standing) -> World {
    let authority = Authority::new();
    let own = authority.issue(&["lockstep://coordinator/c1"]);
    let pem = Pem { authority: authority.pem.clone(), certificate: own.pem, key: own.key_pem };
    let papers = Papers::new(pem).unwrap().fixed();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (standing, followed) = watch::channel(first);
    let (noticed, notices) = mpsc::channel(64);
    let (majority, words) = mpsc::channel(16);
    let majority_of = Arc::new(Majority(tokio::sync::Mutex::new(words)));
    let desk = Desk::new(majority_of, followed, noticed);
    let served = Services { desk: desk.clone(), admin: None, peers: None };
    tokio::spawn(async move { serve(listener, papers, served, std::future::pending()).await.unwrap() });
    World { majority, authority, address, desk, standing, notices }
}

fn hello() -> Hello {
    Hello {
        cluster_id: CLUSTER.to_owned(),
        agent: "a1".to_owned(),
        site: "paris".to_owned(),
        version: "0.1.0".to_owned(),
        level: 1,
        incarnation: 0,
        holds: vec![Hold { link: "claims".to_owned(), epoch: 3 }],
    }
}

fn report(seen: u64) -> LinkReport {
    LinkReport {
        link: "claims".to_owned(),
        epoch: 4,
        state: "running".to_owned(),
        posture: "WITHIN_RPO".to_owned(),
        rpo_ms: 10_000,
        age_ms: Some(0),
        exposure: Some(Exposure {
            seen_records: Some(seen),
            datum_age_ms: Some(0),
            is_fresh: true,
            ..Exposure::default()
        }),
        partitions: Some(Partitions::default()),
        ..LinkReport::default()
    }
}

/// An agent as the tests play it.
struct Dialled {
    outbox: mpsc::Sender<FromAgent>,
    inbox: Streaming<ToAgent>,
}

impl Dialled {
    async fn say(&self, message: From) {
        self.outbox.send(FromAgent { message: Some(message) }).await.unwrap();
    }

    /// The next message; `None`: the stream is over.
    async fn hear(&mut self) -> Option<To> {
        let message = timeout(SOON, self.inbox.message()).await.expect("the coordinator is silent");
        message.unwrap().map(|message| message.message.unwrap())
    }

    async fn refusal(&mut self) -> Refused {
        match self.hear().await {
            Some(To::Refused(refused)) => refused,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    /// Past welcome and the first assignment.
    async fn welcomed(&mut self) {
        assert!(matches!(self.hear().await, Some(To::Welcome(_))));
        assert!(matches!(self.hear().await, Some(To::Assignment(_))));
    }
}

impl World {
    async fn channel(&self, own: &Issued) -> Result<Channel, tonic::transport::Error> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.authority.pem))
            .identity(Identity::from_pem(&own.pem, &own.key_pem));
        let endpoint = Channel::from_shared(format!("https://{}", self.address)).unwrap();
        endpoint.tls_config(tls)?.connect().await
    }

    async fn dial_as(&self, own: &Issued, hello: Hello) -> Result<Dialled, Status> {
        let channel = self.channel(own).await.map_err(|error| Status::from_error(error.into()))?;
        let (outbox, sent) = mpsc::channel(16);
        outbox.send(FromAgent { message: Some(From::Hello(hello)) }).await.unwrap();
        let session = AgentsClient::new(channel).session(ReceiverStream::new(sent)).await?;
        Ok(Dialled { outbox, inbox: session.into_inner() })
    }

    async fn dial(&self, hello: Hello) -> Dialled {
        self.dial_as(&self.authority.issue(&[AGENT]), hello).await.unwrap()
    }

    fn seen(&self) -> Option<u64> {
        let about = About {
            link: "claims".to_owned(),
            from: "a".to_owned(),
            to: "b".to_owned(),
            rpo_ms: 10_000,
            role: Role::Standby,
            write_protection: WriteProtection::Protected,
            groups: None,
            drift: None,
        };
        let status =
            self.desk.with_intake(|intake| intake.status(&about, &["a1".to_owned()], Instant::now()));
        status.exposure.seen_records
    }
}

#[tokio::test]
async fn who_says_nothing_holds_up_nobody() {
    let mut world = world().await;
    let mut silent = Vec::new();
    for _ in 1..entrance::AT_ONCE {
        silent.push(tokio::net::TcpStream::connect(&world.address).await.unwrap());
    }
    let own = world.authority.issue(&[AGENT]);
    world.majority.send(Ok(())).await.unwrap();
    let mut dialled = timeout(SOON, world.dial_as(&own, hello())).await.unwrap().unwrap();
    assert!(matches!(dialled.hear().await, Some(To::Welcome(_))));
    assert!(matches!(world.notices.recv().await, Some(Notice::Arrived { .. })));
}

#[tokio::test]
async fn an_agent_is_welcomed_told_its_work_and_heard() {
    let mut world = world().await;
    let mut agent = world.dial(hello()).await;
    let Some(To::Welcome(welcome)) = agent.hear().await else { panic!("no welcome") };
    assert_eq!((welcome.cluster_id.as_str(), welcome.incarnation), (CLUSTER, 2));
    assert_eq!((welcome.lease_ms, welcome.renew_ms, welcome.margin_ms), (10_000, 3_000, 2_000));
    let Some(To::Assignment(work)) = agent.hear().await else { panic!("no work") };
    assert_eq!((work.revision, work.links.len(), work.links[0].epoch), (7, 1, 4));
    let arrived = timeout(SOON, world.notices.recv()).await.unwrap().unwrap();
    let Notice::Arrived { agent: name, site, holds, .. } = arrived else { panic!("{arrived:?}") };
    assert_eq!((name.as_str(), site.as_str(), holds.len()), ("a1", "paris", 1));

    assert_eq!(world.seen(), None);
    world.majority.send(Ok(())).await.unwrap();
    agent.say(From::LinkReport(report(41))).await;
    agent.say(From::Heartbeat(Heartbeat { number: 17 })).await;
    let Some(To::Beat(beat)) = agent.hear().await else { panic!("no beat") };
    assert_eq!(beat.number, 17);
    assert_eq!(world.seen(), Some(41), "what was said before the heartbeat was heard before it");
    agent.say(From::Released(Released { link: "claims".to_owned(), epoch: 4 })).await;
    let released = timeout(SOON, world.notices.recv()).await.unwrap().unwrap();
    let expected = Notice::Released { agent: "a1".to_owned(), link: "claims".to_owned(), epoch: 4 };
    assert_eq!(released, expected);
}

#[tokio::test]
async fn an_agent_speaks_only_of_its_work() {
    let world = world().await;
    let idle = Issued { ..world.authority.issue(&["lockstep://agent/paris/a2"]) };
    let mut agent = world.dial_as(&idle, Hello { agent: "a2".to_owned(), ..hello() }).await.unwrap();
    let Some(To::Welcome(_)) = agent.hear().await else { panic!("no welcome") };
    let Some(To::Assignment(work)) = agent.hear().await else { panic!("no work") };
    assert!(work.links.is_empty());
    world.majority.send(Ok(())).await.unwrap();
    agent.say(From::LinkReport(report(41))).await;
    agent.say(From::Heartbeat(Heartbeat { number: 1 })).await;
    assert!(matches!(agent.hear().await, Some(To::Beat(_))), "the session goes on");
    assert_eq!(world.seen(), None);
}

#[tokio::test]
async fn who_is_not_who_it_says_is_refused_in_words() {
    let world = world().await;
    let mut other_site = world.dial(Hello { site: "rome".to_owned(), ..hello() }).await;
    let refused = other_site.refusal().await;
    assert_eq!(refused.code, "identity");
    let words = "the agent calls itself a1 of site rome, its certificate says a1 of site paris";
    assert_eq!(refused.words, words);
    assert_eq!(other_site.hear().await, None, "and the stream ends");

    let mut other_system = world.dial(Hello { cluster_id: "ffff".to_owned(), ..hello() }).await;
    let refused = other_system.refusal().await;
    let words = "the agent belongs to system \"ffff\", these coordinators are \"0b6f\"";
    assert_eq!((refused.code.as_str(), refused.words.as_str()), ("cluster_id", words));

    let mut from_later = world.dial(Hello { incarnation: 3, ..hello() }).await;
    assert_eq!(from_later.refusal().await.code, "incarnation");
    assert!(world.desk.seats.heard().is_empty());
}

#[tokio::test]
async fn only_agents_of_this_system_get_through_the_door() {
    let world = world().await;
    let operator = world.authority.issue(&["lockstep://operator/eve"]);
    let status = world.dial_as(&operator, hello()).await.err().unwrap();
    assert_eq!(status.code(), Code::PermissionDenied);
    assert!(status.message().starts_with("lockstep://operator/eve is no agent"), "{status:?}");

    let nobody = world.authority.issue(&[]);
    let status = world.dial_as(&nobody, hello()).await.err().unwrap();
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().contains("no SAN URI lockstep://"), "{status:?}");

    let stranger = Authority::new().issue(&[AGENT]);
    assert!(world.dial_as(&stranger, hello()).await.is_err(), "another authority's");
    let expired = world.authority.issue_with(&[AGENT], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    assert!(world.dial_as(&expired, hello()).await.is_err(), "expired");
    assert!(world.desk.seats.heard().is_empty());
    world.dial(hello()).await.welcomed().await;
}

#[tokio::test]
async fn who_does_not_lead_says_who_does_at_once_and_later() {
    let elsewhere = Lead::At("c2.test:9470".to_owned());
    let world = world_with(Standing { lead: elsewhere, ..standing() }).await;
    let mut agent = world.dial(hello()).await;
    let Some(To::NotLeader(leader)) = agent.hear().await else { panic!("it leads") };
    assert_eq!(leader.address, "c2.test:9470");

    world.standing.send_modify(|standing| standing.lead = Lead::Here);
    let mut agent = world.dial(hello()).await;
    agent.welcomed().await;
    world.standing.send_modify(|standing| standing.lead = Lead::Nobody);
    let Some(To::NotLeader(leader)) = agent.hear().await else { panic!("it leads") };
    assert_eq!(leader.address, "");
    assert_eq!(agent.hear().await, None);
}

#[tokio::test]
async fn new_work_is_told_at_once() {
    let world = world().await;
    let mut agent = world.dial(hello()).await;
    agent.welcomed().await;
    let next = Wanted { revision: 8, ..Wanted::default() };
    world.standing.send_modify(|standing| standing.wanted = Arc::new(next));
    let Some(To::Assignment(work)) = agent.hear().await else { panic!("no work") };
    assert_eq!((work.revision, work.links.len()), (8, 0), "what is not in it is let go");
}

#[tokio::test]
async fn a_lease_is_granted_by_a_majority_and_after_the_work_that_others_got() {
    let world = world().await;
    let mut agent = world.dial(hello()).await;
    agent.welcomed().await;
    for revision in 8..24 {
        agent.say(From::Heartbeat(Heartbeat { number: revision })).await;
        // While the majority is asked, the work changes.
        let next = Wanted { revision, ..Wanted::default() };
        world.standing.send_modify(|standing| standing.wanted = Arc::new(next));
        world.majority.send(Ok(())).await.unwrap();
        let Some(To::Assignment(work)) = agent.hear().await else {
            panic!("granted before the work was told")
        };
        assert_eq!(work.revision, revision);
        let Some(To::Beat(beat)) = agent.hear().await else { panic!("no beat") };
        assert_eq!(beat.number, revision);
    }
    world.majority.send(Err(Lead::At("c3.test:9470".to_owned()))).await.unwrap();
    agent.say(From::Heartbeat(Heartbeat { number: 99 })).await;
    let Some(To::NotLeader(leader)) = agent.hear().await else { panic!("granted without a majority") };
    assert_eq!(leader.address, "c3.test:9470");
}

#[tokio::test]
async fn without_a_majority_no_lease_is_granted() {
    let terms = Terms { lease_ms: 300, ..Terms::default() };
    let world = world_with(Standing { terms, ..standing() }).await;
    let mut agent = world.dial(hello()).await;
    agent.welcomed().await;
    agent.say(From::Heartbeat(Heartbeat { number: 1 })).await;
    assert!(matches!(agent.hear().await, Some(To::NotLeader(_))));
}

#[tokio::test]
async fn a_name_speaks_with_one_voice() {
    let world = world().await;
    let mut first = world.dial(hello()).await;
    first.welcomed().await;
    let mut second = world.dial(hello()).await;
    second.welcomed().await;
    assert_eq!(first.refusal().await.code, "replaced");
    world.majority.send(Ok(())).await.unwrap();
    second.say(From::Heartbeat(Heartbeat { number: 1 })).await;
    assert!(matches!(second.hear().await, Some(To::Beat(_))), "the end of the first leaves the second");
}

#[tokio::test]
async fn an_agent_that_says_nothing_loses_its_session() {
    let terms = Terms { lease_ms: 300, renew_ms: 100, margin_ms: 50 };
    let world = world_with(Standing { terms, ..standing() }).await;
    let mut agent = world.dial(hello()).await;
    agent.welcomed().await;
    assert_eq!(agent.hear().await, None);
    assert!(world.desk.seats.heard().is_empty());
}

#[tokio::test]
async fn questions_are_answered_refused_or_late_but_never_left_open() {
    let world = world().await;
    let ask = |patience| {
        let (kind, argument) = (AskKind::LinkDetail, "claims".to_owned());
        let seats = world.desk.seats.clone();
        tokio::spawn(async move { seats.ask("a1", Question { kind, argument, patience }).await })
    };
    assert_eq!(ask(SOON).await.unwrap(), Err(AskFault::NotHere("a1".to_owned())));
    let mut agent = world.dial(hello()).await;
    agent.welcomed().await;
    for outcome in [answer::Outcome::Document("{}".to_owned()), answer::Outcome::Error("no".to_owned())] {
        let asked = ask(SOON);
        let Some(To::Ask(Ask { id, argument, .. })) = agent.hear().await else { panic!("no question") };
        assert_eq!(argument, "claims");
        agent.say(From::Answer(Answer { id: id + 100, outcome: Some(outcome.clone()) })).await;
        agent.say(From::Answer(Answer { id, outcome: Some(outcome.clone()) })).await;
        let expected = match outcome {
            answer::Outcome::Document(document) => Ok(document),
            answer::Outcome::Error(words) => Err(AskFault::Refused { agent: "a1".to_owned(), words }),
        };
        assert_eq!(asked.await.unwrap(), expected);
    }
    let late = ask(Duration::from_millis(50)).await.unwrap();
    assert_eq!(late, Err(AskFault::Late { agent: "a1".to_owned(), seconds: 0 }));
    assert!(matches!(agent.hear().await, Some(To::Ask(_))));
    let left = ask(SOON);
    assert!(matches!(agent.hear().await, Some(To::Ask(_))));
    drop(agent);
    assert_eq!(left.await.unwrap(), Err(AskFault::Left("a1".to_owned())));
}
