//! Numbers the submitted requests and writes them in order, many per system call, until the connection is lost.
//! Promises: a waiter is registered before the first byte of its request leaves; payloads are never copied.
//! Never waits for an answer.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::pipe::Pipe;
use super::{Outgoing, Turn};
use crate::dial::Stream;

/// Requests written with one system call, if they are there.
const REQUESTS_AT_ONCE: usize = 16;
/// Linux takes at most 1,024 slices in one call.
const SLICES_AT_ONCE: usize = 1_024;
/// How long a failed write leaves to what the other side has said last.
const LAST_WORDS: Duration = Duration::from_millis(50);
/// Length, API number, version, correlation id.
const PREFIX_BYTES: usize = 12;

pub(super) async fn run(
    pipe: Arc<Pipe>,
    mut stream: WriteHalf<Box<dyn Stream>>,
    mut queue: mpsc::Receiver<Turn>,
) {
    let writing = async {
        let mut staged = Staged { pipe: &pipe, correlation: 0, segments: Vec::new() };
        let mut turns = Vec::with_capacity(REQUESTS_AT_ONCE);
        while queue.recv_many(&mut turns, REQUESTS_AT_ONCE).await > 0 {
            for turn in turns.drain(..) {
                match turn {
                    Turn::One(request) => staged.add(request)?,
                    Turn::Only(mut own) => {
                        staged.write(&mut stream).await?;
                        while let Some(request) = own.recv().await {
                            staged.add(request)?;
                            staged.write(&mut stream).await?;
                        }
                    }
                }
            }
            staged.write(&mut stream).await?;
        }
        Ok::<(), io::Error>(())
    };
    tokio::select! {
        biased;
        () = pipe.until_lost() => {}
        ended = writing => {
            if let Err(error) = ended {
                // Whoever refuses us says why before it closes: the reader may be about to find it.
                let _ = timeout(LAST_WORDS, pipe.until_lost()).await;
                pipe.lose(error.into());
            }
        }
    }
    // What the queue still holds goes with it: its waiters find the cause in the pipe.
}

/// Requests whose waiters are registered and whose bytes wait to be written.
struct Staged<'a> {
    pipe: &'a Pipe,
    correlation: i32,
    segments: Vec<Bytes>,
}

impl Staged<'_> {
    fn add(&mut self, request: Outgoing) -> io::Result<()> {
        self.segments.push(prefix(&request, self.correlation));
        self.segments.extend(request.segments.into_iter().filter(|segment| !segment.is_empty()));
        // A lost pipe has its cause already; this one is never shown.
        let expected = self.pipe.expect(self.correlation, request.answer_bytes_max, request.answer);
        expected.map_err(|_| io::Error::from(io::ErrorKind::NotConnected))?;
        self.correlation = self.correlation.wrapping_add(1);
        Ok(())
    }

    async fn write(&mut self, stream: &mut WriteHalf<Box<dyn Stream>>) -> io::Result<()> {
        write_all(stream, &self.segments).await?;
        self.segments.clear();
        Ok(())
    }
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
