//! From PEM files to a rustls configuration. Promises: every fault is named with its key and file; a key that does not
//! fit its certificate is one of them, so that half-done rotations are never used. Keys are overwritten when they go.

use std::sync::Arc;

use lockstep_core::spec::security::{ClientCertificate, HostNames, TlsSpec};
use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use zeroize::Zeroizing;

use super::hosts::AnyHost;
use super::validity::{self, ExpiryWatch};
use crate::secret;

/// Faults as key below the section, and words.
pub(super) type Faults = Vec<(String, String)>;

/// A bundle of the world's authorities always holds some that expire soon: only smaller ones are watched.
const WATCHED_AUTHORITIES_MAX: usize = 16;

const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// What the files held, to notice a change.
#[derive(PartialEq, Eq)]
pub(super) struct Contents {
    authorities: Vec<Zeroizing<Vec<u8>>>,
    client: Option<ClientContents>,
}

#[derive(PartialEq, Eq)]
struct ClientContents {
    chain: Zeroizing<Vec<u8>>,
    key: Zeroizing<Vec<u8>>,
    password: Option<secret::Secret>,
}

impl Contents {
    /// Blocks on the disk.
    pub(super) fn read(spec: &TlsSpec) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let mut authorities = Vec::new();
        for path in &spec.authorities {
            authorities.extend(kept("truststore", secret::read_file(path), &mut faults));
        }
        let client = spec.client.as_ref().and_then(|client| {
            let chain = kept("keystore", secret::read_file(&client.chain), &mut faults);
            let key = kept("key", secret::read_file(&client.key), &mut faults);
            let password = client.key_password.as_ref().map(secret::read).transpose();
            let password = kept("key_password", password, &mut faults);
            Some(ClientContents { chain: chain?, key: key?, password: password? })
        });
        if faults.is_empty() { Ok(Self { authorities, client }) } else { Err(faults) }
    }
}

fn kept<T>(key: &str, found: Result<T, String>, faults: &mut Faults) -> Option<T> {
    found.map_err(|what| faults.push((key.to_owned(), what))).ok()
}

/// A usable set of files.
pub(super) struct Material {
    contents: Contents,
    config: Arc<ClientConfig>,
    /// Of the client certificate.
    subject: Option<String>,
    /// With what each of them is, for a warning.
    watched: Vec<(String, CertificateDer<'static>)>,
}

impl Material {
    pub(super) fn build(spec: &TlsSpec, contents: Contents) -> Result<Self, Faults> {
        let mut faults = Vec::new();
        let (roots, mut watched) = authorities(spec, &contents, &mut faults);
        let identity = match (&spec.client, &contents.client) {
            (Some(spec), Some(contents)) => match identity(spec, contents) {
                Ok(identity) => Some(identity),
                Err(fault) => {
                    faults.push(fault);
                    None
                }
            },
            _ => None,
        };
        if !faults.is_empty() {
            return Err(faults);
        }
        let leaf = identity.as_ref().and_then(|(chain, _)| chain.first()).cloned();
        let subject = leaf.as_ref().and_then(|leaf| validity::of(leaf)).map(|validity| validity.subject);
        if let Some(leaf) = leaf {
            watched.push(("our client certificate".to_owned(), leaf));
        }
        let config = config(spec, roots, identity).map_err(|fault| vec![fault])?;
        Ok(Self { contents, config: Arc::new(config), subject, watched })
    }

    pub(super) fn is_from(&self, contents: &Contents) -> bool {
        self.contents == *contents
    }

    pub(super) fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    pub(super) fn subject(&self) -> Option<String> {
        self.subject.clone()
    }

    pub(super) fn warn_of_expiry(&self, watch: &ExpiryWatch) {
        for (what, certificate) in &self.watched {
            watch.look(what, certificate);
        }
    }
}

type Watched = Vec<(String, CertificateDer<'static>)>;

/// Certificates that rustls cannot use are left out of a bundle; a file that gives none is a fault.
fn authorities(spec: &TlsSpec, contents: &Contents, faults: &mut Faults) -> (RootCertStore, Watched) {
    let mut roots = RootCertStore::empty();
    let mut watched = Vec::new();
    for (path, bytes) in spec.authorities.iter().zip(&contents.authorities) {
        let found: Vec<_> = CertificateDer::pem_slice_iter(bytes).filter_map(Result::ok).collect();
        let (added, _) = roots.add_parsable_certificates(found.iter().cloned());
        if added == 0 {
            let what = format!("{} holds no certificate (PEM, -----BEGIN CERTIFICATE-----)", path.display());
            faults.push(("truststore".to_owned(), what));
        }
        let name = format!("an authority of {}", path.display());
        watched.extend(found.into_iter().map(|certificate| (name.clone(), certificate)));
    }
    if watched.len() > WATCHED_AUTHORITIES_MAX {
        watched.clear();
    }
    (roots, watched)
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(spec: &ClientCertificate, contents: &ClientContents) -> Result<Identity, (String, String)> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&contents.chain).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(|| {
        let what =
            format!("{} holds no certificate (PEM, -----BEGIN CERTIFICATE-----)", spec.chain.display());
        ("keystore".to_owned(), what)
    })?;
    let wrong = |what: &str| ("key".to_owned(), format!("{}: {what}", spec.key.display()));
    let text = std::str::from_utf8(&contents.key).map_err(|_| wrong("is not PEM text"))?;
    let Some(encrypted) = pem_block(text, ENCRYPTED) else {
        let key = PrivateKeyDer::from_pem_slice(&contents.key);
        return Ok((chain, key.map_err(|_| wrong("holds no private key (PEM: PKCS#8, PKCS#1 or SEC1)"))?));
    };
    let Some(password) = &contents.password else {
        return Err((
            "key_password".to_owned(),
            format!("{} is encrypted: name its password", spec.key.display()),
        ));
    };
    let unreadable = || wrong("is an encrypted key that cannot be read (PKCS#8 with PBES2 is)");
    let (_, document) = SecretDocument::from_pem(encrypted).map_err(|_| unreadable())?;
    let sealed = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).map_err(|_| unreadable())?;
    let opened = sealed
        .decrypt(password.reveal())
        .map_err(|_| ("key_password".to_owned(), format!("does not open {}", spec.key.display())))?;
    Ok((chain, PrivatePkcs8KeyDer::from(opened.as_bytes().to_vec()).into()))
}

/// The first PEM block with this label.
fn pem_block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let end = format!("-----END {label}-----");
    let start = text.find(&format!("-----BEGIN {label}-----"))?;
    let length = text[start..].find(&end)? + end.len();
    Some(&text[start..start + length])
}

fn config(
    spec: &TlsSpec,
    roots: RootCertStore,
    identity: Option<Identity>,
) -> Result<ClientConfig, (String, String)> {
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let at = |key: &str, error: &dyn std::fmt::Display| (key.to_owned(), error.to_string());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| at("truststore", &error))?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| at("truststore", &error))?;
    let builder = match spec.host_names {
        HostNames::Verified => builder.with_webpki_verifier(verifier),
        HostNames::Ignored => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyHost { verifier }))
        }
    };
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).map_err(|error| {
            at("keystore", &format!("certificate and key cannot be used together: {error}"))
        })?,
    };
    // A resumed session skips the look at the certificates.
    config.resumption = Resumption::disabled();
    Ok(config)
}
