//! Why TLS did not come about, told apart by what a person has to do.
//! Alerts are the other side's words about us, certificate errors ours about it.

use std::io;

use lockstep_core::code::Code;
use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

/// A failed handshake, or an alert right behind it (with TLS 1.3 a broker judges our certificate later).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlsFault {
    #[error(
        "the broker's certificate comes from an authority that is not in the truststore ({detail}); \
         name the authority's PEM file in security.ssl.truststore"
    )]
    UnknownAuthority { detail: String },
    #[error("the broker's certificate is outside its time: {detail}; renew it, or set this machine's clock")]
    Expired { detail: String },
    #[error(
        "the broker's certificate is not for {host}{}; dial a name it bears, or have it issued for this one",
        names(presented)
    )]
    WrongHost { host: String, presented: Vec<String> },
    #[error(
        "this port does not speak TLS; give the address of a TLS listener, or set protocol plaintext or sasl_plaintext"
    )]
    NotTls,
    #[error(
        "closed during the TLS handshake; perhaps this port does not speak TLS, or nothing listens behind it"
    )]
    ClosedInHandshake,
    #[error("the broker demands a client certificate; name it in security.ssl.keystore")]
    CertificateRequired,
    #[error(
        "the broker does not accept our client certificate (it said {alert}); have it signed by an authority that the broker trusts"
    )]
    CertificateRefused { alert: String },
    #[error("TLS failed: {detail}")]
    Other { detail: String },
}

fn names(presented: &[String]) -> String {
    if presented.is_empty() { String::new() } else { format!(" (it is for {})", presented.join(", ")) }
}

impl TlsFault {
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::UnknownAuthority { .. } => Code::UnknownAuthority,
            Self::Expired { .. } => Code::BrokerCertificateExpired,
            Self::WrongHost { .. } => Code::WrongHostName,
            Self::NotTls | Self::ClosedInHandshake => Code::NotTls,
            Self::CertificateRequired => Code::ClientCertificateRequired,
            Self::CertificateRefused { .. } => Code::ClientCertificateRefused,
            Self::Other { .. } => Code::TlsFailed,
        }
    }

    /// What an I/O error means that ended the handshake.
    pub(super) fn in_handshake(error: &io::Error, host: &str) -> Self {
        if let Some(fault) = Self::of(error) {
            return match fault {
                Self::WrongHost { presented, .. } => Self::WrongHost { host: host.to_owned(), presented },
                other => other,
            };
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                Self::ClosedInHandshake
            }
            _ => Self::Other { detail: error.to_string() },
        }
    }

    /// The fault inside an I/O error, if rustls made it.
    pub(crate) fn of(error: &io::Error) -> Option<Self> {
        let inner = error.get_ref()?.downcast_ref::<Error>()?;
        Some(match inner {
            Error::InvalidCertificate(reason) => of_certificate(reason),
            Error::AlertReceived(alert) => of_alert(*alert),
            // What came first was no TLS record.
            Error::InvalidMessage(_) => Self::NotTls,
            other => Self::Other { detail: other.to_string() },
        })
    }

    /// A broker that says "bad certificate" to one that has none means that it wants one.
    pub(crate) fn for_client(self, has_certificate: bool) -> Self {
        match self {
            Self::CertificateRefused { .. } if !has_certificate => Self::CertificateRequired,
            other => other,
        }
    }
}

fn of_certificate(reason: &CertificateError) -> TlsFault {
    match reason {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => TlsFault::Expired { detail: reason.to_string() },
        CertificateError::NotValidForName => {
            TlsFault::WrongHost { host: String::new(), presented: Vec::new() }
        }
        CertificateError::NotValidForNameContext { presented, .. } => {
            TlsFault::WrongHost { host: String::new(), presented: presented.clone() }
        }
        // An authority of the same name with another key shows as a bad signature.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            TlsFault::UnknownAuthority { detail: reason.to_string() }
        }
        other => TlsFault::Other { detail: format!("the broker's certificate cannot be used: {other}") },
    }
}

fn of_alert(alert: AlertDescription) -> TlsFault {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            TlsFault::CertificateRequired
        }
        AlertDescription::BadCertificate
        | AlertDescription::UnknownCA
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => TlsFault::CertificateRefused { alert: format!("{alert:?}") },
        other => TlsFault::Other { detail: format!("the broker refused the handshake: {other:?}") },
    }
}
