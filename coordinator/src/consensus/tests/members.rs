//! Members come, go, fail and come back; what was answered as done stays.

use super::super::{Change, Fault, Pace, Refused, found, last, recover};
use super::world::{List, World, member};
use crate::agreement::SeatKind;

#[tokio::test(start_paused = true)]
async fn one_member_agrees_with_itself_and_remembers() {
    let mut world = World::founded().await;
    assert_eq!(world.propose("a").await, Ok(1));
    assert_eq!(world.propose("b").await, Ok(2));
    world.kill(1).await;
    world.start(1);
    assert_eq!(world.propose("c").await, Ok(3));
    assert_eq!(world.running[&1].list.all(), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn members_join_as_learners_and_then_vote() {
    let mut world = World::founded().await;
    world.propose("a").await.unwrap();
    world.start(2);
    world.change(&[Change::Learn(member(2))]).await;
    assert_eq!(world.position(1).seats[1].kind, SeatKind::Learner);
    assert_eq!(world.same().await, ["a"], "the newcomer has everything from before");
    world.change(&[Change::Vote(member(2))]).await;
    world.join(3).await;
    assert_eq!(world.position(1).seats.len(), 3);
    world.propose("b").await.unwrap();
    assert_eq!(world.same().await, ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn who_is_far_behind_gets_no_vote() {
    let mut world = World::founded().await;
    world.change(&[Change::Learn(member(2))]).await;
    // It was never started.
    let refused = world.running[&1].handle.change(vec![Change::Vote(member(2))]).await.unwrap_err();
    assert!(matches!(&refused, Refused::Rule(why) if why.contains("entries behind")), "{refused:?}");
    let refused = world.running[&1].handle.change(vec![Change::Remove(1)]).await.unwrap_err();
    assert!(matches!(&refused, Refused::Rule(why) if why.starts_with("nobody would be left")), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn five_members_survive_any_two() {
    let mut world = World::of(5).await;
    world.propose("a").await.unwrap();
    for round in 0..3 {
        let leader = world.leader().await;
        let other = (1..=5).find(|id| *id != leader).unwrap();
        world.kill(leader).await;
        world.kill(other).await;
        world.propose(&format!("without two, round {round}")).await.unwrap();
        world.start(leader);
        world.start(other);
        assert_eq!(world.same().await.len(), round + 2);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_majority_nothing_is_answered_as_done() {
    let mut world = World::of(3).await;
    world.propose("a").await.unwrap();
    let leader = world.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    for id in &others {
        world.kill(*id).await;
    }
    let refused = world.running[&leader].handle.propose(b"b".to_vec()).await.unwrap_err();
    assert!(matches!(refused, Refused::Unknown | Refused::NotLeader { .. }), "{refused:?}");
    let refused = world.running[&leader].handle.read().await.unwrap_err();
    assert!(matches!(refused, Refused::Unknown | Refused::NotLeader { .. }), "{refused:?}");
    world.start(others[0]);
    world.propose("c").await.unwrap();
    let list = world.same().await;
    assert!(list.first().unwrap() == "a" && list.last().unwrap() == "c", "{list:?}");
}

#[tokio::test(start_paused = true)]
async fn a_member_is_replaced_in_one_step() {
    let mut world = World::of(3).await;
    world.propose("a").await.unwrap();
    world.start(4);
    world.change(&[Change::Learn(member(4))]).await;
    let leader = world.leader().await;
    let leaves = (1..=3).find(|id| *id != leader).unwrap();
    world.kill(leaves).await;
    // Two changes at once: a joint configuration, which is left by itself.
    world.change(&[Change::Vote(member(4)), Change::Remove(leaves)]).await;
    world.propose("b").await.unwrap();
    assert_eq!(world.same().await, ["a", "b"]);
    let voters: Vec<u64> = world.position(4).seats.iter().map(|seat| seat.member.id).collect();
    assert!(voters.len() == 3 && voters.contains(&4) && !voters.contains(&leaves), "{voters:?}");
    // And survives a restart of everybody, from disk alone.
    for id in voters.clone() {
        world.kill(id).await;
    }
    for id in voters {
        world.start(id);
    }
    world.propose("c").await.unwrap();
    assert_eq!(world.same().await, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn who_is_removed_stops_and_its_name_may_come_back_under_another_id() {
    let mut world = World::of(3).await;
    let leader = world.leader().await;
    let gone = (1..=3).find(|id| *id != leader).unwrap();
    world.change(&[Change::Remove(gone)]).await;
    world.propose("a").await.unwrap();
    let position = world.position(leader);
    assert_eq!(position.seats.len(), 2);
    assert!(position.seat(gone).is_none());
    world.kill(gone).await;
    world.join(4).await;
    assert_eq!(world.same().await, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn the_leader_hands_over_when_asked() {
    let mut world = World::of(3).await;
    let leader = world.leader().await;
    let to = (1..=3).find(|id| *id != leader).unwrap();
    world.running[&leader].handle.transfer(to).await.unwrap();
    let mut seen = world.running[&to].handle.position();
    seen.wait_for(|position| position.leads()).await.unwrap();
    let refused = world.running[&leader].handle.transfer(leader).await.unwrap_err();
    assert_eq!(refused, Refused::NotLeader { leader: Some(to) });
    world.propose("a").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_must_not_go_on_stops_its_member_with_the_reason() {
    let mut world = World::founded().await;
    world.propose("a").await.unwrap();
    assert_eq!(world.propose("poison").await, Err(Refused::Unknown));
    let refused = world.running[&1].handle.propose(b"b".to_vec()).await.unwrap_err();
    assert!(matches!(&refused, Refused::Stopped(why) if why.contains("does not know")), "{refused:?}");
    let stopped = world.running.remove(&1).unwrap();
    assert!(matches!(stopped.task.await.unwrap(), Err(Fault::Machine(_))));
    assert!(stopped.handle.position().borrow().stopped.as_ref().unwrap().contains("does not know"));
}

#[tokio::test(start_paused = true)]
async fn what_fell_behind_gets_a_snapshot() {
    let pace = Pace { snapshot_entries: 10, kept_entries: 2, ..Pace::default() };
    let mut world = World::empty(pace);
    world.found(1);
    world.start(1);
    for id in 2..=3 {
        world.join(id).await;
    }
    let leader = world.leader().await;
    let behind = (1..=3).find(|id| *id != leader).unwrap();
    world.kill(behind).await;
    let words: Vec<String> = (0..60).map(|n| format!("word {n}")).collect();
    for word in &words {
        world.propose(word).await.unwrap();
    }
    world.start(behind);
    assert_eq!(world.same().await, words);
    // And from there on it is a member like the others.
    world.kill(behind).await;
    world.start(behind);
    world.propose("last").await.unwrap();
    assert_eq!(world.same().await.last().unwrap(), "last");
}

#[tokio::test(start_paused = true)]
async fn a_survivor_goes_on_alone_by_force_and_others_join_it_anew() {
    let mut world = World::of(5).await;
    world.propose("a").await.unwrap();
    world.propose("b").await.unwrap();
    world.same().await;
    for id in 1..=5 {
        world.kill(id).await;
    }
    let mut lasts = Vec::new();
    for id in [4, 5] {
        let (log, snapshots) = world.stores(id).unwrap();
        lasts.push((last(log, snapshots).unwrap(), id));
    }
    let survivor = lasts.iter().max().unwrap().1;
    let (log, snapshots) = world.stores(survivor).unwrap();
    let after = recover(log, snapshots, &mut List::default(), member(survivor)).unwrap();
    assert!(after > lasts.iter().max().unwrap().0);
    world.start(survivor);
    world.propose("c").await.unwrap();
    assert_eq!(world.running[&survivor].list.all(), ["a", "b", "c"]);
    assert_eq!(world.position(survivor).seats.len(), 1);
    world.join(6).await;
    world.join(7).await;
    assert_eq!(world.same().await, ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_folder_is_founded_once() {
    let mut world = World::founded().await;
    world.kill(1).await;
    let (log, snapshots) = world.stores(1).unwrap();
    let refused = found(log, snapshots, &mut List::default(), member(1)).unwrap_err();
    assert!(matches!(refused, Fault::Configuration(_)));
    let (log, snapshots) = world.stores(9).unwrap();
    let refused = recover(log, snapshots, &mut List::default(), member(9)).unwrap_err();
    assert!(refused.to_string().contains("nothing to recover"), "{refused}");
}
