//! The link's producer (M1): a transactional id that is used for its identity and never for a transaction.

use std::time::Duration;

use lockstep_core::ids::ProducerIdentity;
use lockstep_kafka::admin::{
    CoordinatorKind, NewTopic, TransactionPhase, create_topics, describe_transactions, find_coordinator,
    init_producer_id, list_transactional_ids, list_transactions,
};
use lockstep_kafka::{Cluster, Error, ErrorCode};
use lockstep_testkit::{pair, unique, wait_until_async};

use super::PATIENCE;
use super::batches::Batch;
use super::log::{Log, connect};
use super::stages::veteran;

const TIMEOUT: Duration = Duration::from_secs(60);

/// The identity as the cluster has it.
async fn held(cluster: &Cluster, id: &str) -> Option<ProducerIdentity> {
    describe_transactions(cluster, id).await.unwrap().map(|state| state.producer)
}

async fn init(
    cluster: &Cluster,
    id: &str,
    expected: Option<ProducerIdentity>,
) -> Result<ProducerIdentity, Error> {
    init_producer_id(cluster, id, expected, TIMEOUT).await
}

/// M1: asking for the coordinator creates `__transaction_state` where it is missing. Relied on by
/// `kafka/src/admin/describe_transactions.rs`, which asks for it first, on a new cluster too.
#[tokio::test]
async fn asking_for_the_coordinator_creates_its_topic() {
    const TOPIC: &str = "__transaction_state";
    // No other test of the veteran's uses a transactional id.
    let veteran = veteran().await;
    let cluster = connect(&veteran.bootstrap()).await;
    assert!(!cluster.metadata().topics.contains_key(TOPIC), "it is there before anybody has asked");
    find_coordinator(&cluster, CoordinatorKind::Txn, "anybody").await.unwrap();
    wait_until_async(TOPIC, PATIENCE, async || {
        cluster.refresh().await.unwrap().topics.get(TOPIC).map(|topic| assert!(topic.internal))
    })
    .await;
    assert_eq!(held(&cluster, "anybody").await, None, "and an id is not known by being asked about");
}

/// M1: an id that was never used is unknown; once it exists, it can be read as often as one likes and stays as it is.
/// Relied on by `agent/src/link/identity.rs`.
#[tokio::test]
async fn an_identity_is_read_without_raising_its_epoch() {
    let cluster = connect(&pair().destination.bootstrap()).await;
    let id = unique("lockstep.read");
    assert_eq!(held(&cluster, &id).await, None);
    let created = init(&cluster, &id, None).await.unwrap();
    assert_eq!(created.epoch, 0);
    for _ in 0..3 {
        assert_eq!(held(&cluster, &id).await, Some(created));
    }
    let state = describe_transactions(&cluster, &id).await.unwrap().unwrap();
    assert_eq!((state.phase, state.timeout, state.started_ms), (TransactionPhase::Empty, TIMEOUT, None));
}

/// An id that is registered and never used is listed, by itself and under its producer. Relied on by
/// `agent/src/link/origin.rs`, which leaves such an id as a mark of where a link comes from.
#[tokio::test]
async fn an_id_that_is_never_used_is_listed() {
    let cluster = connect(&pair().destination.bootstrap()).await;
    let id = unique("lockstep.mark.from.somewhere");
    let created = init(&cluster, &id, None).await.unwrap();
    assert!(list_transactional_ids(&cluster).await.unwrap().contains(&id));
    assert_eq!(list_transactions(&cluster, created.id).await.unwrap(), [id]);
}

/// A broker takes names that differ in `.` and `_` only for one. Relied on by `core/src/plan/names.rs`.
#[tokio::test]
async fn names_that_differ_in_dots_and_underscores_collide() {
    let cluster = connect(&pair().destination.bootstrap()).await;
    let name = unique("collides");
    let create = async |name: String| {
        let topic = NewTopic { name, partitions: 1, replication_factor: -1, configs: Vec::new() };
        create_topics(&cluster, &[topic], TIMEOUT, false).await.unwrap().pop().unwrap().1.map(drop)
    };
    create(format!("{name}.a_b")).await.unwrap();
    let (code, words) = create(format!("{name}_a.b")).await.unwrap_err();
    assert_eq!(code, ErrorCode::INVALID_TOPIC, "{words}");
}

/// M1: who expects the present identity raises the epoch by one; a repeat of the same call answers the same; who
/// expects an older one is refused. Relied on by the documentation of `kafka/src/admin/init_producer_id.rs`.
#[tokio::test]
async fn an_epoch_is_raised_by_compare_and_swap() {
    let cluster = connect(&pair().destination.bootstrap()).await;
    let id = unique("lockstep.swap");
    let first = init(&cluster, &id, None).await.unwrap();
    let second = init(&cluster, &id, Some(first)).await.unwrap();
    assert_eq!(second, ProducerIdentity { id: first.id, epoch: 1 });
    assert_eq!(init(&cluster, &id, Some(first)).await.unwrap(), second, "a repeat of the same call");
    let third = init(&cluster, &id, Some(second)).await.unwrap();
    assert_eq!(third, ProducerIdentity { id: first.id, epoch: 2 });
    let stale = init(&cluster, &id, Some(first)).await.unwrap_err().code();
    assert_eq!(stale, Some(ErrorCode::PRODUCER_FENCED));
    assert_eq!(held(&cluster, &id).await, Some(third));
}

/// M1: without an expectation an existing id keeps its producer and gets the next epoch. Relied on by
/// `agent/src/link/identity.rs`: of two that create an identity at once, both later read the same one.
#[tokio::test]
async fn creating_an_identity_again_raises_its_epoch() {
    let cluster = connect(&pair().destination.bootstrap()).await;
    let id = unique("lockstep.again");
    let first = init(&cluster, &id, None).await.unwrap();
    let again = init(&cluster, &id, None).await.unwrap();
    assert_eq!(again, ProducerIdentity { id: first.id, epoch: first.epoch + 1 });
    assert_eq!(held(&cluster, &id).await, Some(again));
}

/// M1: a producer id that belongs to a transactional id may write plain idempotent batches: no transaction, no
/// marker. Relied on by `agent/src/link/identity.rs` and `agent/src/pipeline/sink.rs`.
#[tokio::test]
async fn the_producer_of_a_transactional_id_may_write_outside_transactions() {
    let bootstrap = pair().destination.bootstrap();
    let log = Log::create(&bootstrap, "plain").await;
    let id = unique("lockstep.plain");
    let producer = init(&log.cluster, &id, None).await.unwrap();
    assert_eq!(log.append(&Batch::new(producer, 0, 3)).await, Ok(0));
    assert_eq!(log.append(&Batch::new(producer, 3, 3)).await, Ok(3));
    assert_eq!(log.append(&Batch::new(producer, 0, 3)).await, Ok(0), "a repeat");
    assert_eq!(log.remembered(producer).await.unwrap().current_txn_start, -1);
    assert_eq!(held(&log.cluster, &id).await, Some(producer));

    // The partition learns of a newer epoch by its first data, not from the coordinator.
    let newer = init(&log.cluster, &id, Some(producer)).await.unwrap();
    assert_eq!(log.append(&Batch::new(producer, 6, 3)).await, Ok(6));
    assert_eq!(log.append(&Batch::new(newer, 0, 3)).await, Ok(9));
    assert_eq!(log.append(&Batch::new(producer, 9, 3)).await, Err(ErrorCode::INVALID_PRODUCER_EPOCH));
}
