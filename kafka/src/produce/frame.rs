//! The produce request on the wire, as segments: small pieces written here, payloads slipped in between as they are.
//! Promises: byte for byte what the protocol library would encode (a test compares), without copying a payload.
//! Versions 3 to 12: flexible from 9 on; topics by name.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::TopicBatches;
use crate::versions::Api;

/// All replicas in sync.
const ACKS_ALL: i16 = -1;

/// The request's segments; the first begins with `head`, the request header.
pub(super) fn segments(
    head: BytesMut,
    version: i16,
    timeout: Duration,
    topics: &[TopicBatches<'_>],
) -> Vec<Bytes> {
    let payloads: usize = topics.iter().map(|topic| topic.partitions.len()).sum();
    let mut frame = Frame {
        open: head,
        closed: Vec::with_capacity(2 * payloads + 1),
        flexible: Api::Produce.is_flexible(version),
    };
    frame.no_transactional_id();
    frame.open.put_i16(ACKS_ALL);
    frame.open.put_i32(i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX));
    frame.count(topics.len());
    for topic in topics {
        frame.text(topic.name);
        frame.count(topic.partitions.len());
        for (index, batch) in &topic.partitions {
            frame.open.put_i32(*index);
            frame.records(&batch.header, &batch.payload);
            frame.no_tags();
        }
        frame.no_tags();
    }
    frame.no_tags();
    frame.finish()
}

/// Segments being written: `open` takes the small pieces and is closed before each payload.
struct Frame {
    open: BytesMut,
    closed: Vec<Bytes>,
    flexible: bool,
}

impl Frame {
    fn no_transactional_id(&mut self) {
        if self.flexible { self.open.put_u8(0) } else { self.open.put_i16(-1) }
    }

    fn records(&mut self, header: &Bytes, payload: &Bytes) {
        // The length includes both parts; the header is too short to be worth a segment of its own.
        self.length(header.len() + payload.len(), Width::Int32);
        self.open.put_slice(header);
        self.closed.push(self.open.split().freeze());
        self.closed.push(payload.clone());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len(), Width::Int16);
        self.open.put_slice(text.as_bytes());
    }

    fn count(&mut self, count: usize) {
        self.length(count, Width::Int32);
    }

    /// Compact lengths are one more than they say, so that 0 can mean null.
    fn length(&mut self, length: usize, width: Width) {
        match (self.flexible, width) {
            (true, _) => varint(&mut self.open, length + 1),
            // Topic names have at most 249 bytes; frames are bounded well below 2 GiB before they are written.
            (false, Width::Int16) => self.open.put_i16(i16::try_from(length).unwrap_or(i16::MAX)),
            (false, Width::Int32) => self.open.put_i32(i32::try_from(length).unwrap_or(i32::MAX)),
        }
    }

    fn no_tags(&mut self) {
        if self.flexible {
            self.open.put_u8(0);
        }
    }

    fn finish(mut self) -> Vec<Bytes> {
        if !self.open.is_empty() {
            self.closed.push(self.open.freeze());
        }
        self.closed
    }
}

/// How wide a length is where it is not compact.
#[derive(Clone, Copy)]
enum Width {
    Int16,
    Int32,
}

fn varint(out: &mut BytesMut, mut value: usize) {
    while value >= 0x80 {
        // Masked to seven bits, it fits.
        out.put_u8((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}
