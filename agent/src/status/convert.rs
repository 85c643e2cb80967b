//! From a report and what was judged of it to a status: counts, positions, and the figures of every topic and partition.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_core::dr::posture::{PartitionFacts, Reason, TopicFacts, judge};
use lockstep_core::dr::runway::Runway;
use lockstep_core::dr::total::Total;
use lockstep_core::ids::TopicPartition;
use lockstep_core::mirror::partition::Phase;
use lockstep_core::mirror::{Millis, Now, WallMillis};
use lockstep_core::status::{
    About, LinkState, LinkStatus, PartitionCounts, PartitionStatus, TopicStatus, ago, exposure_status,
    judged_status, runway_status,
};

use super::facts::facts;
use crate::pipeline::report::{LinkReport, PartitionReport};

/// The status of a link that runs, at `now`: later than the report where its engine is stuck.
pub fn link_status(about: &About, report: &LinkReport, now: WallMillis) -> LinkStatus {
    let facts = facts(about, report, now);
    let now = report.at.map(|made| Now { wall: made.wall.max(now), ..made });
    let judged = judge(&facts);
    let bad: BTreeSet<_> = judged.reasons.iter().filter_map(bad_topic).collect();
    let blocked: BTreeMap<_, _> = report.blocked_topics.iter().map(|(t, why)| (t.as_str(), why)).collect();
    let reports: BTreeMap<_, _> = report.partitions.iter().map(|p| (&p.tp, p)).collect();
    let topics: Vec<_> = facts
        .topics
        .iter()
        .map(|topic| {
            let is_good = !bad.contains(&*topic.topic);
            TopicStatus { is_good, ..topic_status(topic, blocked.get(&*topic.topic).copied(), &reports, now) }
        })
        .collect();
    let unlisted = blocked.keys().filter(|name| !facts.topics.iter().any(|t| *t.topic == ***name)).count();
    let total: Total = facts.topics.iter().flat_map(|topic| &topic.partitions).map(|p| &p.figures).collect();
    let mut status = judged_status(about, LinkState::Running, &judged);
    status.topics_total = (topics.len() + unlisted) as u64;
    status.topics_good = topics.iter().filter(|topic| topic.is_good).count() as u64;
    status.as_of_timestamp_seconds = report.at.map(|now| now.wall.0 as f64 / 1_000.0);
    status.exposure = exposure_status(&total, now);
    let runways = facts.topics.iter().flat_map(|topic| &topic.partitions).map(|p| p.runway);
    status.retention_runway = runways.reduce(Runway::shorter).map(runway_status).unwrap_or_default();
    status.source_end_timestamp_seconds = ago(now, total.source_age_ms);
    let copied_at = report.partitions.iter().filter_map(|p| p.copied_at).max();
    status.last_replicated_timestamp_seconds = moment(report.at, copied_at);
    status.copied_records = report.copied_records;
    status.copied_bytes = report.copied_bytes;
    status.aligned_offsets = report.aligned_offsets;
    status.lost_records = report.lost_records();
    status.memory_bytes = report.memory_bytes as u64;
    status.memory_max_bytes = report.memory_bytes_max as u64;
    status.partitions = counts(report);
    status.topics = topics;
    status
}

/// The topic that a reason takes out of the good ones.
fn bad_topic(reason: &Reason) -> Option<String> {
    reason.posture()?;
    match reason {
        Reason::Unmeasured { topic, .. }
        | Reason::PartitionStopped { topic, .. }
        | Reason::RunwayShort { topic, .. }
        | Reason::OverRpo { topic, .. } => Some(topic.to_string()),
        Reason::TopicBlocked { topic, .. } => Some(topic.clone()),
        _ => None,
    }
}

type Reports<'a> = BTreeMap<&'a TopicPartition, &'a PartitionReport>;

fn topic_status(
    facts: &TopicFacts,
    blocked: Option<&String>,
    reports: &Reports<'_>,
    now: Option<Now>,
) -> TopicStatus {
    let total: Total = facts.partitions.iter().map(|p| &p.figures).collect();
    let runway = facts.partitions.iter().map(|p| p.runway).reduce(Runway::shorter);
    let partitions = facts.partitions.iter().map(|p| {
        let tp = TopicPartition::new(std::sync::Arc::clone(&facts.topic), p.partition);
        partition_status(p, reports.get(&tp).copied(), now)
    });
    TopicStatus {
        topic: facts.topic.to_string(),
        exposure: exposure_status(&total, now),
        retention_runway: runway.map(runway_status).unwrap_or_default(),
        is_good: true,
        blocked: blocked.cloned(),
        partitions: partitions.collect(),
    }
}

fn partition_status(
    facts: &PartitionFacts,
    report: Option<&PartitionReport>,
    now: Option<Now>,
) -> PartitionStatus {
    let one: Total = [facts.figures].iter().collect();
    let verdict = report.and_then(|p| match &p.phase {
        Phase::Stopped(verdict) => Some(verdict),
        _ => None,
    });
    PartitionStatus {
        partition: facts.partition,
        phase: report.map_or("blocked", |p| phase(&p.phase)).to_owned(),
        verdict: verdict.map(|verdict| verdict.name().to_owned()),
        source_end_offset: report.and_then(|p| p.source_end).map(|offset| offset.0),
        source_last_stable_offset: report.and_then(|p| p.source_last_stable).map(|offset| offset.0),
        replicated_offset: report.and_then(|p| p.durable).map(|offset| offset.0),
        exposure: exposure_status(&one, now),
        trouble: report.and_then(|p| p.trouble.clone()).or_else(|| verdict.map(ToString::to_string)),
    }
}

fn phase(phase: &Phase) -> &'static str {
    match phase {
        Phase::Opening => "opening",
        Phase::Copying => "copying",
        Phase::CaughtUp => "caught_up",
        Phase::Draining => "draining",
        Phase::Stopped(_) => "stopped",
    }
}

fn counts(report: &LinkReport) -> PartitionCounts {
    let (total, elsewhere) = (report.partitions.len() as u64, report.elsewhere);
    let mut counts = PartitionCounts { total, elsewhere, ..PartitionCounts::default() };
    for partition in &report.partitions {
        *match partition.phase {
            Phase::Opening => &mut counts.opening,
            Phase::Copying => &mut counts.copying,
            Phase::CaughtUp => &mut counts.caught_up,
            Phase::Draining => &mut counts.draining,
            Phase::Stopped(_) => &mut counts.stopped,
        } += 1;
    }
    counts
}

/// Seconds since 1970 of a moment on the clock of reports.
fn moment(now: Option<Now>, at: Option<Millis>) -> Option<f64> {
    let (now, at) = (now?, at?);
    ago(Some(now), Some(now.mono.since(at)))
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
