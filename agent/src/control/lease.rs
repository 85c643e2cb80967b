//! The agent's side of its lease: it runs from when a renewal was *asked for*, so that the holder never believes in it
//! longer than the grantor, whatever the way took. No clock of its own: moments come from one that counts suspended time.

use std::collections::BTreeMap;

use lockstep_core::mirror::Millis;

use super::division::Lease;

/// Renewals without an answer that are remembered: an older one would be over by the time it came.
const ASKED_MAX: usize = 16;

/// See the module's description.
#[derive(Debug, Default)]
pub struct Renewals {
    /// As the coordinators said it last; 0: they have not yet.
    lease_ms: u64,
    renew_ms: u64,
    /// When each unanswered renewal was sent.
    asked: BTreeMap<u64, Millis>,
    last: u64,
    asked_at: Option<Millis>,
    held_until: Option<Millis>,
}

impl Renewals {
    /// A session has begun. What an earlier one asked for is not answered here; a lease that runs goes on running.
    pub fn welcome(&mut self, lease_ms: u64, renew_ms: u64) {
        (self.lease_ms, self.renew_ms) = (lease_ms, renew_ms);
        self.asked.clear();
        self.asked_at = None;
    }

    /// The next renewal's number, which is sent now.
    pub fn ask(&mut self, now: Millis) -> u64 {
        self.last += 1;
        self.asked_at = Some(now);
        self.asked.insert(self.last, now);
        if self.asked.len() > ASKED_MAX {
            self.asked.pop_first();
        }
        self.last
    }

    /// How long until the next renewal is due, in milliseconds.
    pub fn due_in(&self, now: Millis) -> u64 {
        let since = self.asked_at.map_or(u64::MAX, |at| now.since(at));
        self.renew_ms.saturating_sub(since)
    }

    /// The coordinators granted the renewal of this number. One that this session never asked for means nothing.
    pub fn granted(&mut self, number: u64) {
        let Some(asked) = self.asked.remove(&number) else { return };
        self.held_until = self.held_until.max(Some(asked.plus(self.lease_ms)));
    }

    pub fn lease(&self, now: Millis) -> Lease {
        match self.held_until {
            Some(until) if now < until => Lease::Held,
            _ => Lease::Over,
        }
    }

    /// When it is over if nothing more comes.
    pub fn held_until(&self) -> Option<Millis> {
        self.held_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Renewals {
        let mut renewals = Renewals::default();
        renewals.welcome(10_000, 3_000);
        renewals
    }

    #[test]
    fn a_lease_runs_from_the_asking_however_late_the_answer_comes() {
        let mut renewals = begun();
        assert_eq!(renewals.lease(Millis(0)), Lease::Over, "nothing was granted yet");
        let first = renewals.ask(Millis(1_000));
        renewals.granted(first);
        assert_eq!(renewals.held_until(), Some(Millis(11_000)));
        let slow = renewals.ask(Millis(4_000));
        let quick = renewals.ask(Millis(7_000));
        renewals.granted(quick);
        renewals.granted(slow);
        assert_eq!(renewals.held_until(), Some(Millis(17_000)), "an answer out of order takes nothing back");
        assert_eq!(
            (renewals.lease(Millis(16_999)), renewals.lease(Millis(17_000))),
            (Lease::Held, Lease::Over)
        );
        assert_eq!((renewals.due_in(Millis(8_000)), renewals.due_in(Millis(20_000))), (2_000, 0));
    }

    #[test]
    fn what_was_not_asked_or_was_answered_means_nothing() {
        let mut renewals = begun();
        renewals.granted(1);
        let first = renewals.ask(Millis(0));
        renewals.granted(first);
        renewals.granted(first);
        assert_eq!(renewals.held_until(), Some(Millis(10_000)));
        let lost = renewals.ask(Millis(5_000));
        renewals.welcome(10_000, 3_000);
        renewals.granted(lost);
        assert_eq!(renewals.held_until(), Some(Millis(10_000)), "asked in another session");
        for at in 0..1_000 {
            renewals.ask(Millis(at));
        }
        assert!(renewals.asked.len() <= ASKED_MAX);
    }
}
