//! Why coordinators did not do what was asked, by what a person has to do now; each with its exit code.

use std::error::Error as _;
use std::path::{Path, PathBuf};

use thiserror::Error;
use tonic::{Code, Status};

use super::transport;
use crate::cmd::failure::Failure;
use crate::exit::Exit;

/// One coordinator that was asked in vain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) address: String,
    pub(crate) words: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum Refused {
    #[error(
        "no coordinator answers for all of them; nothing was done{}\n  remedy  start coordinators until a majority \
         runs, or mend the addresses in {}; `lockstep status --local` asks the agent of a machine meanwhile",
        lines(attempts), file.display()
    )]
    Nobody { file: PathBuf, attempts: Vec<Attempt> },
    #[error(
        "{words}\n  remedy  name a certificate whose SAN URI is lockstep://operator/NAME in tls.certificate of {}",
        file.display()
    )]
    NoOperator { file: PathBuf, words: String },
    #[error("not allowed: {0}")]
    NotAllowed(String),
    #[error("{0}")]
    Invalid(String),
    #[error("refused: {0}")]
    Rule(String),
    #[error(
        "refused: {0}; nothing was done\n  remedy  somebody applied another spec meanwhile: look at it with `lockstep spec \
         show`, plan again and apply the new plan"
    )]
    OtherRevision(String),
    #[error(
        "it is not known whether it was done: {0}\n  remedy  ask and compare before trying again: `lockstep spec show`, \
         `lockstep coordinator members`, `lockstep audit export`"
    )]
    FateUnknown(String),
    #[error(
        "the coordinator is older than this command and does not know the call\n  remedy  upgrade the coordinators first"
    )]
    TooOld,
    /// Agents have not said it in time.
    #[error("{0}\n  remedy  ask again; `lockstep status` says which agents are heard")]
    Late(String),
    #[error("the coordinator fails: {0}\n  remedy  its log says more")]
    Broken(String),
}

fn lines(attempts: &[Attempt]) -> String {
    attempts.iter().map(|attempt| format!("\n  {}: {}", attempt.address, attempt.words)).collect()
}

impl Refused {
    /// `status`: that of a call that changes something, or a plain no.
    pub(super) fn of(status: &Status, file: &Path) -> Self {
        let words = status.message().to_owned();
        match status.code() {
            Code::Unauthenticated => Self::NoOperator { file: file.to_owned(), words },
            Code::PermissionDenied => Self::NotAllowed(words),
            Code::InvalidArgument | Code::NotFound | Code::OutOfRange | Code::ResourceExhausted => {
                Self::Invalid(words)
            }
            Code::FailedPrecondition => Self::Rule(words),
            Code::Aborted => Self::OtherRevision(words),
            // Its own word; one of this side has a cause.
            Code::DeadlineExceeded if status.source().is_none() => Self::Late(words),
            Code::Unknown | Code::Cancelled | Code::DeadlineExceeded => {
                Self::FateUnknown(transport::of_status(status))
            }
            Code::Unimplemented => Self::TooOld,
            code => Self::Broken(format!("{code:?}: {words}")),
        }
    }

    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Rule(_) | Self::OtherRevision(_) => Exit::Refused,
            _ => Exit::Error,
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::ending(refused.exit(), refused.to_string())
    }
}
