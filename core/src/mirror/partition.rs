//! The state machine of one mirrored partition: one input in, actions out; the agent performs them.
//! opening ──► copying ⇄ caught up ──► draining ──► opening …        any state ──► stopped (a verdict)
//! Whatever goes wrong leads through draining (wait for every answer) to opening (ask the destination).
//! A verdict drawn from one look is looked at twice, so that a single damaged answer stops nothing.

mod sending;

use bytes::Bytes;

use super::align::Span;
use super::answers::{Meaning, settle_append, settle_markers};
use super::copying::{AppendAnswer, Copying, Sent};
use super::markers::MarkerAnswer;
use super::opening::{Displaced, Facts, Judgement, Ownership, Position, Standstill, judge};
use super::queue::Holes;
pub use super::signals::{Action, FetchPosition, Input, Licence, Phase, Settings, SourceEnds};
use super::verdict::{Divergence, Verdict, is_seen_by_fetching, same_kind};
use super::window::{Ticket, Window};
use super::{Millis, Now, Pace, Trouble};
use crate::ids::{DestOffset, LeaderEpoch, SourceOffset, TopicId};
use crate::transactions::AbortedTransaction;

#[derive(Debug)]
enum State<P> {
    Opening(Opening<P>),
    Copying(Copying<P>),
    Draining { window: Window<Sent<P>>, then: Then },
    Stopped(Verdict),
}

#[derive(Debug)]
struct Opening<P> {
    ownership: Ownership,
    watching: Option<Standstill>,
    displaced: Option<Displaced>,
    /// The facts asked for last are not read before this moment.
    asked_at: Millis,
    /// Fetched and not sent, while only the end's freshness is in doubt.
    kept: Option<Copying<P>>,
}

/// What follows once every answer is in.
#[derive(Debug)]
enum Then {
    Reopen { displaced: Option<Displaced> },
    Stop(Verdict),
}

/// One mirrored partition. `P` is the permit that accounts for fetched memory.
#[derive(Debug)]
pub struct Partition<P> {
    settings: Settings,
    licence: Licence,
    state: State<P>,
    source_id: TopicId,
    ends: Option<SourceEnds>,
    /// Complete and durable on the destination up to here; `None` until opened once.
    durable: Option<DestOffset>,
    trouble: Option<Trouble>,
    /// Failures in a row, for the pace of trying again.
    failures: u32,
    /// The source's leader epoch of the newest record we fetched; evidence for verdicts.
    copied_epoch: LeaderEpoch,
    /// A verdict seen once: the second equal look makes it final.
    suspicion: Option<Verdict>,
    /// The source's log start was seen behind our end once: only a second look makes us fill up to it.
    late_start_seen: bool,
    /// Losses below have been said.
    lost_up_to: SourceOffset,
    /// The name of the next append: none is given twice.
    next_ticket: Ticket,
}

impl<P> Opening<P> {
    fn new(ownership: Ownership, displaced: Option<Displaced>, now: Millis) -> Self {
        Self { ownership, watching: None, displaced, asked_at: now, kept: None }
    }

    fn ask(&mut self, at: Millis) -> Action<P> {
        self.asked_at = at;
        Action::Open { at, displaced: self.displaced }
    }
}

impl<P: Clone> Partition<P> {
    /// A partition that waits to be opened: the caller performs the first [`Action::Open`] itself.
    pub fn new(settings: Settings, source_id: TopicId, ownership: Ownership) -> Self {
        Self {
            settings,
            licence: Licence::Everything,
            state: State::Opening(Opening::new(ownership, None, Millis(0))),
            source_id,
            ends: None,
            durable: None,
            trouble: None,
            failures: 0,
            copied_epoch: LeaderEpoch::UNKNOWN,
            suspicion: None,
            late_start_seen: false,
            lost_up_to: SourceOffset(0),
            next_ticket: Ticket(0),
        }
    }

    /// The one entrance. Actions are appended to `out` in the order in which they must be performed.
    pub fn handle(&mut self, input: Input<P>, now: Now, out: &mut Vec<Action<P>>) {
        match input {
            Input::Facts(facts) => self.on_facts(&facts, now, out),
            Input::OpenFailed(trouble) => self.on_open_failed(trouble, now, out),
            Input::Fetched { at, records, aborted, ends, permit } => {
                self.on_fetched(at, (records, aborted), ends, &permit);
            }
            Input::SourceDiverges { at, epoch, end } => self.on_source_diverges(at, epoch, end, now, out),
            Input::OutOfRange { at } => self.on_out_of_range(at, now, out),
            Input::Appended { ticket, answer } => self.on_appended(ticket, answer, now, out),
            Input::Marked { ticket, answer } => self.on_marked(ticket, answer, now, out),
            Input::DestMoved { high_watermark } => self.on_dest_moved(high_watermark, now, out),
            Input::SourceGone => self.drain(Then::Stop(Verdict::Orphaned), now, out),
            Input::SourceRecreated { is } => {
                let verdict = Verdict::Diverged(Divergence::TopicRecreated { was: self.source_id, is });
                self.drain(Then::Stop(verdict), now, out);
            }
            Input::Licensed(licence) => self.on_licensed(licence, now, out),
            Input::Tick => {}
        }
        self.pump(now, out);
    }

    /// Where to fetch from next; `None` while nothing may be fetched.
    pub fn wants(&self) -> Option<FetchPosition> {
        match &self.state {
            State::Copying(c)
                if c.wall.is_none()
                    && self.licence != Licence::Nothing
                    && c.has_room(self.settings.buffered_bytes_max) =>
            {
                Some(FetchPosition { offset: c.fetch_at, last_epoch: c.last_epoch })
            }
            _ => None,
        }
    }

    /// Where the next fetch goes on, whether or not there is room for it now; `None` while it copies nothing.
    pub fn fetched_to(&self) -> Option<SourceOffset> {
        if let State::Copying(c) = &self.state { Some(c.fetch_at) } else { None }
    }

    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Opening(_) => Phase::Opening,
            State::Draining { .. } => Phase::Draining,
            State::Stopped(verdict) => Phase::Stopped(verdict.clone()),
            State::Copying(c) => {
                let all_fetched = self.ends.is_some_and(|e| c.fetch_at >= e.last_stable);
                if all_fetched && c.is_idle() { Phase::CaughtUp } else { Phase::Copying }
            }
        }
    }

    /// The source's cleaner has begun or ceased to work on the topic (M21): holes met from now on are filled so.
    pub fn fill_holes_by(&mut self, holes: Holes) {
        self.settings.filling.holes = holes;
        match &mut self.state {
            State::Copying(copying) => copying.fill_holes_by(holes),
            State::Opening(Opening { kept: Some(copying), .. }) => copying.fill_holes_by(holes),
            State::Opening(_) | State::Draining { .. } | State::Stopped(_) => {}
        }
    }

    /// Complete and durable on the destination up to here; `None` until opened once.
    pub fn durable(&self) -> Option<DestOffset> {
        self.durable
    }

    pub fn source_ends(&self) -> Option<SourceEnds> {
        self.ends
    }

    /// The source topic this partition was opened against.
    pub fn source_id(&self) -> TopicId {
        self.source_id
    }

    /// Why it is not copying, if it is not.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Whether appends are out whose answers are still to come.
    pub fn has_in_flight(&self) -> bool {
        match &self.state {
            State::Copying(c) => !c.window.is_drained(),
            State::Draining { window, .. } => !window.is_drained(),
            State::Opening(_) | State::Stopped(_) => false,
        }
    }

    /// Whether a batch waits for a fresher word about the destination's end: the driver should tick.
    pub fn needs_tick(&self) -> bool {
        matches!(&self.state, State::Copying(c) if !c.is_idle() || c.wall.is_some())
    }

    fn on_facts(&mut self, facts: &Facts, now: Now, out: &mut Vec<Action<P>>) {
        let State::Opening(opening) = &mut self.state else { return };
        if self.source_id.is_known() && facts.source_id.is_known() && self.source_id != facts.source_id {
            let is = facts.source_id;
            self.stop(Verdict::Diverged(Divergence::TopicRecreated { was: self.source_id, is }), out);
            return;
        }
        let kept = opening.kept.take();
        let Settings { identity, guard, .. } = self.settings;
        match judge(facts, identity, guard, opening.ownership, opening.watching, opening.asked_at, now) {
            Judgement::GoOn(position) if !position.may_be_begun(self.licence) => {
                // Where it stands still now, somebody else may write before we may.
                opening.watching = None;
                self.trouble = Some(sending::unlicensed());
                out.push(opening.ask(now.mono.plus(sending::UNLICENSED_PAUSE_MS)));
            }
            Judgement::GoOn(position) => {
                if let Some(late) = position.starts_late
                    && !self.late_start_seen
                {
                    self.late_start_seen = true;
                    let text = format!("looking a second time: the source's log starts at {}", late.start);
                    self.on_open_failed(Trouble::soon(text), now, out);
                    return;
                }
                self.go_on(position, kept, now, out);
            }
            Judgement::Wait { milliseconds, why, watching } => {
                opening.watching = watching;
                self.trouble = Some(Trouble::soon(why));
                out.push(opening.ask(now.mono.plus(milliseconds)));
            }
            Judgement::Stop(verdict) => self.suspect(verdict.copied_under(self.copied_epoch), now, out),
        }
    }

    fn go_on(&mut self, position: Position, kept: Option<Copying<P>>, now: Now, out: &mut Vec<Action<P>>) {
        self.copied_epoch = position.last_epoch;
        self.trouble = None;
        self.durable = Some(position.end);
        self.suspicion.take_if(|seen| !is_seen_by_fetching(seen));
        self.late_start_seen = false;
        out.push(Action::Opened { end: position.end });
        let resumed = kept.and_then(|kept| kept.resume(position, now));
        let fresh = || {
            let mut copying = Copying::new(position, self.settings.filling, self.next_ticket, now);
            if let Some(late) = position.starts_late {
                let from = position.end.origin().max(self.lost_up_to);
                if late.is_loss && from < late.start {
                    out.push(Action::Lost(Span { from, next: late.start }));
                    self.lost_up_to = late.start;
                }
                copying.fill_up_to(late.start, late.dest_is_empty);
            }
            copying
        };
        self.state = State::Copying(resumed.unwrap_or_else(fresh));
    }

    /// A verdict becomes final when two looks in a row agree.
    fn suspect(&mut self, verdict: Verdict, now: Now, out: &mut Vec<Action<P>>) {
        if self.suspicion.as_ref().is_some_and(|seen| same_kind(seen, &verdict)) {
            self.stop(verdict, out);
            return;
        }
        let trouble = Trouble::soon(format!("looking a second time: {verdict}"));
        self.suspicion = Some(verdict);
        match self.state {
            State::Opening(_) => self.on_open_failed(trouble, now, out),
            _ => self.reopen(trouble, None, now, out),
        }
    }

    fn on_open_failed(&mut self, trouble: Trouble, now: Now, out: &mut Vec<Action<P>>) {
        let at = now.mono.plus(self.pause(trouble.pace));
        let State::Opening(opening) = &mut self.state else { return };
        // Somebody else may need the memory more.
        opening.kept = None;
        out.push(opening.ask(at));
        self.failures += 1;
        self.trouble = Some(trouble);
    }

    fn on_fetched(
        &mut self,
        at: SourceOffset,
        (records, aborted): (Bytes, Vec<AbortedTransaction>),
        ends: SourceEnds,
        permit: &P,
    ) {
        let State::Copying(copying) = &mut self.state else { return };
        // An answer to a fetch from before a rewind: the newer fetch brings it again.
        if copying.fetch_at != at || copying.wall.is_some() {
            return;
        }
        self.ends = Some(ends);
        let refused = copying.take(records, aborted, permit);
        let moved = copying.fetch_at > at;
        if moved {
            self.copied_epoch = copying.last_epoch;
        }
        // Emptiness proves nothing about what stands there (M11), but the source has agreed to the epoch (M10).
        self.suspicion.take_if(|seen| moved || matches!(seen, Verdict::Diverged(_)));
        if let Some(verdict) = refused {
            if self.suspicion.as_ref() == Some(&verdict) {
                copying.wall = Some(verdict);
            } else {
                self.suspicion = Some(verdict);
            }
        }
    }

    fn on_source_diverges(
        &mut self,
        at: SourceOffset,
        epoch: LeaderEpoch,
        end: SourceOffset,
        now: Now,
        out: &mut Vec<Action<P>>,
    ) {
        if !matches!(&self.state, State::Copying(c) if c.fetch_at == at) {
            return;
        }
        self.suspect(Verdict::Diverged(Divergence::EpochEndsEarlier { epoch, end, position: at }), now, out);
    }

    /// Expired or cut: only the facts can tell which.
    fn on_out_of_range(&mut self, at: SourceOffset, now: Now, out: &mut Vec<Action<P>>) {
        if matches!(&self.state, State::Copying(c) if c.fetch_at == at) {
            let trouble = Trouble::soon(format!("the source has no offset {at}: looking at both ends"));
            self.reopen(trouble, None, now, out);
        }
    }

    /// An unclean election on the destination, a foreign write, another owner: opening tells which.
    fn on_dest_moved(&mut self, high_watermark: DestOffset, now: Now, out: &mut Vec<Action<P>>) {
        if matches!(&self.state, State::Copying(c) if c.is_idle() && c.next_to_send() != high_watermark) {
            let trouble = Trouble::soon(format!(
                "the destination's log ends at {high_watermark}, not where we left it"
            ));
            self.reopen(trouble, None, now, out);
        }
    }

    fn on_appended(&mut self, ticket: Ticket, answer: AppendAnswer, now: Now, out: &mut Vec<Action<P>>) {
        match &mut self.state {
            State::Copying(copying) => match copying.answer(ticket, answer, now) {
                Meaning::AsExpected | Meaning::PartlyWritten { .. } => self.failures = 0,
                Meaning::Doubt { trouble, displaced } => self.reopen(trouble, displaced, now, out),
                Meaning::Stale => {}
            },
            State::Draining { window, then } => {
                note_displaced(settle_append(window, ticket, answer), then);
            }
            State::Opening(_) | State::Stopped(_) => {}
        }
    }

    fn on_marked(&mut self, ticket: Ticket, answer: MarkerAnswer, now: Now, out: &mut Vec<Action<P>>) {
        match &mut self.state {
            State::Copying(copying) => match copying.marked(ticket, answer, now) {
                Meaning::AsExpected | Meaning::PartlyWritten { .. } => self.failures = 0,
                Meaning::Doubt { trouble, displaced } => self.reopen(trouble, displaced, now, out),
                Meaning::Stale => {}
            },
            State::Draining { window, then } => {
                note_displaced(settle_markers(window, ticket, answer), then);
            }
            State::Opening(_) | State::Stopped(_) => {}
        }
    }

    fn reopen(&mut self, trouble: Trouble, displaced: Option<Displaced>, now: Now, out: &mut Vec<Action<P>>) {
        self.trouble = Some(trouble);
        self.drain(Then::Reopen { displaced }, now, out);
    }

    /// Nothing has failed and nothing is in flight, but the end has to be read once more (M6).
    fn look_again(&mut self, ownership: Ownership, now: Now, out: &mut Vec<Action<P>>) {
        let nothing = State::Opening(Opening::new(ownership, None, now.mono));
        let State::Copying(copying) = std::mem::replace(&mut self.state, nothing) else { return };
        self.next_ticket = copying.window.next_ticket();
        let mut opening = Opening::new(ownership, None, now.mono);
        out.push(opening.ask(now.mono));
        self.state = State::Opening(Opening { kept: Some(copying), ..opening });
    }

    /// Stops sending, drops what was not sent, and waits for every answer.
    fn drain(&mut self, then: Then, now: Now, out: &mut Vec<Action<P>>) {
        let opening = State::Opening(Opening::new(Ownership::Unknown, None, now.mono));
        match std::mem::replace(&mut self.state, opening) {
            State::Copying(copying) => self.state = State::Draining { window: copying.window, then },
            State::Draining { window, then: before } => {
                let then = if matches!(before, Then::Stop(_)) { before } else { then };
                self.state = State::Draining { window, then };
            }
            State::Opening(opening) => match then {
                Then::Stop(verdict) => self.stop(verdict, out),
                Then::Reopen { .. } => self.state = State::Opening(opening),
            },
            stopped @ State::Stopped(_) => self.state = stopped,
        }
        self.pump(now, out);
    }

    fn stop(&mut self, verdict: Verdict, out: &mut Vec<Action<P>>) {
        self.trouble = None;
        out.push(Action::Stopped(verdict.clone()));
        self.state = State::Stopped(verdict);
    }

    /// Milliseconds until the next try: from 20 ms, doubling to 5 s; at least 2 s where a human has to act.
    fn pause(&self, pace: Pace) -> u64 {
        let soon = (20u64 << self.failures.min(8)).min(5_000);
        match pace {
            Pace::Soon => soon,
            Pace::Slow => soon.max(2_000),
        }
    }
}

/// The first displacement seen while draining is what the opening looks at.
fn note_displaced(meaning: Meaning, then: &mut Then) {
    if let (Meaning::Doubt { displaced: Some(seen), .. }, Then::Reopen { displaced }) = (meaning, then) {
        displaced.get_or_insert(seen);
    }
}
