//! Carries a SASL dialogue over a connection: SaslHandshake v1, then SaslAuthenticate until both sides are content.
//! Promises: every refusal has its own fault; a session lifetime the broker names is told (KIP-368).
//! Never sends a secret before the broker has agreed to its mechanism.

use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::messages::{
    SaslAuthenticateRequest, SaslAuthenticateResponse, SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Request, StrBytes};
use tokio::time::timeout;

use super::{Connection, Lane};
use crate::code::ErrorCode;
use crate::error::{ConnectFault, Error};
use crate::sasl::{Exchange, Login, LoginFault, Next};
use crate::settings::HostPort;
use crate::versions::Api;

/// More messages than any mechanism needs.
const ROUNDS_MAX: usize = 10;
/// A longer session is as good as this one; sums of times stay within bounds.
const LIFETIME_MAX: Duration = Duration::from_secs(365 * 24 * 3_600);
/// From the dialogue's start to the first message, where a token or ticket has to be fetched.
const BEGIN_PATIENCE: Duration = Duration::from_secs(15);

/// What may follow a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Session {
    Unlimited,
    /// The broker cuts the connection after this long, unless we log in again.
    Ends(Duration),
}

/// Gets ready without the broker.
pub(super) async fn begin(login: &Login, host: &str) -> Result<Exchange, LoginFault> {
    match timeout(BEGIN_PATIENCE, login.begin(host)).await {
        Ok(begun) => begun,
        Err(_) if login.mechanism() == "GSSAPI" => {
            Err(LoginFault::Kerberos { detail: format!("no ticket within {BEGIN_PATIENCE:?}") })
        }
        Err(_) => Err(LoginFault::TokenUnavailable { detail: format!("none within {BEGIN_PATIENCE:?}") }),
    }
}

pub(super) fn failed(at: &HostPort, fault: LoginFault) -> Error {
    Error::Connect { address: at.clone(), fault: ConnectFault::Login(fault) }
}

/// Logs in, on `lane`.
pub(super) async fn log_in(
    connection: &Connection,
    lane: &Lane,
    login: &Login,
    mut exchange: Exchange,
    patience: Duration,
) -> Result<Session, Error> {
    let refused = |fault| failed(connection.peer(), fault);
    let mechanism = login.mechanism();
    let mut request = SaslHandshakeRequest::default();
    request.mechanism = StrBytes::from_static_str(mechanism);
    let api = Api::SaslHandshake;
    let answer: SaslHandshakeResponse = ask(connection, lane, api, &request, patience).await?;
    match ErrorCode::from_wire(answer.error_code) {
        None => {}
        Some(ErrorCode::UNSUPPORTED_SASL_MECHANISM) => {
            let offered = answer.mechanisms.iter().map(ToString::to_string).collect();
            return Err(refused(LoginFault::MechanismNotOffered { mechanism, offered }));
        }
        Some(ErrorCode::ILLEGAL_SASL_STATE) => return Err(refused(LoginFault::NotExpected)),
        Some(code) => {
            return Err(Error::Refused { api, code, detail: None, about: connection.peer().to_string() });
        }
    }
    let mut message = Bytes::copy_from_slice(exchange.first().reveal());
    for _ in 0..ROUNDS_MAX {
        let mut request = SaslAuthenticateRequest::default();
        request.auth_bytes = message;
        let answer: SaslAuthenticateResponse =
            ask(connection, lane, Api::SaslAuthenticate, &request, patience).await?;
        if let Some(code) = ErrorCode::from_wire(answer.error_code) {
            let detail = answer.error_message.map_or_else(|| code.to_string(), |words| words.to_string());
            return Err(refused(match code {
                ErrorCode::SASL_AUTHENTICATION_FAILED => exchange.refused(mechanism, detail),
                code => LoginFault::Broker { code, detail },
            }));
        }
        match exchange.answer(&answer.auth_bytes).await.map_err(refused)? {
            Next::Send(next) => message = Bytes::copy_from_slice(next.reveal()),
            Next::Finished => {
                return Ok(match u64::try_from(answer.session_lifetime_ms) {
                    Ok(0) | Err(_) => Session::Unlimited,
                    Ok(milliseconds) => Session::Ends(Duration::from_millis(milliseconds).min(LIFETIME_MAX)),
                });
            }
        }
    }
    Err(connection.protocol(Api::SaslAuthenticate, format!("no end after {ROUNDS_MAX} messages")))
}

async fn ask<R: Request>(
    connection: &Connection,
    lane: &Lane,
    api: Api,
    request: &R,
    patience: Duration,
) -> Result<R::Response, Error> {
    let version = connection.version(api)?;
    let body = connection.encode(api, version, request)?;
    connection.submit_on(lane, api, version, vec![body], patience).await?.decoded::<R::Response>().await
}
