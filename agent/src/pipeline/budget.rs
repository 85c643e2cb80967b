//! The memory of the whole process for records on their way, in bytes.
//! Reserved before a fetch is sent, corrected to what came, released when the last batch of the answer has its
//! receipt. A single batch larger than what was reserved puts the budget into debt: nothing new starts until
//! that is worked off, and nothing is ever dropped for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

/// Shared by every link of the process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    capacity: usize,
    used: AtomicUsize,
    freed: Notify,
}

/// The right to hold so many bytes; given back when dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped frees its bytes at once"]
pub struct Permit {
    bytes: usize,
    shared: Arc<Shared>,
}

impl Budget {
    pub fn new(capacity_bytes: usize) -> Self {
        let shared = Shared { capacity: capacity_bytes, used: AtomicUsize::new(0), freed: Notify::new() };
        Self { shared: Arc::new(shared) }
    }

    pub fn capacity_bytes(&self) -> usize {
        self.shared.capacity
    }

    pub fn used_bytes(&self) -> usize {
        self.shared.used.load(Ordering::Relaxed)
    }

    /// Waits until `bytes` fit. More than the whole capacity is granted when nothing else is held.
    pub async fn reserve(&self, bytes: usize) -> Permit {
        loop {
            let freed = self.shared.freed.notified();
            if let Some(permit) = self.try_reserve(bytes) {
                return permit;
            }
            freed.await;
        }
    }

    fn try_reserve(&self, bytes: usize) -> Option<Permit> {
        let fits = |used: usize| (used == 0 || used + bytes <= self.shared.capacity).then_some(used + bytes);
        self.shared.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        Some(Permit { bytes, shared: Arc::clone(&self.shared) })
    }
}

impl Permit {
    /// Corrects the permit to what is really held. Growing never waits: the bytes are already there.
    pub fn resize(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.shared.used.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else {
            self.shared.used.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
            self.shared.freed.notify_waiters();
        }
        self.bytes = bytes;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.shared.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reservation_waits_until_it_fits() {
        let budget = Budget::new(100);
        let first = budget.reserve(80).await;
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.reserve(30).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(first);
        let second = waiting.await.unwrap();
        assert_eq!(budget.used_bytes(), 30);
        drop(second);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test]
    async fn one_huge_batch_goes_through_and_holds_everything_else_back() {
        let budget = Budget::new(100);
        let mut huge = budget.reserve(50).await;
        huge.resize(500);
        assert!(budget.try_reserve(1).is_none());
        huge.resize(10);
        let other = budget.try_reserve(90);
        assert!(other.is_some());
        drop((huge, other));
        let alone = budget.reserve(1_000).await;
        assert_eq!(budget.used_bytes(), 1_000);
        drop(alone);
    }
}
