//! Whose a certificate is: the one SAN URI `lockstep://coordinator/NAME`, `lockstep://agent/SITE/NAME` or
//! `lockstep://operator/NAME`. The subject and DNS names say nothing here: they are for whoever dials.
//! The signature has been verified by TLS before; a certificate that names nobody, or several, is nobody's.

use std::fmt;
use std::time::SystemTime;

use lockstep_core::spec::names::name;
use thiserror::Error;
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

const SCHEME: &str = "lockstep://";

/// Who a certificate was given to. Names are as in [`name`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    Coordinator { name: String },
    Agent { site: String, name: String },
    Operator { name: String },
}

/// Why a certificate names nobody.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Nobody {
    #[error("no certificate was shown")]
    NotShown,
    #[error("the certificate cannot be read: {0}")]
    Unreadable(String),
    #[error("the certificate has no SAN URI lockstep://…: it was not made for Lockstep")]
    NoUri,
    #[error("the certificate has several SAN URIs lockstep://…: it must name one holder")]
    Several,
    #[error("the certificate's SAN URI is {uri:?}: {why}")]
    BadUri { uri: String, why: String },
}

impl Holder {
    /// The holder of a DER certificate.
    ///
    /// # Errors
    /// [`Nobody`], in words for whoever made the certificate.
    pub fn of_certificate(der: &[u8]) -> Result<Self, Nobody> {
        Self::named_in(&Certificate::from_der(der).map_err(unreadable)?)
    }

    /// The holder of the first certificate of a PEM file.
    ///
    /// # Errors
    /// As [`Holder::of_certificate`].
    pub fn of_pem(pem: &str) -> Result<Self, Nobody> {
        Self::named_in(&first_of(pem)?)
    }

    fn named_in(certificate: &Certificate) -> Result<Self, Nobody> {
        let names = certificate.tbs_certificate().get_extension::<SubjectAltName>().map_err(unreadable)?;
        let names = names.map(|(_, SubjectAltName(names))| names).unwrap_or_default();
        let mut uris = names.iter().filter_map(|name| match name {
            GeneralName::UniformResourceIdentifier(uri) if uri.as_str().starts_with(SCHEME) => {
                Some(uri.as_str())
            }
            _ => None,
        });
        match (uris.next(), uris.next()) {
            (None, _) => Err(Nobody::NoUri),
            (Some(_), Some(_)) => Err(Nobody::Several),
            (Some(uri), None) => Self::of_uri(uri),
        }
    }

    /// # Errors
    /// [`Nobody::BadUri`]: no form of ours, or a name that nothing may have.
    pub fn of_uri(uri: &str) -> Result<Self, Nobody> {
        let bad = |why: &str| Nobody::BadUri { uri: uri.to_owned(), why: why.to_owned() };
        let checked = |text: &str| name(text).map_err(|why| bad(&format!("{text:?}: {why}")));
        let path = uri.strip_prefix(SCHEME).ok_or_else(|| bad("it does not begin with lockstep://"))?;
        let parts: Vec<&str> = path.split('/').collect();
        match parts.as_slice() {
            ["coordinator", name] => Ok(Self::Coordinator { name: checked(name)? }),
            ["agent", site, name] => Ok(Self::Agent { site: checked(site)?, name: checked(name)? }),
            ["operator", name] => Ok(Self::Operator { name: checked(name)? }),
            _ => Err(bad("expected coordinator/NAME, agent/SITE/NAME or operator/NAME")),
        }
    }

    /// What it is, in one stable word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Coordinator { .. } => "coordinator",
            Self::Agent { .. } => "agent",
            Self::Operator { .. } => "operator",
        }
    }
}

/// Until when the first certificate of a PEM file is valid.
///
/// # Errors
/// [`Nobody::Unreadable`].
pub fn valid_until(pem: &str) -> Result<SystemTime, Nobody> {
    Ok(first_of(pem)?.tbs_certificate().validity().not_after.to_system_time())
}

fn first_of(pem: &str) -> Result<Certificate, Nobody> {
    let chain = Certificate::load_pem_chain(pem.as_bytes()).map_err(unreadable)?;
    chain.into_iter().next().ok_or(Nobody::NotShown)
}

fn unreadable(error: x509_cert::der::Error) -> Nobody {
    Nobody::Unreadable(error.to_string())
}

/// The URI.
impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coordinator { name } => write!(f, "{SCHEME}coordinator/{name}"),
            Self::Agent { site, name } => write!(f, "{SCHEME}agent/{site}/{name}"),
            Self::Operator { name } => write!(f, "{SCHEME}operator/{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    fn of(uris: &[&str]) -> Result<Holder, Nobody> {
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let names = uris.iter().map(|uri| SanType::URI((*uri).try_into().unwrap()));
        params.subject_alt_names.extend(names);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        assert_eq!(Holder::of_pem(&certificate.pem()), Holder::of_certificate(certificate.der()));
        Holder::of_certificate(certificate.der())
    }

    #[test]
    fn each_kind_is_read_from_a_certificate_and_written_the_same() {
        for uri in ["lockstep://coordinator/c-1", "lockstep://agent/paris/a.1", "lockstep://operator/eve"] {
            assert_eq!(of(&[uri]).unwrap().to_string(), uri);
        }
        let agent = of(&["lockstep://agent/paris/a1", "https://elsewhere.test/x"]).unwrap();
        assert_eq!(agent, Holder::Agent { site: "paris".to_owned(), name: "a1".to_owned() });
        assert_eq!(agent.kind(), "agent");
    }

    #[test]
    fn who_is_not_named_is_nobody() {
        assert_eq!(of(&[]), Err(Nobody::NoUri));
        assert_eq!(of(&["https://elsewhere.test/x"]), Err(Nobody::NoUri));
        assert_eq!(of(&["lockstep://operator/eve", "lockstep://operator/bob"]), Err(Nobody::Several));
        assert!(matches!(Holder::of_certificate(b"no certificate"), Err(Nobody::Unreadable(_))));
        for uri in [
            "lockstep://agent/paris",
            "lockstep://agent/paris/a1/more",
            "lockstep://operator/",
            "lockstep://operator/a b",
            "lockstep://broker/x",
            "LOCKSTEP://operator/eve",
        ] {
            assert!(matches!(Holder::of_uri(uri), Err(Nobody::BadUri { .. })), "{uri}");
        }
    }
}
