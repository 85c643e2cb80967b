//! The consumer groups of a link: read at the source, carried to the standby behind the records (M30 to M33).
//!
//! ```text
//! source (offsets, then ends) ─► core::groups::readings ◄─ positions of the engine
//!                                        │ passed
//!                                        ▼
//!                      core::groups::copies ─► standby (members, offsets, commit) ─► report
//! ```
//! `survey` asks both clusters once, without a link; `next_record` reads what a consumer would see next.
//! Promises: never holds the engine up; a cluster that does not answer delays groups and nothing else; what is refused is
//! said with the missing right. Ends with the engine.

mod coordinators;
pub mod next_record;
pub mod report;
mod source;
mod standby;
mod summary;
pub mod survey;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockstep_core::groups::GroupPartition;
use lockstep_core::groups::copies::{Cause, Copies, Held, Refusal, Written};
use lockstep_core::groups::judge::Ours;
use lockstep_core::groups::policy::{Barrier, GroupPolicy, Removal};
use lockstep_core::groups::readings::Readings;
use lockstep_core::ids::TopicPartition;
use lockstep_core::mirror::Millis;
use lockstep_core::spec::rename::Rename;
use lockstep_core::spec::select::TopicSelection;
use lockstep_kafka::Cluster;
use lockstep_kafka::admin::{ConfigTarget, describe_configs};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use super::event::Event;
use super::owned::Owned;
use super::position::{Going, Position};
use report::{GroupReport, GroupState, GroupsReport, Present};
use source::SourceGroups;
use standby::StandbyGroups;
use summary::{offsets, range, state};

/// How often the source's groups are read.
const LOOK_INTERVAL: Duration = Duration::from_millis(300);
/// Many groups are work for the brokers: at most this part of the time goes into reading them.
const LOOK_SHARE: u32 = 3;
const LOOK_INTERVAL_MAX: Duration = Duration::from_secs(10);
/// How often it is looked whether offsets may pass.
const TICK: Duration = Duration::from_millis(50);
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Kafka's default (`GroupCoordinatorConfig`): seven days.
const RETENTION_MINUTES_DEFAULT: u64 = 10_080;

/// What the groups of a link are carried with.
#[derive(Clone)]
pub struct Setup {
    pub source: Cluster,
    pub dest: Cluster,
    pub topics: TopicSelection,
    pub rename: Rename,
    pub policy: GroupPolicy,
}

/// See the module's description.
pub struct Groups {
    dest: Cluster,
    policy: GroupPolicy,
    events: mpsc::Sender<Event>,
    report: watch::Sender<Arc<GroupsReport>>,
    owned: watch::Receiver<Owned>,
    started: Instant,
    source: SourceGroups,
    standby: StandbyGroups,
    readings: Readings,
    copies: Copies,
    positions: HashMap<TopicPartition, Position>,
    /// Offsets of the first look that are not carried yet; `None`: there was none.
    present: Option<BTreeSet<GroupPartition>>,
    /// Gone at the source, to be removed on the standby.
    removals: BTreeMap<Arc<str>, BTreeMap<TopicPartition, Ours>>,
    source_troubles: Vec<String>,
    standby_troubles: Vec<String>,
    /// Rights that are missing.
    source_right: Option<String>,
    standby_right: Option<String>,
    report_at: Instant,
    /// When the last look began that saw the source as it was.
    looked: Option<SystemTime>,
    /// As [`GroupReport::synced`].
    synced: HashMap<Arc<str>, SystemTime>,
}

impl Groups {
    pub fn new(
        setup: Setup,
        events: mpsc::Sender<Event>,
        report: watch::Sender<Arc<GroupsReport>>,
        owned: watch::Receiver<Owned>,
    ) -> Self {
        let Setup { source, dest, topics, rename, policy } = setup;
        Self {
            source: SourceGroups::new(source, policy.selection.clone(), topics),
            standby: StandbyGroups::new(dest.clone(), rename),
            readings: Readings::new(policy.barrier),
            copies: Copies::new(RETENTION_MINUTES_DEFAULT * 60_000),
            dest,
            policy,
            events,
            report,
            owned,
            started: Instant::now(),
            positions: HashMap::new(),
            present: None,
            removals: BTreeMap::new(),
            source_troubles: Vec::new(),
            standby_troubles: Vec::new(),
            source_right: None,
            standby_right: None,
            report_at: Instant::now(),
            looked: None,
            synced: HashMap::new(),
        }
    }

    /// Runs until the engine is gone, or groups are another agent's work.
    pub async fn run(mut self) {
        self.copies = Copies::new(retention_ms(&self.dest).await);
        let mut look_at = Instant::now();
        while !self.events.is_closed() && self.owned.borrow().is_caretaker() {
            let began = Instant::now();
            if began >= look_at {
                self.look().await;
                look_at = began + (began.elapsed() * LOOK_SHARE).clamp(LOOK_INTERVAL, LOOK_INTERVAL_MAX);
            }
            let moved = self.pass().await | self.write().await | self.remove().await;
            if moved || Instant::now() >= self.report_at {
                self.publish().await;
            }
            tokio::time::sleep(TICK).await;
        }
    }

    fn now(&self) -> Millis {
        Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Reads the source: offsets first, then, where one changed, the ends (M31).
    async fn look(&mut self) {
        let began = SystemTime::now();
        let look = match self.source.look().await {
            Ok(look) => look,
            Err(error) => return self.source_is_troubled(vec![format!("source: {error}")]),
        };
        let at = self.now();
        self.source_is_troubled(look.troubles.iter().cloned().collect());
        say_missing(&mut self.source_right, look.missing_right);
        for place in look.gone {
            self.readings.forget(&place);
            let ours = self.copies.forget(&place);
            if let Some(present) = &mut self.present {
                present.remove(&place);
            }
            if let (Removal::Follow, Some(ours)) = (self.policy.removal, ours) {
                self.removals.entry(place.group).or_default().insert(place.tp, ours);
            }
        }
        if !look.changed.is_empty() {
            let ends = match self.policy.barrier {
                Barrier::None => Vec::new(),
                Barrier::Link => match self.source.ends().await {
                    Ok(ends) => ends,
                    // Not accepted: the next look finds the same changes again.
                    Err(why) => return self.source_is_troubled(vec![format!("source: {why}")]),
                },
            };
            self.source.accept(&look.changed);
            for (place, _) in &look.changed {
                if let Some(removals) = self.removals.get_mut(&place.group) {
                    removals.remove(&place.tp);
                }
            }
            if self.present.is_none() {
                self.present = Some(look.changed.iter().map(|(place, _)| place.clone()).collect());
            }
            self.readings.read(at, look.changed, ends);
        } else if look.troubles.is_empty() {
            self.present.get_or_insert_default();
        }
        if look.troubles.is_empty() {
            self.looked = Some(began);
        }
    }

    fn source_is_troubled(&mut self, troubles: Vec<String>) {
        if troubles != self.source_troubles {
            for trouble in &troubles {
                tracing::warn!("groups: {trouble}");
            }
        }
        self.source_troubles = troubles;
    }

    /// Lets pass what the standby holds the records for.
    async fn pass(&mut self) -> bool {
        if self.readings.is_empty() {
            return false;
        }
        let awaited: Vec<_> = self.readings.awaited().into_iter().cloned().collect();
        let positions = self.ask(awaited).await;
        let passed = self.readings.pass(|tp| positions.get(tp)?.held);
        let moved = !passed.is_empty();
        for (place, commit) in passed {
            self.copies.want(place, commit);
        }
        moved
    }

    /// Where these partitions are; nothing of those that the engine does not know.
    async fn ask(&mut self, of: Vec<TopicPartition>) -> HashMap<TopicPartition, Position> {
        let (answer, answered) = oneshot::channel();
        // Both fail only when the engine has ended.
        if self.events.send(Event::PositionsWanted { of, answer }).await.is_err() {
            return HashMap::new();
        }
        let positions = answered.await.unwrap_or_default();
        self.positions.extend(positions.iter().map(|(tp, position)| (tp.clone(), *position)));
        positions
    }

    /// Reads the standby where something is due, and writes what has to be.
    async fn write(&mut self) -> bool {
        let due = self.copies.due(self.now());
        if due.is_empty() {
            return false;
        }
        let asked: BTreeMap<Arc<str>, Vec<_>> = due
            .into_iter()
            .map(|group| (Arc::clone(&group), self.copies.partitions_of(&group).cloned().collect()))
            .collect();
        let partitions: BTreeSet<_> = asked.values().flatten().cloned().collect();
        let positions = self.ask(partitions.into_iter().collect()).await;
        let read = match self.standby.read(&asked).await {
            Ok(read) => read,
            Err(error) => {
                let now = self.now();
                for group in asked.keys() {
                    self.copies.unread(group, Written::Retry, now);
                }
                self.standby_troubles = vec![format!("standby: {error}")];
                return true;
            }
        };
        self.standby_troubles.clear();
        let mut writes = Vec::new();
        for (group, stands) in read {
            let now = self.now();
            match stands {
                Ok(stands) => {
                    let range = |tp: &TopicPartition| range(positions.get(tp)?);
                    let wanted = self.copies.look(&group, stands.membership, &stands.offsets, range, now);
                    if !wanted.is_empty() {
                        writes.push((group, wanted));
                    }
                }
                Err(outcome) => self.copies.unread(&group, outcome, now),
            }
        }
        let outcomes = self.standby.write(writes).await;
        let now = self.now();
        for (group, tp, outcome) in outcomes {
            self.copies.written(&group, &tp, outcome, now);
        }
        let refused = self.source.groups.keys().find_map(|group| match &self.copies.get(group)?.held {
            Some(Held::Refused(Refusal { why, cause: Cause::MissingRight })) => {
                Some(format!("{group}: {why}"))
            }
            _ => None,
        });
        say_missing(&mut self.standby_right, refused);
        true
    }

    async fn remove(&mut self) -> bool {
        let Some((group, ours)) = self.removals.pop_first() else { return false };
        if !self.standby.remove(&group, &ours).await {
            self.removals.insert(group, ours);
        }
        true
    }

    async fn publish(&mut self) {
        self.report_at = Instant::now() + REPORT_INTERVAL;
        let partitions: BTreeSet<_> =
            self.source.groups.values().flat_map(|known| known.offsets.keys().cloned()).collect();
        let positions = self.ask(partitions.into_iter().collect()).await;
        self.copies.starts(|tp| range(positions.get(tp)?));
        let copies = &self.copies;
        if let Some(present) = &mut self.present {
            present.retain(|place| !copies.is_settled(place));
        }
        let groups = self.source.groups.iter().map(|(group, known)| {
            let copy = self.copies.get(group);
            let offsets = offsets(known, copy, &positions);
            let state = state(known, copy, &offsets);
            let synced = if state == GroupState::InStep { self.looked } else { None };
            GroupReport {
                group: Arc::clone(group),
                kind: known.kind.clone(),
                synced: synced.or_else(|| self.synced.get(group).copied()),
                state,
                offsets,
            }
        });
        let groups: Vec<_> = groups.collect();
        let synced = groups.iter().filter_map(|group| Some((Arc::clone(&group.group), group.synced?)));
        self.synced = synced.collect();
        let report = GroupsReport {
            groups,
            present: self.present(),
            waits_for: self.waits_for(),
            troubles: self.source_troubles.iter().chain(&self.standby_troubles).cloned().collect(),
            missing_right: self.source_right.as_ref().or(self.standby_right.as_ref()).cloned(),
        };
        self.report.send_replace(Arc::new(report));
    }

    fn present(&self) -> Present {
        let going = |tp: &TopicPartition| self.positions.get(tp).map(|position| position.going);
        let stuck = |tp: &TopicPartition| going(tp).is_some_and(|going| going != Going::On);
        match &self.present {
            None => Present::Unknown,
            Some(left) if left.is_empty() => Present::Carried,
            Some(left) => {
                let held = self.readings.oldest_awaited().any(|(tp, _)| stuck(tp))
                    || left.iter().all(|place| stuck(&place.tp));
                if held { Present::Held } else { Present::UnderWay }
            }
        }
    }

    /// One partition that the oldest reading waits for, and how many there are.
    fn waits_for(&self) -> Option<String> {
        let since = self.now().since(self.readings.oldest()?);
        let mut awaited: Vec<_> = self.readings.oldest_awaited().collect();
        awaited.sort();
        let (tp, end) = awaited.first()?;
        let position = self.positions.get(*tp);
        let held = position.and_then(|p| p.held).map_or("not open".to_owned(), |held| format!("at {held}"));
        let going = match position.map(|position| position.going) {
            Some(Going::Stopped) => ", stopped",
            Some(Going::NotMirrored) => ", not mirrored",
            _ => "",
        };
        let more = if awaited.len() > 1 { format!(" and {} more", awaited.len() - 1) } else { String::new() };
        Some(format!("{tp} to hold offset {end} ({held}{going}){more}, for {} s", since / 1_000))
    }
}

/// Notes a right that is missing, and says it once.
fn say_missing(known: &mut Option<String>, now: Option<String>) {
    if let Some(words) = &now
        && *known != now
    {
        tracing::warn!("groups: {words}");
    }
    *known = now;
}

/// The shortest `offsets.retention.minutes` of the standby's brokers; Kafka's default where they do not tell.
async fn retention_ms(dest: &Cluster) -> u64 {
    let nodes: Vec<_> = dest.metadata().brokers.keys().map(|node| ConfigTarget::Broker(*node)).collect();
    let described = match describe_configs(dest, &nodes).await {
        Ok(described) => described,
        Err(error) => {
            tracing::warn!(%error, "offsets.retention.minutes of the standby is not known: taken for a week");
            Vec::new()
        }
    };
    let entries = described.into_iter().filter_map(|(_, entries)| entries.ok()).flatten();
    let minutes = entries
        .filter(|entry| entry.name == "offsets.retention.minutes")
        .filter_map(|entry| entry.value?.parse::<u64>().ok())
        .min();
    minutes.unwrap_or(RETENTION_MINUTES_DEFAULT).saturating_mul(60_000)
}
