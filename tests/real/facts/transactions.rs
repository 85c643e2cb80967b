//! Transactions as a mirror meets them: empty ones that take offsets (M15), aborted ones in answers to fetches, and
//! ones that nobody ends (M16, M24).

use std::time::{Duration, Instant};

use lockstep_core::ids::ProducerIdentity;
use lockstep_kafka::admin::{
    At, Filled, FillerTransactions, TransactionPhase, describe_transactions, init_producer_id,
};
use lockstep_kafka::{AbortedTransaction, ErrorCode, Isolation};
use lockstep_testkit::client::{Record, Seed};
use lockstep_testkit::{pair, unique, wait_until_async};
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::PATIENCE;
use super::batches::Batch;
use super::log::{Log, whole};

const TIMEOUT: Duration = Duration::from_secs(60);

fn destination() -> String {
    pair().destination.bootstrap()
}

async fn owner(log: &Log, id: &str) -> FillerTransactions {
    let owner = init_producer_id(&log.cluster, id, None, TIMEOUT).await.unwrap();
    FillerTransactions::new(log.cluster.clone(), id.to_owned(), owner)
}

async fn until_end(log: &Log, end: i64) {
    let what = format!("{} to end at {end}", log.tp);
    wait_until_async(&what, PATIENCE, async || (log.end().await >= end).then_some(())).await;
}

/// M15: an empty transaction leaves exactly one marker on each of its partitions, id and epoch stay, and the next one
/// begins only when the one before has all of its own. Relied on by `agent/src/pipeline/markers/filler.rs`.
#[tokio::test]
async fn an_empty_transaction_leaves_one_marker_on_each_of_its_partitions() {
    let logs = Log::create_several(&destination(), "filled", 3).await;
    let id = unique("lockstep.filler");
    let mut filler = owner(&logs[0], &id).await;
    let start = Instant::now();
    for round in 0..20i64 {
        let partitions: Vec<_> =
            logs.iter().take(if round < 5 { 3 } else { 1 }).map(|log| log.tp.clone()).collect();
        assert_eq!(filler.run(&partitions).await.unwrap(), Filled::Ended);
        // It could begin: whatever came before stands.
        assert!(logs[0].end().await >= round, "after transaction {round}");
    }
    eprintln!("20 empty transactions, each with a look at the end: {:?}", start.elapsed());
    for (log, end) in logs.iter().zip([20, 5, 5]) {
        until_end(log, end).await;
        assert_eq!((log.end().await, log.offset(At::LastStable).await), (end, end));
        let batches = log.batches().await;
        assert_eq!(i64::try_from(batches.len()), Ok(end));
        for batch in batches {
            let header = batch.header();
            let writer = ProducerIdentity { id: header.producer_id(), epoch: header.producer_epoch() };
            assert!(header.is_control());
            assert_eq!(writer, filler.owner(), "known before by what InitProducerId answered");
        }
    }
    assert_eq!(describe_transactions(&logs[0].cluster, &id).await.unwrap().unwrap().producer, filler.owner());
}

/// M15: a partition that does not exist is named, nothing is begun, and the next transaction works. Relied on by
/// `agent/src/pipeline/markers/filler.rs`.
#[tokio::test]
async fn a_partition_that_cannot_be_added_is_named_and_nothing_is_begun() {
    let log = Log::create(&destination(), "named").await;
    let mut filler = owner(&log, &unique("lockstep.filler")).await;
    let missing = lockstep_core::ids::TopicPartition::new(&*unique("missing"), 0);
    let Filled::Refused(refused) = filler.run(&[log.tp.clone(), missing.clone()]).await.unwrap() else {
        panic!("it should not begin")
    };
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), [(missing, ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)]);
    assert_eq!(filler.run(std::slice::from_ref(&log.tp)).await.unwrap(), Filled::Ended);
    until_end(&log, 1).await;
    assert_eq!(log.end().await, 1);
}

/// M15: who takes the id over fences the earlier owner. Relied on by `agent/src/pipeline/markers/filler.rs`.
#[tokio::test]
async fn taking_the_fillers_id_over_fences_the_earlier_owner() {
    let log = Log::create(&destination(), "fenced").await;
    let id = unique("lockstep.filler");
    let mut first = owner(&log, &id).await;
    assert_eq!(first.run(std::slice::from_ref(&log.tp)).await.unwrap(), Filled::Ended);
    let mut second = owner(&log, &id).await;
    // It has waited for the first one's marker.
    assert_eq!(log.end().await, 1);
    assert_eq!(second.owner().id, first.owner().id);
    assert!(second.owner().epoch > first.owner().epoch);
    let refused = first.run(std::slice::from_ref(&log.tp)).await.unwrap_err().code();
    let fenced = [Some(ErrorCode::PRODUCER_FENCED), Some(ErrorCode::INVALID_PRODUCER_EPOCH)];
    assert!(fenced.contains(&refused), "{refused:?}");
    assert_eq!(second.run(std::slice::from_ref(&log.tp)).await.unwrap(), Filled::Ended);
    until_end(&log, 2).await;
    assert_eq!(log.end().await, 2);
}

/// An independent client in the middle of a transaction.
pub(super) fn transactional(bootstrap: &str, id: &str) -> BaseProducer {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("broker.address.family", "v4")
        .set("transactional.id", id)
        .create()
        .unwrap();
    producer.init_transactions(PATIENCE).unwrap();
    producer.begin_transaction().unwrap();
    producer
}

pub(super) fn write(producer: &BaseProducer, topic: &str, records: usize) {
    for _ in 0..records {
        producer.send(BaseRecord::<(), str>::to(topic).partition(0).payload("undecided")).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// M12, M16: a read_committed answer lists the aborted transactions that reach into it, also one that began before the
/// asked offset; a read_uncommitted one lists none. Relied on by `kafka/src/fetch/answer.rs` and by whoever puts markers
/// in the place of rolled-back records.
#[tokio::test]
async fn an_answer_lists_aborted_transactions_also_those_begun_before_it() {
    let bootstrap = pair().source.bootstrap();
    let log = Log::create(&bootstrap, "aborted").await;
    log.append(&Batch::of_nobody(2)).await.unwrap();
    let (first, second) = (unique("first"), unique("second"));
    let producers = [transactional(&bootstrap, &first), transactional(&bootstrap, &second)];
    write(&producers[0], &log.tp.topic, 3);
    write(&producers[1], &log.tp.topic, 2);
    write(&producers[0], &log.tp.topic, 1);
    let stable_at = async |offset| {
        wait_until_async("the marker", PATIENCE, async || {
            (log.offset(At::LastStable).await == offset).then_some(())
        })
        .await;
    };
    producers[0].abort_transaction(PATIENCE).unwrap();
    // Markers come later than the answer, and then in any order.
    stable_at(5).await;
    producers[1].commit_transaction(PATIENCE).unwrap();
    stable_at(10).await;
    let producer_id = describe_transactions(&log.cluster, &first).await.unwrap().unwrap().producer.id;
    let of_first = vec![AbortedTransaction { producer_id, first_offset: 2 }];
    for (offset, expected) in [(0, &of_first), (3, &of_first), (7, &of_first), (9, &vec![])] {
        let answer = log.fetch(log.target(offset), Isolation::ReadCommitted).await;
        assert_eq!(&answer.aborted, expected, "from {offset}");
        let rolled_back = whole(answer.records)
            .iter()
            .any(|batch| batch.header().producer_id() == producer_id && !batch.header().is_control());
        assert_eq!(rolled_back, offset < 8, "the records themselves are in the answer, from {offset}");
    }
    let all = log.fetch(log.target(0), Isolation::ReadUncommitted).await;
    assert_eq!(all.aborted, []);
}

/// M16, M24: while nobody ends a transaction the last stable offset stands where it began, and the leader tells its
/// producer and its start; taking its id over ends it. Relied on by `agent/src/pipeline/open_transactions.rs`.
#[tokio::test]
async fn a_hanging_transaction_is_told_with_its_producer_and_start() {
    let bootstrap = pair().source.bootstrap();
    let log = Log::create(&bootstrap, "hanging").await;
    log.append(&Batch::of_nobody(2)).await.unwrap();
    let id = unique("hanging");
    let producer = transactional(&bootstrap, &id);
    write(&producer, &log.tp.topic, 3);
    Seed::to(&bootstrap).write(&log.tp.topic, [Record::new("behind it")]).unwrap();
    assert_eq!((log.offset(At::LastStable).await, log.offset(At::Latest).await), (2, 6));
    let state = describe_transactions(&log.cluster, &id).await.unwrap().unwrap();
    assert_eq!(state.phase, TransactionPhase::Ongoing);
    let told = log.remembered(state.producer).await.unwrap();
    assert_eq!((told.current_txn_start, told.last_sequence), (2, 2));
    assert!(told.last_timestamp > 0);

    init_producer_id(&log.cluster, &id, None, TIMEOUT).await.unwrap();
    assert_eq!(log.offset(At::LastStable).await, 7, "it answers when the abort marker stands");
    assert_eq!(log.remembered(state.producer).await.unwrap().current_txn_start, -1);
}
