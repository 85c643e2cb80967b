//! The memory of the whole process for records on their way, in bytes. Reserved before a fetch is sent, corrected to what
//! came, released when the last batch of the answer has its receipt. A batch larger than what was reserved puts the
//! budget into debt: nothing new starts until that is worked off, and nothing is ever dropped for it.
//! Fetches are served in turn: what is live before what catches up, and of those the link that holds least. Who opens a
//! partition never stands behind a fetch: what was fetched may be waiting for just that opening.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::lane::Lane;

/// This part of the capacity is never given to what catches up: a record that has just come finds room at once.
const LIVE_PART: usize = 8;

/// A holder's share in the memory of the process. A clone is the same holder, [`Budget::holder`] makes another.
#[derive(Clone, Debug)]
pub struct Budget {
    shared: Arc<Shared>,
    holder: Arc<Holder>,
}

#[derive(Debug)]
struct Shared {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    /// Of it, by what catches up.
    backlog: usize,
    /// What each holder holds.
    holders: BTreeMap<u64, usize>,
    /// In the order in which they came.
    waiting: Vec<Waiter>,
    next_holder: u64,
}

#[derive(Debug)]
struct Waiter {
    claim: Claim,
    granted: oneshot::Sender<Permit>,
}

/// Who wants, or holds, how much for what.
#[derive(Clone, Copy, Debug)]
struct Claim {
    holder: u64,
    purpose: Purpose,
    bytes: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    /// A look at what is there: granted as soon as it fits, whoever else waits.
    Look,
    /// Granted in turn.
    Fetch(Lane),
}

/// Forgotten when its last handle goes; what its permits hold stays counted.
#[derive(Debug)]
struct Holder {
    id: u64,
    shared: Arc<Shared>,
}

/// The right to hold so many bytes; given back when dropped.
#[derive(Debug)]
#[must_use = "a permit that is dropped frees its bytes at once"]
pub struct Permit {
    claim: Claim,
    shared: Arc<Shared>,
}

impl Budget {
    pub fn new(capacity_bytes: usize) -> Self {
        let shared = Arc::new(Shared { capacity: capacity_bytes, state: Mutex::default() });
        Self::of(shared)
    }

    /// Another holder of the same memory: each link has one.
    #[must_use]
    pub fn holder(&self) -> Self {
        Self::of(Arc::clone(&self.shared))
    }

    fn of(shared: Arc<Shared>) -> Self {
        let mut state = shared.state();
        let id = state.next_holder;
        state.next_holder += 1;
        state.holders.insert(id, 0);
        drop(state);
        Self { holder: Arc::new(Holder { id, shared: Arc::clone(&shared) }), shared }
    }

    pub fn capacity_bytes(&self) -> usize {
        self.shared.capacity
    }

    /// By all holders together.
    pub fn used_bytes(&self) -> usize {
        self.shared.state().used
    }

    /// Holders that there are now, at least 1.
    pub fn holders(&self) -> usize {
        self.shared.state().holders.len().max(1)
    }

    /// Waits until `bytes` fit, in nobody's turn. More than the whole capacity is granted when nothing else is held.
    pub async fn reserve(&self, bytes: usize) -> Permit {
        self.wait(Purpose::Look, bytes).await
    }

    /// Waits until it is this holder's turn in this lane, and `bytes` fit. Dropping the future gives the place up.
    pub async fn reserve_for(&self, lane: Lane, bytes: usize) -> Permit {
        self.wait(Purpose::Fetch(lane), bytes).await
    }

    async fn wait(&self, purpose: Purpose, bytes: usize) -> Permit {
        let claim = Claim { holder: self.holder.id, purpose, bytes };
        loop {
            let (granted, answer) = oneshot::channel();
            self.shared.state().waiting.push(Waiter { claim, granted });
            self.shared.serve();
            // A waiter leaves the queue with its permit only.
            if let Ok(permit) = answer.await {
                return permit;
            }
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while holding it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Grants what fits, in turn.
    fn serve(self: &Arc<Self>) {
        loop {
            let mut state = self.state();
            let Some(next) = state.next(self.capacity) else { return };
            let Waiter { claim, granted } = state.waiting.remove(next);
            state.add(claim, claim.bytes);
            drop(state);
            // Nobody waits any more: the permit comes back at once, and the next one's turn with it.
            drop(granted.send(Permit { claim, shared: Arc::clone(self) }));
        }
    }
}

impl State {
    /// A look that fits; else the fetch whose turn it is, if that fits. No fetch overtakes whose turn it is: else what is
    /// large would never fit.
    fn next(&self, capacity: usize) -> Option<usize> {
        let fits = |bytes: usize| self.used == 0 || self.used + bytes <= capacity;
        let is_look = |waiter: &Waiter| waiter.claim.purpose == Purpose::Look;
        if let Some(at) = self.waiting.iter().position(|waiter| is_look(waiter) && fits(waiter.claim.bytes)) {
            return Some(at);
        }
        let held = |claim: &Claim| self.holders.get(&claim.holder).copied().unwrap_or(0);
        let turn = |(at, waiter): &(usize, &Waiter)| (waiter.claim.purpose, held(&waiter.claim), *at);
        let fetches = self.waiting.iter().enumerate().filter(|(_, waiter)| !is_look(waiter));
        let (at, waiter) = fetches.min_by_key(turn)?;
        let Claim { purpose, bytes, .. } = waiter.claim;
        let leaves_room = purpose != Purpose::Fetch(Lane::Backlog)
            || self.backlog == 0
            || self.backlog + bytes <= capacity - capacity / LIVE_PART;
        (fits(bytes) && leaves_room).then_some(at)
    }

    fn add(&mut self, claim: Claim, bytes: usize) {
        self.used += bytes;
        if claim.purpose == Purpose::Fetch(Lane::Backlog) {
            self.backlog += bytes;
        }
        if let Some(held) = self.holders.get_mut(&claim.holder) {
            *held += bytes;
        }
    }

    fn take(&mut self, claim: Claim, bytes: usize) {
        self.used -= bytes;
        if claim.purpose == Purpose::Fetch(Lane::Backlog) {
            self.backlog -= bytes;
        }
        if let Some(held) = self.holders.get_mut(&claim.holder) {
            *held -= bytes;
        }
    }
}

impl Permit {
    /// Corrects the permit to what is really held. Growing never waits: the bytes are already there.
    pub fn resize(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.claim.bytes, bytes);
        if bytes > before {
            self.shared.state().add(self.claim, bytes - before);
        } else {
            self.shared.state().take(self.claim, before - bytes);
            self.shared.serve();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.shared.state().take(self.claim, self.claim.bytes);
        self.shared.serve();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.shared.state().holders.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use futures_util::{FutureExt, poll};

    use super::*;

    /// At once, or not at all.
    fn now(budget: &Budget, lane: Lane, bytes: usize) -> Option<Permit> {
        budget.reserve_for(lane, bytes).now_or_never()
    }

    /// What was fetched waits for an opening, the opening for memory, and that stood behind a fetch that did not fit: nothing
    /// moved any more (real::mirror::exact::proof, with 256 KiB).
    #[tokio::test]
    async fn an_opening_never_stands_behind_a_fetch() {
        let budget = Budget::new(256);
        let fetched = budget.reserve_for(Lane::Backlog, 148).await;
        let mut live = Box::pin(budget.reserve_for(Lane::Live, 131));
        assert!(poll!(&mut live).is_pending());
        let look = now_look(&budget, 64);
        assert!(look.is_some(), "it fits");
        drop(look);
        assert!(poll!(&mut live).is_pending(), "it does not");
        drop(fetched);
        assert!(poll!(&mut live).is_ready());
    }

    fn now_look(budget: &Budget, bytes: usize) -> Option<Permit> {
        budget.reserve(bytes).now_or_never()
    }

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
        assert!(now(&budget, Lane::Live, 1).is_none());
        huge.resize(10);
        let other = now(&budget, Lane::Live, 90);
        assert!(other.is_some());
        drop((huge, other));
        let alone = budget.reserve(1_000).await;
        assert_eq!(budget.used_bytes(), 1_000);
        drop(alone);
    }

    #[tokio::test]
    async fn what_catches_up_leaves_room_for_what_is_live() {
        let busy = Budget::new(80);
        let idle = busy.holder();
        let mut held = Vec::new();
        while let Some(permit) = now(&busy, Lane::Backlog, 10) {
            held.push(permit);
        }
        assert_eq!(busy.used_bytes(), 70);
        assert!(now(&idle, Lane::Live, 10).is_some(), "another link's record finds room at once");
        assert!(now(&busy, Lane::Live, 10).is_some(), "and so does its own");
    }

    #[tokio::test]
    async fn who_holds_least_is_next_and_live_is_before_backlog() {
        let first = Budget::new(80);
        let (second, third) = (first.holder(), first.holder());
        let all = first.reserve(60).await;
        let some = second.reserve(20).await;
        let mut of_first = Box::pin(first.reserve_for(Lane::Backlog, 20));
        let mut of_second = Box::pin(second.reserve_for(Lane::Backlog, 20));
        let mut of_third = Box::pin(third.reserve_for(Lane::Backlog, 20));
        let mut live = Box::pin(first.reserve_for(Lane::Live, 20));
        for waiting in [&mut of_first, &mut of_second, &mut of_third, &mut live] {
            assert!(poll!(waiting).is_pending());
        }
        drop(some);
        let Poll::Ready(live) = poll!(&mut live) else { panic!("what is live was not served first") };
        assert!(poll!(&mut of_first).is_pending() && poll!(&mut of_third).is_pending());
        drop(live);
        // Both hold nothing now: who came first.
        let Poll::Ready(of_second) = poll!(&mut of_second) else { panic!("not the one that holds least") };
        assert!(poll!(&mut of_first).is_pending() && poll!(&mut of_third).is_pending());
        drop(of_second);
        let Poll::Ready(_third) = poll!(&mut of_third) else { panic!("not the one that holds least") };
        assert!(poll!(&mut of_first).is_pending());
        drop(all);
        assert!(poll!(&mut of_first).is_ready());
    }

    #[tokio::test]
    async fn who_no_longer_waits_is_passed_over() {
        let budget = Budget::new(100);
        let all = budget.reserve(100).await;
        let mut gone = Box::pin(budget.reserve(10));
        let mut waiting = Box::pin(budget.reserve(20));
        assert!(poll!(&mut gone).is_pending() && poll!(&mut waiting).is_pending());
        drop((gone, all));
        let Poll::Ready(permit) = poll!(&mut waiting) else { panic!("the next one is still waiting") };
        assert_eq!(budget.used_bytes(), 20);
        drop(permit);
        let other = budget.holder();
        assert_eq!(budget.holders(), 2);
        drop(other);
        assert_eq!((budget.holders(), budget.used_bytes()), (1, 0));
    }
}
