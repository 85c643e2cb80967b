//! Servers that behave as hostile or broken brokers do: `Hostile::start(Mode::HugeFrame, Face::Stranger)`.
//! accept → one thread per connection: reads requests, answers the way its mode says.
//! Same seed, same bytes; the seed is printed (a failing test shows it) and `LOCKSTEP_SEED` repeats it.
//! Never answers anything a client could use, but for the greeting. Everything ends when the server is dropped.

mod answer;
#[cfg(test)]
mod tests;

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use crate::Error;
use crate::proxy::frame::{self, Asked};

const DIAL: Duration = Duration::from_secs(10);
/// More than any client says before it has heard something it can use.
const REQUEST_BYTES_MAX: usize = 64 << 20;
const API_VERSIONS: i16 = 18;
/// What flows without an end, flows in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;
/// The slow one's pace.
const PER_BYTE: Duration = Duration::from_secs(1);

/// How a server is hostile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Random bytes without an end.
    RandomBytes,
    /// A length of 2 GiB, and bytes behind it without an end.
    HugeFrame,
    /// A right frame in whose body an array claims two thousand million elements.
    HugeArray,
    /// The start of a right frame, one byte per second.
    SlowLoris,
    /// Reads the request and closes.
    EarlyClose,
    /// A right answer to another request.
    WrongCorrelation,
    /// A length that a large answer could have (256 MiB less one byte), the right correlation id, and zeros behind it
    /// as long as anybody listens.
    EndlessAnswer,
    /// A whole frame as large as a client may have to take (a metadata answer of 32 MiB, records of 101 MiB), with the
    /// right correlation id and nothing but zeros.
    LargeNonsense,
}

impl Mode {
    pub const ALL: [Self; 8] = [
        Self::RandomBytes,
        Self::HugeFrame,
        Self::HugeArray,
        Self::SlowLoris,
        Self::EarlyClose,
        Self::WrongCorrelation,
        Self::EndlessAnswer,
        Self::LargeNonsense,
    ];
}

/// How far a server pretends to be a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Hostile from the first answer.
    Stranger,
    /// Greets as a broker does (ApiVersions) and is hostile from the second request on.
    Broker,
}

impl Face {
    pub const BOTH: [Self; 2] = [Self::Stranger, Self::Broker];
}

/// A running hostile server.
#[derive(Debug)]
pub struct Hostile {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    mode: Mode,
    face: Face,
    seed: u64,
    live: Mutex<Live>,
}

#[derive(Debug, Default)]
struct Live {
    closed: bool,
    accepted: u64,
    sockets: Vec<(u64, TcpStream)>,
}

impl Hostile {
    /// Listens on a free port.
    pub fn start(mode: Mode, face: Face) -> Result<Self, Error> {
        let seed = std::env::var("LOCKSTEP_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| fastrand::u64(..));
        eprintln!("hostile server {mode:?}, {face:?}: LOCKSTEP_SEED={seed}");
        let what = || format!("a hostile server ({mode:?})");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(Error::io(what()))?;
        let port = listener.local_addr().map_err(Error::io(what()))?.port();
        let shared = Arc::new(Shared { mode, face, seed, live: Mutex::default() });
        let seen = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &seen));
        Ok(Self { port, shared })
    }

    /// `host:port` for clients.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Connections ever accepted.
    pub fn accepted(&self) -> u64 {
        self.shared.live(|live| live.accepted)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        self.shared.live(|live| {
            live.closed = true;
            for (_, socket) in &live.sockets {
                let _ = socket.shutdown(Shutdown::Both); // already closed is what we want
            }
        });
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)), DIAL);
    }
}

impl Shared {
    fn live<T>(&self, with: impl FnOnce(&mut Live) -> T) -> T {
        with(&mut self.live.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept() {
        let number = shared.live(|live| {
            live.accepted += 1;
            if !live.closed
                && let Ok(clone) = socket.try_clone()
            {
                live.sockets.push((live.accepted, clone));
                return Some(live.accepted);
            }
            None
        });
        let Some(number) = number else { return };
        let shared = Arc::clone(shared);
        thread::spawn(move || {
            let mut random = fastrand::Rng::with_seed(shared.seed.wrapping_add(number));
            // It ends when the client has had enough, which is what we are for.
            let _ = serve(&socket, &shared, &mut random);
            let _ = socket.shutdown(Shutdown::Both);
            shared.live(|live| live.sockets.retain(|(each, _)| *each != number));
        });
    }
}

fn serve(mut socket: &TcpStream, shared: &Shared, random: &mut fastrand::Rng) -> io::Result<()> {
    socket.set_nodelay(true)?;
    loop {
        let asked = read_request(socket)?;
        if shared.face == Face::Broker && asked.api_key == API_VERSIONS {
            socket.write_all(&answer::greeting(&asked))?;
            continue;
        }
        match shared.mode {
            Mode::RandomBytes => pour(socket, |piece| random.fill(piece))?,
            Mode::HugeFrame => {
                socket.write_all(&i32::MAX.to_be_bytes())?;
                pour(socket, |piece| random.fill(piece))?;
            }
            Mode::HugeArray => socket.write_all(&answer::with_huge_array(&asked))?,
            Mode::SlowLoris => {
                for byte in answer::long(&asked) {
                    socket.write_all(&[byte])?;
                    thread::sleep(PER_BYTE);
                }
            }
            Mode::EarlyClose => return Ok(()),
            Mode::WrongCorrelation => {
                let other = Asked { correlation: asked.correlation.wrapping_add(1), ..asked };
                socket.write_all(&answer::greeting(&other))?;
            }
            Mode::EndlessAnswer => {
                socket.write_all(&answer::start(answer::ENDLESS, &asked))?;
                pour(socket, |_| {})?;
            }
            Mode::LargeNonsense => {
                let length = answer::large(&asked);
                socket.write_all(&answer::start(length, &asked))?;
                let zeros = u64::from(length.unsigned_abs() - 4);
                io::copy(&mut io::repeat(0).take(zeros), &mut socket)?;
            }
        }
    }
}

/// Without an end: until the client closes.
fn pour(mut socket: &TcpStream, mut fill: impl FnMut(&mut [u8])) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        fill(&mut piece);
        socket.write_all(&piece)?;
    }
}

fn read_request(mut socket: &TcpStream) -> io::Result<Asked> {
    let mut length = [0; 4];
    socket.read_exact(&mut length)?;
    let length =
        usize::try_from(i32::from_be_bytes(length)).ok().filter(|length| *length <= REQUEST_BYTES_MAX);
    let mut request = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
    socket.read_exact(&mut request)?;
    frame::asked(&request).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
