//! Who we are, proven to a broker: the SASL mechanisms, each a dialogue of messages that know nothing of Kafka's frames.
//!
//! ```text
//! LoginSpec ─ resolve ─► Login ─ begin ─► Exchange ─ answer ─► message … ─► finished   (connection/login.rs carries them)
//! ```
//!
//! Secrets are read and tokens fetched in `begin`, before the broker hears of it: what fails there disturbs nobody.

mod endpoint;
mod fault;
#[cfg(feature = "gssapi")]
mod gssapi;
mod oauth;
mod scram;

use lockstep_core::spec::fault::Fault;
use lockstep_core::spec::security::{LoginSpec, ScramHash, SecretSpec};

use crate::secret::{self, Secret};
pub use fault::LoginFault;
use oauth::Tokens;

/// A mechanism and what it needs.
pub(crate) enum Login {
    Plain {
        username: String,
        password: SecretSpec,
    },
    Scram {
        hash: ScramHash,
        username: String,
        password: SecretSpec,
    },
    OauthBearer(Tokens),
    #[cfg(feature = "gssapi")]
    Gssapi {
        service: String,
        /// Known from the first ticket on.
        who: std::sync::OnceLock<String>,
    },
}

impl Login {
    /// Looks once at every secret and file.
    pub(crate) fn resolve(spec: &LoginSpec) -> Result<Self, Vec<Fault>> {
        let readable = |password: &SecretSpec| {
            let read = secret::read(password).and_then(|secret| secret.reveal_text().map(drop));
            read.map_err(|what| vec![Fault::new("security.sasl.password", what)])
        };
        match spec {
            LoginSpec::Plain { username, password } => {
                readable(password)?;
                Ok(Self::Plain { username: username.clone(), password: password.clone() })
            }
            LoginSpec::Scram { hash, username, password } => {
                readable(password)?;
                let (username, password) = (username.clone(), password.clone());
                Ok(Self::Scram { hash: *hash, username, password })
            }
            LoginSpec::OauthBearer(tokens) => Tokens::resolve(tokens).map(Self::OauthBearer),
            #[cfg(feature = "gssapi")]
            LoginSpec::Gssapi { service } => {
                Ok(Self::Gssapi { service: service.clone(), who: std::sync::OnceLock::new() })
            }
            #[cfg(not(feature = "gssapi"))]
            LoginSpec::Gssapi { .. } => Err(vec![Fault::new(
                "security.sasl.mechanism",
                "this lockstep was built without Kerberos: build it with `--features gssapi`",
            )]),
        }
    }

    /// Kafka's name of the mechanism.
    pub(crate) fn mechanism(&self) -> &'static str {
        match self {
            Self::Plain { .. } => "PLAIN",
            Self::Scram { hash, .. } => scram::name(*hash),
            Self::OauthBearer(_) => "OAUTHBEARER",
            #[cfg(feature = "gssapi")]
            Self::Gssapi { .. } => "GSSAPI",
        }
    }

    /// Who the broker will probably see.
    pub(crate) fn principal(&self) -> String {
        match self {
            Self::Plain { username, .. } | Self::Scram { username, .. } => format!("User:{username}"),
            Self::OauthBearer(tokens) => tokens
                .subject()
                .map_or_else(|| "User:SUBJECT_OF_THE_TOKEN".to_owned(), |sub| format!("User:{sub}")),
            #[cfg(feature = "gssapi")]
            Self::Gssapi { who, .. } => {
                format!("User:{}", who.get().map_or("KERBEROS_PRINCIPAL", String::as_str))
            }
        }
    }

    /// Everything that needs no broker: reads the secret, gets the token, makes the first message.
    pub(crate) async fn begin(&self, host: &str) -> Result<Exchange, LoginFault> {
        // Only GSSAPI asks for a ticket to one host.
        let _ = host;
        let unreadable = |detail: String| LoginFault::Secret { detail };
        Ok(match self {
            Self::Plain { username, password } => {
                let password = secret::read(password).map_err(unreadable)?;
                let mut message = Vec::with_capacity(username.len() + password.reveal().len() + 2);
                message.push(0);
                message.extend_from_slice(username.as_bytes());
                message.push(0);
                message.extend_from_slice(password.reveal());
                Exchange { first: Secret::new(message), state: State::Plain { user: username.clone() } }
            }
            Self::Scram { hash, username, password } => {
                let password = secret::read(password).map_err(unreadable)?;
                let (client, first) = scram::Client::new(*hash, username, password, &scram::nonce()?);
                Exchange { first: Secret::new(first.into_bytes()), state: State::Scram(Some(client)) }
            }
            Self::OauthBearer(tokens) => {
                let token = tokens.get().await?;
                let state = State::Oauth { expires: oauth::expires(&token), said: None };
                Exchange { first: oauth::message(&token), state }
            }
            #[cfg(feature = "gssapi")]
            Self::Gssapi { service, who } => {
                let (first, client, ours) = gssapi::begin(format!("{service}@{host}")).await?;
                // Set by the first of them.
                let _ = who.set(ours);
                Exchange { first, state: State::Gssapi(Some(client)) }
            }
        })
    }
}

/// One dialogue, from its first message on.
pub(crate) struct Exchange {
    first: Secret,
    state: State,
}

enum State {
    Plain {
        user: String,
    },
    Scram(Option<scram::Client>),
    /// What the broker said against the token, before it refuses it.
    Oauth {
        expires: Option<u64>,
        said: Option<String>,
    },
    #[cfg(feature = "gssapi")]
    Gssapi(Option<gssapi::Client>),
}

/// What follows a broker's message.
pub(crate) enum Next {
    Send(Secret),
    Finished,
}

impl Exchange {
    pub(crate) fn first(&self) -> &Secret {
        &self.first
    }

    /// Takes the broker's message.
    pub(crate) async fn answer(&mut self, message: &[u8]) -> Result<Next, LoginFault> {
        match &mut self.state {
            State::Plain { .. } => Ok(Next::Finished),
            State::Scram(client) => {
                let (kept, next) = scram::answer(client.take(), message).await?;
                *client = kept;
                Ok(next)
            }
            State::Oauth { .. } if message.is_empty() => Ok(Next::Finished),
            State::Oauth { said, .. } => {
                // RFC 7628, 3.2.3: the refusal follows our acknowledgement of the reason.
                *said = Some(String::from_utf8_lossy(message).chars().take(200).collect());
                Ok(Next::Send(Secret::new(vec![1])))
            }
            #[cfg(feature = "gssapi")]
            State::Gssapi(client) => {
                let (kept, next) = gssapi::answer(client.take(), message.to_vec()).await?;
                *client = kept;
                Ok(next)
            }
        }
    }

    /// What a refusal (SASL_AUTHENTICATION_FAILED) means here. `detail`: the broker's words.
    pub(crate) fn refused(&self, mechanism: &'static str, detail: String) -> LoginFault {
        match &self.state {
            State::Plain { user } => LoginFault::Refused { mechanism, user: user.clone(), detail },
            State::Scram(client) => {
                let user = client.as_ref().map_or_else(String::new, |client| client.user().to_owned());
                LoginFault::Refused { mechanism, user, detail }
            }
            State::Oauth { expires, said } => {
                let expired = expires.and_then(oauth::expired_since);
                LoginFault::Token { detail: with_reason(detail, said.as_deref()), expired }
            }
            #[cfg(feature = "gssapi")]
            State::Gssapi(_) => LoginFault::Kerberos { detail },
        }
    }
}

/// The broker's last words, and the reason it gave before, unless they are the same.
fn with_reason(detail: String, said: Option<&str>) -> String {
    match said {
        Some(said) if said != detail => format!("{detail} ({said})"),
        _ => detail,
    }
}

#[cfg(test)]
mod tests {
    use super::with_reason;

    #[test]
    fn a_reason_is_said_once() {
        let reason = "{\"status\":\"invalid_token\"}";
        assert_eq!(with_reason(reason.to_owned(), Some(reason)), reason);
        assert_eq!(with_reason("refused".to_owned(), Some(reason)), format!("refused ({reason})"));
        assert_eq!(with_reason("refused".to_owned(), None), "refused");
    }
}
