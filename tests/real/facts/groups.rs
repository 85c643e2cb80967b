//! Committed offsets of groups: who may write them, what they carry, which are seen (M30, M31, M33).

use std::sync::Arc;

use lockstep_core::ids::{LeaderEpoch, NodeId, TopicPartition};
use lockstep_kafka::admin::{
    Committed, CoordinatorKind, Unstable, delete_groups, find_coordinators, list_groups, offset_delete,
    offset_fetch, submit_offset_commit,
};
use lockstep_kafka::{Cluster, Connection, ErrorCode};
use lockstep_testkit::client::{Admin, Codec, Member, Protocol, Record, Seed, Transactor};
use lockstep_testkit::{pair, unique, wait_until_async};

use super::PATIENCE;
use super::log::connect;

/// A topic with ten records, and its cluster.
async fn stage(name: &str) -> (String, Cluster, String) {
    let bootstrap = pair().destination.bootstrap();
    let topic = unique(name);
    Admin::of(&bootstrap).unwrap().create(&topic, 1, &[]).unwrap();
    Seed::to(&bootstrap).write(&topic, (0..10).map(|n| Record::new(n.to_string()))).unwrap();
    (bootstrap.clone(), connect(&bootstrap).await, topic)
}

async fn coordinator(cluster: &Cluster, group: &str) -> Connection {
    let node: NodeId = wait_until_async("a coordinator", PATIENCE, async || {
        let found = find_coordinators(cluster, CoordinatorKind::Group, &[group]).await.ok()?;
        found.into_iter().next()?.1.ok()
    })
    .await;
    cluster.connection(node).await.unwrap()
}

fn at(offset: i64) -> Committed {
    Committed { offset, leader_epoch: LeaderEpoch::UNKNOWN, metadata: "m".to_owned() }
}

async fn commit(connection: &Connection, group: &str, topic: &str, offset: i64) -> Result<(), ErrorCode> {
    let offsets = [(TopicPartition::new(topic, 0), at(offset))];
    let commit = submit_offset_commit(connection, group, &offsets).await.unwrap();
    commit.answer().await.unwrap().remove(0).1
}

async fn committed(
    connection: &Connection,
    group: &str,
    unstable: Unstable,
) -> Option<Result<Committed, ErrorCode>> {
    let answers = offset_fetch(connection, &[group], unstable).await.unwrap();
    answers.into_iter().next().unwrap().1.unwrap().into_iter().next().map(|(_, committed)| committed)
}

/// M30: a commit from outside makes a group that only keeps offsets, listed as empty; offset and metadata come back, and
/// so does an unknown leader epoch. Relied on by `agent/src/pipeline/groups/standby.rs`.
#[tokio::test]
async fn an_offset_committed_from_outside_comes_back_as_it_was() {
    let (_, cluster, topic) = stage("facts-outside").await;
    let group = unique("facts-outside");
    let connection = coordinator(&cluster, &group).await;
    assert_eq!(
        committed(&connection, &group, Unstable::Before).await,
        None,
        "no group: no offsets, no error"
    );
    commit(&connection, &group, &topic, 4).await.unwrap();
    assert_eq!(committed(&connection, &group, Unstable::Before).await, Some(Ok(at(4))));
    let listed = list_groups(&cluster).await.unwrap();
    let found = listed.into_iter().find(|found| found.group == group).unwrap();
    assert_eq!((&*found.protocol_type, found.state.as_deref()), ("", Some("Empty")));
}

/// M30: while a group has members of either protocol, the coordinator refuses a commit from outside; and what a member
/// commits has a leader epoch. Relied on by `core/src/groups/judge.rs`.
#[tokio::test]
async fn members_keep_others_out_and_leave_a_leader_epoch() {
    for protocol in [Protocol::Classic, Protocol::Consumer] {
        let (bootstrap, cluster, topic) = stage("facts-members").await;
        let group = unique("facts-members");
        let connection = coordinator(&cluster, &group).await;
        commit(&connection, &group, &topic, 4).await.unwrap();
        let name = (group.clone(), topic.clone());
        let member = tokio::task::spawn_blocking(move || {
            let member = Member::join(&bootstrap, &name.0, &name.1, protocol).unwrap();
            assert_eq!(member.read(2).unwrap()[0].offset, 4);
            member
        });
        let member = member.await.unwrap();
        let refused = commit(&connection, &group, &topic, 5).await.unwrap_err();
        assert_eq!(refused.class(), lockstep_kafka::Class::Fence, "{protocol:?}: {refused}");
        tokio::task::spawn_blocking(move || {
            member.commit().unwrap();
            drop(member);
        })
        .await
        .unwrap();
        let left = committed(&connection, &group, Unstable::Before).await.unwrap().unwrap();
        assert!(left.offset > 4 && left.leader_epoch.is_known(), "{protocol:?}: {left:?}");
        wait_until_async("the group without members", PATIENCE, async || {
            commit(&connection, &group, &topic, 5).await.ok()
        })
        .await;
    }
}

/// M31: an offset that is part of a transaction is not seen before the transaction is decided; the one before it is, or the
/// partition is refused, as asked. Relied on by `agent/src/pipeline/groups/coordinators.rs`.
#[tokio::test]
async fn an_offset_in_a_transaction_is_seen_when_that_is_decided() {
    let (bootstrap, cluster, topic) = stage("facts-unstable").await;
    let group = unique("facts-unstable");
    let connection = coordinator(&cluster, &group).await;
    commit(&connection, &group, &topic, 4).await.unwrap();
    let name = (group.clone(), topic.clone());
    let open = tokio::task::spawn_blocking(move || {
        let member = Member::join(&bootstrap, &name.0, &name.1, Protocol::Classic).unwrap();
        member.read(2).unwrap();
        let transactor = Transactor::open(&bootstrap, &unique("facts-unstable"), Codec::None).unwrap();
        transactor.begin().unwrap();
        transactor.write(&name.1, [Record::new("output")]).unwrap();
        transactor.send_offsets(&member).unwrap();
        (member, transactor)
    });
    let (member, transactor) = open.await.unwrap();
    assert_eq!(committed(&connection, &group, Unstable::Before).await, Some(Ok(at(4))));
    let refused = committed(&connection, &group, Unstable::Refused).await;
    assert_eq!(refused, Some(Err(ErrorCode::UNSTABLE_OFFSET_COMMIT)));
    tokio::task::spawn_blocking(move || {
        transactor.commit().unwrap();
        drop(member);
    })
    .await
    .unwrap();
    wait_until_async("the decided offset", PATIENCE, async || {
        let seen = committed(&connection, &group, Unstable::Refused).await?.ok()?;
        (seen.offset > 4).then_some(())
    })
    .await;
}

/// Single offsets can be removed, and groups as a whole, unless they have members. Relied on by
/// `agent/src/pipeline/groups/standby.rs`.
#[tokio::test]
async fn offsets_and_groups_without_members_can_be_removed() {
    let (_, cluster, topic) = stage("facts-removed").await;
    let (_, _, other) = stage("facts-removed").await;
    let group = unique("facts-removed");
    let connection = coordinator(&cluster, &group).await;
    commit(&connection, &group, &topic, 4).await.unwrap();
    commit(&connection, &group, &other, 5).await.unwrap();
    let gone = offset_delete(&connection, &group, &[TopicPartition::new(topic.as_str(), 0)]).await.unwrap();
    assert!(gone.iter().all(|(_, answer)| answer.is_ok()), "{gone:?}");
    let left = offset_fetch(&connection, &[&group], Unstable::Before).await.unwrap().remove(0).1.unwrap();
    assert_eq!(left.iter().map(|(tp, _)| Arc::clone(&tp.topic)).collect::<Vec<_>>(), [other.as_str().into()]);
    assert_eq!(delete_groups(&connection, &[&group]).await.unwrap()[0].1, Ok(()));
    let again = delete_groups(&connection, &[&group]).await.unwrap().remove(0).1;
    assert_eq!(again.unwrap_err().0, ErrorCode::GROUP_ID_NOT_FOUND);
}

/// ListGroups v5 tells what kind a group is: a share group (KIP-932) has its own word, and no committed offset. Relied on by
/// `core/src/groups/kind.rs`.
#[tokio::test]
async fn a_share_group_is_listed_as_one_and_has_no_offsets() {
    let (_, cluster, topic) = stage("facts-share").await;
    let [share, usual] = ["facts-share", "facts-usual"].map(unique);
    let name = (share.clone(), topic.clone());
    tokio::task::spawn_blocking(move || pair().destination.console_share_consumer(&name.1, &name.0).unwrap())
        .await
        .unwrap();
    let connection = coordinator(&cluster, &usual).await;
    commit(&connection, &usual, &topic, 4).await.unwrap();
    let listed = list_groups(&cluster).await.unwrap();
    let kind = |group: &str| {
        let found = listed.iter().find(|found| found.group == group).unwrap();
        (found.protocol_type.clone(), found.kind.clone().unwrap())
    };
    assert_eq!(kind(&share), ("share".to_owned(), "share".to_owned()));
    assert_eq!(kind(&usual), (String::new(), "classic".to_owned()));
    let connection = coordinator(&cluster, &share).await;
    let answer = offset_fetch(&connection, &[&share], Unstable::Before).await.unwrap().remove(0).1;
    assert_eq!(answer, Ok(Vec::new()));
}
