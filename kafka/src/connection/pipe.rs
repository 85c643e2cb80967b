//! What reader, writer and handles of a connection share: who waits for which answer, and whether it is lost.
//! Promises: waiters are answered in the order their requests were written; the first loss wins and drops all waiters.
//! Never does I/O.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{oneshot, watch};

use super::memory::Frame;
use crate::error::Loss;
use crate::settings::HostPort;

pub(super) struct Pipe {
    pub(super) peer: HostPort,
    state: Mutex<State>,
    lost: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    cause: Option<Arc<Loss>>,
    /// In the order written. Bounded by the callers: each holds a deadline, and the queue before it is bounded.
    waiting: VecDeque<Waiting>,
}

struct Waiting {
    correlation: i32,
    /// The most that this request's answer may take.
    bytes_max: usize,
    answer: oneshot::Sender<Frame>,
}

impl Pipe {
    pub(super) fn new(peer: HostPort) -> Self {
        Self { peer, state: Mutex::default(), lost: watch::Sender::new(false) }
    }

    /// Registers a waiter, before its request is written. Refused (and dropped) when the pipe is lost.
    pub(super) fn expect(
        &self,
        correlation: i32,
        bytes_max: usize,
        answer: oneshot::Sender<Frame>,
    ) -> Result<(), Arc<Loss>> {
        let mut state = self.state();
        match &state.cause {
            Some(cause) => Err(Arc::clone(cause)),
            None => {
                state.waiting.push_back(Waiting { correlation, bytes_max, answer });
                Ok(())
            }
        }
    }

    /// How long the next answer may be. There is none that nobody waits for.
    pub(super) fn next_bytes_max(&self) -> Result<usize, Loss> {
        self.state().waiting.front().map(|waiting| waiting.bytes_max).ok_or(Loss::Unasked)
    }

    /// Hands a frame to the first waiter, whose it must be.
    pub(super) fn deliver(&self, found: i32, frame: Frame) -> Result<(), Loss> {
        let waiting = self.state().waiting.pop_front().ok_or(Loss::Unasked)?;
        if waiting.correlation != found {
            return Err(Loss::OutOfOrder { expected: waiting.correlation, found });
        }
        // A waiter that has gone away no longer cares.
        let _ = waiting.answer.send(frame);
        Ok(())
    }

    /// Ends the connection. The first cause stays.
    pub(super) fn lose(&self, loss: Loss) {
        let mut state = self.state();
        if state.cause.is_none() {
            tracing::debug!(peer = %self.peer, %loss, "connection ended");
            state.cause = Some(Arc::new(loss));
            state.waiting.clear();
            drop(state);
            self.lost.send_replace(true);
        }
    }

    pub(super) fn cause(&self) -> Option<Arc<Loss>> {
        self.state().cause.clone()
    }

    pub(super) async fn until_lost(&self) {
        // The sender lives in `self`, so waiting cannot fail before it succeeds.
        let _ = self.lost.subscribe().wait_for(|lost| *lost).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics while it holds the lock; if it did, the state would still be whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
