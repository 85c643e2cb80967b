//! The memory of large answers, used again: fresh memory costs a page fault for every 4 KiB that the kernel fills.
//! Promises: memory comes back only when the last slice of its frame is gone; at most one buffer of a connection lies
//! unused, never one above 16 MiB, and none that forty answers in a row had no use for.
//! Never zeroes, never shrinks what is in use. When the connection ends its memory goes with the last frame.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

/// Shorter answers share small buffers; a page or two of them is not worth keeping.
pub(super) const LARGE_BYTES: usize = 128 << 10;
/// A buffer serves answers down to this part of its size: what a small one holds must not be counted as huge.
const FILLED_AT_LEAST: usize = 4;
/// Larger ones (single huge batches) are rare; they go at once.
const SPARE_BYTES_MAX: usize = 16 << 20;
/// So many answers in a row that did without, and nobody misses the buffer. About ten seconds of an idle long poll.
const UNUSED_MAX: u32 = 40;

/// An answer, from its correlation id on.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) bytes: Bytes,
    /// What it keeps in memory, as long as any slice of it lives: at least its length.
    pub(super) held_bytes: usize,
}

/// Where a connection keeps a buffer between two large answers.
#[derive(Debug, Default)]
pub(super) struct Memory {
    spare: Arc<Spare>,
    /// Answers that had no use for the spare buffer, in a row.
    unused: u32,
}

#[derive(Debug, Default)]
struct Spare(Mutex<Option<Vec<u8>>>);

impl Memory {
    /// An empty buffer with room for `length` bytes: the spare one if it suits, or a new one, not yet backed.
    pub(super) fn take(&mut self, length: usize) -> Vec<u8> {
        let mut spare = self.spare.lock();
        match spare.take() {
            Some(buffer) if suits(&buffer, length) => {
                self.unused = 0;
                buffer
            }
            other => {
                *spare = other;
                drop(spare);
                self.not_needed();
                // A little more than needed: answers differ by a few records, and what is not written to costs nothing.
                Vec::with_capacity(length + length / 8)
            }
        }
    }

    /// The filled buffer as a frame; its memory comes back by itself.
    pub(super) fn frame(&self, buffer: Vec<u8>) -> Frame {
        let held_bytes = buffer.capacity();
        let bytes = Bytes::from_owner(Lent { buffer, home: Arc::downgrade(&self.spare) });
        Frame { bytes, held_bytes }
    }

    /// An answer came that has no use for the spare buffer.
    pub(super) fn not_needed(&mut self) {
        let mut spare = self.spare.lock();
        self.unused = if spare.is_some() { self.unused + 1 } else { 0 };
        if self.unused == UNUSED_MAX {
            spare.take();
        }
    }
}

fn suits(buffer: &Vec<u8>, length: usize) -> bool {
    (length..=length.saturating_mul(FILLED_AT_LEAST)).contains(&buffer.capacity())
}

impl Spare {
    fn lock(&self) -> MutexGuard<'_, Option<Vec<u8>>> {
        // No code panics while it holds the lock; if it did, a buffer would be missing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer inside a frame.
struct Lent {
    buffer: Vec<u8>,
    home: Weak<Spare>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let Some(home) = self.home.upgrade() else { return };
        if self.buffer.capacity() > SPARE_BYTES_MAX {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        let mut spare = home.lock();
        // Of two the larger; the other is freed.
        if spare.as_ref().is_none_or(|kept| kept.capacity() <= buffer.capacity()) {
            *spare = Some(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(memory: &mut Memory, length: usize) -> Frame {
        let mut buffer = memory.take(length);
        buffer.resize(length, 7);
        memory.frame(buffer)
    }

    fn spare_bytes(memory: &Memory) -> Option<usize> {
        memory.spare.lock().as_ref().map(Vec::capacity)
    }

    #[test]
    fn memory_is_used_again_once_the_last_slice_is_gone() {
        let mut memory = Memory::default();
        let first = frame(&mut memory, 1 << 20);
        let at = first.bytes.as_ptr();
        assert!(first.held_bytes >= 1 << 20);
        let slice = first.bytes.slice(1_000..2_000);
        drop(first);
        let second = frame(&mut memory, 1 << 20);
        assert_ne!(second.bytes.as_ptr(), at, "a slice of it still lives");
        assert!(slice.iter().all(|byte| *byte == 7));
        drop(slice);
        let third = frame(&mut memory, 1 << 20);
        assert_eq!(third.bytes.as_ptr(), at);
    }

    #[test]
    fn one_buffer_at_most_lies_unused() {
        let mut memory = Memory::default();
        let frames = [1 << 20, 3 << 20, 2 << 20].map(|length| frame(&mut memory, length));
        let largest = frames[1].held_bytes;
        drop(frames);
        assert_eq!(spare_bytes(&memory), Some(largest));
    }

    #[test]
    fn a_small_answer_does_not_hold_a_huge_buffer() {
        let mut memory = Memory::default();
        drop(frame(&mut memory, 8 << 20));
        let small = frame(&mut memory, 1 << 20);
        assert!(small.held_bytes < 2 << 20, "{} held", small.held_bytes);
        assert!(spare_bytes(&memory) >= Some(8 << 20), "the large one waits for the next large answer");
        let large = frame(&mut memory, 6 << 20);
        assert!(large.held_bytes >= 8 << 20, "what is held is told");
        assert_eq!(spare_bytes(&memory), None);
    }

    #[test]
    fn too_small_a_buffer_is_replaced() {
        let mut memory = Memory::default();
        drop(frame(&mut memory, 1 << 20));
        drop(frame(&mut memory, 4 << 20));
        assert!(spare_bytes(&memory) >= Some(4 << 20));
    }

    #[test]
    fn a_huge_buffer_is_not_kept() {
        let mut memory = Memory::default();
        drop(frame(&mut memory, SPARE_BYTES_MAX + 1));
        assert_eq!(spare_bytes(&memory), None);
    }

    #[test]
    fn what_answers_have_no_use_for_goes_back_to_the_system() {
        let mut memory = Memory::default();
        drop(frame(&mut memory, 1 << 20));
        (1..UNUSED_MAX).for_each(|_| memory.not_needed());
        drop(frame(&mut memory, 1 << 20));
        (1..UNUSED_MAX).for_each(|_| memory.not_needed());
        assert!(spare_bytes(&memory).is_some(), "it was used meanwhile");
        memory.not_needed();
        assert_eq!(spare_bytes(&memory), None);
        // Large answers that are far smaller than it do not keep it either.
        drop(frame(&mut memory, 8 << 20));
        let small: Vec<_> = (0..UNUSED_MAX + 1).map(|_| frame(&mut memory, LARGE_BYTES)).collect();
        assert_eq!(spare_bytes(&memory), None);
        assert!(small.iter().all(|frame| frame.held_bytes < 2 * LARGE_BYTES));
    }

    #[test]
    fn a_connection_that_is_gone_keeps_nothing() {
        let mut memory = Memory::default();
        let last = frame(&mut memory, 1 << 20);
        drop(memory);
        assert_eq!(last.bytes.len(), 1 << 20);
    }
}
