//! Work leases: which agent copies which partitions, and what it may do while nobody answers.
//!
//! | file | decides |
//! |---|---|
//! | `share` | whose a partition is |
//! | `holder` | what an agent may do: its lease, and what others may still hold |
//! | `grantor` | how long the leader counts with an agent that it does not hear |
//!
//! A lease is a duration. The holder counts it from when it asked, the grantor from when it answered, so that the
//! holder's always ends first; the margin covers clocks of different rates and what is under way to a broker. Guarded
//! partitions need none: there the broker refuses the second of two owners (M5, M6).
//!
//! What whoever carries the messages has to keep, or none of this holds:
//! 1. One agent's stream is ordered, and an assignment goes before every beat that is answered after it was made: an
//!    agent that hears itself granted has heard what it no longer owns.
//! 2. A heartbeat is answered by a leader that has confirmed its leadership after the heartbeat came.
//! 3. One process has one agent's name: the lock on its data folder sees to that on one machine, its certificate
//!    elsewhere.
//! 4. An agent says that it released an epoch's work when everything it had under way is answered.

mod grantor;
mod holder;
mod share;
#[cfg(test)]
mod tests;

pub use grantor::Grantor;
pub use holder::{HeldLease, LinkWork, Permit};
pub use share::{AgentName, Shares, WEIGHT_MAX, WHOLE_LINK, owner};

/// Milliseconds by one machine's clock, one that counts while the machine is suspended; another machine's are never
/// compared with them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub u64);

impl Moment {
    #[must_use]
    pub fn after_ms(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// 0 when it has passed.
    #[must_use]
    pub fn left_ms(self, now: Self) -> u64 {
        self.0.saturating_sub(now.0)
    }
}

/// How long leases are, in milliseconds. With the defaults clocks may differ in rate by 9 %.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    pub lease_ms: u64,
    /// How often the holder asks anew.
    pub renew_ms: u64,
    /// How much longer than the lease the grantor waits.
    pub margin_ms: u64,
}

impl Default for Terms {
    fn default() -> Self {
        Self { lease_ms: 10_000, renew_ms: 3_000, margin_ms: 2_000 }
    }
}

impl Terms {
    /// After so long the grantor is certain that a lease is over.
    #[must_use]
    pub fn certain_ms(self) -> u64 {
        self.lease_ms.saturating_add(self.margin_ms)
    }

    /// Without a word of the grantor for so long the holder looks for another one: a beat's answer is overdue, and half of
    /// the lease is left.
    #[must_use]
    pub fn silence_ms(self) -> u64 {
        (self.lease_ms / 2).max(self.renew_ms.saturating_add(self.renew_ms / 2))
    }
}

/// Whether an agent's lease runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    Held,
    /// Nobody has granted it for a whole lease, or never.
    Over,
}

/// What keeps two owners of a partition apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// The broker: it is sure to remember the link's producer (M6).
    Guarded,
    /// Only the lease: unguarded appends, and markers.
    Unguarded,
}

/// Whether anybody else has a share of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody takes its work without its word or the operator's.
    Alone,
    OneOfSeveral,
}

impl Standing {
    /// Of an agent that has one of these shares.
    #[must_use]
    pub fn among(shares: &Shares) -> Self {
        if shares.len() > 1 { Self::OneOfSeveral } else { Self::Alone }
    }
}

/// Whether an owner goes on. Only one case stops it: somebody else may be about to take what only the lease protects.
#[must_use]
pub fn goes_on(lease: Lease, guard: Guard, standing: Standing) -> bool {
    match (guard, lease, standing) {
        (Guard::Guarded, _, _) | (_, Lease::Held, _) | (_, _, Standing::Alone) => true,
        (Guard::Unguarded, Lease::Over, Standing::OneOfSeveral) => false,
    }
}

/// An agent that may still hold what an earlier epoch gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    pub agent: AgentName,
    pub epoch: u64,
    /// Everybody's in that epoch.
    pub shares: Shares,
    pub left: Left,
}

/// How long a former owner has to be counted with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// Milliseconds from when it was said.
    Ms(u64),
    /// It was alone, and so needs no lease to go on: until it says that it has let go, or the operator forgets it.
    UntilCleared,
}
