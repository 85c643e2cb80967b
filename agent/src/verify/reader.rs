//! Reads one side of one partition in order, one answer ahead of the comparison.
//! Promises: batches come without a gap between where one fetch ended and the next began; an empty answer proves
//! nothing (M11) and is asked again. Bytes that are damaged are fetched a second time before they are believed.
//! Never skips: what retention took meanwhile, and what cannot be read, is told.
//! On failure: follows leaders and reconnects for [`PATIENCE`], then says why it gave up.

use std::time::Duration;

use lockstep_core::ids::{LeaderEpoch, NodeId, SourceOffset, TopicPartition};
use lockstep_core::transactions::AbortedTransaction;
use lockstep_core::verify::{Portion, Side};
use lockstep_kafka::admin::At;
use lockstep_kafka::{
    Api, Class, Connection, ErrorCode, FetchLimits, FetchTarget, FetchedPartition, Isolation,
    MissingPermission, fetch_once,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::connections::Connections;
use super::place::{Place, Taken};
use super::{PATIENCE, ends};
use crate::pipeline::source::backoff;

/// Of one answer. A single batch may be larger: it always comes whole (KIP-74).
pub(super) const ANSWER_BYTES: i32 = 2 << 20;

/// How long a broker may wait for records that should be there already.
const FETCH_WAIT: Duration = Duration::from_millis(500);

/// How long a log may show nothing below its end. Only a log whose last records were compacted away could go on.
const EMPTY_PATIENCE: Duration = Duration::from_secs(10);

/// What a reader has to tell, in order.
#[derive(Debug)]
pub(super) enum News {
    /// At least one batch that was not told before. `frame_bytes`: memory they share.
    Portion { portion: Portion, frame_bytes: usize },
    /// Retention removed everything below `until`.
    Expired { until: i64 },
    /// The reader has ended.
    Unreadable { why: String },
}

pub(super) struct Reader {
    side: Side,
    connections: Connections,
    tp: TopicPartition,
    place: Place,
    end: i64,
    held: Option<(NodeId, Connection)>,
}

/// Why an attempt brought nothing.
enum Setback {
    /// No broker answered. Worth another attempt.
    Silent(String),
    /// A broker answered that it cannot, for now.
    Again(String),
    /// The broker answered and had nothing.
    Empty,
    GiveUp(String),
}

impl Reader {
    /// Reads `next..end` of `tp`.
    pub(super) fn new(side: Side, connections: Connections, tp: TopicPartition, next: i64, end: i64) -> Self {
        Self { side, connections, tp, place: Place::at(next), end, held: None }
    }

    /// Runs until the end is reached, nothing can be read any more, or nobody listens. `out` holds one answer: with
    /// the one being compared that is two per side.
    pub(super) async fn run(mut self, out: mpsc::Sender<News>) {
        while self.place.next() < self.end {
            // The place first: an answer is fetched only when there is room for it.
            let Ok(place) = out.reserve().await else { break };
            let news = self.read().await;
            let over = matches!(news, News::Unreadable { .. });
            place.send(news);
            if over {
                break;
            }
        }
        if let Some((node, connection)) = self.held.take() {
            self.connections.give_back(node, connection);
        }
    }

    async fn read(&mut self) -> News {
        let began = Instant::now();
        let mut attempts = 0;
        loop {
            let setback = match self.attempt().await {
                Ok(news) => return news,
                Err(setback) => setback,
            };
            let (patience, why) = match setback {
                Setback::GiveUp(why) => (Duration::ZERO, why),
                Setback::Silent(why) if self.connections.is_given_up() && attempts > 0 => {
                    (Duration::ZERO, why)
                }
                Setback::Silent(why) => {
                    if began.elapsed() >= PATIENCE {
                        self.connections.give_up();
                    }
                    (PATIENCE, why)
                }
                Setback::Again(why) => (PATIENCE, why),
                Setback::Empty => {
                    let secs = EMPTY_PATIENCE.as_secs();
                    (
                        EMPTY_PATIENCE,
                        format!("no record came for {secs} s, though the log goes on to {}", self.end),
                    )
                }
            };
            if began.elapsed() >= patience {
                return News::Unreadable { why };
            }
            tracing::debug!(side = %self.side, tp = %self.tp, offset = self.place.next(), why, "fetch brought nothing");
            sleep(backoff(attempts)).await;
            attempts += 1;
        }
    }

    async fn attempt(&mut self) -> Result<News, Setback> {
        let metadata = self.connections.cluster.metadata();
        let (Some((node, epoch)), Some(topic)) =
            (metadata.leader(&self.tp), metadata.topics.get(&self.tp.topic))
        else {
            self.refresh().await;
            return Err(Setback::Again("it has no leader".to_owned()));
        };
        let topic_id = self.connections.topic_id(&self.tp.topic);
        if topic.id != topic_id {
            return Err(Setback::GiveUp("the topic was deleted and created anew meanwhile".to_owned()));
        }
        let target = FetchTarget {
            tp: self.tp.clone(),
            topic_id,
            // The request's type speaks of the source; both sides count alike here.
            offset: SourceOffset(self.place.next()),
            current_leader_epoch: epoch,
            last_fetched_epoch: LeaderEpoch::UNKNOWN,
            partition_bytes_max: ANSWER_BYTES,
        };
        let limits = FetchLimits { max_wait: FETCH_WAIT, min_bytes: 1, bytes_max: ANSWER_BYTES };
        let answer = match self.connection(node).await {
            // Committed: only such an answer lists the aborted transactions. All that is read lies below the last
            // stable offset.
            Ok(connection) => fetch_once(&connection, &[target], limits, Isolation::ReadCommitted).await,
            Err(error) => Err(error),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.held = None;
                let why = error.to_string();
                if error.class() != Class::Retry {
                    return Err(Setback::GiveUp(why));
                }
                self.refresh().await;
                return Err(Setback::Silent(why));
            }
        };
        self.connections.answered();
        let frame_bytes = answer.frame_bytes;
        match answer.partitions.into_iter().find(|partition| partition.tp == self.tp) {
            // A throttled broker leaves everything out (KIP-219).
            None => Err(Setback::Again("the broker's answer leaves it out".to_owned())),
            Some(FetchedPartition { error: None, records, aborted, .. }) => {
                self.take_apart(records, aborted, frame_bytes)
            }
            Some(FetchedPartition { error: Some(code), .. }) => self.refused(code).await,
        }
    }

    fn take_apart(
        &mut self,
        records: bytes::Bytes,
        aborted: Vec<AbortedTransaction>,
        frame_bytes: usize,
    ) -> Result<News, Setback> {
        match self.place.take_apart(records, self.end) {
            Taken::Batches(batches) => {
                Ok(News::Portion { portion: Portion { batches, aborted }, frame_bytes })
            }
            Taken::Nothing => Err(Setback::Empty),
            Taken::Damaged(why) => Err(Setback::Again(why)),
            Taken::Unreadable(why) => Err(Setback::GiveUp(why)),
        }
    }

    async fn refused(&mut self, code: ErrorCode) -> Result<News, Setback> {
        if code == ErrorCode::OFFSET_OUT_OF_RANGE {
            return self.look_for_start().await;
        }
        if code.class() != Class::Retry {
            let settings = self.connections.cluster.settings();
            let missing = MissingPermission::aside(settings, Api::Fetch, code, &self.tp.topic);
            return Err(Setback::GiveUp(format!("{code}{missing}")));
        }
        if code.refreshes_metadata() {
            self.refresh().await;
        }
        Err(Setback::Again(code.to_string()))
    }

    /// Out of range below the log's start means retention; at or above it the leader's log is shorter than it was.
    async fn look_for_start(&mut self) -> Result<News, Setback> {
        let asked = [self.tp.clone()];
        let starts = ends::offsets(&self.connections.cluster, self.side, &asked, At::Earliest).await;
        match ends::of(&starts, &self.tp) {
            Ok(start) if start > self.place.next() => {
                self.place = Place::at(start);
                Ok(News::Expired { until: start })
            }
            Ok(start) => Err(Setback::Again(format!(
                "the leader's log, which starts at {start}, ends before: it was cut back, or its replicas have not caught up"
            ))),
            Err(why) => Err(Setback::GiveUp(why)),
        }
    }

    async fn connection(&mut self, node: NodeId) -> Result<Connection, lockstep_kafka::Error> {
        match &self.held {
            Some((to, connection)) if *to == node && connection.is_open() => Ok(connection.clone()),
            _ => {
                let connection = self.connections.take(node).await?;
                self.held = Some((node, connection.clone()));
                Ok(connection)
            }
        }
    }

    async fn refresh(&self) {
        if let Err(error) = self.connections.cluster.refresh().await {
            tracing::debug!(side = %self.side, %error, "metadata could not be refreshed");
        }
    }
}
