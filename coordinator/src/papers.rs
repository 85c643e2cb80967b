//! Who this coordinator is and whom it trusts: its PEM files, read again when they change. Connections that are made or accepted
//! from then on go by the new ones, those that are open go on. Files that cannot be used (half written, a key that does not fit,
//! somebody else's certificate, one that is over or of another authority) change nothing: a warning says why, once for each content.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockstep_core::spec::tls::TlsFiles;
use thiserror::Error;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::holder::{Holder, pem_valid_until};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);
const HTTP2: &[u8] = b"h2";

/// Texts of the three files.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    /// The system's authority: it and nobody else vouches for agents, coordinators and operators. Several while it changes.
    pub authority: String,
    pub certificate: String,
    pub key: String,
}

/// Why papers cannot be used.
#[derive(Debug, Error)]
pub enum Unfit {
    #[error("{path}: {why}")]
    Unreadable { path: PathBuf, why: std::io::Error },
    #[error("{0}")]
    NobodyOfOurs(String),
    #[error("the authority: {0}")]
    Authority(String),
    #[error("certificate and key: {0}")]
    Own(String),
}

/// Papers that TLS can go by, in both directions.
pub struct Papers {
    pem: Pem,
    server: Arc<ServerConfig>,
    valid_until: SystemTime,
}

impl Papers {
    /// # Errors
    /// [`Unfit`].
    pub fn new(pem: Pem) -> Result<Self, Unfit> {
        let nobody = |why: crate::holder::Nobody| Unfit::NobodyOfOurs(why.to_string());
        let valid_until = pem_valid_until(&pem.certificate).map_err(nobody)?;
        let server = Arc::new(server(&pem)?);
        Ok(Self { pem, server, valid_until })
    }

    /// Those of the coordinator called `name`, from its files.
    ///
    /// # Errors
    /// [`Unfit`].
    pub fn read(files: &TlsFiles, name: &str) -> Result<Self, Unfit> {
        Self::of(read(files)?, name)
    }

    fn of(pem: Pem, name: &str) -> Result<Self, Unfit> {
        match Holder::of_pem(&pem.certificate) {
            Ok(Holder::Coordinator { name: of }) if of == name => Self::new(pem),
            Ok(holder) => Err(Unfit::NobodyOfOurs(format!("it was given to {holder}"))),
            Err(nobody) => Err(Unfit::NobodyOfOurs(nobody.to_string())),
        }
    }

    /// Papers that never change.
    #[must_use]
    pub fn fixed(self) -> watch::Receiver<Arc<Self>> {
        watch::channel(Arc::new(self)).1
    }

    /// When our certificate ends.
    #[must_use]
    pub fn valid_until(&self) -> SystemTime {
        self.valid_until
    }

    /// For connections that are accepted.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// For connections that are made.
    pub(crate) fn client(&self) -> ClientTlsConfig {
        ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.pem.authority))
            .identity(Identity::from_pem(&self.pem.certificate, &self.pem.key))
    }
}

/// Keeps `current` what the files of the coordinator called `name` say. For ever.
pub(crate) async fn follow(files: TlsFiles, name: String, current: watch::Sender<Arc<Papers>>) {
    // What was tried last and could not be used.
    let mut refused: Option<Pem> = None;
    let mut unreadable = None;
    loop {
        sleep(LOOK).await;
        let pem = match read(&files) {
            Ok(pem) => pem,
            Err(unfit) => {
                let words = unfit.to_string();
                if unreadable.as_ref() != Some(&words) {
                    tracing::warn!("the certificates cannot be read: {words}; those of before stay in use");
                }
                unreadable = Some(words);
                continue;
            }
        };
        unreadable = None;
        if pem == current.borrow().pem || refused.as_ref() == Some(&pem) {
            continue;
        }
        match Papers::of(pem.clone(), &name) {
            Ok(papers) => {
                current.send_replace(Arc::new(papers));
                tracing::info!(certificate = %files.certificate.display(), "certificates were read again");
            }
            Err(unfit) => {
                tracing::warn!("the new certificates are not used: {unfit}; those of before stay in use");
                refused = Some(pem);
            }
        }
    }
}

fn read(files: &TlsFiles) -> Result<Pem, Unfit> {
    let read = |path: &Path| {
        let unreadable = |why| Unfit::Unreadable { path: path.to_owned(), why };
        std::fs::read_to_string(path).map_err(unreadable)
    };
    Ok(Pem { authority: read(&files.ca)?, certificate: read(&files.certificate)?, key: read(&files.key)? })
}

/// TLS 1.2 or newer, only for who shows a certificate of the authority.
fn server(pem: &Pem) -> Result<ServerConfig, Unfit> {
    let authority = |why: String| Unfit::Authority(why);
    let own = |why: String| Unfit::Own(why);
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(pem.authority.as_bytes()) {
        let root = root.map_err(|error| authority(error.to_string()))?;
        roots.add(root).map_err(|error| authority(error.to_string()))?;
    }
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let verifier = verifier.build().map_err(|error| authority(error.to_string()))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.certificate.as_bytes()).collect();
    let chain = chain.map_err(|error| own(error.to_string()))?;
    // Others look at it as we look at theirs: one that nobody would take replaces none that is good.
    let (first, others) = chain.split_first().ok_or_else(|| own("there is no certificate".to_owned()))?;
    let taken = verifier.verify_client_cert(first, others, UnixTime::now());
    taken.map_err(|error| own(format!("the authority does not vouch for it: {error}")))?;
    let key = PrivateKeyDer::from_pem_slice(pem.key.as_bytes()).map_err(|error| own(error.to_string()))?;
    let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = versions.map_err(|error| own(error.to_string()))?.with_client_cert_verifier(verifier);
    let mut config = builder.with_single_cert(chain, key).map_err(|error| own(error.to_string()))?;
    config.alpn_protocols.push(HTTP2.to_vec());
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Authority;

    fn issued(authority: &Authority, name: &str) -> Pem {
        let own = authority.issue(&[&format!("lockstep://coordinator/{name}")]);
        Pem { authority: authority.pem.clone(), certificate: own.pem, key: own.key_pem }
    }

    fn put(folder: &Path, pem: &Pem) -> TlsFiles {
        let files = TlsFiles {
            ca: folder.join("ca.pem"),
            certificate: folder.join("own.pem"),
            key: folder.join("own.key"),
        };
        std::fs::write(&files.ca, &pem.authority).unwrap();
        std::fs::write(&files.certificate, &pem.certificate).unwrap();
        std::fs::write(&files.key, &pem.key).unwrap();
        files
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let authority = Authority::new();
        let (one, other) = (issued(&authority, "c1"), issued(&authority, "c1"));
        let said = |pem: &Pem| Papers::of(pem.clone(), "c1").err().unwrap().to_string();
        let mixed = Pem { key: other.key.clone(), ..one.clone() };
        assert!(said(&mixed).starts_with("certificate and key: "), "{}", said(&mixed));
        assert!(said(&issued(&authority, "c2")).contains("lockstep://coordinator/c2"));
        let foreign = Pem { authority: Authority::new().pem, ..one.clone() };
        assert!(said(&foreign).contains("does not vouch for it"), "{}", said(&foreign));
        let over = authority.issue_with(&["lockstep://coordinator/c1"], |params| {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        });
        let over = Pem { certificate: over.pem, key: over.key_pem, ..one.clone() };
        assert!(said(&over).contains("expired"), "{}", said(&over));
        assert!(said(&Pem { authority: String::new(), ..one.clone() }).starts_with("the authority: "));
        assert!(said(&Pem { key: "half".to_owned(), ..one.clone() }).starts_with("certificate and key: "));
        let half = one.certificate[..one.certificate.len() / 2].to_owned();
        assert!(Papers::of(Pem { certificate: half, ..one }, "c1").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn files_that_can_be_used_are_and_others_change_nothing() {
        let authority = Authority::new();
        let folder = tempfile::tempdir().unwrap();
        let first = issued(&authority, "c1");
        let files = put(folder.path(), &first);
        let (current, mut seen) = watch::channel(Arc::new(Papers::read(&files, "c1").unwrap()));
        let following = tokio::spawn(follow(files.clone(), "c1".to_owned(), current));
        let second = issued(&authority, "c1");
        // Certificate and key are never replaced at once: between the two they do not fit.
        std::fs::write(&files.certificate, &second.certificate).unwrap();
        sleep(3 * LOOK).await;
        std::fs::remove_file(&files.key).unwrap();
        sleep(3 * LOOK).await;
        assert!(!seen.has_changed().unwrap() && seen.borrow().pem == first);
        std::fs::write(&files.key, &second.key).unwrap();
        seen.changed().await.unwrap();
        assert!(seen.borrow_and_update().pem == second);
        sleep(3 * LOOK).await;
        assert!(!seen.has_changed().unwrap(), "the same is not read again");
        following.abort();
    }
}
