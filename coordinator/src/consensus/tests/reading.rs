//! Who reads sees everything that was answered as done before it asked, or is told that it cannot be known.

use super::super::Refused;
use super::world::World;

#[tokio::test(start_paused = true)]
async fn every_member_reads_what_was_done_before() {
    let mut world = World::of(3).await;
    for n in 0..20 {
        world.propose(&format!("word {n}")).await.unwrap();
        for id in 1..=3 {
            world.running[&id].handle.read().await.unwrap();
            assert_eq!(world.running[&id].list.all().len(), n + 1, "member {id}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_was_cut_off_cannot_be_read_from() {
    let mut world = World::of(3).await;
    world.propose("a").await.unwrap();
    let old = world.leader().await;
    world.cut(&[old]);
    let refused = world.running[&old].handle.read().await.unwrap_err();
    assert!(matches!(refused, Refused::Unknown | Refused::NotLeader { .. }), "{refused:?}");
    world.propose("b").await.unwrap();
    let refused = world.running[&old].handle.propose(b"lost".to_vec()).await.unwrap_err();
    assert!(matches!(refused, Refused::Unknown | Refused::NotLeader { .. }), "{refused:?}");
    world.cut(&[]);
    assert_eq!(world.same().await, ["a", "b"], "what it proposed alone is not there");
    world.running[&old].handle.read().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn many_readers_and_writers_are_served_together() {
    let mut world = World::of(3).await;
    let leader = world.leader().await;
    let handle = world.running[&leader].handle.clone();
    let writes = (0..200).map(|n| {
        let handle = handle.clone();
        tokio::spawn(async move { handle.propose(format!("word {n}").into_bytes()).await })
    });
    let reads = (0..200).map(|_| {
        let handle = handle.clone();
        tokio::spawn(async move { handle.read().await })
    });
    let (writes, reads): (Vec<_>, Vec<_>) = (writes.collect(), reads.collect());
    for write in writes {
        write.await.unwrap().unwrap();
    }
    for read in reads {
        read.await.unwrap().unwrap();
    }
    assert_eq!(world.same().await.len(), 200);
}
