//! Which partitions a source broker is asked for next, and how much of them: by lane, so that what is live never waits
//! behind what catches up; by the throttle, so that nothing is fetched that would have to wait in memory; by priority,
//! where not everybody can be served at once. Never waits: what is not asked for now is found again in the next turn.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::ids::{NodeId, TopicPartition};
use lockstep_core::mirror::Millis;
use lockstep_core::mirror::partition::FetchPosition;
use lockstep_core::mirror::turns::whose;
use lockstep_core::spec::pace::Priority;
use lockstep_kafka::fetch::{FetchLimits, FetchTarget};

use super::{Engine, PARTITION_BYTES_MAX};
use crate::pipeline::desks::{FetchDesk, Look};
use crate::pipeline::lane::{Asked, Lane};
use crate::pipeline::source::FetchJob;

/// A source broker with nothing new answers after this long, and a moment more for every partition: asking for many is
/// work, and who comes new to them waits for the answer.
const LONG_POLL: Duration = Duration::from_millis(250);
const LONG_POLL_MAX: Duration = Duration::from_secs(1);
const LONG_POLL_EACH: Duration = Duration::from_millis(1);
/// The same while a partition waits for room, or for its turn: it must be asked for soon.
const SHORT_POLL: Duration = Duration::from_millis(10);
/// The largest fetch answer asked for, and the smallest.
const FETCH_BYTES_MAX: usize = 8 << 20;
const FETCH_BYTES_MIN: usize = 64 << 10;
/// The largest of the live lane while somebody catches up: its answers are to come soon, and to leave room.
const LIVE_BYTES_BESIDE_BACKLOG: usize = 1 << 20;

/// What one broker may be asked for.
struct Wanted {
    targets: Vec<(Priority, FetchTarget)>,
    someone_waits: bool,
}

fn long_poll(partitions: usize) -> Duration {
    let more = LONG_POLL_EACH.saturating_mul(u32::try_from(partitions).unwrap_or(u32::MAX));
    LONG_POLL.saturating_add(more).min(LONG_POLL_MAX)
}

impl Engine {
    pub(super) fn dispatch_fetches(&mut self, now: Millis) {
        self.throttled_until = None;
        let nodes: Vec<_> = self.routes.source_nodes().collect();
        for lane in Lane::BOTH {
            if lane == Lane::Backlog && self.behind.is_empty() {
                continue;
            }
            let bytes_max = self.fetch_bytes_max(lane, nodes.len());
            for node in &nodes {
                let desk = (*node, lane);
                if self.fetch_desks.get(&desk).is_some_and(|desk| !desk.idle || desk.look == Look::No) {
                    continue;
                }
                let free_at = self.throttle.as_mut().map_or(now, |throttle| throttle.free_at(now));
                if free_at > now {
                    self.throttled_until = Some(free_at);
                    self.held_back |= lane == Lane::Live;
                    continue;
                }
                if !self.repeat_fetch(desk, bytes_max) {
                    self.dispatch_fetch(desk, bytes_max, now);
                }
            }
        }
    }

    /// Thousands of partitions in which nothing happens are the usual case: the same job under the same number, so that
    /// what each partition was asked stays right. Only what is live waits so; `false`: something has changed.
    fn repeat_fetch(&mut self, desk: (NodeId, Lane), bytes_max: usize) -> bool {
        if desk.1 == Lane::Backlog || self.held_back {
            return false;
        }
        let Some(work) = self.fetch_desks.get_mut(&desk).filter(|work| work.look == Look::Again) else {
            return false;
        };
        let Some(targets) = work.standing.clone() else { return false };
        let limits =
            FetchLimits { max_wait: long_poll(targets.len()), min_bytes: 1, bytes_max: bytes_max as i32 };
        work.hand_over(FetchJob { targets, limits });
        true
    }

    fn dispatch_fetch(&mut self, desk: (NodeId, Lane), bytes_max: usize, now: Millis) {
        let wanted = self.wanted(desk, now);
        let Wanted { targets, someone_waits } = self.choose(desk, wanted);
        if targets.is_empty() {
            // Nothing to ask for until something changes.
            if let Some(desk) = self.fetch_desks.get_mut(&desk) {
                (desk.look, desk.standing) = (Look::No, None);
            }
            return;
        }
        let (setup, events, tasks) = (&self.setup, &self.events_in, &mut self.tasks);
        let work = self
            .fetch_desks
            .entry(desk)
            .or_insert_with(|| FetchDesk::open(desk, &setup.source, &setup.budget, events, tasks));
        work.job += 1;
        let job = work.job;
        for (_, target) in &targets {
            if let Some(slot) = self.slots.get_mut(&target.tp) {
                slot.asked = Some(Asked { desk, job, offset: target.offset });
            }
        }
        let max_wait = if someone_waits { SHORT_POLL } else { long_poll(targets.len()) };
        let limits = FetchLimits { max_wait, min_bytes: 1, bytes_max: bytes_max as i32 };
        let targets: Arc<[FetchTarget]> = targets.into_iter().map(|(_, target)| target).collect();
        work.standing = (!someone_waits).then(|| Arc::clone(&targets));
        work.hand_over(FetchJob { targets, limits });
    }

    /// Everything of this broker and lane that can take more.
    fn wanted(&self, (node, lane): (NodeId, Lane), now: Millis) -> Wanted {
        let mut wanted = Wanted { targets: Vec::new(), someone_waits: false };
        let mut see = |tp: &TopicPartition| {
            let (Some(slot), Some(route)) = (self.slots.get(tp), self.routes.source(tp)) else { return };
            if slot.lane != lane || route.node != node {
                return;
            }
            // Never another topic of the same name: its records would be appended as if they continued (M9).
            let pinned = slot.machine.source_id();
            let same_topic = !pinned.is_known() || route.topic_id == pinned;
            let elsewhere = slot.asked.is_some_and(|asked| self.is_under_way(asked, (node, lane)));
            match slot.machine.wants() {
                Some(_) if slot.fetch_not_before > now || !same_topic || elsewhere => {
                    wanted.someone_waits = true;
                }
                None => wanted.someone_waits |= slot.machine.has_in_flight(),
                Some(FetchPosition { offset, last_epoch }) => {
                    let target = FetchTarget {
                        tp: tp.clone(),
                        topic_id: route.topic_id,
                        offset,
                        current_leader_epoch: route.epoch,
                        last_fetched_epoch: last_epoch,
                        partition_bytes_max: PARTITION_BYTES_MAX as i32,
                    };
                    wanted.targets.push((slot.priority, target));
                }
            }
        };
        match lane {
            Lane::Live => self.routes.led_by(node).for_each(&mut see),
            Lane::Backlog => self.behind.iter().for_each(&mut see),
        }
        wanted
    }

    /// Whether another desk's fetch of the same partition has no answer yet.
    fn is_under_way(&self, asked: Asked, desk: (NodeId, Lane)) -> bool {
        asked.desk != desk
            && self.fetch_desks.get(&asked.desk).is_some_and(|other| !other.idle && other.job == asked.job)
    }

    /// Where not everybody can be served: those whose turn it is. All that catch up always have something to answer with,
    /// so each gets the whole answer in its turn; what is live is chosen from only behind a throttle.
    fn choose(&mut self, desk: (NodeId, Lane), wanted: Wanted) -> Wanted {
        let limited = match desk.1 {
            Lane::Live => std::mem::take(&mut self.held_back),
            Lane::Backlog => true,
        };
        let Wanted { mut targets, mut someone_waits } = wanted;
        let priorities: BTreeSet<_> = targets.iter().map(|(priority, _)| *priority).collect();
        if limited
            && priorities.len() > 1
            // Each desk counts its own turns: counted together, one broker's could always be the same.
            && let Some(chosen) = whose(self.fetch_desks.get(&desk).map_or(0, |desk| desk.job), &priorities)
        {
            targets.retain(|(priority, _)| *priority == chosen);
            someone_waits = true;
        }
        Wanted { targets, someone_waits }
    }

    /// All links of the process poll at once, so what live ones may hold is shared among them; who catches up waits for its
    /// turn (`Budget`).
    fn fetch_bytes_max(&self, lane: Lane, nodes: usize) -> usize {
        let nodes = nodes.max(1);
        let half = self.setup.budget.capacity_bytes() / (2 * nodes);
        let share = match lane {
            Lane::Backlog => half,
            Lane::Live if self.behind.is_empty() => half / self.setup.budget.holders(),
            Lane::Live => LIVE_BYTES_BESIDE_BACKLOG.min(half / self.setup.budget.holders()),
        };
        let throttle = self.throttle.map_or(u64::MAX, |throttle| throttle.ask_bytes_max()) / nodes as u64;
        share.min(usize::try_from(throttle).unwrap_or(usize::MAX)).clamp(FETCH_BYTES_MIN, FETCH_BYTES_MAX)
    }
}
