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

use std::path::{Path, PathBuf};

pub use raw::RawOperator;

use super::agent::host_and_port;
use super::coordinator::TlsFiles;
use super::fault::Fault;
use super::faults::{Faults, join};
use super::link::check::addresses;
use super::written::{Text, Written};
use raw::RawTls;

const KEYS: &[&str] = &["coordinators", "tls"];
const TLS_KEYS: &[&str] = &["ca", "certificate", "key"];
const SECTION: &str = "the section's keys below it";

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
        let coordinators = addresses(&mut faults, "coordinators", self.coordinators.as_ref());
        for address in &coordinators {
            if let Err(why) = host_and_port(address) {
                faults.add("coordinators", format!("{address:?}: {why}; write host:port"));
            }
        }
        if self.tls.is_none() {
            faults.add("tls", format!("is missing: write {SECTION}: {}", TLS_KEYS.join(", ")));
        }
        let tls = faults.shape("tls", self.tls.as_ref(), SECTION);
        let tls = tls.and_then(|raw| tls_files(&mut faults, raw, folder));
        let faults = faults.into_vec();
        match tls {
            Some(tls) if faults.is_empty() => Ok(OperatorSpec { coordinators, tls }),
            _ => Err(faults),
        }
    }
}

fn tls_files(faults: &mut Faults, raw: &RawTls, folder: &Path) -> Option<TlsFiles> {
    faults.unknown("tls", &raw.unknown, TLS_KEYS);
    let mut file = |name: &str, given: Option<&Written<Text>>| -> Option<PathBuf> {
        faults.needed(&join("tls", name), given, "the path of a PEM file", |text| match text {
            "" => Err("is empty".to_owned()),
            text => Ok(folder.join(text)),
        })
    };
    let (ca, certificate, key) = (
        file("ca", raw.ca.as_ref()),
        file("certificate", raw.certificate.as_ref()),
        file("key", raw.key.as_ref()),
    );
    Some(TlsFiles { ca: ca?, certificate: certificate?, key: key? })
}
