//! The first exchange on a connection: dial, ask for the broker's versions, and put a failure into words.
//! Promises: v3 first, v0 for a broker that refuses v3 (35) or hangs up on it; every other port than Kafka's is
//! named for what it seems to be. Leaves nothing open on failure.

use std::io;

use kafka_protocol::messages::{ApiVersionsRequest, ApiVersionsResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::time::timeout;

use super::login::{Session, begin, failed, log_in};
use super::{Connection, Lane, decode, relogin};
use crate::code::ErrorCode;
use crate::dial::{Dial, Stream};
use crate::error::{ConnectFault, Error, Loss};
use crate::settings::{HostPort, Settings};
use crate::tls::Tls;
use crate::versions::{Api, Offered, Versions};

const NEW: i16 = 3;
const OLD: i16 = 0;

pub(super) async fn open(dial: &dyn Dial, at: HostPort, settings: &Settings) -> Result<Connection, Error> {
    let connection = start(dial, &at, settings).await?;
    let first = match ask(&connection, NEW, settings).await {
        Err(Error::Closed { cause, .. }) if hung_up(&cause) => None,
        Err(error) => return Err(in_words(error, &at, settings)),
        Ok(answer) => Some(answer),
    };
    let (connection, answer) = match first {
        Some(answer) if answer.error_code != ErrorCode::UNSUPPORTED_VERSION.0 => (connection, answer),
        // A broker that does not know v3 says so and stays; a very old one hangs up: dial again.
        refused => {
            let connection = if refused.is_some() { connection } else { start(dial, &at, settings).await? };
            let answer =
                ask(&connection, OLD, settings).await.map_err(|error| in_words(error, &at, settings))?;
            (connection, answer)
        }
    };
    if let Some(code) = ErrorCode::from_wire(answer.error_code) {
        return Err(Error::Refused { api: Api::ApiVersions, code, detail: None, about: at.to_string() });
    }
    let ranges =
        answer.api_keys.iter().map(|api| (api.api_key, Versions::new(api.min_version, api.max_version)));
    // Only this function sets it, once per connection.
    let _ = connection.link.offered.set(Offered::new(ranges));
    log_in_if_due(&connection, settings).await?;
    Ok(connection)
}

async fn log_in_if_due(connection: &Connection, settings: &Settings) -> Result<(), Error> {
    let Some(login) = settings.security.login() else { return Ok(()) };
    let at = connection.peer();
    let patience = settings.connect_timeout;
    let exchange = begin(login, &at.host).await.map_err(|fault| failed(at, fault))?;
    let session = log_in(connection, &Lane::Shared, login, exchange, patience).await?;
    if let Session::Ends(lifetime) = session {
        relogin::keep(connection, std::sync::Arc::clone(login), lifetime, patience);
    }
    Ok(())
}

async fn start(dial: &dyn Dial, at: &HostPort, settings: &Settings) -> Result<Connection, Error> {
    let after = settings.connect_timeout;
    let fault = match timeout(after, dial.dial(&at.host, at.port)).await {
        Ok(Ok(stream)) => match secured(stream, at, settings).await {
            Ok(stream) => return Ok(Connection::start(stream, at.clone(), settings)),
            Err(fault) => fault,
        },
        Ok(Err(error)) if error.kind() == io::ErrorKind::TimedOut => ConnectFault::TimedOut { after },
        Ok(Err(error)) => error.into(),
        Err(_) => ConnectFault::TimedOut { after },
    };
    Err(Error::Connect { address: at.clone(), fault })
}

/// The stream under TLS where the settings say so.
async fn secured(
    stream: Box<dyn Stream>,
    at: &HostPort,
    settings: &Settings,
) -> Result<Box<dyn Stream>, ConnectFault> {
    let Some(tls) = settings.security.tls() else { return Ok(stream) };
    let after = settings.connect_timeout;
    match timeout(after, tls.wrap(stream, &at.host)).await {
        Ok(wrapped) => wrapped.map_err(ConnectFault::Tls),
        Err(_) => Err(ConnectFault::SilentTls { after }),
    }
}

/// A refusal of the version comes in the shape of v0, whatever was asked.
async fn ask(
    connection: &Connection,
    version: i16,
    settings: &Settings,
) -> Result<ApiVersionsResponse, Error> {
    let api = Api::ApiVersions;
    let mut request = ApiVersionsRequest::default();
    if version >= NEW {
        request.client_software_name = StrBytes::from_static_str("lockstep");
        request.client_software_version = StrBytes::from_static_str(env!("CARGO_PKG_VERSION"));
    }
    let body = connection.encode(api, version, &request)?;
    let mut pending = connection.submit(api, version, vec![body], settings.connect_timeout).await?;
    let frame = pending.frame().await?.bytes;
    let refused = frame.get(4..6) == Some(&ErrorCode::UNSUPPORTED_VERSION.0.to_be_bytes()[..]);
    let shape = if refused { OLD } else { version };
    decode(api, shape, &frame).map_err(|why| {
        connection.link.pipe.lose(Loss::Undecodable { api, version: shape, why });
        connection.loss()
    })
}

fn hung_up(cause: &Loss) -> bool {
    matches!(
        cause,
        Loss::ClosedByPeer
            | Loss::Io { kind: io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe, .. }
    )
}

/// What a failed first exchange means to whoever gave the address.
fn in_words(error: Error, at: &HostPort, settings: &Settings) -> Error {
    let fault = match &error {
        Error::Timeout { .. } => ConnectFault::Silent { after: settings.connect_timeout },
        Error::Closed { cause, .. } => match &**cause {
            Loss::SpeaksTls => ConnectFault::SpeaksTls,
            // With TLS 1.3 the broker judges our certificate after we believe that the handshake is over.
            Loss::Tls(fault) => {
                let has = settings.security.tls().is_some_and(Tls::has_client_certificate);
                ConnectFault::Tls(fault.clone().for_client(has))
            }
            lost if hung_up(lost) && settings.security.tls().is_some() => ConnectFault::ClosedAfterTls,
            Loss::SpeaksHttp => ConnectFault::SpeaksHttp,
            lost if hung_up(lost) => ConnectFault::ClosedEarly,
            lost => ConnectFault::NotKafka { why: lost.to_string() },
        },
        _ => return error,
    };
    Error::Connect { address: at.clone(), fault }
}
