//! The coordinators' door: gRPC over TLS 1.2 or newer, for holders of certificates of the system's own authority only.
//! Promises: who speaks is taken from the certificate, never from a message. A stranger's, an expired or no certificate
//! ends in the handshake. Messages are bounded; so are streams of one connection.

mod admin;
#[cfg(test)]
mod admin_links_tests;
#[cfg(test)]
mod admin_tests;
#[cfg(test)]
mod admin_world;
mod agents;
mod entrance;
mod peers;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockstep_proto::MESSAGE_BYTES_MAX;
use lockstep_proto::admin::admin_server::AdminServer;
use lockstep_proto::agent::agents_server::AgentsServer;
use lockstep_proto::peer::peers_server::PeersServer;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Error, Server};

use crate::admin::Admin;
use crate::dispatch::Desk;
use crate::holder::{Holder, Nobody, valid_until};
use crate::papers::Papers;
use crate::peers::STATE_BYTES_MAX;
use admin::AdminDoor;
use agents::AgentsDoor;
pub use peers::PeersDoor;

const STREAMS_MAX: u32 = 64;
/// A connection whose far end vanished without a word is noticed by this.
const KEEPALIVE: Duration = Duration::from_secs(10);

/// Who is served behind the door.
pub struct Services {
    /// For agents.
    pub desk: Desk,
    /// For operators; `None`: they are told that nobody serves them here.
    pub admin: Option<Arc<Admin>>,
    /// For other coordinators; `None`: as above.
    pub peers: Option<PeersDoor>,
}

/// Serves agents, operators and other coordinators on `listener` until `stop` is over, then lets open sessions end.
/// `papers`: connections go by those of the moment they come.
///
/// # Errors
/// The server broke.
pub async fn serve(
    listener: TcpListener,
    papers: watch::Receiver<Arc<Papers>>,
    services: Services,
    stop: impl Future<Output = ()>,
) -> Result<(), Error> {
    let Services { desk, admin, peers } = services;
    let agents = AgentsServer::new(AgentsDoor::new(desk)).max_decoding_message_size(MESSAGE_BYTES_MAX);
    let admin = admin.map(|admin| {
        let server = AdminServer::new(AdminDoor::new(admin));
        server.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
    });
    let peers = peers.map(|peers| {
        let server = PeersServer::new(peers);
        server.max_decoding_message_size(STATE_BYTES_MAX).max_encoding_message_size(STATE_BYTES_MAX)
    });
    let (entered, incoming) = mpsc::channel(entrance::QUEUE);
    // It ends when nobody takes connections any more.
    tokio::spawn(entrance::open(listener, papers, entered));
    Server::builder()
        .max_concurrent_streams(STREAMS_MAX)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .add_service(agents)
        .add_optional_service(admin)
        .add_optional_service(peers)
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), stop)
        .await
}

/// Who asks, by the certificate of its connection.
fn holder<T>(request: &tonic::Request<T>) -> Result<Holder, Nobody> {
    Ok(shown(request)?.0)
}

/// Who asks, and until when the certificate that says so is valid.
fn shown<T>(request: &tonic::Request<T>) -> Result<(Holder, SystemTime), Nobody> {
    let certificates = request.peer_certs().ok_or(Nobody::NotShown)?;
    let own = certificates.first().ok_or(Nobody::NotShown)?;
    Ok((Holder::of_certificate(own)?, valid_until(own)?))
}
