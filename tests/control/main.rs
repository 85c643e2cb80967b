//! Agents and coordinators in one conversation, over real TLS and without Kafka: what was agreed becomes an agent's work, a
//! lease comes and ends, whoever leads is found, and whoever must not talk to each other is told why.

// A failed unwrap is a failed test, with its place and cause.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod world;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockstep_agent::control::seeking::{self, Unfit};
use lockstep_agent::store::{MemoryStore, Store};
use lockstep_coordinator::dispatch::{Lead, Notice, Standing};
use lockstep_core::status::Conversation;
use lockstep_testkit::holders::Authority;
use lockstep_testkit::wait_until_async;

use world::{Agent, Agreed, Coordinator, TERMS, files};

const SOON: Duration = Duration::from_secs(20);

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    wait_until_async(what, SOON, async || holds().then_some(())).await;
}

/// Why the agent talks to nobody.
async fn silence(agent: &Agent) -> String {
    wait_until_async("the agent to say why it talks to nobody", SOON, async || {
        match agent.control.status().conversation {
            Conversation::Without { why } => Some(why),
            Conversation::Seeking | Conversation::With { .. } => None,
        }
    })
    .await
}

async fn released(coordinator: &mut Coordinator) -> (String, u64) {
    loop {
        let notice = tokio::time::timeout(SOON, coordinator.notices.recv()).await;
        if let Notice::Released { link, epoch, .. } = notice.unwrap().unwrap() {
            return (link, epoch);
        }
    }
}

#[tokio::test]
async fn what_was_agreed_becomes_work_under_a_lease_and_what_is_over_is_said() {
    let authority = Authority::new().unwrap();
    let mut agreed = Agreed::on(&["a1"]);
    let mut coordinator = Coordinator::start(&authority, agreed.standing()).await;
    let agent = Agent::start(&authority, &[&coordinator.address], &memory());
    until("the agent to hold a lease", || agent.control.status().lease_left_ms.is_some_and(|left| left > 0))
        .await;
    let assigned = agent.control.assigned();
    assert!(assigned.refused.is_empty(), "{:?}", assigned.refused);
    let claims = &assigned.links["claims"];
    assert_eq!((&*claims.spec.from, &*claims.spec.to, claims.work.epoch), ("mi", "pr", 1));
    assert_eq!(assigned.clusters["mi"].bootstrap, ["mi:1", "mi:2"]);
    let status = agent.control.status();
    assert_eq!(status.conversation, Conversation::With { address: coordinator.address.clone() });
    assert_eq!((status.revision, status.incarnation), (1, 1));
    assert_eq!(agent.duties(), (64, 0));

    agent.links.here.lock().unwrap().insert("claims".to_owned());
    agent.links.settled.lock().unwrap().insert("claims".to_owned(), 1);
    assert_eq!(released(&mut coordinator).await, ("claims".to_owned(), 1));

    agreed.share(&["a2"]);
    coordinator.standing.send_replace(agreed.standing());
    until("the agent to hear that the link is another's", || agent.control.assigned().links.is_empty()).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    while let Ok(notice) = coordinator.notices.try_recv() {
        assert!(!matches!(notice, Notice::Released { .. }), "its task has not ended: {notice:?}");
    }
    agent.links.here.lock().unwrap().clear();
    assert_eq!(released(&mut coordinator).await, ("claims".to_owned(), 2));
}

#[tokio::test]
async fn without_coordinators_a_shared_link_keeps_its_guarded_work_and_a_lease_comes_back_with_them() {
    let authority = Authority::new().unwrap();
    let agreed = Agreed::on(&["a1", "a2"]);
    let coordinator = Coordinator::start(&authority, agreed.standing()).await;
    let (address, store) = (coordinator.address.clone(), memory());
    let agent = Agent::start(&authority, &[&address], &store);
    until("a lease", || agent.control.status().lease_left_ms.is_some_and(|left| left > 0)).await;
    until("full leave for its share", || agent.duties().0 > 10).await;
    let share = agent.duties().0;
    assert!(share < 54, "the rest is the other's: {share}");
    // Longer than a lease: it is renewed.
    tokio::time::sleep(Duration::from_millis(TERMS.lease_ms * 2)).await;
    assert_eq!(agent.duties(), (share, 0));

    coordinator.kill().await;
    until("the lease to be over", || agent.duties() == (0, share)).await;
    assert_eq!(agent.control.status().lease_left_ms, Some(0));
    assert!(silence(&agent).await.starts_with(&address));
    assert!(agent.control.assigned().links.contains_key("claims"), "it goes on");

    let restarted = Agent::start(&authority, &[&address], &store);
    assert_eq!(restarted.duties(), (0, share), "what it was told last is remembered");
    drop(restarted);

    let _again = Coordinator::start_at(&authority, agreed.standing(), &address).await;
    until("a lease again", || agent.duties() == (share, 0)).await;
}

/// Story: a site was cut off with the coordinator that led; its connections stayed open, and leases ended before it was given up.
#[tokio::test]
async fn a_coordinator_that_falls_silent_is_given_up_before_the_lease_ends() {
    let authority = Authority::new().unwrap();
    let agreed = Agreed::on(&["a1"]);
    let coordinator = Coordinator::start(&authority, agreed.standing()).await;
    let address = coordinator.address.clone();
    let agent = Agent::start(&authority, &[&address], &memory());
    until("a lease", || agent.control.status().lease_left_ms.is_some_and(|left| left > 0)).await;
    let silent = coordinator.silence();
    assert_eq!(silence(&agent).await, format!("{address}: it has fallen silent"));
    let other = Coordinator::start(&authority, agreed.standing()).await;
    let moved = Agent::start(&authority, &[&address, &other.address], &memory());
    let with = Conversation::With { address: other.address.clone() };
    until("another one to be found", || moved.control.status().conversation == with).await;
    drop(silent);
}

#[tokio::test]
async fn an_agent_alone_on_its_link_goes_on_with_everything() {
    let authority = Authority::new().unwrap();
    let coordinator = Coordinator::start(&authority, Agreed::on(&["a1"]).standing()).await;
    let agent = Agent::start(&authority, &[&coordinator.address], &memory());
    until("a lease", || agent.control.status().lease_left_ms.is_some_and(|left| left > 0)).await;
    coordinator.kill().await;
    until("the lease to be over", || agent.control.status().lease_left_ms == Some(0)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(agent.duties(), (64, 0));
}

#[tokio::test]
async fn whoever_does_not_lead_sends_the_agent_on() {
    let authority = Authority::new().unwrap();
    let agreed = Agreed::on(&["a1"]);
    let leader = Coordinator::start(&authority, agreed.standing()).await;
    let follows = Standing { lead: Lead::At(leader.address.clone()), ..agreed.standing() };
    let follower = Coordinator::start(&authority, follows).await;
    let agent = Agent::start(&authority, &[&follower.address], &memory());
    let with = |address: &str| Conversation::With { address: address.to_owned() };
    until("the leader to be found", || agent.control.status().conversation == with(&leader.address)).await;

    // They change places: whoever led says so in the middle of a conversation.
    follower.standing.send_replace(agreed.standing());
    let follows = Standing { lead: Lead::At(follower.address.clone()), ..agreed.standing() };
    leader.standing.send_replace(follows);
    until("the new leader to be found", || agent.control.status().conversation == with(&follower.address))
        .await;
}

#[tokio::test]
async fn coordinators_of_another_system_or_left_behind_are_not_obeyed() {
    let authority = Authority::new().unwrap();
    let agreed = Agreed::on(&["a1"]);
    let recovered = Standing { incarnation: 3, ..agreed.standing() };
    let coordinator = Coordinator::start(&authority, recovered).await;
    let (address, store) = (coordinator.address.clone(), memory());
    let agent = Agent::start(&authority, &[&address], &store);
    until("an assignment", || agent.control.incarnation() == 3).await;
    coordinator.kill().await;

    let other = Standing { cluster_id: "ffff".to_owned(), ..agreed.standing() };
    let other = Coordinator::start_at(&authority, other, &address).await;
    until("the other system to be refused", || {
        let said = agent.control.status().conversation;
        matches!(said, Conversation::Without { why } if why.contains("0b6f") && why.contains("ffff"))
    })
    .await;
    other.kill().await;

    let _left_behind = Coordinator::start_at(&authority, agreed.standing(), &address).await;
    until("the incarnation of before to be refused", || {
        let said = agent.control.status().conversation;
        matches!(said, Conversation::Without { why } if why.contains("left behind"))
    })
    .await;
    assert_eq!((agent.control.incarnation(), agent.control.assigned().links.len()), (3, 1));
}

#[tokio::test]
async fn certificates_that_do_not_fit_open_no_conversation() {
    let authority = Authority::new().unwrap();
    let coordinator = Coordinator::start(&authority, Agreed::on(&["a1"]).standing()).await;
    let at = [&*coordinator.address];

    let (spec, _folder) = files(&authority, &authority.issue("lockstep://agent/praha/a1", &[]).unwrap(), &at);
    let unfit = seeking::name(&spec, "paris").unwrap_err();
    assert!(matches!(&unfit, Unfit::OtherSite { site, .. } if site == "praha"), "{unfit}");
    let (spec, _folder) = files(&authority, &authority.issue("lockstep://operator/eve", &[]).unwrap(), &at);
    assert!(matches!(seeking::name(&spec, "paris"), Err(Unfit::NoAgent { .. })));

    // It does not say itself what its certificate says: the coordinator looks.
    let (spec, folder) = files(&authority, &authority.issue("lockstep://agent/praha/a1", &[]).unwrap(), &at);
    let name = seeking::Name { site: "paris".to_owned(), agent: "a1".to_owned() };
    let why = silence(&Agent::start_as(name, spec, folder, &memory())).await;
    assert!(why.contains("refused (identity)") && why.contains("praha"), "{why}");

    let an_hour_ago = SystemTime::now() - Duration::from_secs(3_600);
    let expired = authority.issue_until("lockstep://agent/paris/a1", &[], an_hour_ago).unwrap();
    let (spec, folder) = files(&authority, &expired, &at);
    let name = seeking::name(&spec, "paris").unwrap();
    let expired = Agent::start_as(name, spec, folder, &memory());
    assert!(silence(&expired).await.contains("has expired: renew it"));
    // How the handshake ended is not always known: the coordinator may have hung up before its reason was read.
    let stranger = Agent::start(&Authority::new().unwrap(), &at, &memory());
    for agent in [expired, stranger] {
        assert!(silence(&agent).await.starts_with(&coordinator.address));
        assert_eq!((agent.control.status().heard_age_ms, agent.control.status().lease_left_ms), (None, None));
    }
}
