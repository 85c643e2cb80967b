//! One direction of one connection: chunks that wait for their time, in order, bounded in bytes.
//! reader → push (waits for room) → pop (waits for the head's time) → writer. Waiting is on a condition, never a loop.
//! Breaking a lane wakes and ends both sides; what is in it is lost, as in a connection that is reset.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::lock;

/// How the sending side has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// In order: nothing more comes this way.
    Finished,
    /// Its connection was lost.
    Lost,
}

/// What the writer gets next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Chunk(Vec<u8>),
    Ending(Ending),
    Broken,
}

/// The lane was broken: whoever sees it ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken;

#[derive(Debug, Default)]
pub(super) struct Lane {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// With the time at which each may leave, never earlier than the one before it.
    chunks: VecDeque<(Instant, Vec<u8>)>,
    bytes: usize,
    ending: Option<Ending>,
    broken: bool,
}

impl Lane {
    /// Waits until there is room for `chunk`; a chunk larger than `room` goes alone.
    pub(super) fn push(&self, leaves: Instant, chunk: Vec<u8>, room: usize) -> Result<(), Broken> {
        let mut state = lock(&self.state);
        while !state.broken && !state.chunks.is_empty() && state.bytes + chunk.len() > room {
            state = self.wait(state);
        }
        if state.broken {
            return Err(Broken);
        }
        let leaves = state.chunks.back().map_or(leaves, |(before, _)| leaves.max(*before));
        state.bytes += chunk.len();
        state.chunks.push_back((leaves, chunk));
        self.changed.notify_all();
        Ok(())
    }

    /// Nothing more will be pushed.
    pub(super) fn end(&self, ending: Ending) {
        lock(&self.state).ending.get_or_insert(ending);
        self.changed.notify_all();
    }

    /// Waits for the next chunk's time; the ending comes behind all chunks.
    pub(super) fn pop(&self) -> Next {
        let mut state = lock(&self.state);
        loop {
            if state.broken {
                return Next::Broken;
            }
            let Some((leaves, _)) = state.chunks.front() else {
                match state.ending {
                    Some(ending) => return Next::Ending(ending),
                    None => state = self.wait(state),
                }
                continue;
            };
            let leaves = *leaves;
            if leaves > Instant::now() {
                state = self.wait_until(state, leaves);
            } else if let Some((_, chunk)) = state.chunks.pop_front() {
                state.bytes -= chunk.len();
                self.changed.notify_all();
                return Next::Chunk(chunk);
            }
        }
    }

    /// Waits until `at`, or until the lane is broken.
    pub(super) fn pause(&self, at: Instant) -> Result<(), Broken> {
        let mut state = lock(&self.state);
        while !state.broken && Instant::now() < at {
            state = self.wait_until(state, at);
        }
        if state.broken { Err(Broken) } else { Ok(()) }
    }

    /// Waits until the lane is broken.
    pub(super) fn until_broken(&self) {
        let mut state = lock(&self.state);
        while !state.broken {
            state = self.wait(state);
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        lock(&self.state).broken
    }

    pub(super) fn break_off(&self) {
        let mut state = lock(&self.state);
        state.broken = true;
        state.chunks.clear();
        self.changed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_until<'a>(&self, state: MutexGuard<'a, State>, at: Instant) -> MutexGuard<'a, State> {
        let left = at.saturating_duration_since(Instant::now());
        self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use std::thread;
    use std::time::Duration;

    use super::*;

    #[test]
    fn chunks_leave_in_order_and_not_before_their_time() {
        let lane = Lane::default();
        let late = Instant::now() + Duration::from_millis(60);
        lane.push(late, vec![1], 10).unwrap();
        lane.push(Instant::now(), vec![2], 10).unwrap();
        lane.end(Ending::Finished);
        assert_eq!(lane.pop(), Next::Chunk(vec![1]));
        assert!(Instant::now() >= late);
        assert_eq!(lane.pop(), Next::Chunk(vec![2]));
        assert_eq!(lane.pop(), Next::Ending(Ending::Finished));
    }

    #[test]
    fn a_full_lane_makes_the_reader_wait_and_a_broken_one_ends_both() {
        let lane = Lane::default();
        let far = Instant::now() + Duration::from_secs(3_600);
        lane.push(far, vec![0; 100], 10).unwrap();
        thread::scope(|scope| {
            let reader = scope.spawn(|| lane.push(far, vec![0; 1], 10));
            let writer = scope.spawn(|| lane.pop());
            thread::sleep(Duration::from_millis(30));
            assert!(!reader.is_finished() && !writer.is_finished());
            lane.break_off();
            assert_eq!(reader.join().unwrap(), Err(Broken));
            assert_eq!(writer.join().unwrap(), Next::Broken);
        });
        assert_eq!(lane.pause(far), Err(Broken));
        assert!(lane.is_broken());
    }
}
