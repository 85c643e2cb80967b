//! What others may ask of the node. Promises: every question is answered within its patience; a full queue is said at once
//! to callers, and makes peers' streams wait.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;

use super::Refused;
use super::calls::{Answer, Call, Inward};
use super::roster::{Change, Roster};
use crate::agreement::Position;

pub use super::calls::{Delivery, Snapshotted};

/// How long a call waits for a majority; longer than two elections.
const PATIENCE: Duration = Duration::from_secs(10);
/// A snapshot of a large state on a slow disk.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(60);

/// The node, for everybody else. Copies are handles to the same node.
pub struct Handle<A> {
    pub(super) calls: mpsc::Sender<Call<A>>,
    pub(super) inward: mpsc::Sender<Inward>,
    pub(super) position: watch::Receiver<Position>,
}

impl<A> Clone for Handle<A> {
    fn clone(&self) -> Self {
        let (calls, inward) = (self.calls.clone(), self.inward.clone());
        Self { calls, inward, position: self.position.clone() }
    }
}

impl<A> Handle<A> {
    /// Where the node stands, and every change of it.
    #[must_use]
    pub fn position(&self) -> watch::Receiver<Position> {
        self.position.clone()
    }

    /// # Errors
    /// [`Refused`]; `Unknown` when it was proposed and not seen again in time.
    pub async fn propose(&self, data: Vec<u8>) -> Result<A, Refused> {
        self.ask(PATIENCE, |answer| Call::Propose { data, answer }).await
    }

    /// Several changes at once take effect together (joint consensus).
    ///
    /// # Errors
    /// [`Refused`]; `Rule` where another change is under way, a new voter is far behind, or nobody would be left.
    pub async fn change(&self, changes: Vec<Change>) -> Result<Roster, Refused> {
        self.ask(PATIENCE, |answer| Call::Change { changes, answer }).await
    }

    /// Comes back once this member's machine has everything that was agreed on when this was asked.
    ///
    /// # Errors
    /// [`Refused`]; `Unknown` when no majority answers.
    pub async fn read(&self) -> Result<(), Refused> {
        self.ask(PATIENCE, |answer| Call::Read { answer }).await
    }

    /// Asks the leader, this member, to let another one lead. Whether it does is seen in [`Handle::position`].
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn transfer(&self, to: u64) -> Result<(), Refused> {
        self.ask(PATIENCE, |answer| Call::Transfer { to, answer }).await
    }

    /// # Errors
    /// [`Refused`].
    pub async fn snapshot(&self) -> Result<Snapshotted, Refused> {
        self.ask(SNAPSHOT_PATIENCE, |answer| Call::Snapshot { answer }).await
    }

    /// Another member's message, as [`super::Transport::send`] was given it. Waits while the node is busy.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn step(&self, message: Vec<u8>) -> Result<(), Refused> {
        self.tell(Inward::Step(message)).await
    }

    /// # Errors
    /// The node has stopped.
    pub async fn unreachable(&self, member: u64) -> Result<(), Refused> {
        self.tell(Inward::Unreachable(member)).await
    }

    /// What became of a parcel with a snapshot.
    ///
    /// # Errors
    /// The node has stopped.
    pub async fn delivered(&self, member: u64, delivery: Delivery) -> Result<(), Refused> {
        self.tell(Inward::SnapshotSent(member, delivery)).await
    }

    /// The node ends; what is on its way is answered as unknown.
    pub async fn stop(&self) {
        // It may have ended already.
        let _ = self.calls.send(Call::Stop).await;
    }

    async fn tell(&self, inward: Inward) -> Result<(), Refused> {
        self.inward.send(inward).await.map_err(|_| self.gone())
    }

    async fn ask<T>(
        &self,
        patience: Duration,
        call: impl FnOnce(Answer<T>) -> Call<A>,
    ) -> Result<T, Refused> {
        let (answer, answered) = oneshot::channel();
        match self.calls.try_send(call(answer)) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => return Err(Refused::Busy),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(self.gone()),
        }
        match timeout(patience, answered).await {
            Ok(Ok(said)) => said,
            Ok(Err(_)) => Err(self.gone()),
            Err(_) => Err(Refused::Unknown),
        }
    }

    fn gone(&self) -> Refused {
        let why = self.position.borrow().stopped.clone();
        Refused::Stopped(why.unwrap_or_else(|| "it is ending".to_owned()))
    }
}
