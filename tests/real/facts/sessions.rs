//! Incremental fetch sessions (KIP-227): what the broker remembers of earlier requests, and what it then answers.

use std::sync::Arc;
use std::time::Duration;

use lockstep_kafka::{Connection, ErrorCode, FetchLimits, FetchSession, FetchTarget, Isolation, fetch};
use lockstep_testkit::client::Admin;
use lockstep_testkit::pair;

use super::batches::Batch;
use super::log::Log;

/// One side of a session: a connection and what is wanted at the moment.
struct Reader {
    connection: Connection,
    session: FetchSession,
}

/// Waits a moment for one byte; without news the answer comes after it.
const LIMITS: FetchLimits =
    FetchLimits { max_wait: Duration::from_millis(300), min_bytes: 1, bytes_max: 1 << 20 };

impl Reader {
    async fn open(log: &Log) -> Self {
        let session = FetchSession::new(Isolation::ReadCommitted);
        Self { connection: log.connection().await, session }
    }

    /// The partitions that the next answer names, with the number of bytes for each or the error.
    async fn next(&mut self, wanted: &[FetchTarget]) -> Vec<(i32, Result<usize, ErrorCode>)> {
        let answer = fetch(&self.connection, &mut self.session, &Arc::from(wanted), LIMITS).await.unwrap();
        let mut named: Vec<_> = answer
            .partitions
            .into_iter()
            .map(|each| (each.tp.partition, each.error.map_or(Ok(each.records.len()), Err)))
            .collect();
        named.sort_by_key(|(partition, _)| *partition);
        named
    }
}

/// KIP-227: the first answer names every partition, later ones only those with news; what is no longer wanted is not
/// answered, what is added is. Relied on by `kafka/src/fetch/session.rs` and `agent/src/pipeline/source.rs`.
#[tokio::test]
async fn a_session_answers_only_news_forgets_and_takes_additions() {
    let logs = Log::create_several(&pair().source.bootstrap(), "session", 3).await;
    let batch = Batch::of_nobody(5);
    let bytes = Ok(batch.bytes().len());
    let mut reader = Reader::open(&logs[0]).await;

    let wanted = [logs[0].target(0), logs[1].target(0)];
    assert_eq!(reader.next(&wanted).await, [(0, Ok(0)), (1, Ok(0))], "the first answer names all");
    assert_eq!(reader.next(&wanted).await, [], "no news");
    logs[1].append(&batch).await.unwrap();
    assert_eq!(reader.next(&wanted).await, [(1, bytes)], "news of one");
    let wanted = [logs[0].target(0), logs[1].target(5)];
    assert_eq!(reader.next(&wanted).await, [], "a new offset alone is no news");

    // Wanted no more; what comes there later is not answered either.
    let wanted = [logs[0].target(0)];
    for log in &logs {
        log.append(&batch).await.unwrap();
    }
    assert_eq!(reader.next(&wanted).await, [(0, bytes)], "the second is forgotten");
    let wanted = [logs[0].target(5), logs[2].target(0)];
    assert_eq!(reader.next(&wanted).await, [(2, bytes)], "the third is added");
    let wanted = [logs[0].target(5), logs[1].target(5), logs[2].target(5)];
    assert_eq!(reader.next(&wanted).await, [(1, bytes)], "the second is wanted again");
}

/// M9: within a session, too, the id of a recreated topic is refused, with another code than outside. Relied on by
/// `agent/src/pipeline/source.rs`, and `kafka/src/code.rs` (both codes ask for new metadata).
#[tokio::test]
async fn a_session_does_not_go_on_with_a_recreated_topic() {
    let source = pair().source.bootstrap();
    let log = Log::create(&source, "session-again").await;
    log.append(&Batch::of_nobody(5)).await.unwrap();
    let mut reader = Reader::open(&log).await;
    let wanted = [log.target(5)];
    assert_eq!(reader.next(&wanted).await, [(0, Ok(0))]);
    let admin = Admin::of(&source).unwrap();
    admin.delete(&log.tp.topic).unwrap();
    admin.create(&log.tp.topic, 1, &[]).unwrap();
    let anew = Log::of(&log.cluster, log.tp.clone(), log.epoch()).await;
    anew.append(&Batch::of_nobody(9)).await.unwrap();
    assert_eq!(reader.next(&wanted).await, [(0, Err(ErrorCode::INCONSISTENT_TOPIC_ID))]);
}
