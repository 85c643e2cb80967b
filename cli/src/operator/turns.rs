//! Who is asked when, of coordinators that are dialled beside each other. Promises: a call that changes something is with one
//! of them at a time.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::Nature;

/// A question that the leader answers by itself is put to the next one, too, when it is not answered for so long.
const SECOND_OPINION: Duration = Duration::from_secs(2);

/// Whose turn it is, of those that are connected.
pub(super) struct Turns {
    pub(super) nature: Nature,
    one: Semaphore,
}

impl Turns {
    pub(super) fn new(nature: Nature) -> Self {
        Self { nature, one: Semaphore::new(1) }
    }

    /// Held while the call is under way. A question goes out without one when the answer before it takes long; one that agents
    /// are asked for does not: asking them twice would be in their way.
    pub(super) async fn take(&self) -> Option<SemaphorePermit<'_>> {
        match self.nature {
            // It is never closed.
            Nature::Changes | Nature::AsksAgents => self.one.acquire().await.ok(),
            Nature::Reads => timeout(SECOND_OPINION, self.one.acquire()).await.ok()?.ok(),
        }
    }
}
