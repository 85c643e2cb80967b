//! From connections to those that have shown a certificate, by the papers of the moment. Each handshake is on its own: one that is
//! slow holds up no other, up to [`AT_ONCE`] of them at a time; one that does not come to an end in time is left.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::papers::Papers;

/// Handshakes at a time; who comes then waits in the system's queue.
pub(super) const AT_ONCE: usize = 256;
const HANDSHAKE: Duration = Duration::from_secs(5);
/// Connections that wait for being served.
pub(super) const QUEUE: usize = 16;
/// When no connection can be accepted, as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) type Entered = io::Result<TlsStream<TcpStream>>;

/// Lets connections in until nobody takes them any more.
pub(super) async fn open(
    listener: TcpListener,
    papers: watch::Receiver<Arc<Papers>>,
    entered: mpsc::Sender<Entered>,
) {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        // It is never closed.
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let (stream, from) = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("a connection is not accepted: {error}");
                    sleep(PAUSE).await;
                    continue;
                }
            },
            () = entered.closed() => return,
        };
        let (acceptor, entered) = (TlsAcceptor::from(papers.borrow().server()), entered.clone());
        tokio::spawn(async move {
            let _place = place;
            // A connection without it is slower, not wrong.
            let _ = stream.set_nodelay(true);
            match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                // Whoever served may have gone.
                Ok(Ok(stream)) => drop(entered.send(Ok(stream)).await),
                Ok(Err(error)) => tracing::debug!(%from, "a handshake failed: {error}"),
                Err(_) => tracing::debug!(%from, "a handshake took more than {} s", HANDSHAKE.as_secs()),
            }
        });
    }
}
