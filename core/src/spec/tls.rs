//! Who somebody is and whom it trusts: the three PEM files of coordinators, agents and operators. Paths only: whoever
//! dials or listens reads them.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::Deserialize;

use super::faults::{Faults, join};
use super::written::{Text, Unknown, Written};

const KEYS: [&str; 3] = ["ca", "certificate", "key"];
const SECTION: &str = "the section's keys below it";

/// Certificates; PEM files. Relative paths start at the folder of this file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Tls")]
pub(super) struct RawTls {
    /// The system's authority: the only one that vouches for coordinators, agents and operators. Needed.
    ca: Option<Written<Text>>,
    /// The own certificate; its SAN URI lockstep://… names its holder. Needed.
    certificate: Option<Written<Text>>,
    /// The key of the certificate. Needed.
    key: Option<Written<Text>>,
    #[serde(flatten)]
    #[schemars(skip)]
    unknown: Unknown,
}

/// PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Who may sign the others' certificates.
    pub ca: PathBuf,
    pub certificate: PathBuf,
    /// Of the certificate.
    pub key: PathBuf,
}

/// The section `tls` of a file in `folder`; it has to be there.
pub(super) fn section(
    faults: &mut Faults,
    given: Option<&Written<RawTls>>,
    folder: &Path,
) -> Option<TlsFiles> {
    if given.is_none() {
        faults.add("tls", format!("is missing: write {SECTION}: {}", KEYS.join(", ")));
    }
    let raw = faults.shape("tls", given, SECTION)?;
    faults.unknown("tls", &raw.unknown, &KEYS);
    files(faults, "tls", [raw.ca.as_ref(), raw.certificate.as_ref(), raw.key.as_ref()], folder)
}

/// `ca`, `certificate` and `key` below `key`.
pub(super) fn files(
    faults: &mut Faults,
    key: &str,
    given: [Option<&Written<Text>>; 3],
    folder: &Path,
) -> Option<TlsFiles> {
    let mut file = |name: &str, given: Option<&Written<Text>>| -> Option<PathBuf> {
        faults.needed(&join(key, name), given, "the path of a PEM file", |text| match text {
            "" => Err("is empty".to_owned()),
            text => Ok(folder.join(text)),
        })
    };
    let [ca, certificate, own_key] = given;
    let (ca, certificate, own_key) = (file(KEYS[0], ca), file(KEYS[1], certificate), file(KEYS[2], own_key));
    Some(TlsFiles { ca: ca?, certificate: certificate?, key: own_key? })
}
