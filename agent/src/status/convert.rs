//! From judged facts to the words and figures of a status. A link that does not run has no figures at all.

use std::collections::{BTreeMap, BTreeSet};

use lockstep_core::dr::denied::{Cause, Denied};
use lockstep_core::dr::posture::{Judged, LinkFacts, PartitionFacts, Reason, TopicFacts, judge};
use lockstep_core::dr::runway::Runway;
use lockstep_core::dr::total::Total;
use lockstep_core::ids::TopicPartition;
use lockstep_core::mirror::partition::Phase;
use lockstep_core::mirror::{Millis, Now, WallMillis};

use super::facts::facts;
use super::{
    About, ExposureStatus, LinkState, LinkStatus, PartitionCounts, PartitionStatus, ReasonStatus,
    RunwayStatus, TopicStatus,
};
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
        .map(|topic| topic_status(topic, blocked.get(&*topic.topic).copied(), &reports, now))
        .collect();
    let unlisted = blocked.keys().filter(|name| !facts.topics.iter().any(|t| *t.topic == ***name)).count();
    let total: Total = facts.topics.iter().flat_map(|topic| &topic.partitions).map(|p| &p.figures).collect();
    let mut status = of_judged(about, LinkState::Running, &judged);
    status.topics_total = (topics.len() + unlisted) as u64;
    status.topics_good = facts.topics.iter().filter(|topic| !bad.contains(&*topic.topic)).count() as u64;
    status.as_of_timestamp_seconds = report.at.map(|now| seconds(now.wall.0));
    status.exposure = exposure(&total, now);
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

/// The status of a link that does not run, whatever it does instead. `denied`: what a cluster refuses, if that is why.
pub fn not_running(about: &About, state: LinkState, why: &str, denied: Vec<Denied>) -> LinkStatus {
    let facts = LinkFacts {
        role: about.role,
        write_protection: about.write_protection,
        rpo_ms: about.rpo_ms,
        not_running: Some(why.to_owned()),
        denied,
        ..LinkFacts::default()
    };
    of_judged(about, state, &judge(&facts))
}

/// Everything that does not come from a report.
fn of_judged(about: &About, state: LinkState, judged: &Judged) -> LinkStatus {
    LinkStatus {
        link: about.link.clone(),
        from: about.from.clone(),
        to: about.to.clone(),
        state,
        posture: judged.posture.word().to_owned(),
        reasons: judged.reasons.iter().map(reason_status).collect(),
        rpo_seconds: about.rpo_ms as f64 / 1_000.0,
        as_of_timestamp_seconds: None,
        exposure: ExposureStatus::default(),
        retention_runway: RunwayStatus { kind: "unknown".to_owned(), ..RunwayStatus::default() },
        source_end_timestamp_seconds: None,
        last_replicated_timestamp_seconds: None,
        copied_records: 0,
        copied_bytes: 0,
        aligned_offsets: 0,
        lost_records: 0,
        memory_bytes: 0,
        memory_max_bytes: 0,
        partitions: PartitionCounts::default(),
        topics_total: 0,
        topics_good: 0,
        groups: about.groups,
        drift: about.drift,
        topics: Vec::new(),
    }
}

fn reason_status(reason: &Reason) -> ReasonStatus {
    let grant = match reason {
        Reason::Auth(Denied { cause: Cause::Permission(permission), .. }) => Some(permission.grant.clone()),
        _ => None,
    };
    ReasonStatus {
        reason: reason.word().to_owned(),
        posture: reason.posture().map(|posture| posture.word().to_owned()),
        text: reason.to_string(),
        grant,
    }
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
        exposure: exposure(&total, now),
        retention_runway: runway.map(runway_status).unwrap_or_default(),
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
        exposure: exposure(&one, now),
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
    let mut counts = PartitionCounts { total: report.partitions.len() as u64, ..PartitionCounts::default() };
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

fn exposure(total: &Total, now: Option<Now>) -> ExposureStatus {
    let (seen, estimated) = (total.seen(), total.estimated());
    ExposureStatus {
        seen_records: seen.map(|seen| seen.records),
        seen_estimated_bytes: seen.and_then(|seen| seen.bytes),
        seen_seconds: seen.map(|seen| seen.milliseconds as f64 / 1_000.0),
        held_back_records: total.held_back_records,
        estimated_records: estimated.map(|estimated| estimated.records),
        estimated_bytes: estimated.and_then(|estimated| estimated.bytes),
        estimated_seconds: estimated.map(|estimated| estimated.milliseconds as f64 / 1_000.0),
        unknown_partitions: total.unknown,
        datum_age_seconds: total.datum_age_ms.map(|age| age as f64 / 1_000.0),
        datum_timestamp_seconds: ago(now, total.datum_age_ms),
        is_fresh: total.is_fresh(),
    }
}

fn runway_status(runway: Runway) -> RunwayStatus {
    let kind = |kind: &str| RunwayStatus { kind: kind.to_owned(), ..RunwayStatus::default() };
    match runway {
        Runway::NothingWaits => kind("nothing_waits"),
        Runway::Endless => kind("endless"),
        Runway::Unknown(missing) => {
            RunwayStatus { missing: Some(missing.name().to_owned()), ..kind("unknown") }
        }
        Runway::Lasts { milliseconds, basis, missing } => RunwayStatus {
            seconds: Some(milliseconds as f64 / 1_000.0),
            basis: Some(basis.name().to_owned()),
            missing: missing.map(|missing| missing.name().to_owned()),
            ..kind("lasts")
        },
    }
}

/// Seconds since 1970 of a moment on the clock of reports.
fn moment(now: Option<Now>, at: Option<Millis>) -> Option<f64> {
    let (now, at) = (now?, at?);
    ago(Some(now), Some(now.mono.since(at)))
}

fn ago(now: Option<Now>, age_ms: Option<u64>) -> Option<f64> {
    let age = i64::try_from(age_ms?).ok()?;
    Some(seconds(now?.wall.0.saturating_sub(age)))
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1_000.0
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
