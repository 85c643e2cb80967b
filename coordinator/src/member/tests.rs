//! Whole coordinators in one process: real folders, real TLS on loopback, real fsync.

use std::collections::BTreeMap;

use lockstep_core::audit::{AuditEvent, Head, verify};
use lockstep_core::spec::coordinator::{Grant, Reach, Role, TlsFiles};
use lockstep_core::spec::daemon::{LogFormat, LogSpec};
use lockstep_proto::admin::admin_client::AdminClient;
use lockstep_proto::admin::change_members_request::Change;
use lockstep_proto::admin::{
    ApplyRequest, AuditRequest, ChangeMembersRequest, MembersAnswer, MembersRequest, ShowSpecRequest,
    SpecFile,
};
use lockstep_proto::agent::agents_client::AgentsClient;
use lockstep_proto::agent::from_agent::Message as From;
use lockstep_proto::agent::to_agent::Message as To;
use lockstep_proto::agent::{Assignment, FromAgent, Heartbeat, Hello};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Status, Streaming};

use super::*;
use crate::testing::Authority;

const SPEC: &str = "\
sites: { east: {}, west: {}, north: { witness: true } }
clusters:
  ea: { site: east, bootstrap: \"ea:9092\" }
  we: { site: west, bootstrap: \"we:9092\" }
links:
  claims: { clusters: [ea, we], prefer: ea, topics: \"claims.*\", rpo: 5s }
";
const PATIENCE: Duration = Duration::from_secs(60);

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), MemberFault>>,
}

/// Some coordinators and whoever calls them.
struct System {
    authority: Authority,
    place: TempDir,
    addresses: BTreeMap<String, String>,
    running: BTreeMap<String, Running>,
    _access: watch::Sender<Arc<Access>>,
    access: watch::Receiver<Arc<Access>>,
}

fn free_address() -> String {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

impl System {
    fn new() -> Self {
        let grant = Grant { operator: "ada".to_owned(), role: Role::Admin, links: Reach::All };
        let (kept, access) = watch::channel(Arc::new(Access::new(vec![grant])));
        Self {
            authority: Authority::new(),
            place: tempfile::tempdir().unwrap(),
            addresses: BTreeMap::new(),
            running: BTreeMap::new(),
            _access: kept,
            access,
        }
    }

    /// As its file says it; the certificate is made anew each time.
    fn spec(&mut self, name: &str) -> CoordinatorSpec {
        let listen = self.addresses.entry(name.to_owned()).or_insert_with(free_address).clone();
        let folder = self.place.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let issued = self.authority.issue(&[&format!("lockstep://coordinator/{name}")]);
        let file = |file: &str, text: &str| {
            let path = folder.join(file);
            std::fs::write(&path, text).unwrap();
            path
        };
        CoordinatorSpec {
            name: name.to_owned(),
            site: "east".to_owned(),
            data: folder.join("data"),
            listen,
            http: Listen::Off,
            log: LogSpec { format: LogFormat::Text, filter: "info".to_owned() },
            tls: TlsFiles {
                ca: file("ca.pem", &self.authority.pem),
                certificate: file("own.pem", &issued.pem),
                key: file("own.key", &issued.key_pem),
            },
            access: Vec::new(),
        }
    }

    async fn start(&mut self, name: &str) {
        let spec = self.spec(name);
        let (stop, stopped) = oneshot::channel::<()>();
        let (listens, ready) = oneshot::channel();
        let around = Surroundings {
            access: self.access.clone(),
            terms: Terms::default(),
            pace: Pace::default(),
            ready: |address, _: &Identity| listens.send(address).unwrap(),
        };
        let task = tokio::spawn(async move { run(&spec, around, async { drop(stopped.await) }).await });
        if ready.await.is_err() {
            panic!("{name} did not start: {:?}", task.await.unwrap());
        }
        self.running.insert(name.to_owned(), Running { stop, task });
    }

    async fn stop(&mut self, name: &str) {
        let running = self.running.remove(name).unwrap();
        running.stop.send(()).unwrap();
        running.task.await.unwrap().unwrap();
    }

    /// One that leads, and those who joined it.
    async fn of(names: &[&str]) -> Self {
        let mut system = Self::new();
        let (first, others) = names.split_first().unwrap();
        let spec = system.spec(first);
        found(&spec, &spec.listen.clone()).unwrap();
        system.start(first).await;
        for name in others {
            system.join(name, first).await;
        }
        system.voters(names.len()).await;
        system
    }

    async fn join(&mut self, name: &str, to: &str) {
        let spec = self.spec(name);
        let to = self.addresses[to].clone();
        let end = Instant::now() + PATIENCE;
        while let Err(fault) = join(&spec, &spec.listen, &to).await {
            assert!(Instant::now() < end, "{name} did not join: {fault}");
            sleep(Duration::from_millis(200)).await;
        }
        self.start(name).await;
    }

    fn channel(&self, to: &str, uri: &str) -> Channel {
        let own = self.authority.issue(&[uri]);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.authority.pem))
            .identity(tonic::transport::Identity::from_pem(own.pem, own.key_pem));
        let endpoint = Endpoint::from_shared(format!("https://{}", self.addresses[to])).unwrap();
        endpoint.tls_config(tls).unwrap().connect_lazy()
    }

    fn admin(&self, to: &str) -> AdminClient<Channel> {
        AdminClient::new(self.channel(to, "lockstep://operator/ada"))
    }

    async fn members(&self) -> Option<MembersAnswer> {
        for name in self.running.keys() {
            let asked = timeout(Duration::from_secs(3), self.admin(name).members(MembersRequest {})).await;
            if let Ok(Ok(answer)) = asked
                && answer.get_ref().leader != 0
            {
                return Some(answer.into_inner());
            }
        }
        None
    }

    async fn voters(&self, count: usize) -> MembersAnswer {
        let end = Instant::now() + PATIENCE;
        loop {
            let members = self.members().await;
            let voters =
                |members: &MembersAnswer| members.members.iter().filter(|member| !member.is_learner).count();
            match members {
                Some(members) if voters(&members) == count => return members,
                other => assert!(Instant::now() < end, "{count} voters wanted: {other:?}"),
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// Until `is_so` holds of everybody: whether it answers an operator with a certificate of `authority`.
    async fn wait_for_each(&self, what: &str, is_so: impl Fn(bool) -> bool) {
        let end = Instant::now() + PATIENCE;
        for name in self.running.keys() {
            loop {
                let mut admin = self.admin(name);
                let asked = timeout(Duration::from_secs(3), admin.members(MembersRequest {})).await;
                if is_so(matches!(asked, Ok(Ok(_)))) {
                    break;
                }
                assert!(Instant::now() < end, "{name}: waited in vain until {what}");
                sleep(Duration::from_millis(200)).await;
            }
        }
    }

    async fn leader(&self) -> String {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(members) = self.members().await
                && let Some(leader) = members.members.iter().find(|member| member.id == members.leader)
                && self.running.contains_key(&leader.name)
            {
                return leader.name.clone();
            }
            assert!(Instant::now() < end, "nobody leads");
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn apply(&self, to: &str, text: &str, id: &str) -> Result<u64, Status> {
        let file = SpecFile { name: "dr.yaml".to_owned(), text: text.to_owned() };
        let request =
            ApplyRequest { files: vec![file], request_id: id.to_owned(), ..ApplyRequest::default() };
        Ok(self.admin(to).apply(request).await?.into_inner().revision)
    }

    /// The whole trail, verified against its head.
    async fn trail(&self, from: &str) -> Vec<AuditEvent> {
        let (mut events, mut next): (Vec<AuditEvent>, u64) = (Vec::new(), 1);
        loop {
            let page = self.page(from, next).await;
            events.extend(page.events.iter().map(|text| serde_json::from_str::<AuditEvent>(text).unwrap()));
            next = page.next_seq;
            if next == 0 {
                let head = verify(&events, Head::default(), None).unwrap();
                assert_eq!((head.seq, head.hash.to_string()), (page.head_seq, page.head));
                return events;
            }
        }
    }

    /// A member that took over a snapshot needs a moment to fetch what came before.
    async fn page(&self, from: &str, from_seq: u64) -> lockstep_proto::admin::AuditAnswer {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.admin(from).audit(AuditRequest { from_seq }).await {
                Ok(page) => return page.into_inner(),
                Err(status) => assert!(Instant::now() < end, "{status}"),
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn agent(&self, to: &str, site: &str, name: &str, cluster_id: &str) -> Session {
        let channel = self.channel(to, &format!("lockstep://agent/{site}/{name}"));
        let (out, sent) = mpsc::channel(16);
        let hello = Hello {
            cluster_id: cluster_id.to_owned(),
            agent: name.to_owned(),
            site: site.to_owned(),
            version: "0.1.0".to_owned(),
            level: 1,
            ..Hello::default()
        };
        out.send(FromAgent { message: Some(From::Hello(hello)) }).await.unwrap();
        let inbox = AgentsClient::new(channel).session(ReceiverStream::new(sent)).await.unwrap().into_inner();
        Session { out, inbox }
    }
}

/// An agent's, spoken by hand.
struct Session {
    out: mpsc::Sender<FromAgent>,
    inbox: Streaming<lockstep_proto::agent::ToAgent>,
}

impl Session {
    async fn next(&mut self) -> To {
        timeout(PATIENCE, self.inbox.message()).await.unwrap().unwrap().unwrap().message.unwrap()
    }

    async fn assigned(&mut self, is_it: impl Fn(&Assignment) -> bool) -> Assignment {
        loop {
            if let To::Assignment(assignment) = self.next().await
                && is_it(&assignment)
            {
                return assignment;
            }
        }
    }
}

#[tokio::test]
async fn three_coordinators_agree_and_go_on_without_their_leader() {
    let mut system = System::of(&["c1", "c2", "c3"]).await;
    let leader = system.leader().await;
    let follower = ["c1", "c2", "c3"].into_iter().find(|name| *name != leader).unwrap();
    assert_eq!(system.apply(follower, SPEC, "one").await.unwrap(), 1, "through whoever is asked");
    system.stop(&leader).await;
    let next = system.leader().await;
    assert_ne!(next, leader);
    let shown = system.admin(&next).show_spec(ShowSpecRequest {}).await.unwrap().into_inner();
    assert_eq!((shown.revision, shown.text.as_str()), (1, SPEC));
    assert_eq!(system.apply(&next, &SPEC.replace("rpo: 5s", "rpo: 7s"), "two").await.unwrap(), 2);
    system.start(&leader).await;
    let shown = system.admin(&leader).show_spec(ShowSpecRequest {}).await.unwrap().into_inner();
    assert_eq!(shown.revision, 2, "it waits for a leader and asks it");
    let events = system.trail(&leader).await;
    let applied: Vec<_> = events.iter().filter(|event| event.draft.what == "apply_spec").collect();
    assert_eq!(applied.len(), 2);
    assert!(applied.iter().all(|event| event.draft.actor.name == "ada" && event.draft.actor.from.is_some()));
    assert_eq!(events[0].draft.what, "found");
    let joined = events.iter().filter(|event| event.draft.what == "member_changed").count();
    assert_eq!(joined, 3, "each joined once: {events:#?}");
}

#[tokio::test]
async fn who_joins_before_the_first_one_leads_does_not_come_before_the_first_entry() {
    let mut system = System::new();
    let spec = system.spec("c1");
    found(&spec, &spec.listen.clone()).unwrap();
    let (comes, to) = (system.spec("c2"), system.addresses["c1"].clone());
    let joins = tokio::spawn(async move {
        let end = Instant::now() + PATIENCE;
        while let Err(fault) = join(&comes, &comes.listen, &to).await {
            assert!(Instant::now() < end, "c2 did not join: {fault}");
            sleep(Duration::from_millis(2)).await;
        }
    });
    system.start("c1").await;
    joins.await.unwrap();
    let told = system.trail("c1").await.into_iter().map(|event| event.draft.what);
    assert_eq!(told.collect::<Vec<_>>(), ["found", "member_changed", "member_changed"]);
}

#[tokio::test]
async fn work_is_shared_among_the_agents_that_are_here() {
    let system = System::of(&["c1"]).await;
    system.apply("c1", SPEC, "one").await.unwrap();
    let id = system.members().await.unwrap().cluster_id;
    let mut first = system.agent("c1", "west", "w1", &id).await;
    assert!(matches!(first.next().await, To::Welcome(_)));
    let alone = first.assigned(|assignment| !assignment.links.is_empty()).await;
    assert_eq!(alone.links[0].shares.len(), 1);
    let second = system.agent("c1", "west", "w2", &id).await;
    let shared =
        first.assigned(|assignment| assignment.links.iter().any(|link| link.shares.len() == 2)).await;
    assert!(shared.links[0].epoch > alone.links[0].epoch);
    let mut elsewhere = system.agent("c1", "east", "e1", &id).await;
    assert!(matches!(elsewhere.next().await, To::Welcome(_)));
    let nothing = elsewhere.assigned(|_| true).await;
    assert!(nothing.links.is_empty() && nothing.clusters.len() == 2, "it copies nothing and looks at both");
    // A heartbeat is granted by the word of a majority.
    first.out.send(FromAgent { message: Some(From::Heartbeat(Heartbeat { number: 7 })) }).await.unwrap();
    loop {
        if let To::Beat(beat) = first.next().await {
            assert_eq!(beat.number, 7);
            break;
        }
    }
    let gone = Instant::now();
    drop(second);
    let again = first.assigned(|assignment| assignment.links.iter().any(|link| link.shares.len() == 1)).await;
    assert!(again.links[0].shares[0].agent == "w1" && again.links[0].epoch > shared.links[0].epoch);
    let former = &again.links[0].formers;
    assert!(former.iter().any(|former| former.agent == "w2" && former.left_ms.is_some()), "{former:?}");
    assert!(gone.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn strangers_are_told_what_is_wrong() {
    let mut system = System::of(&["c1"]).await;
    // Another system's coordinator, at the address of a member of ours.
    let mut other = System::new();
    other.authority = std::mem::replace(&mut system.authority, Authority::new());
    system.authority = other.authority.clone();
    let spec = other.spec("c2");
    found(&spec, &spec.listen.clone()).unwrap();
    let mut peer = Peers::new(papers(&spec).unwrap().fixed()).peer(&system.addresses["c1"]).unwrap();
    let hello = |cluster_id: &str, incarnation| {
        let hello = lockstep_proto::peer::PeerHello {
            cluster_id: cluster_id.to_owned(),
            incarnation,
            from: 2,
            to: 1,
        };
        let message = lockstep_proto::peer::from_peer::Message::Hello(hello);
        tokio_stream_of(lockstep_proto::peer::FromPeer { message: Some(message) })
    };
    let refused = peer.consensus(hello("elsewhere", 1)).await.unwrap_err();
    assert!(refused.message().contains("belongs to system \"elsewhere\""), "{refused}");
    let ours = system.members().await.unwrap().cluster_id;
    let refused = peer.consensus(hello(&ours, 3)).await.unwrap_err();
    assert!(refused.message().contains("incarnation"), "{refused}");
    let refused = peer.consensus(hello(&ours, 1)).await.unwrap_err();
    assert!(refused.message().contains("is no member here"), "{refused}");
    // An agent's certificate, and a coordinator that calls itself otherwise.
    let channel = system.channel("c1", "lockstep://agent/east/a1");
    let mut agent = lockstep_proto::peer::peers_client::PeersClient::new(channel);
    let refused = agent.identify(lockstep_proto::peer::IdentifyRequest {}).await.unwrap_err();
    assert!(refused.message().contains("is no coordinator"), "{refused}");
    let asked = lockstep_proto::peer::JoinRequest { name: "c9".to_owned(), level: 1, ..Default::default() };
    let refused = peer.join(asked).await.unwrap_err();
    assert!(refused.message().contains("calls itself c9"), "{refused}");
    // A file with another's certificate does not start.
    let mut wrong = system.spec("c1");
    wrong.tls = spec.tls.clone();
    let fault = papers(&wrong).err().unwrap();
    assert!(fault.to_string().contains("it was given to lockstep://coordinator/c2"), "{fault}");
}

fn tokio_stream_of<T: Send + 'static>(message: T) -> ReceiverStream<T> {
    let (out, stream) = mpsc::channel(1);
    assert!(out.try_send(message).is_ok());
    ReceiverStream::new(stream)
}

#[tokio::test]
async fn a_survivor_is_recovered_by_force_and_the_others_are_refused_until_they_join_anew() {
    let mut system = System::of(&["c1", "c2", "c3"]).await;
    system.apply("c1", SPEC, "one").await.unwrap();
    for name in ["c1", "c2", "c3"] {
        system.stop(name).await;
    }
    let specs = [system.spec("c2"), system.spec("c3")];
    let lasts: Vec<Last> = specs.iter().map(|spec| last(spec).unwrap()).collect();
    let (survivor, other) = if lasts[0] >= lasts[1] { ("c2", "c3") } else { ("c3", "c2") };
    let spec = system.spec(survivor);
    let recovered = recover(&spec, "two sites burnt down").unwrap();
    assert_eq!(recovered.identity.incarnation, 2);
    system.start(survivor).await;
    let members = system.voters(1).await;
    assert_eq!(members.members[0].name, survivor);
    let shown = system.admin(survivor).show_spec(ShowSpecRequest {}).await.unwrap().into_inner();
    let events = system.trail(survivor).await;
    assert_eq!((shown.revision, shown.text.as_str()), (1, SPEC), "{events:#?}");
    let raised = events.iter().find(|event| event.draft.what == "raise_incarnation").unwrap();
    assert_eq!(raised.draft.reason.as_deref(), Some("two sites burnt down"));
    // The others still believe in the members of before, and are refused.
    system.start("c1").await;
    let mut peer =
        Peers::new(papers(&system.spec("c1")).unwrap().fixed()).peer(&system.addresses[survivor]).unwrap();
    let hello =
        lockstep_proto::peer::PeerHello { cluster_id: members.cluster_id, incarnation: 1, from: 1, to: 2 };
    let message = lockstep_proto::peer::from_peer::Message::Hello(hello);
    let hello = tokio_stream_of(lockstep_proto::peer::FromPeer { message: Some(message) });
    let refused = peer.consensus(hello).await.unwrap_err();
    assert!(refused.message().contains("set its folder aside and join anew"), "{refused}");
    // Initialised again, it is a member like any other.
    let data = system.spec(other).data;
    std::fs::rename(&data, data.with_extension("aside")).unwrap();
    system.join(other, survivor).await;
    system.voters(2).await;
}

#[tokio::test]
async fn who_is_removed_is_out_and_the_leader_may_be_removed_too() {
    let mut system = System::of(&["c1", "c2", "c3"]).await;
    for count in [2, 1] {
        let leader = system.leader().await;
        let request = ChangeMembersRequest {
            change: Some(Change::Remove(leader.clone())),
            reason: Some("an exercise".to_owned()),
        };
        let end = Instant::now() + PATIENCE;
        // A leader hands over first: whoever asked is told to ask again.
        loop {
            let asked = system.leader().await;
            match system.admin(&asked).change_members(request.clone()).await {
                Ok(_) => break,
                Err(status) => assert!(Instant::now() < end, "{status}"),
            }
            sleep(Duration::from_millis(200)).await;
        }
        let running = system.running.remove(&leader).unwrap();
        drop(running.stop);
        let _ = timeout(PATIENCE, running.task).await.unwrap();
        assert!(system.voters(count).await.members.iter().all(|member| member.name != leader));
    }
}

#[tokio::test]
async fn certificates_and_the_authority_itself_change_without_a_restart() {
    const NAMES: [&str; 3] = ["c1", "c2", "c3"];
    let mut system = System::of(&NAMES).await;
    let (old, new) = (system.authority.clone(), Authority::new());
    let mut both = new.clone();
    both.pem = format!("{}{}", old.pem, new.pem);
    // Both are trusted by everybody before anybody shows the new one's certificate.
    for name in NAMES {
        std::fs::write(system.place.path().join(name).join("ca.pem"), &both.pem).unwrap();
    }
    system.authority = both;
    system.wait_for_each("who has a certificate of the new one is heard", |heard| heard).await;
    for name in NAMES {
        // The old one's name stands in the file until all have new certificates.
        system.spec(name);
    }
    system.authority = new.clone();
    system.wait_for_each("it has a certificate of the new one", |heard| heard).await;
    for name in NAMES {
        system.spec(name);
    }
    system.authority = old;
    system.authority.pem.clone_from(&new.pem);
    system.wait_for_each("who has a certificate of the old one is refused", |heard| !heard).await;
    system.authority = new;
    // Streams between members that are open go on; those that are made anew go by the new certificates.
    system.stop("c2").await;
    system.start("c2").await;
    let leader = system.leader().await;
    system.apply(&leader, SPEC, "one").await.unwrap();
    system.wait_for_each("everybody has the entry", |heard| heard).await;
    let end = Instant::now() + PATIENCE;
    while !system.trail("c2").await.iter().any(|event| event.draft.what == "apply_spec") {
        assert!(Instant::now() < end, "c2 does not get what is agreed on");
        sleep(Duration::from_millis(200)).await;
    }
}
