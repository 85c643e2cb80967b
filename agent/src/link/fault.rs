//! Why a destination topic could not be read, planned or changed.

use lockstep_core::dr::denied::{Denied, Side};
use lockstep_core::plan::topics::Refusal;
use lockstep_kafka::{Api, Error, ErrorCode, Settings};
use thiserror::Error as ThisError;

use crate::pipeline::denied::{by_code, by_error};

/// Why a topic could not be planned or changed.
#[derive(Debug, ThisError)]
pub enum TopicError {
    #[error(transparent)]
    Kafka(#[from] Error),
    #[error("{what} {topic}: {code}: {detail}")]
    Refused { what: &'static str, topic: String, code: ErrorCode, detail: String },
    #[error("reading what {topic} holds on the destination: {why}")]
    Unreadable { topic: String, why: String },
    #[error("{topic} has no leader for every partition after {seconds} s")]
    NoLeaders { topic: String, seconds: u64 },
    #[error("{0}")]
    NotMirrored(Refusal),
    /// Leaders are moving: worth another look.
    #[error("reading what {topic} holds on the destination: {why}")]
    Moving { topic: String, why: String },
}

impl TopicError {
    /// What the destination refuses, if that is the cause.
    #[must_use]
    pub fn denied(&self, dest: &Settings) -> Option<Denied> {
        match self {
            Self::Kafka(error) => by_error(Side::Dest, dest, error),
            Self::Refused { what, topic, code, .. } => {
                by_code(Side::Dest, dest, Self::api(what), *code, topic)
            }
            _ => None,
        }
    }

    /// Which request a [`Refused`](Self::Refused) tells of, by its verb.
    pub(super) fn api(what: &str) -> Api {
        match what {
            "creating" => Api::CreateTopics,
            "deleting" => Api::DeleteTopics,
            _ => Api::DescribeConfigs,
        }
    }
}
