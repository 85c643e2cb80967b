//! The simulated world: virtual time, the mirrors and their connections, and what befalls them. The source is in
//! `source`, what lands on the destination in `clusters`, the mirrors in `mirrors`, their reading of facts in `looks`.
//! Promises: the same script gives the same story, told line by line. Tests only.

mod clusters;
mod looks;
mod mirrors;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use lockstep_batch::rewrite::MirroredBatch;
use looks::Look;

use source::Source;

use super::script::{Crowd, Script, Tape};
use crate::ids::{DestOffset, ProducerIdentity, SourceOffset};
use crate::mirror::copying::AppendAnswer;
use crate::mirror::guard::PRODUCER_ID_EXPIRATION_MS_DEFAULT;
use crate::mirror::markers::{MarkerAnswer, MarkerRun};
use crate::mirror::opening::{Displaced, Ownership};
use crate::mirror::partition::{Input, Partition, Phase, SourceEnds};
use crate::mirror::queue::Holes;
use crate::mirror::testing::{DestLog, Slot};
use crate::mirror::verdict::Verdict;
use crate::mirror::window::Ticket;
use crate::mirror::{Millis, Now, WallMillis};
use crate::transactions::AbortedTransaction;

const OURS: ProducerIdentity = ProducerIdentity { id: 7, epoch: 3 };
const WALL_START: i64 = 1_700_000_000_000;
const TWO_DAYS_MS: i64 = 2 * PRODUCER_ID_EXPIRATION_MS_DEFAULT;
/// How long after its connection broke a request may still land.
const LIMBO_MS: u64 = 1_900;
const TICK_MS: u64 = 100;
const PROBE_MS: u64 = 700;
/// After the tape has run out, everything has to be equal within this time.
const HEALING_MS: u64 = 60_000;
/// The source's last batch comes only after so long a peace: a mirror that slipped unseen meets it.
const QUIET_MS: u64 = 10_000;

/// One life of a mirror process.
#[derive(Debug)]
struct Mirror {
    life: u64,
    machine: Partition<Rc<()>>,
    fetching: bool,
    connection: u64,
    /// Requests on one connection land in order.
    last_landing: u64,
    unanswered: BTreeMap<Ticket, Asked>,
}

/// What waits for an answer.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Append,
    Markers,
}

#[derive(Clone, Debug)]
enum Body {
    Batch(MirroredBatch),
    /// So many markers, with the coordinator epochs behind this one. `taken`: of the run, so far.
    Markers {
        above: i32,
        left: u32,
        taken: u32,
        run: MarkerRun,
        refused: bool,
    },
}

#[derive(Clone, Debug)]
struct Request {
    body: Body,
    connection: u64,
    /// Who waits for the answer; nobody once the connection is broken.
    asker: Option<(u64, Ticket)>,
}

#[derive(Debug)]
enum Event {
    Chaos,
    Tick,
    Look {
        life: u64,
        displaced: Option<Displaced>,
        look: Look,
    },
    Tell {
        life: u64,
        input: Input<Rc<()>>,
    },
    Fetch {
        life: u64,
        at: SourceOffset,
    },
    FetchAnswer {
        life: u64,
        at: SourceOffset,
        records: Bytes,
        aborted: Vec<AbortedTransaction>,
        ends: SourceEnds,
    },
    Land {
        request: u64,
    },
    /// Behind a run of markers, by whoever sent it.
    ReadEnd {
        life: u64,
        run: MarkerRun,
        taken: u32,
        above: i32,
    },
    AnswerAppend {
        life: u64,
        ticket: Ticket,
        answer: AppendAnswer,
    },
    AnswerMarkers {
        life: u64,
        ticket: Ticket,
        answer: MarkerAnswer,
    },
    /// The mirrors look at the destination's high watermark.
    Probe,
}

/// The first record or marker on the destination that is not where it belongs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Misplaced {
    /// The destination offset where it stands.
    at: i64,
    pub(super) what: Astray,
    /// How often the destination had forgotten the producer by then.
    pub(super) forgets: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Astray {
    Record,
    Marker,
}

/// One source log, one destination partition, up to two mirrors of one link that know nothing of each other, and a
/// tape that decides everything left to chance.
///
/// - Requests of one connection land in order; their answers come late, out of order, or as failures although the
///   records stand there.
/// - When a connection breaks or a mirror is killed, a prefix of what was on its way still lands, within
///   [`LIMBO_MS`]: less than the standstill of two seconds.
/// - A batch can be damaged on the way, or have been damaged on its way from the source: refused.
/// - A run of markers lands as a whole or one by one with anything in between; its answer tells the end read some
///   time later, or is lost. Sometimes only a part of it is written, as by the slow way (M15).
/// - The destination may forget the producer once its newest record is older than the expiration (M6).
/// - Facts are read one after the other: the producer, the end, the producer again (M8); anything may land in
///   between, and a look may take seconds. It has failed if the producer's two entries differ.
/// - Fetch answers are slow, empty, damaged (never twice alike), or from before a rewind. They reach to the last
///   stable offset: transactions stay open for a while.
pub(super) struct World {
    clock: u64,
    tape: Tape,
    crowd: Crowd,
    expiration_ms: i64,
    holes: Holes,
    source: Source,
    dest: DestLog,
    mirrors: [Option<Mirror>; 2],
    requests: BTreeMap<u64, Request>,
    events: BTreeMap<(u64, u64), Event>,
    names: u64,
    pub(super) permit: Rc<()>,
    /// No two damages are alike.
    damages: u8,
    /// Batches whose payload was damaged once.
    damaged: BTreeSet<i64>,
    /// How often the destination has forgotten the producer.
    forgets: u32,
    pub(super) misplaced: Option<Misplaced>,
    /// A receipt or an opening was for more than what stands where it belongs.
    pub(super) counted_on_too_much: bool,
    /// A marker stands where the source had nothing stable yet, and rightly so in the end.
    pub(super) ran_ahead: bool,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) story: Vec<String>,
}

impl World {
    pub(super) fn new(script: Script) -> Self {
        let mut world = Self {
            clock: 0,
            tape: script.tape,
            crowd: script.crowd,
            expiration_ms: script.expiration_ms,
            holes: script.holes,
            source: Source::new(script.items, script.last),
            dest: DestLog::default(),
            mirrors: [None, None],
            requests: BTreeMap::new(),
            events: BTreeMap::new(),
            names: 0,
            permit: Rc::new(()),
            damages: 0,
            damaged: BTreeSet::new(),
            forgets: 0,
            misplaced: None,
            counted_on_too_much: false,
            ran_ahead: false,
            verdicts: Vec::new(),
            story: Vec::new(),
        };
        let at_first = world.tape.pick(8) + 1;
        world.grow_but_one(at_first);
        let ownership = if world.tape.once_in(3) { Ownership::JustCreated } else { Ownership::Unknown };
        world.start(0, ownership);
        world.at(0, Event::Tick);
        world.at(0, Event::Chaos);
        world.at(PROBE_MS, Event::Probe);
        world
    }

    /// Runs the tape to its end, then without faults until everything is equal or the time for it is over.
    pub(super) fn run(&mut self) {
        let mut peace_since = None;
        while let Some(((at, _), event)) = self.events.pop_first() {
            self.clock = at;
            self.perform(event);
            if !self.tape.has_run_out() {
                continue;
            }
            let peace = self.clock - *peace_since.get_or_insert(self.clock);
            if self.mirrors.iter().all(Option::is_none) {
                self.start(0, Ownership::Unknown);
            }
            match peace {
                0..QUIET_MS => self.grow_but_one(usize::MAX),
                _ => self.grow(usize::MAX),
            }
            let settled = peace > 2 * LIMBO_MS && self.requests.is_empty() && self.is_equal();
            if settled || peace > HEALING_MS {
                return;
            }
        }
    }

    pub(super) fn is_equal(&self) -> bool {
        self.misplaced.is_none() && self.source.has_all() && self.dest.end() == self.source.end()
    }

    pub(super) fn everyone_has_stopped(&self) -> bool {
        self.mirrors.iter().flatten().all(|mirror| matches!(mirror.machine.phase(), Phase::Stopped(_)))
    }

    pub(super) fn has_markers(&self) -> bool {
        self.dest.slots.contains(&Slot::Marker)
    }

    fn now(&self) -> Now {
        let since_start = i64::try_from(self.clock).unwrap();
        Now { mono: Millis(self.clock), wall: WallMillis(WALL_START + since_start) }
    }

    fn name(&mut self) -> u64 {
        self.names += 1;
        self.names
    }

    fn at(&mut self, time: u64, event: Event) {
        let name = self.name();
        self.events.insert((time.max(self.clock), name), event);
    }

    fn soon(&mut self, event: Event) {
        let time = self.clock + self.tape.delay();
        self.at(time, event);
    }

    fn tell(&mut self, line: impl Into<String>) {
        self.story.push(format!("{:>6} ms  {}", self.clock, line.into()));
    }

    fn perform(&mut self, event: Event) {
        match event {
            Event::Chaos => self.chaos(),
            Event::Tick => {
                let waiting: Vec<_> = self
                    .mirrors
                    .iter()
                    .flatten()
                    .filter(|mirror| mirror.machine.needs_tick())
                    .map(|mirror| mirror.life)
                    .collect();
                for life in waiting {
                    self.feed(life, Input::Tick);
                }
                self.at(self.clock + TICK_MS, Event::Tick);
            }
            Event::Look { life, displaced, look } => self.look(life, displaced, look),
            Event::Tell { life, input } => self.feed(life, input),
            Event::Fetch { life, at } => self.fetch(life, at),
            Event::Probe => self.probe(),
            Event::FetchAnswer { life, at, records, aborted, ends } => {
                if let Some(mirror) = self.mirror(life) {
                    mirror.fetching = false;
                }
                let permit = Rc::clone(&self.permit);
                self.feed(life, Input::Fetched { at, records, aborted, ends, permit });
            }
            Event::Land { request } => self.land(request),
            Event::AnswerAppend { life, ticket, answer } => {
                if self.mirror(life).is_some_and(|mirror| mirror.unanswered.remove(&ticket).is_some()) {
                    self.feed(life, Input::Appended { ticket, answer });
                }
            }
            Event::ReadEnd { life, run, taken, above } => self.read_end(life, run, taken, above),
            Event::AnswerMarkers { life, ticket, answer } => {
                if self.mirror(life).is_some_and(|mirror| mirror.unanswered.remove(&ticket).is_some()) {
                    self.feed(life, Input::Marked { ticket, answer });
                }
            }
        }
    }

    fn probe(&mut self) {
        let lives: Vec<_> = self.mirrors.iter().flatten().map(|mirror| mirror.life).collect();
        for life in lives {
            let high_watermark = DestOffset(self.dest.end());
            self.feed(life, Input::DestMoved { high_watermark });
        }
        self.at(self.clock + PROBE_MS, Event::Probe);
    }

    fn mirror(&mut self, life: u64) -> Option<&mut Mirror> {
        self.mirrors.iter_mut().flatten().find(|mirror| mirror.life == life)
    }

    // ── the world's moods ──

    fn chaos(&mut self) {
        match self.tape.pick(10) {
            1 | 2 => {
                let count = 1 + self.tape.pick(4);
                self.grow_but_one(count);
            }
            3 | 4 => self.start_another(),
            5 => {
                let slot = self.tape.pick(2);
                self.kill(slot);
            }
            6 | 7 => {
                let slot = self.tape.pick(2);
                self.break_connection(slot);
            }
            8 => self.forget_if_it_may(),
            _ => {}
        }
        if !self.tape.has_run_out() {
            let pause = self.tape.delay();
            self.at(self.clock + pause, Event::Chaos);
        }
    }

    fn start_another(&mut self) {
        let slots = match self.crowd {
            Crowd::OneAtATime => 0..1,
            Crowd::Two => 0..2,
        };
        for slot in slots {
            if self.mirrors[slot].is_none() {
                return self.start(slot, Ownership::Unknown);
            }
        }
    }
}
