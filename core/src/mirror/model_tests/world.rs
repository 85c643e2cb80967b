//! The simulated world: virtual time, the mirrors and their connections, and what befalls them. The source is in
//! `source`, what lands on the destination in `clusters`, the reading of facts in `looks`. Promises: the same script
//! gives the same story, told line by line, and no mirror ever counts on what is not where it belongs. Tests only.

mod clusters;
mod looks;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use bytes::Bytes;
use lockstep_batch::rewrite::MirroredBatch;
use looks::Look;

use source::Source;

use super::script::{Crowd, Script, Tape};
use crate::ids::{DestOffset, ProducerIdentity, SourceOffset, TopicId};
use crate::mirror::copying::{Append, AppendAnswer, Filling};
use crate::mirror::cost::AlignmentBudget;
use crate::mirror::guard::{Guard, PRODUCER_ID_EXPIRATION_MS_DEFAULT};
use crate::mirror::markers::{MarkerAnswer, MarkerRun};
use crate::mirror::opening::{Displaced, Ownership};
use crate::mirror::partition::{Action, Input, Partition, Phase, Settings, SourceEnds};
use crate::mirror::queue::Holes;
use crate::mirror::testing::{DestLog, Slot};
use crate::mirror::verdict::Verdict;
use crate::mirror::window::Ticket;
use crate::mirror::{Millis, Now, Trouble, WallMillis};
use crate::transactions::AbortedTransaction;

const OURS: ProducerIdentity = ProducerIdentity { id: 7, epoch: 3 };
const WALL_START: i64 = 1_700_000_000_000;
const TWO_DAYS_MS: i64 = 2 * PRODUCER_ID_EXPIRATION_MS_DEFAULT;
/// How long after its connection broke a request may still land.
const LIMBO_MS: u64 = 600;
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

    // ── the mirrors' side ──

    fn feed(&mut self, life: u64, input: Input<Rc<()>>) {
        let now = self.now();
        let Some(mirror) = self.mirror(life) else { return };
        let mut actions = Vec::new();
        mirror.machine.handle(input, now, &mut actions);
        for action in actions {
            self.act(life, action);
        }
        let Some(mirror) = self.mirror(life) else { return };
        if !mirror.fetching
            && let Some(position) = mirror.machine.wants()
        {
            mirror.fetching = true;
            self.soon(Event::Fetch { life, at: position.offset });
        }
    }

    fn act(&mut self, life: u64, action: Action<Rc<()>>) {
        match action {
            Action::Open { at, displaced } => {
                if self.tape.once_in(16) {
                    let input = Input::OpenFailed(Trouble::soon("no answer"));
                    self.at(at.0, Event::Tell { life, input });
                    return;
                }
                let delay = self.tape.delay();
                self.at(at.0.max(self.clock) + delay, Event::Look { life, displaced, look: Look::Producer });
            }
            Action::Append(append) => self.send_batch(life, append),
            Action::Mark(run) => self.send_markers(life, run),
            Action::Announce { from, cost } => {
                self.tell(format!("mirror {life} announces {cost} from {from}"))
            }
            Action::Lost(span) => panic!("nothing expires here: {span:?}"),
            Action::Receipt(receipt) => self.count_on(receipt.next.0, "a receipt"),
            Action::Opened { end } => {
                self.tell(format!("mirror {life} goes on at {end}"));
                self.count_on(end.0, "an opening");
            }
            Action::Stopped(verdict) => {
                self.tell(format!("mirror {life} stops: {verdict}"));
                self.verdicts.push(verdict);
            }
        }
    }

    /// Whatever befalls, no mirror counts on more than what stands where it belongs.
    fn count_on(&self, end: i64, who: &str) {
        let right = self.misplaced.map_or(self.dest.end(), |m| m.at);
        assert!(end <= right, "{who} counts on {end}, right is {right}\n{}", self.story.join("\n"));
    }

    fn send_batch(&mut self, life: u64, append: Append) {
        self.tell(format!(
            "mirror {life} sends {} records for {} with sequence {}",
            append.batch.record_count(),
            append.expect,
            append.batch.stamp().base_sequence
        ));
        self.send(life, append.ticket, Asked::Append, Body::Batch(append.batch));
    }

    fn send_markers(&mut self, life: u64, run: MarkerRun) {
        let above = run.above_coordinator_epoch;
        self.tell(format!("mirror {life} sends {} markers for {} above {above}", run.count, run.from));
        let fewer = self.tape.once_in(8) && run.count > 1;
        let left = if fewer { 1 + self.tape.pick(run.count as usize - 1) as u32 } else { run.count };
        self.send(
            life,
            run.ticket,
            Asked::Markers,
            Body::Markers { above, left, taken: 0, run, refused: false },
        );
    }

    fn send(&mut self, life: u64, ticket: Ticket, asked: Asked, body: Body) {
        let delay = self.tape.delay();
        let clock = self.clock;
        let Some(mirror) = self.mirror(life) else { return };
        let landing = (clock + delay).max(mirror.last_landing);
        mirror.last_landing = landing;
        let connection = mirror.connection;
        mirror.unanswered.insert(ticket, asked);
        let name = self.name();
        self.requests.insert(name, Request { body, connection, asker: Some((life, ticket)) });
        self.at(landing, Event::Land { request: name });
    }

    fn start(&mut self, slot: usize, ownership: Ownership) {
        let life = self.name();
        let connection = self.name();
        let settings = Settings {
            identity: OURS,
            guard: Guard::new(self.expiration_ms),
            filling: Filling { holes: self.holes, budget: AlignmentBudget::default() },
            buffered_bytes_max: 900,
        };
        let machine = Partition::new(settings, TopicId([1; 16]), ownership);
        self.mirrors[slot] = Some(Mirror {
            life,
            machine,
            fetching: false,
            connection,
            last_landing: 0,
            unanswered: BTreeMap::new(),
        });
        self.tell(format!("mirror {life} starts ({ownership:?})"));
        self.soon(Event::Look { life, displaced: None, look: Look::Producer });
    }

    fn kill(&mut self, slot: usize) {
        let Some(mirror) = self.mirrors[slot].take() else { return };
        self.tell(format!("mirror {} is killed", mirror.life));
        self.leave_in_limbo(mirror.connection);
    }

    fn break_connection(&mut self, slot: usize) {
        let fresh = self.name();
        let Some(mirror) = &mut self.mirrors[slot] else { return };
        let (life, broken) = (mirror.life, std::mem::replace(&mut mirror.connection, fresh));
        mirror.last_landing = 0;
        let unanswered = std::mem::take(&mut mirror.unanswered);
        self.tell(format!("mirror {life} loses its connection"));
        self.leave_in_limbo(broken);
        for (ticket, asked) in unanswered {
            let trouble = Trouble::soon("connection lost");
            let input = match asked {
                Asked::Append => Input::Appended { ticket, answer: AppendAnswer::Failed(trouble) },
                Asked::Markers => Input::Marked { ticket, answer: MarkerAnswer::Failed(trouble) },
            };
            self.feed(life, input);
        }
    }

    /// Of what was on its way over a connection that is no more, a prefix still lands.
    fn leave_in_limbo(&mut self, connection: u64) {
        let on_its_way: Vec<u64> =
            self.requests.iter().filter(|(_, r)| r.connection == connection).map(|(name, _)| *name).collect();
        let mut landing = self.clock;
        let mut reaches = true;
        for name in on_its_way {
            let Some(mut request) = self.requests.remove(&name) else { continue };
            reaches = reaches && self.tape.pick(4) != 0;
            if !reaches {
                continue;
            }
            request.asker = None;
            // Of a run of markers any prefix, each at its own moment.
            let pieces = match &mut request.body {
                Body::Markers { left, .. } => {
                    let pieces = 1 + self.tape.pick(*left as usize);
                    *left = 1;
                    pieces
                }
                Body::Batch(_) => 1,
            };
            for _ in 0..pieces {
                landing = (landing + self.tape.delay()).min(self.clock + LIMBO_MS);
                let late = self.name();
                self.requests.insert(late, request.clone());
                self.at(landing, Event::Land { request: late });
                if let Body::Markers { above, .. } = &mut request.body {
                    *above += 1;
                }
            }
        }
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
