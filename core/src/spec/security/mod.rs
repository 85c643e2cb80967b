//! How a cluster is reached securely: the `security` section, in Kafka's words.
//!
//! ```text
//! YAML ─ serde ─► RawSecurity (what may be written) ─ check ─► SecuritySpec (what is meant) ─ lockstep-kafka ─► secrets and files
//! ```
//!
//! Secrets never stand in the section: it names files and environment variables, and an inline one is refused unread.

mod check;
mod raw;

use std::path::PathBuf;

pub use raw::{RawSecret, RawSecurity, RawSecurityFile};

/// What is meant. Files are not read yet, secrets not resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecuritySpec {
    /// `None`: `plaintext` or `sasl_plaintext`.
    pub tls: Option<TlsSpec>,
    /// `None`: `plaintext` or `ssl`.
    pub login: Option<LoginSpec>,
}

/// TLS, with the PEM files it works from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSpec {
    /// Certificates of the authorities that may sign a broker's certificate; at least one file.
    pub authorities: Vec<PathBuf>,
    /// What a broker that demands a client certificate gets.
    pub client: Option<ClientCertificate>,
    pub host_names: HostNames,
}

/// A client certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The certificate and what leads from it to the authority.
    pub chain: PathBuf,
    /// PKCS#8 (also encrypted), PKCS#1 or SEC1; may be the same file as `chain`.
    pub key: PathBuf,
    pub key_password: Option<SecretSpec>,
}

/// Whether a broker's certificate has to name the host that was dialled
/// (Kafka: `ssl.endpoint.identification.algorithm`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostNames {
    /// The default: a certificate of another host is refused.
    Verified,
    /// Any certificate of a trusted authority will do: whoever holds one can pose as a broker.
    Ignored,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSpec {
    /// Read anew whenever it is needed; one line break at its end does not count.
    File(PathBuf),
    /// The name of an environment variable of this process.
    Env(String),
}

/// A SASL mechanism and what it needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginSpec {
    Plain { username: String, password: SecretSpec },
    Scram { hash: ScramHash, username: String, password: SecretSpec },
    OauthBearer(TokenSpec),
    Gssapi { service: String },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScramHash {
    Sha256,
    Sha512,
}

/// Where an OAUTHBEARER token comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSpec {
    /// A token that somebody else renews.
    Given(SecretSpec),
    /// OAuth 2.0 client credentials (RFC 6749, 4.4), renewed by us.
    Endpoint(EndpointSpec),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    pub url: Url,
    pub client_id: String,
    pub client_secret: SecretSpec,
    pub scope: Option<String>,
    /// Authorities for an `https` endpoint.
    pub authorities: Vec<PathBuf>,
}

/// The parts of an `http` or `https` address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    pub scheme: Scheme,
    pub host: String,
    pub port: u16,
    /// Path and query, from the slash on.
    pub path: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}
