//! The loop that owns every partition of a link: events in, jobs out, nothing shared.
//! It decides nothing itself (core::mirror does) and waits for nobody: what cannot be handed over now stays in
//! its own queues, bounded by the memory budget. Stops in three beats: no more fetches, every append answered,
//! give up at the deadline and say so.

mod compaction;
mod dispatch;
mod events;
mod fetching;
mod keeping;
mod measuring;
mod owning;
mod topology;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockstep_core::dr::denied::Denied;
use lockstep_core::ids::{LeaderEpoch, NodeId, ProducerIdentity, TopicPartition};
use lockstep_core::mirror::copying::{Content, Filling};
use lockstep_core::mirror::cost::AlignmentBudget;
use lockstep_core::mirror::guard::Guard;
use lockstep_core::mirror::partition::{Action, Input, Settings};
use lockstep_core::mirror::retention::Propagation;
use lockstep_core::mirror::throttle::Throttle;
use lockstep_core::mirror::{Millis, Now, WallMillis};
use lockstep_core::plan::configs::Drift;
use lockstep_core::plan::topics::Compaction;
use lockstep_core::spec::pace::Priorities;
use lockstep_kafka::{Cluster, Metadata};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::budget::{Budget, Permit};
use super::desks::{FetchDesk, Look, MarkerDesk, SinkDesk};
use super::event::Event;
use super::gauge::Gauge;
use super::groups::report::GroupsReport;
use super::lane::Lane;
use super::latency::{Failures, Latency};
use super::markers::{Filler, MarkerJob, MarkerRight, Markers, WantedRun};
use super::owned::Owned;
use super::probe::Roster;
use super::report::LinkReport;
use super::routes::Routes;
use super::slot::Slot;
use super::tail::Inherited;
pub use compaction::Altered;
use owning::Owning;
use topology::TopicWatch;

/// How often the link looks at the clock when nothing else happens.
const TICK: Duration = Duration::from_millis(100);
/// The same while no partition waits for it and there is nothing to report.
const TICK_CALM: Duration = Duration::from_millis(200);
const REPORT_INTERVAL_MS: u64 = 250;
/// While nothing happens a report follows each look at both sides' ends, and without one comes after this time: figures only
/// grow older, and whoever reads them adds that.
const REPORT_INTERVAL_CALM_MS: u64 = 2_000;
/// What one partition may take of a fetch answer.
const PARTITION_BYTES_MAX: usize = 1 << 20;
/// Rounds of openings under way.
const OPEN_ROUNDS_MAX: usize = 4;
/// Events taken before work is handed out again.
const EVENTS_PER_TURN: usize = 64;

/// What an engine works with.
pub struct Setup {
    pub source: Cluster,
    pub dest: Cluster,
    /// Which partitions are this engine's.
    pub owned: watch::Receiver<Owned>,
    /// The last beat of a stop.
    pub drain: Duration,
    pub identity: ProducerIdentity,
    /// What a former primary holds from before (M27); empty for a mirror that has always been one.
    pub inherited: Arc<Inherited>,
    pub guard: Guard,
    pub budget: Budget,
    /// Which topics go first.
    pub priorities: Priorities,
    /// Bytes fetched per second at most.
    pub bytes_per_second_max: Option<NonZeroU64>,
    pub propagation: Propagation,
    /// What may be spent on one hole without asking (M14).
    pub alignment: AlignmentBudget,
    /// The right to write markers, and what stands in where it is missing (M12, M15).
    pub right: MarkerRight,
    pub filler: Filler,
    /// What is said of the link's groups.
    pub groups: watch::Receiver<Arc<GroupsReport>>,
    /// Wakes the two metadata watchers before their time.
    pub source_stale: Arc<Notify>,
    pub dest_stale: Arc<Notify>,
}

impl Setup {
    /// The task that takes offsets on one destination broker.
    fn markers(&self, node: NodeId, jobs: mpsc::Receiver<MarkerJob>, events: mpsc::Sender<Event>) -> Markers {
        Markers {
            node,
            cluster: self.dest.clone(),
            ours: self.identity,
            right: self.right.clone(),
            filler: self.filler.clone(),
            jobs,
            events,
        }
    }
}

/// How an engine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every append was answered.
    Drained,
    /// Some were not within the deadline; the destination knows.
    DeadlinePassed,
    /// A task died: a defect.
    TaskDied(&'static str),
}

type FetchDesks = BTreeMap<(NodeId, Lane), FetchDesk>;

/// See the module's description.
pub struct Engine {
    setup: Setup,
    started: Instant,
    tick_at: Instant,
    slots: HashMap<TopicPartition, Slot>,
    /// Of these the ones that want to see the clock: few at any time, so that a tick need not look at every one.
    ticking: BTreeSet<TopicPartition>,
    owning: Owning,
    topics: BTreeMap<Arc<str>, TopicWatch>,
    routes: Routes,
    /// The metadata that the routes were taken from.
    source_seen: Option<Arc<Metadata>>,
    dest_seen: Option<Arc<Metadata>>,
    fetch_desks: FetchDesks,
    sink_desks: BTreeMap<(NodeId, Lane), SinkDesk>,
    marker_desks: BTreeMap<NodeId, MarkerDesk>,
    /// Partitions in the backlog's lane.
    behind: BTreeSet<TopicPartition>,
    throttle: Option<Throttle>,
    /// Until then the throttle holds fetches back.
    throttled_until: Option<Millis>,
    /// It has held back what is live.
    held_back: bool,
    /// Partitions to be opened, by the moment they are due.
    due: BTreeSet<(Millis, TopicPartition)>,
    open_rounds: usize,
    probing: bool,
    /// Who is asked about what; `None`: to be made anew.
    roster: Option<Arc<Roster>>,
    probe_sent: Millis,
    probe_at: Millis,
    report_at: Millis,
    /// Something has happened since the last report, and when that was made.
    stirred: bool,
    /// Both sides were asked since.
    measured: bool,
    reported_at: Millis,
    /// A round over log starts is under way, or due at.
    following: bool,
    retention_at: Millis,
    /// The same for transactions that hold partitions back.
    asking_hanging: bool,
    /// When topics are looked at that are to be compacted.
    compaction_at: Millis,
    hanging_at: Millis,
    /// Topics to be deleted on the destination (`--propagate all`).
    retired: mpsc::Sender<Arc<str>>,
    silent: Vec<String>,
    blocked: BTreeMap<String, String>,
    drift: Arc<[Drift]>,
    /// What a cluster refuses for blocked topics.
    blocked_by: BTreeMap<String, Arc<Denied>>,
    /// Partitions of blocked topics: nothing of them is held.
    unheld: BTreeMap<TopicPartition, Gauge>,
    latency: Latency,
    failures: Failures,
    /// The source's settings about deletion are being read, or due at.
    reading_settings: bool,
    settings_at: Millis,
    events: mpsc::Receiver<Event>,
    events_in: mpsc::Sender<Event>,
    report: watch::Sender<Arc<LinkReport>>,
    tasks: JoinSet<&'static str>,
    actions: Vec<Action<Arc<Permit>>>,
    stopping: bool,
}

impl Engine {
    /// An engine without partitions: they come as [`Event::TopicReady`] through `events`.
    pub fn new(
        setup: Setup,
        events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
        report: watch::Sender<Arc<LinkReport>>,
        retired: mpsc::Sender<Arc<str>>,
    ) -> Self {
        let owning = Owning::new(setup.owned.borrow().clone());
        let throttle = setup.bytes_per_second_max.map(|limit| Throttle::new(limit, Millis(0)));
        Self {
            setup,
            started: Instant::now(),
            tick_at: Instant::now(),
            slots: HashMap::new(),
            ticking: BTreeSet::new(),
            owning,
            topics: BTreeMap::new(),
            routes: Routes::default(),
            source_seen: None,
            dest_seen: None,
            fetch_desks: BTreeMap::new(),
            sink_desks: BTreeMap::new(),
            marker_desks: BTreeMap::new(),
            behind: BTreeSet::new(),
            throttle,
            throttled_until: None,
            held_back: false,
            due: BTreeSet::new(),
            open_rounds: 0,
            probing: false,
            roster: None,
            probe_sent: Millis(0),
            probe_at: Millis(0),
            report_at: Millis(0),
            stirred: false,
            measured: false,
            reported_at: Millis(0),
            following: false,
            retention_at: Millis(0),
            asking_hanging: false,
            compaction_at: Millis(0),
            hanging_at: Millis(0),
            retired,
            silent: Vec::new(),
            blocked: BTreeMap::new(),
            drift: Arc::default(),
            blocked_by: BTreeMap::new(),
            unheld: BTreeMap::new(),
            latency: Latency::default(),
            failures: Failures::default(),
            reading_settings: false,
            settings_at: Millis(0),
            events: events.1,
            events_in: events.0,
            report,
            tasks: JoinSet::new(),
            actions: Vec::new(),
            stopping: false,
        }
    }

    /// Runs until `stop` says so.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) -> Ended {
        let mut deadline: Option<Instant> = None;
        loop {
            let wake = self.next_wake();
            tokio::select! {
                biased;
                Some(ended) = self.tasks.join_next() => {
                    if let Some(died) = self.task_ended(ended) {
                        return died;
                    }
                }
                Some(event) = self.events.recv() => self.on_events(event),
                () = tokio::time::sleep_until(wake) => {}
                _ = stop.changed(), if !self.stopping => {
                    self.stopping = true;
                    deadline = Some(Instant::now() + self.setup.drain);
                }
            }
            // Not a branch of its own: under steady traffic there is always an event before it.
            if Instant::now() >= self.tick_at {
                self.on_tick();
                let is_calm = self.ticking.is_empty() && !self.stirred;
                self.tick_at = Instant::now() + if is_calm { TICK_CALM } else { TICK };
            }
            self.let_go();
            self.dispatch();
            if self.stopping && !self.slots.values().any(|slot| slot.machine.has_in_flight()) {
                self.publish();
                return Ended::Drained;
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                self.publish();
                return Ended::DeadlinePassed;
            }
        }
    }

    /// Openings, probes and their like end; fetchers and sinks only with the engine.
    fn task_ended(&mut self, ended: Result<&'static str, tokio::task::JoinError>) -> Option<Ended> {
        match ended {
            Ok("open" | "probe" | "retention" | "hanging" | "compaction" | "settings") => None,
            Ok(name) => Some(Ended::TaskDied(name)),
            Err(error) => {
                tracing::error!(%error, "a task of the link died");
                Some(Ended::TaskDied("a task"))
            }
        }
    }

    fn on_events(&mut self, first: Event) {
        self.on_event(first);
        for _ in 1..EVENTS_PER_TURN {
            match self.events.try_recv() {
                Ok(event) => self.on_event(event),
                Err(_) => return,
            }
        }
    }

    /// Both clocks, read here and nowhere else in the data path.
    fn now(&self) -> Now {
        let mono = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
        Now { mono: Millis(mono), wall: WallMillis(i64::try_from(wall).unwrap_or(i64::MAX)) }
    }

    fn next_wake(&self) -> Instant {
        let due = self.due.first().filter(|_| self.open_rounds < OPEN_ROUNDS_MAX).map(|(at, _)| *at);
        let moments = due.into_iter().chain(self.throttled_until.filter(|_| !self.stopping));
        let moments = moments.map(|at| self.started + Duration::from_millis(at.0 + 1));
        moments.min().map_or(self.tick_at, |first| first.min(self.tick_at))
    }

    fn on_tick(&mut self) {
        let now = self.now();
        self.follow_division(now);
        let waiting: Vec<_> = self.ticking.iter().cloned().collect();
        for tp in waiting {
            self.feed(&tp, Input::Tick, now);
        }
        for desk in self.fetch_desks.values_mut() {
            desk.look(Look::Again);
        }
        let calm_for = now.mono.since(self.reported_at);
        let is_due = self.stirred || self.measured || calm_for >= REPORT_INTERVAL_CALM_MS;
        if now.mono >= self.report_at && is_due {
            // A report names every partition: on large links less often.
            self.report_at = now.mono.plus(REPORT_INTERVAL_MS + self.slots.len() as u64 / 4);
            (self.stirred, self.measured, self.reported_at) = (false, false, now.mono);
            self.publish();
        }
    }

    /// Feeds one partition and performs what it asks for.
    fn feed(&mut self, tp: &TopicPartition, input: Input<Arc<Permit>>, now: Now) {
        let Some(slot) = self.slots.get_mut(tp) else { return };
        let mut actions = std::mem::take(&mut self.actions);
        slot.machine.handle(input, now, &mut actions);
        self.stirred |= !actions.is_empty();
        for action in actions.drain(..) {
            match action {
                Action::Open { at, displaced } => {
                    slot.displaced = displaced;
                    self.due.insert((at, tp.clone()));
                }
                Action::Append(append) => {
                    let node = self.routes.dest(tp).unwrap_or(NodeId(-1));
                    let desk = (node, slot.appending());
                    let (setup, events, tasks) = (&self.setup, &self.events_in, &mut self.tasks);
                    self.sink_desks
                        .entry(desk)
                        .or_insert_with(|| SinkDesk::open(desk, &setup.dest, events, tasks))
                        .enqueue(slot.twin(tp), append);
                }
                Action::Mark(run) => {
                    let leader = self.setup.dest.metadata().leader(slot.dest.there());
                    let (node, epoch) = leader.unwrap_or((NodeId(-1), LeaderEpoch::UNKNOWN));
                    let (setup, events, tasks) = (&self.setup, &self.events_in, &mut self.tasks);
                    let task = |jobs| setup.markers(node, jobs, events.clone());
                    self.marker_desks
                        .entry(node)
                        .or_insert_with(|| MarkerDesk::open(task, tasks))
                        .enqueue(WantedRun { twin: slot.twin(tp), epoch, run });
                }
                Action::Announce { from, cost } => {
                    tracing::info!(partition = %tp, offset = from.0, "nothing to copy here: aligning {cost}");
                    slot.aligning = Some((from, cost));
                }
                Action::Lost(span) => {
                    slot.lose(span);
                    tracing::error!(
                        partition = %tp, from = span.from.0, to = span.next.0,
                        "LOST: the source deleted these records before they were copied"
                    );
                }
                Action::Receipt(receipt) => {
                    if receipt.content == Content::Fillers {
                        // They are there to be deleted: not in five seconds.
                        self.retention_at = now.mono;
                    }
                    if matches!(receipt.content, Content::Records(_)) {
                        let took = now.wall.0.saturating_sub(receipt.max_timestamp_ms);
                        self.latency.observe(u64::try_from(took).unwrap_or(0));
                    }
                    slot.received(&receipt, now.mono);
                }
                Action::Opened { end } => {
                    slot.opened(end, now.mono);
                    slot.lane = Lane::opened(slot.is_behind());
                    note_lane(&mut self.behind, tp, slot.lane);
                }
                Action::Stopped(verdict) => {
                    fetch_no_more(&mut self.routes, &mut self.fetch_desks, tp);
                    self.behind.remove(tp);
                    tracing::error!(partition = %tp, remedy = verdict.remedy(), "{verdict}");
                }
            }
        }
        self.actions = actions;
        let lane = slot.lane;
        let needs_tick = slot.machine.needs_tick();
        self.note_ticking(tp, needs_tick);
        self.look_at(tp, lane);
    }

    fn note_ticking(&mut self, tp: &TopicPartition, needs_tick: bool) {
        if needs_tick == self.ticking.contains(tp) {
            return;
        }
        if needs_tick {
            self.ticking.insert(tp.clone());
            self.tick_at = self.tick_at.min(Instant::now() + TICK);
        } else {
            self.ticking.remove(tp);
        }
    }

    /// The partition may want to be fetched anew.
    fn look_at(&mut self, tp: &TopicPartition, lane: Lane) {
        if let Some(route) = self.routes.source(tp)
            && let Some(desk) = self.fetch_desks.get_mut(&(route.node, lane))
        {
            desk.look(Look::Anew);
        }
    }

    fn settings(&self, compaction: Compaction) -> Settings {
        Settings {
            identity: self.setup.identity,
            guard: self.setup.guard,
            filling: Filling { holes: compaction::holes(compaction), budget: self.setup.alignment },
            // One slow partition must not take the whole budget: an eighth, but room for two usual batches.
            buffered_bytes_max: (self.setup.budget.capacity_bytes() / 8).max(2 * PARTITION_BYTES_MAX),
        }
    }
}

/// Of what was asked for together with it the rest is asked for anew.
fn fetch_no_more(routes: &mut Routes, desks: &mut FetchDesks, tp: &TopicPartition) {
    if let Some(route) = routes.drop_source(tp) {
        for lane in Lane::BOTH {
            if let Some(desk) = desks.get_mut(&(route.node, lane)) {
                desk.look(Look::Anew);
            }
        }
    }
}

fn note_lane(behind: &mut BTreeSet<TopicPartition>, tp: &TopicPartition, lane: Lane) {
    match lane {
        Lane::Live => behind.remove(tp),
        Lane::Backlog => behind.insert(tp.clone()),
    };
}
