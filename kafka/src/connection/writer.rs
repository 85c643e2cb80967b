//! Numbers the submitted requests and writes them in order, many per system call, until the connection is lost.
//! Promises: a waiter is registered before the first byte of its request leaves; payloads are never copied.
//! Never waits for an answer.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::sync::mpsc;

use super::Outgoing;
use super::pipe::Pipe;
use crate::dial::Stream;

/// Requests written with one system call, if they are there.
const REQUESTS_AT_ONCE: usize = 16;
/// Linux takes at most 1,024 slices in one call.
const SLICES_AT_ONCE: usize = 1_024;
/// Length, API number, version, correlation id.
const PREFIX_BYTES: usize = 12;

pub(super) async fn run(
    pipe: Arc<Pipe>,
    mut stream: WriteHalf<Box<dyn Stream>>,
    mut queue: mpsc::Receiver<Outgoing>,
) {
    let writing = async {
        let mut correlation = 0i32;
        let mut requests = Vec::with_capacity(REQUESTS_AT_ONCE);
        let mut segments = Vec::new();
        while queue.recv_many(&mut requests, REQUESTS_AT_ONCE).await > 0 {
            for request in requests.drain(..) {
                segments.push(prefix(&request, correlation));
                segments.extend(request.segments.into_iter().filter(|segment| !segment.is_empty()));
                if pipe.expect(correlation, request.answer_bytes_max, request.answer).is_err() {
                    return Ok(());
                }
                correlation = correlation.wrapping_add(1);
            }
            write_all(&mut stream, &segments).await?;
            segments.clear();
        }
        Ok::<(), io::Error>(())
    };
    tokio::select! {
        biased;
        () = pipe.until_lost() => {}
        ended = writing => {
            if let Err(error) = ended {
                pipe.lose(error.into());
            }
        }
    }
    // What the queue still holds goes with it: its waiters find the cause in the pipe.
}

fn prefix(request: &Outgoing, correlation: i32) -> Bytes {
    let behind_length: usize = PREFIX_BYTES - 4 + request.segments.iter().map(Bytes::len).sum::<usize>();
    let mut prefix = BytesMut::with_capacity(PREFIX_BYTES);
    // `submit` has refused what is longer than the frame limit.
    prefix.put_i32(i32::try_from(behind_length).unwrap_or(i32::MAX));
    prefix.put_i16(request.api.key());
    prefix.put_i16(request.version);
    prefix.put_i32(correlation);
    prefix.freeze()
}

async fn write_all(stream: &mut WriteHalf<Box<dyn Stream>>, segments: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = segments.iter().map(|segment| IoSlice::new(segment)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        let most = rest.len().min(SLICES_AT_ONCE);
        let written = stream.write_vectored(&rest[..most]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        IoSlice::advance_slices(&mut rest, written);
    }
    stream.flush().await
}
