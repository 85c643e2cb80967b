//! What a partition hands out, and what it may: with the leave to write that its owner has at the moment. Losing leave loses
//! nothing that was fetched; getting it back never rests on what was known before somebody else could have written.

use super::super::copying::{Step, next_receipt};
use super::super::opening::Ownership;
use super::{Action, Licence, Opening, Pace, Partition, Settings, State, Then, Trouble};
use crate::mirror::Now;

const UNLICENSED: &str =
    "another agent may still be writing here: what the broker does not guard waits until its lease is over";
/// An opening that waits for leave looks again after this long.
pub(super) const UNLICENSED_PAUSE_MS: u64 = 500;

pub(super) fn unlicensed() -> Trouble {
    Trouble::soon(UNLICENSED.to_owned())
}

impl<P: Clone> Partition<P> {
    /// With more leave than before, what rested on nobody else's writing is looked at anew: somebody may have written.
    pub(super) fn on_licensed(&mut self, licence: Licence, now: Now, out: &mut Vec<Action<P>>) {
        let before = std::mem::replace(&mut self.licence, licence);
        if before == Licence::Everything || licence <= before {
            return;
        }
        match &mut self.state {
            State::Opening(opening) => {
                (opening.watching, opening.ownership, opening.kept) = (None, Ownership::Unknown, None);
            }
            State::Copying(copying) => {
                if copying.doubt_others(self.settings.guard, now) {
                    self.reopen(
                        Trouble::soon("looking whether somebody else has written".to_owned()),
                        None,
                        now,
                        out,
                    );
                }
            }
            State::Draining { .. } | State::Stopped(_) => {}
        }
    }

    /// Does whatever has become possible: receipts first, then appends, then the end of draining.
    pub(super) fn pump(&mut self, now: Now, out: &mut Vec<Action<P>>) {
        let Settings { identity, guard, .. } = self.settings;
        match &mut self.state {
            State::Copying(copying) => {
                while let Some(receipt) = copying.next_receipt() {
                    self.durable = Some(receipt.next);
                    out.push(Action::Receipt(receipt));
                }
                while copying.is_licensed(self.licence, guard, now)
                    && let Some(step) = copying.next_step(identity, guard, now)
                {
                    out.push(match step {
                        Step::Append(append) => Action::Append(append),
                        Step::Mark(run) => Action::Mark(run),
                        Step::Announce { from, cost } => Action::Announce { from, cost },
                    });
                }
                if !copying.is_licensed(self.licence, guard, now) {
                    self.trouble = Some(unlicensed());
                } else if copying.is_idle()
                    && let Some(verdict) = copying.wall.take()
                {
                    self.stop(verdict, out);
                } else if let Some(ownership) = copying.doubts_end(guard, now) {
                    self.look_again(ownership, now, out);
                }
            }
            State::Draining { window, .. } => {
                while let Some(receipt) = next_receipt(window) {
                    self.durable = Some(receipt.next);
                    out.push(Action::Receipt(receipt));
                }
                if window.is_drained() {
                    self.end_draining(now, out);
                }
            }
            State::Opening(_) | State::Stopped(_) => {}
        }
    }

    fn end_draining(&mut self, now: Now, out: &mut Vec<Action<P>>) {
        let opening = State::Opening(Opening::new(Ownership::Unknown, None, now.mono));
        let State::Draining { mut window, then } = std::mem::replace(&mut self.state, opening) else {
            return;
        };
        window.clear();
        self.next_ticket = window.next_ticket();
        match then {
            Then::Stop(verdict) => self.stop(verdict, out),
            Then::Reopen { displaced } => {
                let pause = self.pause(self.trouble.as_ref().map_or(Pace::Soon, |t| t.pace));
                self.failures += 1;
                let mut opening = Opening::new(Ownership::Unknown, displaced, now.mono);
                out.push(opening.ask(now.mono.plus(pause)));
                self.state = State::Opening(opening);
            }
        }
    }
}
