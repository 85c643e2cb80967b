//! Every way a request can fail, with the address, the API and, where a person can act, the remedy.
//! Promises: clonable (all waiters of a lost connection get the same cause), a [`Class`] for each.
//! Never carries a secret or record content.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::code::Code;
use lockstep_core::ids::NodeId;

use crate::code::{Class, ErrorCode};
use crate::sasl::LoginFault;
use crate::settings::HostPort;
use crate::tls::TlsFault;
use crate::versions::{Api, Versions};

/// Why a request has no usable answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// An address that cannot be meant; nothing was dialled.
    #[error("`{given}` is not a broker address: {why}")]
    Address { given: String, why: &'static str },
    /// No connection came about.
    #[error("cannot connect to {address}: {fault}{}", cited(fault.page()))]
    Connect { address: HostPort, fault: ConnectFault },
    /// None of the addresses led to a usable broker; each with its own cause, in the order tried.
    #[error("no broker could be asked: {}", list(tried))]
    NoBroker { tried: Arc<[Error]> },
    /// The connection ended before the answer. Whether the broker acted is unknown.
    #[error("lost the connection to {peer}: {cause}{}", cited(cause.page()))]
    Closed { peer: HostPort, cause: Arc<Loss> },
    /// No answer within the deadline; the connection is closed, because the answer could still come and order matters.
    /// Whether the broker acted is unknown.
    #[error("{peer} did not answer {api} within {after:?}")]
    Timeout { api: Api, peer: HostPort, after: Duration },
    /// The broker speaks no version of this API that we do.
    #[error("{peer} cannot do {api}: {needs} needed, {} offered", offered(broker))]
    Unsupported { api: Api, peer: HostPort, needs: Versions, broker: Option<Versions> },
    /// The broker answered with an error code. `about` names what it concerns: a topic, a transactional id, a broker.
    #[error("{api} for {about} was refused: {code}{}", aside(detail))]
    Refused { api: Api, code: ErrorCode, detail: Option<String>, about: String },
    /// A question or an answer that makes no sense: something left out, something nobody asked for.
    #[error("{api} with {peer}: {why}")]
    Protocol { api: Api, peer: HostPort, why: String },
    /// The metadata does not list this broker, even after asking anew.
    #[error("broker {node} is not part of the cluster at the moment")]
    UnknownBroker { node: NodeId },
    /// The cluster names no controller, even after asking anew.
    #[error("the cluster has no controller at the moment")]
    NoController,
    /// A broker under our addresses belongs to another cluster than the one first connected to.
    #[error("{peer} belongs to cluster {found}, not to {expected}: check names and addresses")]
    ForeignCluster { peer: HostPort, expected: String, found: String },
}

/// Why no connection came about.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectFault {
    #[error("unknown host ({detail}); check the name and this machine's name service")]
    UnknownHost { detail: String },
    #[error("connection refused; check the port and that the broker runs")]
    Refused,
    #[error("unreachable ({detail}); check the network and the firewall")]
    Unreachable { detail: String },
    #[error("no connection within {after:?}; check the address and the firewall")]
    TimedOut { after: Duration },
    #[error("the port is open but did not answer within {after:?}; check that it is a Kafka listener")]
    Silent { after: Duration },
    #[error(
        "this port speaks TLS; set protocol ssl or sasl_ssl in the security section, or give the address of a plaintext listener"
    )]
    SpeaksTls,
    #[error("this port seems to speak HTTP; give the address of a Kafka listener")]
    SpeaksHttp,
    #[error("closed without an answer; perhaps this port speaks TLS, or it is not a Kafka listener")]
    ClosedEarly,
    #[error("{0}")]
    Tls(TlsFault),
    #[error("no TLS handshake within {after:?}; check that this is a TLS listener")]
    SilentTls { after: Duration },
    #[error(
        "closed right after the TLS handshake; perhaps the broker demands a client certificate, or does not accept ours"
    )]
    ClosedAfterTls,
    #[error("{0}")]
    Login(LoginFault),
    #[error(
        "closed by the broker after its greeting; perhaps this listener demands SASL: set protocol sasl_plaintext or sasl_ssl in the security section"
    )]
    WantsLogin,
    #[error("this is no Kafka listener ({why})")]
    NotKafka { why: String },
    #[error("{detail}")]
    Other { kind: io::ErrorKind, detail: String },
}

/// Why a connection that once worked was given up. All its waiters get the same one.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Loss {
    #[error("closed by the broker")]
    ClosedByPeer,
    #[error("{detail}")]
    Io { kind: io::ErrorKind, detail: String },
    #[error("{api} was not answered within {after:?}")]
    Expired { api: Api, after: Duration },
    #[error("the answer's length of {claimed} bytes is outside 4 to {max}")]
    FrameLength { claimed: i32, max: usize },
    #[error("this port seems to speak TLS")]
    SpeaksTls,
    #[error("this port seems to speak HTTP")]
    SpeaksHttp,
    #[error("an answer with correlation id {found} came where {expected} was due")]
    OutOfOrder { expected: i32, found: i32 },
    #[error("an answer came that nobody waits for")]
    Unasked,
    #[error("the answer to {api} v{version} cannot be read: {why}")]
    Undecodable { api: Api, version: i16, why: String },
    #[error("{0}")]
    Tls(TlsFault),
    #[error("{0}")]
    Login(LoginFault),
    #[error("closed by us")]
    ClosedByUs,
}

impl Error {
    /// What the failure asks of the loop that meets it.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Refused { code, .. } => code.class(),
            Self::Connect { fault, .. } => match fault {
                ConnectFault::SpeaksTls | ConnectFault::SpeaksHttp | ConnectFault::NotKafka { .. } => Class::Fatal,
                _ => Class::Retry,
            },
            Self::NoBroker { tried } if !tried.is_empty() => {
                if tried.iter().all(|error| error.class() == Class::Fatal) { Class::Fatal } else { Class::Retry }
            }
            Self::NoBroker { .. }
            | Self::Closed { .. }
            | Self::Timeout { .. }
            | Self::UnknownBroker { .. }
            | Self::NoController
            // A broker that is starting answers half; if it goes on, it goes on visibly.
            | Self::Protocol { .. } => Class::Retry,
            Self::Address { .. } | Self::Unsupported { .. } | Self::ForeignCluster { .. } => Class::Fatal,
        }
    }

    /// Whether the cure includes asking who leads what.
    #[must_use]
    pub fn refreshes_metadata(&self) -> bool {
        match self {
            Self::Refused { code, .. } => code.refreshes_metadata(),
            Self::Connect { .. } | Self::Closed { .. } | Self::Timeout { .. } => true,
            Self::UnknownBroker { .. } | Self::NoController => true,
            _ => false,
        }
    }

    /// The broker's code, when it gave one.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl Error {
    /// The page for whoever has to act on it, if there is one.
    #[must_use]
    pub fn page(&self) -> Option<Code> {
        match self {
            Self::Connect { fault, .. } => fault.page(),
            Self::NoBroker { tried } => tried.iter().find_map(Self::page),
            Self::Closed { cause, .. } => cause.page(),
            Self::Refused { code, .. } if code.is_missing_permission() => Some(Code::PermissionMissing),
            _ => None,
        }
    }
}

impl ConnectFault {
    fn page(&self) -> Option<Code> {
        Some(match self {
            Self::Tls(fault) => fault.code(),
            Self::Login(fault) => fault.code(),
            Self::SpeaksTls => Code::SpeaksTls,
            Self::SilentTls { .. } => Code::NotTls,
            Self::ClosedAfterTls => Code::ClientCertificateRequired,
            Self::WantsLogin => Code::SaslDemanded,
            _ => return None,
        })
    }
}

impl Loss {
    fn page(&self) -> Option<Code> {
        match self {
            Self::Tls(fault) => Some(fault.code()),
            Self::Login(fault) => Some(fault.code()),
            Self::SpeaksTls => Some(Code::SpeaksTls),
            _ => None,
        }
    }
}

impl From<io::Error> for ConnectFault {
    fn from(error: io::Error) -> Self {
        let detail = error.to_string();
        match error.kind() {
            io::ErrorKind::NotFound => Self::UnknownHost { detail },
            io::ErrorKind::ConnectionRefused => Self::Refused,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
                Self::Unreachable { detail }
            }
            kind => Self::Other { kind, detail },
        }
    }
}

impl From<io::Error> for Loss {
    fn from(error: io::Error) -> Self {
        if let Some(fault) = TlsFault::of(&error) {
            return Self::Tls(fault);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::ClosedByPeer,
            kind => Self::Io { kind, detail: error.to_string() },
        }
    }
}

fn cited(page: Option<Code>) -> String {
    page.map_or_else(String::new, |code| format!(" ({code})"))
}

fn list(tried: &[Error]) -> String {
    if tried.is_empty() {
        return "no address is known".to_owned();
    }
    tried.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn offered(broker: &Option<Versions>) -> String {
    broker.map_or_else(|| "none at all".to_owned(), |versions| versions.to_string())
}

fn aside(detail: &Option<String>) -> String {
    detail.as_ref().map_or_else(String::new, |detail| format!(": {detail}"))
}
