//! Why a step did not come about. Nothing is half claimed: what was changed until then is in the passport, and calling
//! the step again goes on from there.

use lockstep_core::dr::passport::Role;
use lockstep_core::ids::{ProducerIdentity, TopicPartition};
use lockstep_kafka::{Error, ErrorCode};
use thiserror::Error as ThisError;

use super::evidence::OpenTransaction;
use crate::link::fault::TopicError;
use crate::passport::PassportError;

/// See the module's description.
#[derive(Debug, ThisError)]
pub enum DriverError {
    #[error(transparent)]
    Kafka(#[from] Error),
    #[error(transparent)]
    Topic(#[from] TopicError),
    #[error(transparent)]
    Passport(#[from] PassportError),
    #[error("source and destination are the same cluster")]
    SameCluster,
    #[error("no topic of the primary belongs to the link")]
    NoTopics,
    #[error("{what} was not confirmed within {seconds} s: {why}")]
    Unconfirmed { what: &'static str, seconds: u64, why: String },
    #[error("{what} {about}: {code}")]
    Refused { what: &'static str, about: String, code: ErrorCode },
    /// Transactions that nobody ended in time.
    #[error("not settled: {} transactions are still open, {} of them unknown to their coordinator{}", open.len(), hanging(open), first(open))]
    TransactionsOpen { open: Vec<OpenTransaction> },
    #[error("not settled: {tp} ended at {before}, now at {now}: somebody still writes")]
    EndsMove { tp: TopicPartition, before: i64, now: i64 },
    #[error("{what} is not possible: the {side} is {role:?} in generation {generation}{remedy}")]
    WrongRole {
        what: &'static str,
        side: &'static str,
        role: Option<Role>,
        generation: u64,
        remedy: &'static str,
    },
    #[error("the standby does not hold everything: {tp} ends at {held} there, at {end} on the primary")]
    NotDrained { tp: TopicPartition, end: i64, held: i64 },
    #[error("the primary has partitions that were not settled: {tp}")]
    Unsettled { tp: TopicPartition },
    #[error("somebody else has raised the epoch above that of {was}: look who promotes this link")]
    Contested { was: ProducerIdentity },
    #[error(
        "{tp} ends at {end} behind the promotion's marker, which belongs at {cut}: something else was written"
    )]
    MarkerMisplaced { tp: TopicPartition, cut: i64, end: i64 },
    #[error("the former primary holds {tp} up to {end}, the promotion cut it at {cut}: the rest is a tail")]
    Tail { tp: TopicPartition, cut: i64, end: i64 },
    /// Said before anything is fenced or promoted.
    #[error(
        "a link that renames its topics cannot change sides: there would be no way back under the old names; nothing was changed\n  remedy  mirror the topics under their own names; or move clients by hand: stop the producers, wait until nothing is exposed, stop the mirror, and go on with the copies, whose offsets and groups are the same"
    )]
    Renamed,
}

fn hanging(open: &[OpenTransaction]) -> usize {
    open.iter().filter(|open| open.transactional_id.is_none()).count()
}

fn first(open: &[OpenTransaction]) -> String {
    open.first().map_or_else(String::new, |open| {
        let id = open.transactional_id.as_deref().unwrap_or("without a transactional id");
        format!(" (one: {id}, producer {})", open.producer_id)
    })
}
