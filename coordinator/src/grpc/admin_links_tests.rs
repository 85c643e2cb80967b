//! What operators are told of links, over real TLS on loopback: the leader's knowledge with its age, what agents say when
//! they are asked, and what is said when they do not.

use std::time::{Duration, Instant as Wall};

use lockstep_core::state::Command;
use lockstep_core::status::{
    AgentStatus, Check, ConfigStatus, DetailStatus, Finding, GroupsStatus, LinkState, LinkStatus, PlanLines,
    PlanStatus, ReadyStatus, Scope, SystemGroups, SystemStatus, not_running,
};
use lockstep_proto::admin::{ForgetAgentRequest, LinkRequest, PlanRequest, StatusRequest};
use lockstep_proto::agent::{
    Ask, AskKind, Exposure, GroupCounts, LinkReport, Partitions, Probe, Reach, TopicReport, answer,
};
use lockstep_proto::peer::peers_server::{Peers, PeersServer};
use lockstep_proto::peer::{
    FromPeer, IdentifyAnswer, IdentifyRequest, JoinAnswer, JoinRequest, PeerGoodbye, TrailAnswer,
    TrailRequest,
};
use serde_json::json;
use tokio::time::Instant;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, ServerTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};

use super::admin_world::{SPEC, World, apply, bound, code, files, member, world};
use super::*;
use crate::agreement::Agreement;
use crate::intake::Received;

fn ask(link: &str) -> LinkRequest {
    LinkRequest { link: link.to_owned() }
}

fn report(link: &str) -> LinkReport {
    let exposure = || {
        Some(Exposure {
            seen_records: Some(41),
            datum_age_ms: Some(200),
            is_fresh: true,
            ..Exposure::default()
        })
    };
    let topic =
        |topic: String| TopicReport { topic, exposure: exposure(), is_good: true, ..TopicReport::default() };
    LinkReport {
        link: link.to_owned(),
        state: "running".to_owned(),
        posture: "WITHIN_RPO".to_owned(),
        rpo_ms: 5_000,
        age_ms: Some(0),
        exposure: exposure(),
        partitions: Some(Partitions { total: 20, copying: 20, ..Partitions::default() }),
        topics_total: 10,
        topics_good: 10,
        groups: Some(GroupCounts { copied: 2, total: 3 }),
        topics: (0..10).map(|number| topic(format!("claims.{number}"))).collect(),
        ..LinkReport::default()
    }
}

fn take(world: &World, agent: &str, link: &str) {
    let received = Received { at: Instant::now(), wall_seconds: 1_700_000_000.0 };
    let taken = world.leader.desk.with_intake(|intake| intake.take(agent, report(link), received));
    assert_eq!(taken, Ok(()));
}

async fn applied(world: &World) {
    world.operator("ada").await.apply(apply(SPEC, "r1")).await.unwrap();
}

async fn status(world: &World, link: &str) -> SystemStatus {
    let request = StatusRequest { link: link.to_owned() };
    let answer = world.operator("bob").await.status(request).await.unwrap();
    serde_json::from_str(&answer.into_inner().document).unwrap()
}

#[tokio::test]
async fn a_status_tells_everything_with_the_age_of_its_knowledge() {
    let world = world().await;
    applied(&world).await;
    world.works("a1", "claims");
    let before = status(&world, "").await;
    let postures: Vec<_> = before.links.iter().map(|link| link.posture.as_str()).collect();
    assert_eq!(postures, ["UNKNOWN", "UNKNOWN"], "what nobody reports is not shown as well");
    let milano = &before.sites["milano"];
    assert_eq!(
        (milano.primary_links, milano.unknown_links, milano.posture.as_deref()),
        (1, 1, Some("UNKNOWN"))
    );
    assert_eq!((before.scope, before.revision, before.cluster_id.as_str()), (Scope::System, 1, "0b6f"));
    assert_eq!((before.agents["a1"].heard_age_ms, before.agents["a1"].links), (None, 1));
    assert_eq!((before.clusters["mi"].site.as_str(), before.clusters["mi"].seen.len()), ("milano", 0));

    world.agent("a1", |_| None).await;
    take(&world, "a1", "claims");
    let probe = Probe {
        cluster: "mi".to_owned(),
        reach: Reach::Some.into(),
        answered_age_ms: Some(300),
        brokers_seen: 3,
        brokers_answering: 2,
        fault: Some("broker 7: refused".to_owned()),
    };
    let received = Received { at: Instant::now(), wall_seconds: 0.0 };
    world.leader.desk.with_intake(|intake| intake.take_probes("a1", vec![probe], received)).unwrap();
    let all = status(&world, "").await;
    let claims = &all.links[0];
    assert_eq!(
        (claims.link.as_str(), claims.from.as_str(), claims.posture.as_str()),
        ("claims", "", "WITHIN_RPO")
    );
    assert_eq!((claims.topics_total, claims.topics.len()), (10, 0), "a table needs counts");
    assert!(all.agents["a1"].heard_age_ms.is_some());
    let seen = &all.clusters["mi"].seen["a1"];
    assert_eq!((seen.reach.as_str(), seen.brokers_answering), ("some", 2));
    assert!(seen.answered_age_ms >= Some(300));
    let names: Vec<_> = all.coordinators.iter().map(|one| (one.name.as_str(), one.is_leader)).collect();
    assert_eq!(names, [("c1", true), ("c2", false)]);

    let milano = &all.sites["milano"];
    assert_eq!((milano.unknown_links, milano.worst_link.as_deref()), (0, Some("claims")));
    assert!(milano.exposure.as_ref().is_some_and(|exposure| exposure.seen_records.is_some()), "{milano:?}");
    let praha = &all.sites["praha"];
    assert_eq!((praha.primary_links, praha.standby_links, praha.unknown_links), (1, 1, 1));

    let one = status(&world, "claims").await;
    assert!(one.sites.is_empty(), "one link is not all that a site would lose");
    assert_eq!((one.links.len(), one.links[0].topics.len()), (1, 10));
    let nothing = StatusRequest { link: "nothing".to_owned() };
    assert_eq!(code(world.operator("bob").await.status(nothing).await), Code::NotFound);
}

#[tokio::test]
async fn one_of_a_thousand_links_is_found_at_once() {
    let world = world().await;
    let mut text = SPEC.to_owned();
    for number in 0..998 {
        text.push_str(&format!(
            "  link-{number:03}: {{ clusters: [mi, pr], prefer: mi, topics: \"l{number:03}-.*\" }}\n"
        ));
    }
    let applied = world.operator("ada").await.apply(apply(&text, "r1")).await.unwrap().into_inner();
    assert_eq!(applied.faults, [""; 0]);
    for number in 0..998 {
        let link = format!("link-{number:03}");
        world.works("a1", &link);
        take(&world, "a1", &link);
    }
    let mut bob = world.operator("bob").await;
    let began = Wall::now();
    let request = StatusRequest { link: "link-500".to_owned() };
    let one = bob.status(request).await.unwrap().into_inner().document;
    let took = began.elapsed();
    let all = bob.status(StatusRequest::default()).await.unwrap().into_inner().document;
    println!("one of 1,000 links: {took:?}, {} bytes; all: {} bytes", one.len(), all.len());
    let (one, all): (SystemStatus, SystemStatus) =
        (serde_json::from_str(&one).unwrap(), serde_json::from_str(&all).unwrap());
    assert_eq!((one.links.len(), one.links[0].posture.as_str(), all.links.len()), (1, "WITHIN_RPO", 1_000));
    // Far above what it takes: a busy machine is no fault.
    assert!(took < Duration::from_secs(5), "{took:?}");
}

/// As an agent whose clock is an hour ahead.
fn part(link: &str, state: LinkState) -> LinkStatus {
    let about = lockstep_core::status::About {
        link: link.to_owned(),
        from: "mi".to_owned(),
        to: "pr".to_owned(),
        rpo_ms: 5_000,
        role: lockstep_core::dr::posture::Role::Standby,
        write_protection: lockstep_core::dr::posture::WriteProtection::NotLooked,
        groups: None,
        drift: None,
    };
    let mut part = not_running(&about, state, "it starts", Vec::new());
    part.as_of_timestamp_seconds = Some(ahead() - 2.0);
    part
}

fn ahead() -> f64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_secs_f64() + 3_600.0
}

fn says(ask: &Ask) -> Option<answer::Outcome> {
    let document = match ask.kind() {
        AskKind::LinkDetail => serde_json::to_string(&AgentStatus {
            version: "0.1.0".to_owned(),
            site: "praha".to_owned(),
            started_timestamp_seconds: ahead(),
            as_of_timestamp_seconds: ahead(),
            config: ConfigStatus::default(),
            coordinators: None,
            links: vec![part(&ask.argument, LinkState::Starting)],
        }),
        AskKind::Groups => serde_json::to_string(&GroupsStatus::of(Vec::new())),
        AskKind::PlanLines => {
            let line =
                json!({ "sign": "add", "what": "topic", "name": "claims.photos", "words": "12 partitions" });
            serde_json::to_string(&json!({ "lines": [line] }))
        }
        AskKind::History => serde_json::to_string(&json!({
            "link": ask.argument,
            "step_seconds": 300,
            "steps": [],
            "last": null,
        })),
        AskKind::TidyLink | AskKind::Unspecified => return None,
    };
    Some(answer::Outcome::Document(document.unwrap()))
}

#[tokio::test]
async fn agents_are_asked_and_who_does_not_answer_is_named() {
    let world = world().await;
    applied(&world).await;
    let mut bob = world.operator("bob").await;
    let nobody = bob.groups(ask("claims")).await.unwrap_err();
    assert_eq!(nobody.code(), Code::FailedPrecondition);
    assert!(nobody.message().starts_with("no agent works on link \"claims\""), "{nobody:?}");
    world.works("a1", "claims");
    assert_eq!(code(bob.groups(ask("claims")).await), Code::FailedPrecondition);
    let detail: DetailStatus =
        serde_json::from_str(&bob.link_detail(ask("claims")).await.unwrap().into_inner().document).unwrap();
    assert_eq!(detail.link, None);
    assert_eq!(detail.missing["a1"], "agent \"a1\" has no session with this coordinator");

    world.agent("a1", says).await;
    let detail: DetailStatus =
        serde_json::from_str(&bob.link_detail(ask("claims")).await.unwrap().into_inner().document).unwrap();
    let link = detail.link.unwrap();
    assert_eq!((link.state, detail.missing.len()), (LinkState::Starting, 0));
    let age = ahead() - 3_600.0 - link.as_of_timestamp_seconds.unwrap();
    assert!((1.0..60.0).contains(&age), "by this clock, not by the agent's: {age}");
    let groups = bob.groups(ask("claims")).await.unwrap().into_inner().document;
    let groups: SystemGroups = serde_json::from_str(&groups).unwrap();
    assert_eq!((groups.agent.as_str(), groups.groups.kind.as_str()), ("a1", "groups"));
    assert_eq!(code(bob.link_detail(ask("nothing")).await), Code::NotFound);
}

#[tokio::test]
async fn a_plan_asks_an_agent_of_the_standbys_site() {
    let world = world().await;
    applied(&world).await;
    world.works("a1", "claims");
    world.works("a2", "claims");
    world.agent("a1", says).await;
    let weaker = SPEC.replace("rpo: 5s", "rpo: 9s").replace("topics: \"payments.*\"", "topics: \"pay.*\"");
    let mut bob = world.operator("bob").await;
    let planned = bob.plan(PlanRequest { files: files(&weaker) }).await.unwrap().into_inner();
    let document: PlanStatus = serde_json::from_str(&planned.document).unwrap();
    let claims = &document.agents["claims"];
    assert_eq!((claims.agent.as_deref(), claims.error.as_deref()), (Some("a1"), None), "a2 is not here");
    assert_eq!((claims.lines[0].what.as_str(), claims.lines[0].name.as_str()), ("topic", "claims.photos"));
    let payments = document.agents["payments"].error.as_deref();
    assert_eq!(payments, Some("no agent of milano is here: start one there, then plan again"));
    let empty: PlanLines = serde_json::from_str("{\"lines\": []}").unwrap();
    assert_eq!(empty, PlanLines::default());
}

#[tokio::test]
async fn an_agent_that_is_here_is_not_forgotten() {
    let world = world().await;
    applied(&world).await;
    world.works("a1", "claims");
    world.works("a2", "payments");
    world.agent("a1", |_| None).await;
    let forget =
        |agent: &str| ForgetAgentRequest { agent: agent.to_owned(), reason: Some("burnt".to_owned()) };
    assert_eq!(code(world.operator("bob").await.forget_agent(forget("a2")).await), Code::PermissionDenied);
    let mut ada = world.operator("ada").await;
    let here = ada.forget_agent(forget("a1")).await.unwrap_err();
    assert_eq!(here.code(), Code::FailedPrecondition);
    assert!(here.message().starts_with("agent \"a1\" has a session: stop it first"), "{here:?}");
    assert_eq!(code(ada.forget_agent(forget("a7")).await), Code::NotFound);
    ada.forget_agent(forget("a2")).await.unwrap();
    let state = world.leader.together.state();
    assert!(state.agents().contains_key("a1") && !state.agents().contains_key("a2"));
    assert_eq!(state.work("payments").unwrap().shares.len(), 0);
    let last = world.leader.together.trail().pop().unwrap().draft;
    assert_eq!(
        (last.what.as_str(), last.subject.as_str(), last.reason.as_deref()),
        ("forget_agent", "a2", Some("burnt"))
    );
}

fn finding<'a>(ready: &'a ReadyStatus, word: &str) -> &'a Check {
    ready.checks.iter().find(|check| check.check == word).unwrap_or_else(|| panic!("no {word} in {ready:#?}"))
}

#[tokio::test]
async fn readiness_is_every_check_with_what_would_help() {
    let world = world().await;
    applied(&world).await;
    let mut bob = world.operator("bob").await;
    let mut ready = async || -> ReadyStatus {
        serde_json::from_str(&bob.ready(ask("claims")).await.unwrap().into_inner().document).unwrap()
    };
    let cold = ready().await;
    assert!(!cold.is_ready);
    let none = finding(&cold, "standby_agents");
    assert_eq!((none.finding, none.remedy.as_deref()), (Finding::Failed, Some("start an agent in praha")));
    assert_eq!(finding(&cold, "posture").finding, Finding::Unknown);
    assert_eq!(finding(&cold, "cluster_reach").finding, Finding::Unknown);
    for passed in ["wanted", "work", "spec", "coordinator_sites", "level", "certificate", "audit"] {
        assert_eq!(finding(&cold, passed).finding, Finding::Passed, "{passed}");
    }

    world.works("a1", "claims");
    world.agent("a1", |_| None).await;
    take(&world, "a1", "claims");
    let probe =
        |cluster: &str| Probe { cluster: cluster.to_owned(), reach: Reach::All.into(), ..Probe::default() };
    let received = Received { at: Instant::now(), wall_seconds: 0.0 };
    let probes = vec![probe("mi"), probe("pr")];
    world.leader.desk.with_intake(|intake| intake.take_probes("a1", probes, received)).unwrap();
    let warm = ready().await;
    assert!(warm.is_ready, "{warm:#?}");
    for (word, expected) in [
        ("standby_agents", Finding::Passed),
        ("primary_agents", Finding::Warning),
        ("cluster_reach", Finding::Passed),
        ("groups", Finding::Warning),
        ("drift", Finding::Warning),
        ("coordinators", Finding::Warning),
    ] {
        assert_eq!(finding(&warm, word).finding, expected, "{word}");
    }
    world.leader.together.agree(Command::Pause { link: "claims".to_owned() });
    let paused = ready().await;
    let wanted = finding(&paused, "wanted");
    assert_eq!((wanted.finding, wanted.remedy.as_deref()), (Finding::Failed, None));
}

/// A coordinator that says which version it runs.
struct Says(u32);

#[tonic::async_trait]
impl Peers for Says {
    async fn consensus(&self, _: Request<Streaming<FromPeer>>) -> Result<Response<PeerGoodbye>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn identify(&self, _: Request<IdentifyRequest>) -> Result<Response<IdentifyAnswer>, Status> {
        let version = "0.0.9".to_owned();
        Ok(Response::new(IdentifyAnswer { version, level: self.0, ..IdentifyAnswer::default() }))
    }

    async fn join(&self, _: Request<JoinRequest>) -> Result<Response<JoinAnswer>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn trail(&self, _: Request<TrailRequest>) -> Result<Response<TrailAnswer>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

#[tokio::test]
async fn a_level_is_switched_on_when_every_coordinator_says_that_it_knows_it() {
    let world = world().await;
    let refused = world.leader.admin.all_know(1).await.unwrap_err();
    assert!(refused.starts_with("c2 at 127.0.0.1:"), "{refused}");
    assert!(
        refused.contains("does not say what it knows") && refused.ends_with("or remove it first"),
        "{refused}"
    );
    world.leader.together.unseat("c2");
    assert_eq!(world.leader.admin.all_know(7).await, Ok(()), "alone it knows");

    let (listener, address) = bound().await;
    let own = world.authority.issue(&["lockstep://coordinator/c3"]);
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(&own.pem, &own.key_pem))
        .client_ca_root(Certificate::from_pem(&world.authority.pem));
    let server = Server::builder().tls_config(tls).unwrap().add_service(PeersServer::new(Says(2)));
    tokio::spawn(async move { server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap() });
    let _third = world.leader.together.joined(member(3, &address));
    assert_eq!(world.leader.admin.all_know(2).await, Ok(()));
    let refused = world.leader.admin.all_know(3).await.unwrap_err();
    assert!(
        refused.starts_with("c3 runs version 0.0.9, which knows entries up to level 2, and 3"),
        "{refused}"
    );
    let mut ada = world.operator("ada").await;
    let finalized = ada.finalize(lockstep_proto::admin::FinalizeRequest::default()).await.unwrap();
    assert_eq!(finalized.into_inner().level, lockstep_core::state::LEVEL, "it is so already");
}
