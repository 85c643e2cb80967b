//! What stops clients, what passes a fence, and what a fence must not stop (M24 to M26).

use std::time::Duration;

use lockstep_core::dr::acl::{AclBinding, Operations, Permission, ResourceKind};
use lockstep_core::dr::fence::TopicStage;
use lockstep_core::ids::ProducerIdentity;
use lockstep_kafka::admin::{
    At, MarkerEntry, MarkerKind, TransactionPhase, create_acls, delete_acls, describe_acls,
    describe_transactions, incremental_alter_configs, init_producer_id, list_open_transactions,
    submit_write_txn_markers,
};
use lockstep_kafka::{ErrorCode, ProduceBatch};
use lockstep_testkit::client::{Codec, Record, Transactor};
use lockstep_testkit::{pair, unique, wait_until_async};

use super::PATIENCE;
use super::batches::{Batch, as_they_are};
use super::log::{Log, stranger};

fn source() -> String {
    pair().source.bootstrap()
}

/// A batch of this many bytes in all, whose checksum is wrong.
fn canary(bytes: usize) -> ProduceBatch {
    let of = |value_bytes| Batch { value_bytes, ..Batch::of_nobody(1) }.bytes();
    let bytes = of(bytes - of(0).len());
    let mut damaged = bytes.to_vec();
    damaged[17] ^= 0xff;
    as_they_are(&damaged.into())
}

async fn set_max(log: &Log, value: Option<&str>) {
    let change = [("max.message.bytes", value)];
    incremental_alter_configs(&log.cluster, &log.tp.topic, &change).await.unwrap();
}

/// Sets the stage and waits until the leader goes by it: a canary of that size is answered so.
async fn close(log: &Log, stage: TopicStage, canary_bytes: usize) {
    set_max(log, Some(stage.value())).await;
    wait_until_async(&format!("{stage:?}"), PATIENCE, async || {
        let refused = log.append_raw(canary(canary_bytes)).await.unwrap_err();
        (refused == ErrorCode::MESSAGE_TOO_LARGE).then_some(())
    })
    .await;
}

async fn mark(log: &Log, producer: ProducerIdentity, coordinator_epoch: i32) -> Result<(), ErrorCode> {
    let entries = [MarkerEntry { coordinator_epoch, partitions: vec![log.tp.clone()] }];
    let connection = log.connection().await;
    let sent = submit_write_txn_markers(&connection, producer, MarkerKind::Abort, &entries, PATIENCE).await;
    sent.unwrap().answer().await.unwrap().remove(0).1
}

/// M25: the size is looked at before the checksum, so that a damaged batch tells whether a leader goes by a fence, and is
/// taken by none. Relied on by `agent/src/driver/topics.rs`.
#[tokio::test]
async fn a_damaged_batch_tells_how_far_a_topic_is_closed() {
    let log = Log::create(&source(), "canary").await;
    assert_eq!(log.append_raw(canary(139)).await, Err(ErrorCode::CORRUPT_MESSAGE));
    close(&log, TopicStage::MarkersOnly, 79).await;
    assert_eq!(log.append_raw(canary(78)).await, Err(ErrorCode::CORRUPT_MESSAGE), "78 is not above 78");
    close(&log, TopicStage::Closed, 69).await;
    set_max(&log, None).await;
    wait_until_async("the fence to be lifted", PATIENCE, async || {
        (log.append_raw(canary(69)).await == Err(ErrorCode::CORRUPT_MESSAGE)).then_some(())
    })
    .await;
    assert_eq!(log.end().await, 0, "no canary was ever taken");
}

/// M25: a marker is 78 bytes long: it passes where ordinary batches do not, and not below. Batches of at most 78 bytes
/// pass, too, which is why that is not the last step. Relied on by `core/src/dr/fence.rs`.
#[tokio::test]
async fn markers_are_78_bytes_long_and_obey_the_limit() {
    let log = Log::create(&source(), "limit").await;
    close(&log, TopicStage::MarkersOnly, 139).await;
    let ordinary = Batch { value_bytes: 64, ..Batch::of_nobody(1) };
    assert_eq!(log.append(&ordinary).await, Err(ErrorCode::MESSAGE_TOO_LARGE));
    assert_eq!(mark(&log, stranger(0), 0).await, Ok(()));
    assert_eq!(log.append(&Batch { value_bytes: 1, ..Batch::of_nobody(1) }).await, Ok(1), "a tiny one");
    set_max(&log, Some("77")).await;
    wait_until_async("77", PATIENCE, async || {
        (log.append_raw(canary(78)).await == Err(ErrorCode::MESSAGE_TOO_LARGE)).then_some(())
    })
    .await;
    assert_eq!(mark(&log, stranger(0), 0).await, Err(ErrorCode::MESSAGE_TOO_LARGE));
    assert_eq!(log.end().await, 2);
}

/// M25: a transaction that is open when only markers pass can still be committed, and one whose data are refused can be
/// aborted. Relied on by `agent/src/driver/settle.rs`.
#[tokio::test]
async fn transactions_end_where_only_markers_pass() {
    let log = Log::create(&source(), "pass").await;
    let id = unique("pass");
    let open = Transactor::open(&source(), &id, Codec::None).unwrap();
    open.begin().unwrap();
    open.write(&log.tp.topic, [Record::new("before the fence")]).unwrap();
    close(&log, TopicStage::MarkersOnly, 139).await;
    open.commit().unwrap();
    wait_until_async("its marker", PATIENCE, async || (log.offset(At::LastStable).await == 2).then_some(()))
        .await;
    open.begin().unwrap();
    let _ = open.write(&log.tp.topic, [Record::new("v".repeat(200))]);
    open.abort().unwrap();
    let state = wait_until_async("the abort", PATIENCE, async || {
        describe_transactions(&log.cluster, &id)
            .await
            .unwrap()
            .filter(|state| state.started_ms.is_none() || state.phase == TransactionPhase::CompleteAbort)
    })
    .await;
    assert!(matches!(state.phase, TransactionPhase::CompleteAbort | TransactionPhase::Empty), "{state:?}");
    assert_eq!(log.offset(At::LastStable).await, log.end().await);
}

/// M25, the danger: where nothing passes, the abort of a transaction whose data were refused cannot be completed either:
/// its transactional id is stuck, and stays so when the fence is lifted. So nothing is closed fully while somebody could
/// still begin a transaction. Relied on by `core/src/dr/fence.rs` (`stage_allowed`).
#[tokio::test]
async fn a_transaction_that_meets_a_closed_topic_is_stuck() {
    let log = Log::create(&source(), "stuck").await;
    let id = unique("stuck");
    let client = Transactor::open(&source(), &id, Codec::None).unwrap();
    close(&log, TopicStage::Closed, 69).await;
    client.begin().unwrap();
    let _ = client.write(&log.tp.topic, [Record::new("refused")]);
    let _ = client.abort();
    let phase = async || describe_transactions(&log.cluster, &id).await.unwrap().unwrap().phase;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let closed = phase().await;
    set_max(&log, None).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let lifted = phase().await;
    assert_eq!((closed, lifted), (TransactionPhase::PrepareAbort, TransactionPhase::PrepareAbort));
}

/// M24: taking a transactional id over aborts what it has open, and the log stands still afterwards. A transaction is
/// listed as open from the moment a partition takes part in it. Relied on by `agent/src/driver/settle.rs`.
#[tokio::test]
async fn taking_an_id_over_ends_its_open_transaction() {
    let log = Log::create(&source(), "taken").await;
    let id = unique("taken");
    let open = Transactor::open(&source(), &id, Codec::None).unwrap();
    open.begin().unwrap();
    open.write(&log.tp.topic, [Record::new("never decided")]).unwrap();
    let listed = list_open_transactions(&log.cluster).await.unwrap();
    assert!(listed.iter().any(|listed| listed.transactional_id == id), "{listed:?}");
    let state = describe_transactions(&log.cluster, &id).await.unwrap().unwrap();
    assert_eq!(
        (state.phase, state.partitions.as_slice()),
        (TransactionPhase::Ongoing, &[log.tp.clone()][..])
    );
    init_producer_id(&log.cluster, &id, None, state.timeout).await.unwrap();
    wait_until_async("the abort's marker", PATIENCE, async || {
        (log.offset(At::LastStable).await == 2).then_some(())
    })
    .await;
    assert_eq!(log.end().await, 2);
    assert!(open.commit().is_err(), "its former owner is fenced");
}

/// M26: a marker of a higher epoch refuses the lower one's data, a repeat of its last batch included, and its markers:
/// by itself, without the coordinator's knowing. Relied on by `agent/src/driver/promote.rs`, where the transactional id
/// is forgotten.
#[tokio::test]
async fn a_marker_of_a_higher_epoch_refuses_the_lower_one() {
    let (log, old) = (Log::create(&source(), "promoted").await, stranger(3));
    let new = ProducerIdentity { epoch: 4, ..old };
    assert_eq!(log.append(&Batch::new(old, 0, 3)).await, Ok(0));
    assert_eq!(mark(&log, old, 5).await, Ok(()));
    assert_eq!(mark(&log, new, 6).await, Ok(()));
    for sequence in [0, 3] {
        let refused = log.append(&Batch::new(old, sequence, 3)).await;
        assert_eq!(refused, Err(ErrorCode::INVALID_PRODUCER_EPOCH), "sequence {sequence}");
    }
    assert_eq!(mark(&log, old, 100).await, Err(ErrorCode::INVALID_PRODUCER_EPOCH));
    assert_eq!(log.end().await, 5);
    assert_eq!(log.append(&Batch::of_nobody(1)).await, Ok(5), "others are not concerned");
}

/// M23: without an authorizer there is no list (54). Relied on by `agent/src/driver/acls.rs`.
#[tokio::test]
async fn without_an_authorizer_nobody_can_be_denied() {
    let log = Log::create(&source(), "no-acls").await;
    let refused = describe_acls(&log.connection().await, ResourceKind::Topic).await.unwrap_err();
    assert_eq!(refused.code(), Some(ErrorCode::SECURITY_DISABLED));
    let denial = [AclBinding::deny_write("User:a", &log.tp.topic)];
    assert_eq!(
        create_acls(&log.cluster, &denial).await.unwrap_err().code(),
        Some(ErrorCode::SECURITY_DISABLED)
    );
    assert_eq!(
        delete_acls(&log.cluster, &denial).await.unwrap_err().code(),
        Some(ErrorCode::SECURITY_DISABLED)
    );
}

/// M23: entries come back as they were given; giving one twice and removing one twice is no error; a denial beats a
/// permission, and a transaction that is open can still be ended under it. Relied on by `agent/src/driver/acls.rs`.
#[tokio::test]
async fn a_denial_beats_a_permission_and_lets_transactions_end() {
    let kafka = lockstep_testkit::Kafka::builder("denied").authorized().start().unwrap();
    let who = ["--add", "--allow-principal", lockstep_testkit::broker::CLIENTS, "--operation", "All"];
    let all = ["--cluster", "--topic", "*", "--group", "*", "--transactional-id", "*"];
    kafka.acls(&[&who[..], &all].concat()).unwrap();
    let log = Log::create(&kafka.bootstrap(), "denied").await;
    let open = Transactor::open(&kafka.bootstrap(), &unique("denied"), Codec::None).unwrap();
    open.begin().unwrap();
    open.write(&log.tp.topic, [Record::new("before")]).unwrap();

    let listed = async || describe_acls(&log.connection().await, ResourceKind::Topic).await.unwrap();
    let before = listed().await;
    let theirs = AclBinding {
        permission: Permission::Allow,
        operation: Operations::All,
        ..AclBinding::deny_write(lockstep_testkit::broker::CLIENTS, "*")
    };
    assert_eq!(before, [theirs]);
    let denial = AclBinding::deny_write(lockstep_testkit::broker::CLIENTS, &log.tp.topic);
    for _ in 0..2 {
        create_acls(&log.cluster, std::slice::from_ref(&denial)).await.unwrap();
    }
    wait_until_async("the denial", PATIENCE, async || listed().await.contains(&denial).then_some(())).await;
    assert_eq!(listed().await.len(), 2);
    assert_eq!(log.append(&Batch::of_nobody(1)).await, Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    open.commit().unwrap();
    wait_until_async("its marker", PATIENCE, async || (log.offset(At::LastStable).await == 2).then_some(()))
        .await;
    for _ in 0..2 {
        delete_acls(&log.cluster, std::slice::from_ref(&denial)).await.unwrap();
    }
    wait_until_async("the list as it was", PATIENCE, async || (listed().await == before).then_some(())).await;
    assert_eq!(log.append(&Batch::of_nobody(1)).await, Ok(2));
}
