//! Why a login failed, told apart by what a person has to do. Never holds a secret.

use std::time::Duration;

use lockstep_core::code::Code;

use crate::code::ErrorCode;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginFault {
    #[error(
        "the broker refuses user {user:?} with {mechanism}: {detail}; check security.sasl.username and the password"
    )]
    Refused { mechanism: &'static str, user: String, detail: String },
    #[error(
        "this listener does not offer {mechanism}, it offers {}; set security.sasl.mechanism to one of them",
        list(offered)
    )]
    MechanismNotOffered { mechanism: &'static str, offered: Vec<String> },
    #[error(
        "this listener does not ask for SASL; set protocol plaintext or ssl, or give the address of a SASL listener"
    )]
    NotExpected,
    #[error(
        "the broker refuses the token{}: {detail}; check its audience, issuer, scope and expiry",
        since(expired)
    )]
    Token { detail: String, expired: Option<Duration> },
    #[error("no token: {detail}")]
    TokenUnavailable { detail: String },
    #[error(
        "the broker did not prove that it knows the password: {why}; it may be an impostor, nothing more was sent"
    )]
    NotAuthentic { why: String },
    #[error("{detail}")]
    Secret { detail: String },
    #[error("Kerberos: {detail}")]
    Kerberos { detail: String },
    #[error(
        "Kerberos: {detail}; clocks differ by more than five minutes: set them on this machine, the KDC and the broker"
    )]
    ClockSkew { detail: String },
    #[error("the login on the open connection was interrupted: {detail}")]
    Interrupted { detail: String },
    #[error("the broker answered the login with {code}: {detail}")]
    Broker { code: ErrorCode, detail: String },
}

fn list(offered: &[String]) -> String {
    if offered.is_empty() { "none".to_owned() } else { offered.join(", ") }
}

fn since(expired: &Option<Duration>) -> String {
    expired.map_or_else(String::new, |since| format!(", which expired {} s ago", since.as_secs()))
}

impl LoginFault {
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Refused { .. } | Self::Broker { .. } | Self::Interrupted { .. } => Code::LoginRefused,
            Self::MechanismNotOffered { .. } => Code::MechanismNotOffered,
            Self::NotExpected => Code::SaslNotExpected,
            Self::Token { .. } => Code::TokenRefused,
            Self::TokenUnavailable { .. } => Code::TokenUnavailable,
            Self::NotAuthentic { .. } => Code::BrokerNotAuthentic,
            Self::Secret { .. } => Code::SecretUnreadable,
            Self::Kerberos { .. } => Code::KerberosFailed,
            Self::ClockSkew { .. } => Code::KerberosClockSkew,
        }
    }
}
