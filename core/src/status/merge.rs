//! Several agents' parts of one link as one status. Sums never hide what is not known: a part without figures takes the
//! sum's estimate and freshness away, and partitions that nobody reports are named. The worst posture is shown; of
//! reasons all, each once. A partition that two agents report (it is changing hands) counts once, by the younger datum.

use std::collections::BTreeMap;

use super::{
    ExposureStatus, GroupsSummary, LinkState, LinkStatus, PartitionCounts, PartitionStatus, ReasonStatus,
    RunwayStatus, TopicStatus,
};
use crate::dr::posture::{Posture, Reason};

/// One status of all parts; `None`: there is no part. The link's name, clusters and limit are the first part's.
#[must_use]
pub fn merge(parts: &[LinkStatus]) -> Option<LinkStatus> {
    let (first, others) = parts.split_first()?;
    if others.is_empty() && first.partitions.elsewhere == 0 {
        return Some(first.clone());
    }
    // An agent whose share of the link is nothing measures nothing, and that is no gap.
    let mut counting: Vec<_> = parts.iter().filter(|part| !holds_nothing(part)).collect();
    if counting.is_empty() {
        counting.push(first);
    }
    let (topics, twice) = topics(&counting);
    let partitions = counts(parts, &topics, twice);
    let exposure = if twice > 0 {
        topics.iter().map(|topic| &topic.exposure).fold(None, plus)
    } else {
        counting.iter().map(|part| &part.exposure).fold(None, plus)
    };
    let drifts = parts.iter().filter_map(|part| part.drift);
    let mut merged = LinkStatus {
        state: worst_state(parts),
        posture: worst_posture(parts),
        reasons: reasons(parts),
        as_of_timestamp_seconds: oldest(&counting, |part| part.as_of_timestamp_seconds),
        exposure: exposure.unwrap_or_default(),
        retention_runway: counting
            .iter()
            .map(|part| &part.retention_runway)
            .fold(None, shorter)
            .unwrap_or_default(),
        source_end_timestamp_seconds: oldest(&counting, |part| part.source_end_timestamp_seconds),
        last_replicated_timestamp_seconds: parts
            .iter()
            .filter_map(|part| part.last_replicated_timestamp_seconds)
            .reduce(f64::max),
        copied_records: sum(parts, |part| part.copied_records),
        copied_bytes: sum(parts, |part| part.copied_bytes),
        aligned_offsets: sum(parts, |part| part.aligned_offsets),
        lost_records: sum(parts, |part| part.lost_records),
        memory_bytes: sum(parts, |part| part.memory_bytes),
        memory_max_bytes: sum(parts, |part| part.memory_max_bytes),
        partitions,
        topics_total: 0,
        topics_good: 0,
        groups: parts.iter().filter_map(|part| part.groups).fold(None, more_groups),
        drift: drifts.reduce(u64::saturating_add),
        topics,
        ..first.clone()
    };
    count_topics(&mut merged, parts);
    if partitions.elsewhere > 0 {
        super::age::add(&mut merged, &|_| Some(Reason::Uncovered { partitions: partitions.elsewhere }));
    }
    Some(merged)
}

/// Where a reason stands among others: those of the worst posture first, words beside it last.
pub(super) fn rank(reason: &ReasonStatus) -> Posture {
    reason.posture.as_deref().map_or(Posture::WithinRpo, Posture::of_word)
}

fn holds_nothing(part: &LinkStatus) -> bool {
    part.state == LinkState::Running && part.partitions.total == 0 && part.partitions.elsewhere > 0
}

fn sum(parts: &[LinkStatus], figure: impl Fn(&LinkStatus) -> u64) -> u64 {
    parts.iter().map(figure).fold(0, u64::saturating_add)
}

/// `None` where any part has none: what is not known is not the past.
fn oldest(parts: &[&LinkStatus], moment: impl Fn(&LinkStatus) -> Option<f64>) -> Option<f64> {
    let all: Option<Vec<f64>> = parts.iter().map(|part| moment(part)).collect();
    all?.into_iter().reduce(f64::min)
}

/// The one that most is missing in.
fn worst_state(parts: &[LinkStatus]) -> LinkState {
    const WORST: [LinkState; 4] =
        [LinkState::Waiting, LinkState::Starting, LinkState::Stopping, LinkState::Paused];
    let found = WORST.into_iter().find(|state| parts.iter().any(|part| part.state == *state));
    found.unwrap_or(LinkState::Running)
}

fn worst_posture(parts: &[LinkStatus]) -> String {
    let worst = parts.iter().map(|part| Posture::of_word(&part.posture)).min();
    worst.unwrap_or(Posture::Unknown).word().to_owned()
}

fn reasons(parts: &[LinkStatus]) -> Vec<ReasonStatus> {
    let mut all: Vec<ReasonStatus> = Vec::new();
    for reason in parts.iter().flat_map(|part| &part.reasons) {
        if !all.contains(reason) {
            all.push(reason.clone());
        }
    }
    // Stable: within a posture they stay in the order of the parts.
    all.sort_by_key(rank);
    all
}

fn more_groups(so_far: Option<GroupsSummary>, groups: GroupsSummary) -> Option<GroupsSummary> {
    Some(so_far.filter(|so_far| so_far.total >= groups.total).unwrap_or(groups))
}

/// Both together; the records of parts that are known, and a note of those that are not.
pub(super) fn plus(so_far: Option<ExposureStatus>, more: &ExposureStatus) -> Option<ExposureStatus> {
    let Some(a) = so_far else { return Some(*more) };
    let add = |a: u64, b: u64| a.saturating_add(b);
    let both = |a: Option<u64>, b: Option<u64>| a.zip(b).map(|(a, b)| add(a, b));
    let either = |a: Option<f64>, b: Option<f64>| a.into_iter().chain(b).reduce(f64::max);
    let longest = |a: Option<f64>, b: Option<f64>| a.zip(b).map(|(a, b)| a.max(b));
    let (seen_records, seen_estimated_bytes) = match (a.seen_records, more.seen_records) {
        (Some(x), Some(y)) => (Some(add(x, y)), both(a.seen_estimated_bytes, more.seen_estimated_bytes)),
        (Some(x), None) => (Some(x), a.seen_estimated_bytes),
        (None, y) => (y, more.seen_estimated_bytes),
    };
    Some(ExposureStatus {
        seen_records,
        seen_estimated_bytes,
        seen_seconds: either(a.seen_seconds, more.seen_seconds),
        held_back_records: add(a.held_back_records, more.held_back_records),
        estimated_records: both(a.estimated_records, more.estimated_records),
        estimated_bytes: both(a.estimated_bytes, more.estimated_bytes),
        estimated_seconds: longest(a.estimated_seconds, more.estimated_seconds),
        unknown_partitions: add(a.unknown_partitions, more.unknown_partitions),
        datum_age_seconds: longest(a.datum_age_seconds, more.datum_age_seconds),
        datum_timestamp_seconds: a
            .datum_timestamp_seconds
            .zip(more.datum_timestamp_seconds)
            .map(|(a, b)| a.min(b)),
        is_fresh: a.is_fresh && more.is_fresh,
    })
}

fn shorter(so_far: Option<RunwayStatus>, more: &RunwayStatus) -> Option<RunwayStatus> {
    // As `core::dr::runway` ranks them.
    let rank = |runway: &RunwayStatus| match runway.kind.as_str() {
        "lasts" => 0,
        "endless" => 2,
        "nothing_waits" => 3,
        _ => 1,
    };
    let left = |runway: &RunwayStatus| (rank(runway), runway.seconds.unwrap_or(0.0));
    match so_far {
        Some(so_far) if left(&so_far) <= left(more) => Some(so_far),
        _ => Some(more.clone()),
    }
}

/// Topics by name, and how many partitions stood in two parts.
fn topics(parts: &[&LinkStatus]) -> (Vec<TopicStatus>, u64) {
    let mut all: BTreeMap<&str, Vec<&TopicStatus>> = BTreeMap::new();
    for topic in parts.iter().flat_map(|part| &part.topics) {
        all.entry(&topic.topic).or_default().push(topic);
    }
    let mut twice = 0;
    let merged = all.into_values().map(|parts| {
        let (topic, doubled) = one_topic(&parts);
        twice += doubled;
        topic
    });
    (merged.collect(), twice)
}

fn one_topic(parts: &[&TopicStatus]) -> (TopicStatus, u64) {
    let mut partitions: BTreeMap<i32, &PartitionStatus> = BTreeMap::new();
    let mut twice = 0;
    for partition in parts.iter().flat_map(|part| &part.partitions) {
        partitions
            .entry(partition.partition)
            .and_modify(|known| {
                twice += 1;
                if is_younger(partition, known) {
                    *known = partition;
                }
            })
            .or_insert(partition);
    }
    let exposure = if twice > 0 {
        partitions.values().map(|partition| &partition.exposure).fold(None, plus)
    } else {
        parts.iter().map(|part| &part.exposure).fold(None, plus)
    };
    let topic = TopicStatus {
        topic: parts.first().map_or_else(String::new, |part| part.topic.clone()),
        exposure: exposure.unwrap_or_default(),
        retention_runway: parts
            .iter()
            .map(|part| &part.retention_runway)
            .fold(None, shorter)
            .unwrap_or_default(),
        is_good: parts.iter().all(|part| part.is_good),
        blocked: parts.iter().find_map(|part| part.blocked.clone()),
        partitions: partitions.into_values().cloned().collect(),
    };
    (topic, twice)
}

fn is_younger(this: &PartitionStatus, that: &PartitionStatus) -> bool {
    match (this.exposure.datum_age_seconds, that.exposure.datum_age_seconds) {
        (Some(this), Some(that)) => this < that,
        (Some(_), None) => true,
        _ => false,
    }
}

/// Partitions that are in no part stand as `elsewhere`: every agent of the link knows how many there are.
fn counts(parts: &[LinkStatus], topics: &[TopicStatus], twice: u64) -> PartitionCounts {
    let of = |figure: fn(&PartitionCounts) -> u64| sum(parts, |part| figure(&part.partitions));
    let known = parts.iter().map(|part| part.partitions.total.saturating_add(part.partitions.elsewhere));
    let mut counts = PartitionCounts {
        total: of(|counts| counts.total),
        opening: of(|counts| counts.opening),
        copying: of(|counts| counts.copying),
        caught_up: of(|counts| counts.caught_up),
        draining: of(|counts| counts.draining),
        stopped: of(|counts| counts.stopped),
        elsewhere: 0,
    };
    if twice > 0 {
        let mut recount = PartitionCounts::default();
        for partition in topics.iter().flat_map(|topic| &topic.partitions) {
            let counted = match partition.phase.as_str() {
                "opening" => &mut recount.opening,
                "copying" => &mut recount.copying,
                "caught_up" => &mut recount.caught_up,
                "draining" => &mut recount.draining,
                "stopped" => &mut recount.stopped,
                // Blocked ones are nobody's work.
                _ => continue,
            };
            *counted += 1;
            recount.total += 1;
        }
        counts = recount;
    }
    counts.elsewhere = known.max().unwrap_or(0).saturating_sub(counts.total);
    counts
}

/// A topic is good where every part of it is. Topics that a part counts and does not tell one by one are taken to be the
/// same in every part.
fn count_topics(merged: &mut LinkStatus, parts: &[LinkStatus]) {
    let good = |topics: &[TopicStatus]| topics.iter().filter(|topic| topic.is_good).count() as u64;
    let untold = parts.iter().map(|part| part.topics_total.saturating_sub(part.topics.len() as u64));
    let untold_good = parts.iter().map(|part| part.topics_good.saturating_sub(good(&part.topics)));
    merged.topics_total = untold.max().unwrap_or(0).saturating_add(merged.topics.len() as u64);
    merged.topics_good = untold_good.max().unwrap_or(0).saturating_add(good(&merged.topics));
}

#[cfg(test)]
#[path = "merge_tests.rs"]
pub(super) mod testing;
