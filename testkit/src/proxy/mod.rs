//! A TCP proxy before one broker that knows Kafka's frames: it counts, cuts connections, and hands every answer to a
//! hook that may change it. Whole frames only; what is not a frame ends the connection.
//! accept → two threads per connection: requests (remembers what was asked), answers (hook, then on to the client).
//! Never decodes more than lengths, api keys and batch headers. Everything ends when the proxy is dropped.

pub mod frame;
mod relay;

use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

pub use frame::Asked;

use crate::Error;

const DIAL: Duration = Duration::from_secs(10);

type Hook = Box<dyn FnMut(&Asked, &mut [u8]) + Send>;

/// A running proxy.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

/// What all connections see.
struct Shared {
    upstream: SocketAddr,
    hook: Mutex<Option<Hook>>,
    connections: Mutex<Connections>,
    bytes_to_server: AtomicU64,
    bytes_to_client: AtomicU64,
}

#[derive(Default)]
struct Connections {
    state: State,
    /// Both sockets of every live connection, by number.
    live: Vec<(u64, [TcpStream; 2])>,
    accepted: u64,
}

#[derive(Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The proxy was dropped: the next connection ends the listener.
    Closed,
}

impl Proxy {
    /// Listens on a free port and forwards to `upstream` (`address:port`), which need not answer yet.
    pub fn before(upstream: &str) -> Result<Self, Error> {
        let what = || format!("a proxy before {upstream}");
        let address = upstream.parse().map_err(|cause| Error::Refused(format!("{}: {cause}", what())))?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io(what()))?;
        let port = listener.local_addr().map_err(Error::io(what()))?.port();
        let shared = Arc::new(Shared {
            upstream: address,
            hook: Mutex::new(None),
            connections: Mutex::default(),
            bytes_to_server: AtomicU64::new(0),
            bytes_to_client: AtomicU64::new(0),
        });
        let seen = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &seen));
        Ok(Self { port, shared })
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host:port` for clients.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Every answer passes through `hook` before it goes to the client: what was asked, and the frame without its
    /// length. Replaces the hook before.
    pub fn on_response(&self, hook: impl FnMut(&Asked, &mut [u8]) + Send + 'static) {
        *lock(&self.shared.hook) = Some(Box::new(hook));
    }

    /// Answers pass unchanged again.
    pub fn clear(&self) {
        *lock(&self.shared.hook) = None;
    }

    /// Flips one bit in the payload of the `nth` record batch (from 1) that passes in Fetch answers from now on.
    /// Returns a count that becomes 1 when it has happened. Replaces the hook before.
    pub fn flip_bit_in_fetched_batch(&self, nth: u64) -> Arc<AtomicU64> {
        let flipped = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&flipped);
        let mut passed = 0;
        self.on_response(move |asked, answer| {
            if asked.api_key != frame::FETCH || passed >= nth {
                return;
            }
            for batch in frame::batches(answer) {
                passed += 1;
                if passed == nth {
                    // The middle of the payload: neither a length nor the header decides alone.
                    let payload = &mut answer[batch][frame::BATCH_HEADER..];
                    let middle = payload.len() / 2;
                    payload[middle] ^= 0b0001_0000;
                    count.fetch_add(1, Ordering::AcqRel);
                    return;
                }
            }
        });
        flipped
    }

    /// Ends all present connections; new ones are accepted.
    pub fn cut(&self) {
        for (_, sockets) in lock(&self.shared.connections).live.drain(..) {
            close(&sockets);
        }
    }

    /// Connections that live now.
    pub fn connections(&self) -> usize {
        lock(&self.shared.connections).live.len()
    }

    /// Connections that were ever accepted and reached the broker.
    pub fn accepted(&self) -> u64 {
        lock(&self.shared.connections).accepted
    }

    /// Bytes forwarded to the broker since the start, lengths included.
    pub fn bytes_to_server(&self) -> u64 {
        self.shared.bytes_to_server.load(Ordering::Acquire)
    }

    /// Bytes forwarded to clients since the start, lengths included.
    pub fn bytes_to_client(&self) -> u64 {
        self.shared.bytes_to_client.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        lock(&self.shared.connections).state = State::Closed;
        self.cut();
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)), DIAL);
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({} before {})", self.port, self.shared.upstream)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((client, _)) = listener.accept() {
        if lock(&shared.connections).state == State::Closed {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            // A broker that is down refuses: the client sees its connection end, as it would without us.
            if let Ok(server) = TcpStream::connect_timeout(&shared.upstream, DIAL) {
                let _ = relay::serve(client, server, &shared);
            }
        });
    }
}

impl Shared {
    fn enter(&self, sockets: [TcpStream; 2]) -> u64 {
        let mut connections = lock(&self.connections);
        connections.accepted += 1;
        let number = connections.accepted;
        if connections.state == State::Closed {
            close(&sockets);
        } else {
            connections.live.push((number, sockets));
        }
        number
    }

    fn leave(&self, number: u64) {
        lock(&self.connections).live.retain(|(each, sockets)| {
            if *each == number {
                close(sockets);
            }
            *each != number
        });
    }

    fn answer(&self, asked: &Asked, frame: &mut [u8]) {
        if let Some(hook) = lock(&self.hook).as_mut() {
            hook(asked, frame);
        }
    }
}

fn close(sockets: &[TcpStream; 2]) {
    for socket in sockets {
        let _ = socket.shutdown(Shutdown::Both); // already closed is what we want
    }
}

/// A hook that panicked has failed its test already; the others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
