//! OAUTHBEARER (RFC 7628; KIP-255): a token from a file that somebody renews, or from an endpoint (KIP-768).
//! Promises: a file is read at every login; an endpoint's token is shared by all connections until four fifths of its
//! life are over, and one request at a time asks for the next. The broker alone judges a token.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lockstep_core::spec::fault::Fault;
use lockstep_core::spec::security::{SecretSpec, TokenSpec};
use tokio::time::Instant;

use super::LoginFault;
use super::endpoint::Endpoint;
use crate::secret::{self, Secret};

/// Where tokens come from.
pub(crate) enum Tokens {
    Given(SecretSpec),
    Endpoint(Box<Shared>),
}

/// An endpoint and its last token.
pub(crate) struct Shared {
    endpoint: Endpoint,
    last: tokio::sync::Mutex<Option<Fetched>>,
}

struct Fetched {
    token: Secret,
    renew_at: Instant,
}

impl Tokens {
    pub(super) fn resolve(spec: &TokenSpec) -> Result<Self, Vec<Fault>> {
        match spec {
            TokenSpec::Given(token) => {
                let key = "security.sasl.oauthbearer.token";
                given(token).map_err(|what| vec![Fault::new(key, what)])?;
                Ok(Self::Given(token.clone()))
            }
            TokenSpec::Endpoint(endpoint) => {
                let endpoint = Endpoint::resolve(endpoint)?;
                Ok(Self::Endpoint(Box::new(Shared { endpoint, last: tokio::sync::Mutex::default() })))
            }
        }
    }

    /// A token to log in with.
    pub(super) async fn get(&self) -> Result<Secret, LoginFault> {
        match self {
            Self::Given(spec) => given(spec).map_err(|detail| LoginFault::TokenUnavailable { detail }),
            Self::Endpoint(shared) => {
                let mut last = shared.last.lock().await;
                if let Some(fetched) = &*last
                    && Instant::now() < fetched.renew_at
                {
                    return Ok(fetched.token.clone());
                }
                *last = None;
                let asked = Instant::now();
                let (token, lifetime) = shared.endpoint.fetch().await?;
                // Without a lifetime every login asks.
                let renew_at = asked + lifetime.unwrap_or_default() * 4 / 5;
                *last = Some(Fetched { token: token.clone(), renew_at });
                Ok(token)
            }
        }
    }

    /// Who the token at hand is for, if it is a JWT that says so.
    pub(super) fn subject(&self) -> Option<String> {
        let token = match self {
            Self::Given(spec) => given(spec).ok()?,
            Self::Endpoint(shared) => shared.last.try_lock().ok()?.as_ref()?.token.clone(),
        };
        claims(&token)?.get("sub")?.as_str().map(str::to_owned)
    }
}

/// Not read as a header's value could be: a line break inside would end it.
fn given(spec: &SecretSpec) -> Result<Secret, String> {
    let secret = secret::read(spec)?;
    let good = secret.reveal().iter().all(|byte| byte.is_ascii_graphic());
    if good { Ok(secret) } else { Err("a token is one line of printable characters".to_owned()) }
}

/// The first message: the token as in an HTTP header.
pub(super) fn message(token: &Secret) -> Secret {
    Secret::new([b"n,,\x01auth=Bearer ".as_slice(), token.reveal(), b"\x01\x01"].concat())
}

/// What a JWT says of itself, its signature unseen: good enough for messages, for nothing else.
fn claims(token: &Secret) -> Option<serde_json::Value> {
    let body = token.reveal_text().ok()?.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body.trim_end_matches('=')).ok()?).ok()
}

/// When the token ends, in seconds since 1970, if it says so.
pub(super) fn expires(token: &Secret) -> Option<u64> {
    // Some write whole seconds with a fraction.
    claims(token)?.get("exp")?.as_f64().filter(|seconds| *seconds >= 0.0).map(|seconds| seconds as u64)
}

/// How long ago that was, by our clock.
pub(super) fn expired_since(expires: u64) -> Option<Duration> {
    SystemTime::now().duration_since(UNIX_EPOCH.checked_add(Duration::from_secs(expires))?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(claims: &str) -> Secret {
        Secret::new(format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims)).into_bytes())
    }

    #[test]
    fn a_tokens_claims_are_read_for_messages() {
        let jwt = token(r#"{"sub":"dr","exp":1700000000.5}"#);
        assert_eq!(expires(&jwt), Some(1_700_000_000));
        assert!(expired_since(1_700_000_000).unwrap() > Duration::from_secs(1_000));
        assert_eq!(expired_since(u64::from(u32::MAX) * 4), None, "in the future");
        assert_eq!(claims(&jwt).unwrap()["sub"], "dr");
        for opaque in ["opaque", "a.b.c", ""] {
            assert_eq!(expires(&Secret::new(opaque.as_bytes().to_vec())), None);
        }
        let first = message(&Secret::new(b"t.o.k".to_vec()));
        assert_eq!(first.reveal(), b"n,,\x01auth=Bearer t.o.k\x01\x01");
    }

    #[tokio::test]
    async fn a_token_file_is_read_at_every_login() {
        let path = std::env::temp_dir().join(format!("lockstep-token-{}", fastrand::u64(..)));
        std::fs::write(&path, "one\n").unwrap();
        let tokens = Tokens::resolve(&TokenSpec::Given(SecretSpec::File(path.clone()))).unwrap();
        assert_eq!(tokens.get().await.unwrap().reveal(), b"one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(tokens.get().await.unwrap().reveal(), b"two");
        std::fs::write(&path, "t\r\nX: y").unwrap();
        assert!(matches!(tokens.get().await, Err(LoginFault::TokenUnavailable { .. })));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(tokens.get().await, Err(LoginFault::TokenUnavailable { .. })));
    }
}
