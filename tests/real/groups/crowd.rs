//! A thousand groups on ten partitions each: carried, and changes follow. The time it takes is printed, not judged.

use std::sync::Arc;
use std::time::Instant;

use lockstep_core::ids::{LeaderEpoch, TopicPartition};
use lockstep_kafka::admin::{
    Committed, CoordinatorKind, Unstable, find_coordinators, offset_fetch, submit_offset_commit,
};
use lockstep_kafka::{Cluster, Settings, Tcp};
use lockstep_testkit::client::Seed;
use lockstep_testkit::{unique, wait_until_async};

use super::{carry, numbered};
use crate::mirror::{Ends, PATIENCE, stop, wait_for};

const GROUPS: usize = 1_000;
const PARTITIONS: i32 = 10;

async fn connect(bootstrap: &str) -> Cluster {
    Cluster::connect(Arc::new(Tcp::default()), Settings::new(bootstrap).unwrap()).await.unwrap()
}

/// Commits the same offset everywhere.
async fn commit_all(cluster: &Cluster, topic: &str, groups: &[String], offset: i64) {
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    let offsets: Vec<_> = (0..PARTITIONS)
        .map(|partition| {
            let leader_epoch = LeaderEpoch::UNKNOWN;
            (
                TopicPartition::new(topic, partition),
                Committed { offset, leader_epoch, metadata: String::new() },
            )
        })
        .collect();
    let nodes = find_coordinators(cluster, CoordinatorKind::Group, &names).await.unwrap();
    for chunk in nodes.chunks(100) {
        let mut pending = Vec::new();
        for (group, node) in chunk {
            let connection = cluster.connection(*node.as_ref().unwrap()).await.unwrap();
            pending.push(submit_offset_commit(&connection, group, &offsets).await.unwrap());
        }
        for commit in pending {
            assert!(commit.answer().await.unwrap().iter().all(|(_, answer)| answer.is_ok()));
        }
    }
}

/// How many offsets of all groups stand at this one.
async fn standing(cluster: &Cluster, groups: &[String], offset: i64) -> usize {
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    let node = *cluster.metadata().brokers.keys().next().unwrap();
    let connection = cluster.connection(node).await.unwrap();
    let answers = offset_fetch(&connection, &names, Unstable::Before).await.unwrap();
    let offsets = answers.into_iter().flat_map(|(_, offsets)| offsets.unwrap_or_default());
    offsets.filter(|(_, committed)| committed.as_ref().is_ok_and(|c| c.offset == offset)).count()
}

#[tokio::test]
async fn a_thousand_groups_are_carried_and_followed() {
    let (ends, topic) = (Ends::shared(), unique("groups-crowd"));
    ends.create(&topic, PARTITIONS, &[]);
    let records = numbered(0, 500).zip((0..PARTITIONS).cycle()).map(|(record, p)| record.partition(p));
    Seed::to(&ends.from).write(&topic, records).unwrap();
    let groups: Vec<_> = (0..GROUPS).map(|n| format!("{topic}-{n}")).collect();
    let (here, there) = (connect(&ends.from).await, connect(&ends.to).await);
    commit_all(&here, &topic, &groups, 20).await;
    let all = GROUPS * PARTITIONS.unsigned_abs() as usize;
    let began = Instant::now();
    carry(&ends, &topic, &format!("{topic}-.*"));
    println!("{all} offsets carried in {:?}, process start included", began.elapsed());
    assert_eq!(standing(&there, &groups, 20).await, all);

    let mirror = ends.mirror_with(&topic, &["--groups", &format!("{topic}-.*")]);
    wait_for(&mirror, "progress", |said| said["groups"]["in_step"] == GROUPS);
    commit_all(&here, &topic, &groups, 30).await;
    let changed = Instant::now();
    wait_until_async("all changes", PATIENCE, async || {
        (standing(&there, &groups, 30).await == all).then_some(())
    })
    .await;
    println!("{all} changed offsets followed in {:?}", changed.elapsed());
    stop(mirror, 0);
}
