//! Cuts the incoming bytes into frames and hands each to its waiter, until the connection is lost.
//! Promises: a frame's bytes are read into place once and shared from there, the large ones in memory that is used
//! again; no frame exceeds what its request allows, and none that nobody waits for is read.
//! Never decodes an answer: that happens in the task that waits for it.

use std::sync::Arc;

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncReadExt, ReadHalf};

use super::memory::{Frame, LARGE_BYTES, Memory};
use super::pipe::Pipe;
use crate::dial::Stream;
use crate::error::Loss;

/// At the start of every answer.
pub(super) const CORRELATION_BYTES: usize = 4;
const LENGTH_BYTES: usize = 4;
/// Room for small answers.
const READ_AHEAD: usize = 16 << 10;

pub(super) async fn run(pipe: Arc<Pipe>, mut stream: ReadHalf<Box<dyn Stream>>) {
    let reading = async {
        let mut buffer = BytesMut::new();
        let mut memory = Memory::default();
        loop {
            let frame = read_frame(&mut stream, &mut buffer, &mut memory, &pipe).await?;
            // `read_frame` refuses frames too short for the correlation id.
            let correlation = frame.bytes.slice(..CORRELATION_BYTES).get_i32();
            pipe.deliver(correlation, frame)?;
        }
    };
    let ended: Result<std::convert::Infallible, Loss> = tokio::select! {
        biased;
        () = pipe.until_lost() => return,
        ended = reading => ended,
    };
    let Err(loss) = ended;
    pipe.lose(loss);
}

async fn read_frame(
    stream: &mut ReadHalf<Box<dyn Stream>>,
    buffer: &mut BytesMut,
    memory: &mut Memory,
    pipe: &Pipe,
) -> Result<Frame, Loss> {
    fill(stream, buffer, LENGTH_BYTES).await?;
    let claimed = buffer.get_i32();
    let length = frame_length(claimed, pipe)?;
    if length >= LARGE_BYTES {
        return large_frame(stream, buffer, memory, length).await;
    }
    memory.not_needed();
    fill(stream, buffer, length).await?;
    Ok(Frame { bytes: buffer.split_to(length).freeze(), held_bytes: length })
}

/// What was read ahead is copied, the rest goes straight into place.
async fn large_frame(
    stream: &mut ReadHalf<Box<dyn Stream>>,
    buffer: &mut BytesMut,
    memory: &mut Memory,
    length: usize,
) -> Result<Frame, Loss> {
    let mut place = memory.take(length);
    place.put(buffer.split_to(length.min(buffer.len())));
    while place.len() < length {
        let missing = length - place.len();
        if stream.read_buf(&mut (&mut place).limit(missing)).await? == 0 {
            return Err(Loss::ClosedByPeer);
        }
    }
    Ok(memory.frame(place))
}

/// Reads until `needed` bytes are there.
async fn fill(
    stream: &mut ReadHalf<Box<dyn Stream>>,
    buffer: &mut BytesMut,
    needed: usize,
) -> Result<(), Loss> {
    if buffer.len() < needed {
        // Reserves from the allocator without zeroing; the kernel backs only what is really read.
        buffer.reserve((needed - buffer.len()).max(READ_AHEAD));
    }
    while buffer.len() < needed {
        if stream.read_buf(buffer).await? == 0 {
            return Err(Loss::ClosedByPeer);
        }
    }
    Ok(())
}

/// Refuses lengths that no broker would send or nobody waits for; names the protocols whose first bytes look like one.
fn frame_length(claimed: i32, pipe: &Pipe) -> Result<usize, Loss> {
    match claimed.to_be_bytes() {
        // A TLS record: alert (0x15) or handshake (0x16), version 3.x. As a length, above 320 MiB.
        [0x15 | 0x16, 0x03, _, _] => return Err(Loss::SpeaksTls),
        [b'H', b'T', b'T', b'P'] => return Err(Loss::SpeaksHttp),
        _ => {}
    }
    let max = pipe.next_bytes_max()?;
    match usize::try_from(claimed) {
        Ok(length) if (CORRELATION_BYTES..=max).contains(&length) => Ok(length),
        _ => Err(Loss::FrameLength { claimed, max }),
    }
}
