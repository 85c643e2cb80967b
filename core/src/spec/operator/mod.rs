//! `operator.yaml`: where the coordinators are, and who somebody is to them.
//!
//! ```text
//! YAML ─ serde ─► RawOperator (what may be written) ─ check ─► OperatorSpec (what is meant)
//! ```
//!
//! Promises: every fault at once. Holds paths, never a secret; what its owner may do stands with the coordinators.

mod raw;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use raw::RawOperator;

use super::fault::Fault;
use super::faults::Faults;
use super::link::check::dialled;
use super::tls::{self, TlsFiles};

const KEYS: &[&str] = &["coordinators", "tls"];

/// The JSON schema of `operator.yaml`, for editors. What it takes may still be wrong: a schema knows shapes, not meanings.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(RawOperator)
}

/// What an operator's command line is told. Files are not read yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorSpec {
    /// `host:port`, at least one; any of them answers.
    pub coordinators: Vec<String>,
    /// The certificate's SAN URI `lockstep://operator/NAME` names its owner.
    pub tls: TlsFiles,
}

impl RawOperator {
    /// What the file means. Relative paths start at `folder`, the one of the file.
    ///
    /// # Errors
    /// Every fault, without lines: whoever read the file knows them.
    pub fn check(&self, folder: &Path) -> Result<OperatorSpec, Vec<Fault>> {
        let mut faults = Faults::default();
        faults.unknown("", &self.unknown, KEYS);
        let coordinators = dialled(&mut faults, "coordinators", self.coordinators.as_ref());
        let tls = tls::section(&mut faults, self.tls.as_ref(), folder);
        let faults = faults.into_vec();
        match tls {
            Some(tls) if faults.is_empty() => Ok(OperatorSpec { coordinators, tls }),
            _ => Err(faults),
        }
    }
}
