//! The record that a consumer sees next from an offset on, read_committed: across markers, holes and rolled-back records.
//! Reads only. On failure: why, in words; an empty answer proves nothing (M11) and is asked again.

use std::time::Duration;

use lockstep_batch::records::{self, Limits, Record, control};
use lockstep_batch::split::{Entry, entries};
use lockstep_core::ids::TopicPartition;
use lockstep_core::transactions::{AbortedFilter, Fate};
use lockstep_kafka::{Cluster, Isolation};
use tokio::time::{Instant, sleep};

use crate::pipeline::peek::{WALK_BYTES, fetch_at};

/// How long a broker may have nothing to say, or refuse.
const PATIENCE: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(100);

/// What a consumer sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Record(Box<Record>),
    /// Nothing is decided from here on: the log's last stable offset, or its end.
    AtTheEnd(i64),
}

/// The first committed record at or behind `from`.
///
/// # Errors
/// In words: the log starts later, nobody answers, or what is there cannot be read.
pub async fn next_record(cluster: &Cluster, tp: &TopicPartition, from: i64) -> Result<Next, String> {
    let mut deadline = Instant::now() + PATIENCE;
    let mut at = from;
    loop {
        let why = match look(cluster, tp, from, at).await {
            Ok(Look::Found(next)) => return Ok(next),
            Ok(Look::GoOn(next)) if next > at => {
                (at, deadline) = (next, Instant::now() + PATIENCE);
                continue;
            }
            Ok(Look::GoOn(_)) => "the broker shows nothing there".to_owned(),
            Err(why) => why,
        };
        if Instant::now() >= deadline {
            return Err(why);
        }
        sleep(PAUSE).await;
        // A failure shows in the next attempt, as a leader that does not answer.
        if let Err(error) = cluster.refresh().await {
            tracing::debug!(%error, "metadata could not be refreshed");
        }
    }
}

enum Look {
    Found(Next),
    GoOn(i64),
}

async fn look(cluster: &Cluster, tp: &TopicPartition, from: i64, at: i64) -> Result<Look, String> {
    let answer = fetch_at(cluster, tp, at, WALK_BYTES, Isolation::ReadCommitted).await;
    let Some(answer) = answer.map_err(|trouble| trouble.text)? else { return Ok(Look::GoOn(at)) };
    if at >= answer.last_stable_offset {
        return Ok(Look::Found(Next::AtTheEnd(answer.last_stable_offset)));
    }
    let mut filter = AbortedFilter::new(answer.aborted);
    let mut next = at;
    for entry in entries(answer.records) {
        let entry = entry.map_err(|error| format!("{tp} at offset {next}: {error}"))?;
        let decoded = match &entry {
            Entry::Batch(batch) => {
                next = next.max(batch.header().next_offset());
                let kind = control::kind(&batch.view()).map_err(|error| error.to_string())?;
                match filter.fate(batch.header(), kind) {
                    Fate::Control | Fate::Aborted => continue,
                    Fate::Committed => records::decode(&batch.view(), Limits::default())
                        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                        .map_err(|error| error.to_string()),
                }
            }
            Entry::Old(old) => {
                next = next.max(old.next_offset());
                old.records(Limits::default()).map_err(|error| error.to_string())
            }
        };
        let decoded = decoded.map_err(|why| format!("{tp} before offset {next}: {why}"))?;
        if let Some(record) = decoded.into_iter().find(|record| record.offset >= from) {
            return Ok(Look::Found(Next::Record(Box::new(record))));
        }
    }
    Ok(Look::GoOn(next))
}
