//! Why a destination topic could not be read, planned or changed.

use lockstep_core::dr::denied::{Denied, Side};
use lockstep_core::plan::topics::Refusal;
use lockstep_kafka::{Api, Error, ErrorCode, MissingPermission, Settings};
use thiserror::Error as ThisError;

use crate::pipeline::denied::{by_code, by_error};

/// A [`TopicError::Refused`] by `ListOffsets`.
pub(super) const READING_ENDS: &str = "reading the ends of";

/// Why a topic could not be planned or changed.
#[derive(Debug, ThisError)]
pub enum TopicError {
    /// Of the destination.
    #[error(transparent)]
    Kafka(#[from] Error),
    #[error("source: {0}")]
    Source(Error),
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
    /// What a cluster refuses, if that is the cause.
    #[must_use]
    pub fn denied(&self, source: &Settings, dest: &Settings) -> Option<Denied> {
        match self {
            Self::Source(error) => by_error(Side::Source, source, error),
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
            READING_ENDS => Api::ListOffsets,
            _ => Api::DescribeConfigs,
        }
    }

    /// The same, of a question that went to the source.
    pub(super) fn at_source(self) -> Self {
        match self {
            Self::Kafka(error) => Self::Source(error),
            other => other,
        }
    }

    /// The ACL that is missing, if that is the cause, and the cluster where it is.
    #[must_use]
    pub fn missing_permission(&self, source: &Settings, dest: &Settings) -> Option<MissingPermission> {
        match self {
            Self::Source(error) => MissingPermission::of(source, error),
            Self::Kafka(error) => MissingPermission::of(dest, error),
            Self::Refused { what, topic, code, .. } => {
                MissingPermission::new(dest, Self::api(what), *code, topic)
            }
            _ => None,
        }
    }

    /// In words, with the command that grants what is missing, if that is the cause; on one line.
    pub(super) fn with_grant(&self, source: &Settings, dest: &Settings) -> String {
        match self.missing_permission(source, dest) {
            None => self.to_string(),
            Some(missing) => format!("{self}{}", missing.as_aside()),
        }
    }
}
