//! What every file of ours that dials or listens says alike: addresses of ours, and the certificates of who it is.
//! Promises: nothing is read and no name asked for; whether files fit each other shows when they are used.

use std::path::{Path, PathBuf};

use super::faults::{Faults, join};
use super::written::{Text, Texts, Written};

const PEM: &str = "the path of a PEM file";

/// PEM files: whom one trusts, and who one is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    pub ca: PathBuf,
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// The three files below `key`. Relative paths start at `folder`.
pub(super) fn tls_files(
    faults: &mut Faults,
    key: &str,
    folder: &Path,
    [ca, certificate, own]: [Option<&Written<Text>>; 3],
) -> Option<TlsFiles> {
    let mut file = |name: &str, given| path(faults, &join(key, name), given, PEM, folder);
    let (ca, certificate, own) = (file("ca", ca), file("certificate", certificate), file("key", own));
    Some(TlsFiles { ca: ca?, certificate: certificate?, key: own? })
}

/// A path that has to be there in the file; relative ones start at `folder`.
pub(super) fn path(
    faults: &mut Faults,
    key: &str,
    given: Option<&Written<Text>>,
    expected: &str,
    folder: &Path,
) -> Option<PathBuf> {
    faults.needed(key, given, expected, |text| match text {
        "" => Err("is empty".to_owned()),
        text => Ok(folder.join(text)),
    })
}

/// `host:port` with a port that can be dialled.
///
/// # Errors
/// In words.
pub(super) fn host_and_port(text: &str) -> Result<(), &'static str> {
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err("the host is missing or contains a character no host name has");
    }
    match port.parse::<u16>() {
        Ok(1..) => Ok(()),
        _ => Err("the port must be a number from 1 to 65535"),
    }
}

/// Addresses of ours, each as [`host_and_port`] wants them.
pub(super) fn addresses(faults: &mut Faults, key: &str, given: Option<&Written<Texts>>) -> Vec<String> {
    let addresses = super::link::check::addresses(faults, key, given);
    for address in &addresses {
        if let Err(why) = host_and_port(address) {
            faults.add(key, format!("{address:?}: {why}; write host:port"));
        }
    }
    addresses
}
