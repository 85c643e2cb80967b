//! `coordinator.yaml`: one of the coordinators.
//!
//! ```text
//! YAML ─ serde ─► RawCoordinator (what may be written) ─ check ─► CoordinatorSpec (what is meant)
//! ```
//!
//! Promises: every fault at once. Reads no file and asks no name service; who else is a coordinator never stands here:
//! that is agreed on and changes without anybody's file.

mod check;
mod raw;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

pub use raw::RawCoordinator;

use super::daemon::{Listen, LogSpec};
use super::select::Patterns;
pub use super::tls::TlsFiles;

/// The JSON schema of `coordinator.yaml`, for editors. What it takes may still be wrong: a schema knows shapes, not
/// meanings.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(RawCoordinator)
}

/// What a coordinator is told. Files are not read yet.
#[derive(Clone, Debug, PartialEq)]
pub struct CoordinatorSpec {
    pub name: String,
    pub site: String,
    pub data: PathBuf,
    /// `host:port`.
    pub listen: String,
    /// Where it tells of itself.
    pub http: Listen,
    pub log: LogSpec,
    pub tls: TlsFiles,
    pub access: Vec<Grant>,
}

/// What somebody may do, in ascending order; each includes the ones before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Acts on links: pause, resume, runs.
    Operator,
    /// Changes the spec and the system itself.
    Admin,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Operator, Self::Admin];

    /// The stable word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// One line of `access`.
#[derive(Clone, Debug, PartialEq)]
pub struct Grant {
    /// The operator's name, as its certificate says it.
    pub operator: String,
    pub role: Role,
    pub links: Reach,
}

/// Which links a grant covers.
#[derive(Clone, Debug, PartialEq)]
pub enum Reach {
    /// All there are, those that come later, and what belongs to no link.
    All,
    Links(Patterns),
}
