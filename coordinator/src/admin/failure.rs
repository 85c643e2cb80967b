//! Why a call has no answer, in words with the remedy; each kind is one status code of gRPC (proto/admin.proto).

use thiserror::Error;

use crate::access::Denied;
use crate::agreement::NotDone;
use crate::dispatch::AskFault;

/// Nothing was done, except where [`NotDone::Unknown`] says that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The call itself.
    #[error("{0}")]
    Wrong(String),
    #[error("there is no link {0:?}: lockstep spec show lists them")]
    NoLink(String),
    #[error("{0}")]
    NotFound(String),
    /// A rule says no.
    #[error("{0}")]
    Rule(String),
    /// Somebody else was first.
    #[error("{0}")]
    Stale(String),
    #[error("{0}")]
    NotDone(#[from] NotDone),
    /// Whoever knows it has not said it.
    #[error("{0}")]
    Agent(#[from] AskFault),
    /// A document that cannot be written: a fault of ours.
    #[error("the answer cannot be written: {0}")]
    Unwritable(String),
}

/// A document as JSON.
pub(super) fn json(document: &impl serde::Serialize) -> Result<String, Failure> {
    serde_json::to_string(document).map_err(|error| Failure::Unwritable(error.to_string()))
}
