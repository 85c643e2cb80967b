//! One proxied connection: frames one way are remembered, frames the other way are matched with what was asked.
//! Kafka answers a connection's requests in order, so a queue is enough. Either side's end ends both.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use super::frame::{self, Asked};
use super::{Shared, lock};

/// Above `socket.request.max.bytes` (100 MiB) and any answer that tests fetch.
const FRAME_BYTES_MAX: usize = 256 << 20;
/// Clients have far fewer requests in flight; unanswered ones (acks=0) must not pile up.
const IN_FLIGHT_MAX: usize = 4_096;

type InFlight = Mutex<VecDeque<Asked>>;

pub(super) fn serve(client: TcpStream, server: TcpStream, shared: &Arc<Shared>) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let number = shared.enter([client.try_clone()?, server.try_clone()?]);
    let in_flight = Arc::new(InFlight::default());
    let asking = {
        let (client, server) = (client.try_clone()?, server.try_clone()?);
        let (in_flight, shared) = (Arc::clone(&in_flight), Arc::clone(shared));
        thread::spawn(move || {
            let _ = forward_requests(client, server, &in_flight, &shared);
            shared.leave(number);
        })
    };
    let _ = forward_answers(server, client, &in_flight, shared);
    shared.leave(number);
    let _ = asking.join();
    Ok(())
}

fn forward_requests(
    mut client: TcpStream,
    mut server: TcpStream,
    in_flight: &InFlight,
    shared: &Shared,
) -> io::Result<()> {
    while let Some(request) = read_frame(&mut client)? {
        let asked = frame::asked(&request).ok_or(io::ErrorKind::InvalidData)?;
        let mut queue = lock(in_flight);
        if queue.len() == IN_FLIGHT_MAX {
            queue.pop_front();
        }
        queue.push_back(asked);
        drop(queue); // known before the broker can answer
        write_frame(&mut server, &request, &shared.bytes_to_server)?;
    }
    Ok(())
}

fn forward_answers(
    mut server: TcpStream,
    mut client: TcpStream,
    in_flight: &InFlight,
    shared: &Shared,
) -> io::Result<()> {
    while let Some(mut answer) = read_frame(&mut server)? {
        let correlation = frame::correlation(&answer).ok_or(io::ErrorKind::InvalidData)?;
        let asked = {
            let mut queue = lock(in_flight);
            // Requests before it were never answered (acks=0).
            let at = queue.iter().position(|asked| asked.correlation == correlation);
            at.and_then(|at| queue.drain(..=at).next_back())
        };
        let asked = asked.ok_or(io::ErrorKind::InvalidData)?;
        shared.answer(&asked, &mut answer);
        write_frame(&mut client, &answer, &shared.bytes_to_client)?;
    }
    Ok(())
}

/// `None` at the end of the stream.
fn read_frame(from: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(|_| io::ErrorKind::InvalidData)?;
    if length > FRAME_BYTES_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(Some(frame))
}

fn write_frame(to: &mut TcpStream, frame: &[u8], count: &AtomicU64) -> io::Result<()> {
    let length = i32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    to.write_all(&length.to_be_bytes())?;
    to.write_all(frame)?;
    count.fetch_add(frame.len() as u64 + 4, Ordering::AcqRel);
    Ok(())
}
