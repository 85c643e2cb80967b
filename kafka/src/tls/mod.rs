//! TLS over whatever the dialer opened, with rustls and ring.
//!
//! ```text
//! PEM files ─ material ─► ClientConfig ─ wrap ─► a stream of plaintext to Kafka
//! ```
//!
//! Files are read at every new connection: what changed is used from then on, without a restart; what became unusable
//! is said once and the last usable files stay in use. Sessions are not resumed, so every connection's certificates are
//! really looked at.

mod fault;
mod hosts;
mod material;
mod validity;

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lockstep_core::code::Code;
use lockstep_core::spec::fault::Fault;
use lockstep_core::spec::security::TlsSpec;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::dial::Stream;
pub use fault::TlsFault;
use material::{Contents, Material};
pub use validity::Certificate;
use validity::ExpiryWatch;

/// Warnings of this module, for whoever shows them whatever else is logged.
pub const NOTICES: &str = "lockstep_notice";

/// The TLS side of a cluster's settings.
pub(crate) struct Tls {
    spec: TlsSpec,
    current: Mutex<Current>,
    expiry: ExpiryWatch,
}

struct Current {
    material: Material,
    /// Why the newest files are not used, if they are not: said once.
    refused: Option<String>,
}

impl Tls {
    /// Reads all files. `key`: the dotted path of the section.
    pub(crate) fn load(spec: &TlsSpec, key: &str) -> Result<Self, Vec<Fault>> {
        let contents = Contents::read(spec).map_err(|faults| keyed(key, faults))?;
        let material = Material::build(spec, contents).map_err(|faults| keyed(key, faults))?;
        let current = Mutex::new(Current { material, refused: None });
        Ok(Self { spec: spec.clone(), current, expiry: ExpiryWatch::default() })
    }

    /// The subject of our client certificate, if we have one.
    pub(crate) fn subject(&self) -> Option<String> {
        self.current().material.subject()
    }

    /// The certificates that connections have met so far: brokers', ours, those of a few authorities.
    pub(crate) fn certificates(&self) -> Vec<Certificate> {
        self.expiry.met()
    }

    /// Whether brokers that ask get a certificate.
    pub(crate) fn has_client_certificate(&self) -> bool {
        self.spec.client.is_some()
    }

    /// Shakes hands over `stream`. `host`: the name that the certificate has to bear.
    pub(crate) async fn wrap(
        &self,
        stream: Box<dyn Stream>,
        host: &str,
    ) -> Result<Box<dyn Stream>, TlsFault> {
        let config = self.config().await;
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| TlsFault::WrongHost { host: host.to_owned(), presented: Vec::new() })?;
        let connected = TlsConnector::from(config).connect(name, stream).await;
        let stream = connected.map_err(|error| TlsFault::in_handshake(&error, host))?;
        let (_, session) = stream.get_ref();
        if let Some(certificate) = session.peer_certificates().and_then(<[_]>::first) {
            self.expiry.look(&format!("the certificate of broker {host}"), certificate);
        }
        Ok(Box::new(stream))
    }

    /// The configuration from the files as they are now, or from the last usable ones.
    async fn config(&self) -> Arc<ClientConfig> {
        let spec = self.spec.clone();
        // Files may lie on a slow disk.
        let read = tokio::task::spawn_blocking(move || Contents::read(&spec)).await;
        let read = read.unwrap_or_else(|_| Err(vec![("ssl".to_owned(), "reading was cut off".to_owned())]));
        let mut current = self.current();
        let renewed = match read {
            Ok(contents) if current.material.is_from(&contents) => None,
            Ok(contents) => Some(Material::build(&self.spec, contents)),
            Err(faults) => Some(Err(faults)),
        };
        match renewed {
            None => current.refused = None,
            Some(Ok(material)) => {
                tracing::info!(target: NOTICES, "certificate files have changed: the new ones are used from now on");
                *current = Current { material, refused: None };
            }
            Some(Err(faults)) => {
                let why = faults.into_iter().map(|(_, what)| what).collect::<Vec<_>>().join("; ");
                if current.refused.as_ref() != Some(&why) {
                    tracing::warn!(
                        target: NOTICES,
                        "{}: changed certificate files cannot be used, the last usable ones stay in use: {why}",
                        Code::CertificateFiles
                    );
                    current.refused = Some(why);
                }
            }
        }
        current.material.warn_of_expiry(&self.expiry);
        current.material.config()
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        // Nothing panics while holding it.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn keyed(key: &str, faults: Vec<(String, String)>) -> Vec<Fault> {
    faults.into_iter().map(|(name, what)| Fault::new(format!("{key}.{name}"), what)).collect()
}
