//! One proxied connection: per direction a thread that reads and one that writes when the time of the bytes has come.
//! reader → framing → lane → writer. An end is passed on in order, behind the bytes before it; a loss ends both ways.
//! A direction that swallows passes neither bytes nor ends on.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use socket2::SockRef;

use super::framing::{Answers, InFlight, Requests};
use super::lane::{Broken, Ending, Lane, Next};
use super::way::{Direction, Flow, Way};
use super::{Hooks, Shared};

const READ_BYTES: usize = 64 << 10;
/// A slow line is shared in pieces of this size.
const WRITE_BYTES: usize = 16 << 10;
/// How often a writer whose peer does not read looks whether its connection is still wanted.
const WRITE_PATIENCE: Duration = Duration::from_millis(100);

/// Both ends of a connection and what is on its way between them.
#[derive(Debug)]
pub(super) struct Link {
    client: TcpStream,
    /// `None`: accepted into a network where nothing passes; it hangs until it is reset.
    server: Option<TcpStream>,
    lanes: [Lane; 2],
}

impl Link {
    pub(super) fn new(client: TcpStream, server: Option<TcpStream>) -> io::Result<Self> {
        for socket in [Some(&client), server.as_ref()].into_iter().flatten() {
            socket.set_nodelay(true)?;
            socket.set_write_timeout(Some(WRITE_PATIENCE))?;
        }
        Ok(Self { client, server, lanes: Default::default() })
    }

    /// Ends both sides with a TCP reset, which leaves when the last thread has let go of the sockets.
    pub(super) fn reset(&self) {
        // First: what wakes the readers below must not look like an end in order.
        for lane in &self.lanes {
            lane.break_off();
        }
        for socket in [Some(&self.client), self.server.as_ref()].into_iter().flatten() {
            // A socket that is gone already is what we want.
            let _ = SockRef::from(socket).set_linger(Some(Duration::ZERO));
            let _ = socket.shutdown(Shutdown::Read); // wakes the reader, sends nothing
        }
    }

    /// Ends one direction in order, now; bytes that still come this way are lost.
    pub(super) fn half_close(&self, direction: Direction) {
        if let Some(socket) = self.towards(direction) {
            let _ = socket.shutdown(Shutdown::Write); // already closed is what we want
        }
    }

    fn lane(&self, direction: Direction) -> &Lane {
        &self.lanes[direction as usize]
    }

    fn towards(&self, direction: Direction) -> Option<&TcpStream> {
        match direction {
            Direction::ToServer => self.server.as_ref(),
            Direction::ToClient => Some(&self.client),
        }
    }

    fn from(&self, direction: Direction) -> Option<&TcpStream> {
        match direction {
            Direction::ToServer => Some(&self.client),
            Direction::ToClient => self.server.as_ref(),
        }
    }
}

/// Forwards until both directions have ended or the link was reset.
pub(super) fn serve(link: &Arc<Link>, shared: &Arc<Shared>) {
    let in_flight = InFlight::default();
    thread::scope(|scope| {
        for direction in Direction::BOTH {
            scope.spawn(move || write_out(link, direction, shared.way(direction)));
        }
        scope.spawn(|| read_requests(link, &in_flight, shared.way(Direction::ToServer)));
        let _ends = EndsWithPanic(link);
        read_answers(link, &in_flight, &shared.hooks, shared.way(Direction::ToClient));
    });
}

/// A hook that panics must not leave the other threads of its connection waiting.
struct EndsWithPanic<'a>(&'a Link);

impl Drop for EndsWithPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.reset();
        }
    }
}

fn read_requests(link: &Link, in_flight: &InFlight, way: &Way) {
    let mut requests = Requests::new();
    read_in(link, Direction::ToServer, way, |came| {
        requests.follow(came.unwrap_or_default(), in_flight);
        came.unwrap_or_default().to_vec()
    });
}

fn read_answers(link: &Link, in_flight: &InFlight, hooks: &Hooks, way: &Way) {
    let mut answers = Answers::new();
    read_in(link, Direction::ToClient, way, |came| match came {
        Some(bytes) => answers.follow(bytes, in_flight, hooks),
        None => answers.rest(),
    });
}

/// `follow` turns what came (`None`: the end) into what goes on.
fn read_in(link: &Link, direction: Direction, way: &Way, mut follow: impl FnMut(Option<&[u8]>) -> Vec<u8>) {
    let lane = link.lane(direction);
    // A link that hangs has no threads at all.
    let Some(mut socket) = link.from(direction) else { return };
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = socket.read(&mut buffer);
        let came = Instant::now();
        let (passing, ending) = match read {
            Ok(0) => (follow(None), Some(Ending::Finished)),
            Ok(length) => (follow(Some(&buffer[..length])), None),
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => (Vec::new(), Some(Ending::Lost)),
        };
        if enqueue(lane, way, came, passing).is_err() {
            return;
        }
        if let Some(ending) = ending {
            return lane.end(ending);
        }
    }
}

fn enqueue(lane: &Lane, way: &Way, came: Instant, mut chunk: Vec<u8>) -> Result<(), Broken> {
    if chunk.is_empty() {
        return Ok(());
    }
    let timing = way.timing(came, chunk.len());
    if let Some((at, leaves)) = timing.held {
        let held = chunk.split_off(at);
        if !chunk.is_empty() {
            lane.push(timing.first, chunk, way.room())?;
        }
        return lane.push(leaves, held, way.room());
    }
    lane.push(timing.first, chunk, way.room())
}

fn write_out(link: &Link, direction: Direction, way: &Way) {
    let lane = link.lane(direction);
    let Some(socket) = link.towards(direction) else { return };
    let mut delivering = true;
    loop {
        match lane.pop() {
            Next::Chunk(chunk) => {
                for piece in chunk.chunks(WRITE_BYTES) {
                    if !delivering || way.flow() == Flow::Swallows {
                        continue;
                    }
                    match write_piece(socket, piece, lane, way) {
                        Ok(()) => {}
                        Err(Stopped::Broken) => return,
                        // The reader of this socket sees the same end and passes it on.
                        Err(Stopped::Closed) => delivering = false,
                    }
                }
            }
            Next::Ending(_) if way.flow() == Flow::Swallows => return lane.until_broken(),
            Next::Ending(Ending::Finished) => return link.half_close(direction),
            Next::Ending(Ending::Lost) => return link.reset(),
            Next::Broken => return,
        }
    }
}

enum Stopped {
    Broken,
    /// The peer takes nothing more.
    Closed,
}

fn write_piece(mut socket: &TcpStream, piece: &[u8], lane: &Lane, way: &Way) -> Result<(), Stopped> {
    if let Some(passed) = way.take_line(Instant::now(), piece.len()) {
        lane.pause(passed).map_err(|Broken| Stopped::Broken)?;
    }
    // Before it leaves: who has seen a byte finds it counted.
    way.count(piece.len());
    let mut rest = piece;
    while !rest.is_empty() {
        match socket.write(rest) {
            Ok(0) => return Err(Stopped::Closed),
            Ok(written) => rest = &rest[written..],
            Err(cause) if is_patience(&cause) && !lane.is_broken() => {}
            Err(cause) if is_patience(&cause) => return Err(Stopped::Broken),
            Err(_) => return Err(Stopped::Closed),
        }
    }
    Ok(())
}

fn is_patience(cause: &io::Error) -> bool {
    matches!(cause.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}
