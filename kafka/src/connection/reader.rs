//! Cuts the incoming bytes into frames and hands each to its waiter, until the connection is lost.
//! Promises: a frame's bytes are read into place once and shared from there; no frame exceeds what its
//! request allows, and none that nobody waits for is read.
//! Never decodes an answer: that happens in the task that waits for it.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, ReadHalf};

use super::pipe::Pipe;
use crate::dial::Stream;
use crate::error::Loss;

/// At the start of every answer.
pub(super) const CORRELATION_BYTES: usize = 4;
const LENGTH_BYTES: usize = 4;
/// Room for small answers; large ones get exactly what they need.
const READ_AHEAD: usize = 16 << 10;

pub(super) async fn run(pipe: Arc<Pipe>, mut stream: ReadHalf<Box<dyn Stream>>) {
    let reading = async {
        let mut buffer = BytesMut::new();
        loop {
            let frame = read_frame(&mut stream, &mut buffer, &pipe).await?;
            // `read_frame` refuses frames too short for the correlation id.
            let correlation = frame.slice(..CORRELATION_BYTES).get_i32();
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
    pipe: &Pipe,
) -> Result<Bytes, Loss> {
    fill(stream, buffer, LENGTH_BYTES).await?;
    let claimed = buffer.get_i32();
    let length = frame_length(claimed, pipe)?;
    fill(stream, buffer, length).await?;
    Ok(buffer.split_to(length).freeze())
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
