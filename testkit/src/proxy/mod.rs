//! A TCP proxy before one broker: a network that can be slow, lossy, cut or closed, one way or both, while connections
//! live; it can lead to another server, counts bytes, and hands every answer to a hook that may change it.
//! accept → per connection and direction a reader, a lane (what is under way) and a writer.
//! Never decodes more than lengths, api keys and batch headers. Everything ends when the proxy is dropped.

pub mod frame;
mod framing;
mod lane;
mod relay;
#[cfg(test)]
mod tests;
mod way;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

pub use frame::Asked;
pub use way::Direction;

use crate::Error;
use relay::Link;
use way::{Flow, Way};

const DIAL: Duration = Duration::from_secs(10);

/// A running proxy.
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

/// What all connections see.
struct Shared {
    upstream: Mutex<SocketAddr>,
    hooks: Hooks,
    ways: [Way; 2],
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    state: State,
    /// Every live connection, by number.
    live: Vec<(u64, Arc<Link>)>,
    accepted: u64,
}

#[derive(Default, PartialEq, Eq)]
enum State {
    #[default]
    Open,
    /// The proxy was dropped: the next connection ends the listener.
    Closed,
}

/// What happens to connections when the network changes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Network {
    /// Both ways swallow: new connections are accepted and hang.
    Severed,
    Reachable,
}

impl Proxy {
    /// Listens on a free port and forwards to `upstream` (`address:port`), which need not answer yet.
    pub fn before(upstream: &str) -> Result<Self, Error> {
        let what = || format!("a proxy before {upstream}");
        let address = parse(upstream)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io(what()))?;
        let port = listener.local_addr().map_err(Error::io(what()))?.port();
        let shared = Arc::new(Shared {
            upstream: Mutex::new(address),
            hooks: Hooks::default(),
            ways: Default::default(),
            connections: Mutex::default(),
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

    /// Where new connections lead, as `address:port`.
    pub fn upstream(&self) -> String {
        lock(&self.shared.upstream).to_string()
    }

    /// New connections lead to another server (`address:port`); present ones stay where they are
    /// (see [`Proxy::reset_all`]).
    pub fn redirect(&self, upstream: &str) -> Result<(), Error> {
        *lock(&self.shared.upstream) = parse(upstream)?;
        Ok(())
    }

    /// Every answer passes through `hook` before it goes to the client: what was asked, and the frame without its
    /// length. Replaces the hook before. Answers are then kept back until they are whole.
    pub fn on_response(&self, hook: impl FnMut(&Asked, &mut [u8]) + Send + 'static) {
        self.shared.hooks.set(hook);
    }

    /// Answers pass unchanged again.
    pub fn clear(&self) {
        *lock(&self.shared.hooks.0) = None;
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

    /// Each byte leaves `by` after it came, in order; throughput stays as it is. Zero ends it.
    pub fn delay(&self, direction: Direction, by: Duration) {
        self.shared.way(direction).set_delay(by);
    }

    /// One TCP segment (1,448 bytes, or a smaller write) in `one_in` is late by `by`, and what is behind it on its
    /// connection waits too, as behind a lost segment. Zero of either ends it.
    pub fn hold(&self, direction: Direction, one_in: u32, by: Duration) {
        self.shared.way(direction).set_hold(one_in, by);
    }

    /// All connections together get at most `bytes_per_second` in this direction.
    pub fn throttle(&self, direction: Direction, bytes_per_second: u64) {
        self.shared.way(direction).set_rate(Some(bytes_per_second));
    }

    /// No delay, no held segments, no throttle, both ways. Cuts and the hook stay.
    pub fn calm(&self) {
        for way in &self.shared.ways {
            way.set_delay(Duration::ZERO);
            way.set_hold(0, Duration::ZERO);
            way.set_rate(None);
        }
    }

    /// From now on this direction swallows: bytes and ends of connections, present and new, vanish without a word.
    /// With both directions cut nothing passes and nothing is closed; new connections are accepted and hang.
    pub fn cut(&self, direction: Direction) {
        self.shared.way(direction).set_flow(Flow::Swallows);
    }

    /// Cuts both directions.
    pub fn cut_both(&self) {
        for direction in Direction::BOTH {
            self.cut(direction);
        }
    }

    /// Ends every cut. Connections that lived through one are reset, because they lack bytes; new ones pass.
    pub fn heal(&self) {
        let flows = self.shared.ways.each_ref().map(Way::flow);
        if flows.contains(&Flow::Swallows) {
            // Reset first: bytes behind a gap must not pass.
            self.reset_all();
            for way in &self.shared.ways {
                way.set_flow(Flow::Passes);
            }
            // Connections that were being accepted meanwhile hang, or lack bytes.
            self.reset_all();
        }
    }

    /// Ends one direction of all present connections in order (FIN); the other direction goes on.
    /// Bytes that still come this way are lost.
    pub fn half_close(&self, direction: Direction) {
        for (_, link) in &lock(&self.shared.connections).live {
            link.half_close(direction);
        }
    }

    /// Resets all present connections, on both sides; new ones are accepted.
    pub fn reset_all(&self) {
        for (_, link) in lock(&self.shared.connections).live.drain(..) {
            link.reset();
        }
    }

    /// Connections that live now.
    pub fn connections(&self) -> usize {
        lock(&self.shared.connections).live.len()
    }

    /// Connections that were ever accepted and reached the broker, or hang in a cut.
    pub fn accepted(&self) -> u64 {
        lock(&self.shared.connections).accepted
    }

    /// Bytes forwarded to the broker since the start.
    pub fn bytes_to_server(&self) -> u64 {
        self.shared.way(Direction::ToServer).forwarded.load(Ordering::Acquire)
    }

    /// Bytes forwarded to clients since the start.
    pub fn bytes_to_client(&self) -> u64 {
        self.shared.way(Direction::ToClient).forwarded.load(Ordering::Acquire)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        lock(&self.shared.connections).state = State::Closed;
        self.reset_all();
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)), DIAL);
    }
}

impl std::fmt::Debug for Proxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Proxy({} before {})", self.port, *lock(&self.shared.upstream))
    }
}

fn parse(upstream: &str) -> Result<SocketAddr, Error> {
    upstream.parse().map_err(|cause| Error::Refused(format!("a proxy before {upstream}: {cause}")))
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((client, _)) = listener.accept() {
        if lock(&shared.connections).state == State::Closed {
            return;
        }
        let shared = Arc::clone(shared);
        thread::spawn(move || connect(client, &shared));
    }
}

/// Serves a new connection to its end.
fn connect(client: TcpStream, shared: &Arc<Shared>) {
    if shared.network() == Network::Severed {
        // It hangs, without a thread of its own, until it is reset.
        if let Ok(link) = Link::new(client, None) {
            shared.enter(&Arc::new(link));
        }
        return;
    }
    let upstream = *lock(&shared.upstream);
    // A broker that is down refuses: the client sees its connection end, as it would without us.
    let Ok(server) = TcpStream::connect_timeout(&upstream, DIAL) else { return };
    let Ok(link) = Link::new(client, Some(server)).map(Arc::new) else { return };
    let number = shared.enter(&link);
    relay::serve(&link, shared);
    lock(&shared.connections).live.retain(|(each, _)| *each != number);
}

impl Shared {
    fn way(&self, direction: Direction) -> &Way {
        &self.ways[direction as usize]
    }

    fn network(&self) -> Network {
        let severed = self.ways.iter().all(|way| way.flow() == Flow::Swallows);
        if severed { Network::Severed } else { Network::Reachable }
    }

    fn enter(&self, link: &Arc<Link>) -> u64 {
        let mut connections = lock(&self.connections);
        connections.accepted += 1;
        let number = connections.accepted;
        if connections.state == State::Closed {
            link.reset();
        } else {
            connections.live.push((number, Arc::clone(link)));
        }
        number
    }
}

type Hook = Box<dyn FnMut(&Asked, &mut [u8]) + Send>;

/// The hook, if one is set.
#[derive(Default)]
struct Hooks(Mutex<Option<Hook>>);

impl Hooks {
    fn set(&self, hook: impl FnMut(&Asked, &mut [u8]) + Send + 'static) {
        *lock(&self.0) = Some(Box::new(hook));
    }

    fn is_set(&self) -> bool {
        lock(&self.0).is_some()
    }

    fn show(&self, asked: &Asked, frame: &mut [u8]) {
        if let Some(hook) = lock(&self.0).as_mut() {
            hook(asked, frame);
        }
    }
}

/// A hook that panicked has failed its test already; the others go on.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
