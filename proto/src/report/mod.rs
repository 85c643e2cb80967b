//! A link's status on its way from an agent to a coordinator: moments become ages there, and moments of the reader here.
//! Promises: what is not known stays so; nothing rests on two clocks that agree; what was sent comes out again, to the
//! millisecond. Never judges: a posture that this version does not know is passed on as its word.
//! A report with a state that this version does not know is refused: its link is then silent, which nobody takes for good.

mod exposure;
#[cfg(test)]
mod tests;

use std::fmt;

use lockstep_core::status::{
    GroupsSummary, LinkState, LinkStatus, PartitionCounts, PartitionStatus, ReasonStatus, TopicStatus,
};

use crate::agent::{GroupCounts, LinkReport, PartitionReport, Partitions, Reason, TopicReport};

/// Which work a report was made under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Under {
    pub epoch: u64,
    pub generation: u64,
}

/// Whether partitions are told one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// What is sent every second.
    Topics,
    /// Some 60 bytes for each partition.
    Partitions,
}

/// Why a report is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A part that every report has.
    Missing(&'static str),
    UnknownState(String),
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "a report of a link comes without {what}"),
            Self::UnknownState(word) => {
                write!(f, "a link's state is {word:?}, which this version does not know")
            }
        }
    }
}

impl std::error::Error for Malformed {}

/// The report of a status that is sent at `now_seconds` (since 1970, by the clock that made the status).
#[must_use]
pub fn to_report(status: &LinkStatus, under: Under, detail: Detail, now_seconds: f64) -> LinkReport {
    let age = |moment: Option<f64>| moment.map(|moment| milliseconds(now_seconds - moment));
    // Ages in a status count from when it was made.
    let since_made_ms = age(status.as_of_timestamp_seconds).unwrap_or(0);
    LinkReport {
        link: status.link.clone(),
        epoch: under.epoch,
        generation: under.generation,
        state: status.state.word().to_owned(),
        posture: status.posture.clone(),
        reasons: status.reasons.iter().map(reason).collect(),
        rpo_ms: milliseconds(status.rpo_seconds),
        age_ms: age(status.as_of_timestamp_seconds),
        exposure: Some(exposure::to(&status.exposure, since_made_ms)),
        retention_runway: Some(exposure::to_runway(&status.retention_runway)),
        source_end_age_ms: age(status.source_end_timestamp_seconds),
        last_replicated_age_ms: age(status.last_replicated_timestamp_seconds),
        copied_records: status.copied_records,
        copied_bytes: status.copied_bytes,
        aligned_offsets: status.aligned_offsets,
        lost_records: status.lost_records,
        memory_bytes: status.memory_bytes,
        memory_max_bytes: status.memory_max_bytes,
        partitions: Some(to_counts(status.partitions)),
        topics_total: status.topics_total,
        topics_good: status.topics_good,
        groups: status.groups.map(|groups| GroupCounts { copied: groups.copied, total: groups.total }),
        drift: status.drift,
        topics: status.topics.iter().map(|topic| to_topic(topic, detail, since_made_ms)).collect(),
        from: status.from.clone(),
        to: status.to.clone(),
    }
}

/// The status that a report brings, as the reader says it at `now_seconds` by its own clock, the moment of receipt.
///
/// # Errors
/// A part is missing, or its state is none that this version knows.
pub fn from_report(report: LinkReport, now_seconds: f64) -> Result<LinkStatus, Malformed> {
    let moment = |age_ms: Option<u64>| age_ms.map(|age| now_seconds - seconds(age));
    let state = LinkState::ALL.into_iter().find(|state| state.word() == report.state);
    Ok(LinkStatus {
        state: state.ok_or(Malformed::UnknownState(report.state))?,
        link: report.link,
        from: report.from,
        to: report.to,
        posture: report.posture,
        reasons: report.reasons.into_iter().map(from_reason).collect(),
        rpo_seconds: seconds(report.rpo_ms),
        as_of_timestamp_seconds: moment(report.age_ms),
        exposure: exposure::from(report.exposure.ok_or(Malformed::Missing("exposure"))?, now_seconds),
        retention_runway: exposure::from_runway(report.retention_runway.unwrap_or_default()),
        source_end_timestamp_seconds: moment(report.source_end_age_ms),
        last_replicated_timestamp_seconds: moment(report.last_replicated_age_ms),
        copied_records: report.copied_records,
        copied_bytes: report.copied_bytes,
        aligned_offsets: report.aligned_offsets,
        lost_records: report.lost_records,
        memory_bytes: report.memory_bytes,
        memory_max_bytes: report.memory_max_bytes,
        partitions: from_counts(report.partitions.ok_or(Malformed::Missing("counts of partitions"))?),
        topics_total: report.topics_total,
        topics_good: report.topics_good,
        groups: report.groups.map(|groups| GroupsSummary { copied: groups.copied, total: groups.total }),
        drift: report.drift,
        topics: report
            .topics
            .into_iter()
            .map(|topic| from_topic(topic, now_seconds))
            .collect::<Result<_, _>>()?,
    })
}

fn reason(reason: &ReasonStatus) -> Reason {
    Reason {
        word: reason.reason.clone(),
        posture: reason.posture.clone(),
        text: reason.text.clone(),
        grant: reason.grant.clone(),
    }
}

fn from_reason(reason: Reason) -> ReasonStatus {
    ReasonStatus { reason: reason.word, posture: reason.posture, text: reason.text, grant: reason.grant }
}

fn to_counts(counts: PartitionCounts) -> Partitions {
    Partitions {
        total: counts.total,
        opening: counts.opening,
        copying: counts.copying,
        caught_up: counts.caught_up,
        draining: counts.draining,
        stopped: counts.stopped,
        elsewhere: counts.elsewhere,
    }
}

fn from_counts(counts: Partitions) -> PartitionCounts {
    PartitionCounts {
        total: counts.total,
        opening: counts.opening,
        copying: counts.copying,
        caught_up: counts.caught_up,
        draining: counts.draining,
        stopped: counts.stopped,
        elsewhere: counts.elsewhere,
    }
}

fn to_topic(topic: &TopicStatus, detail: Detail, since_made_ms: u64) -> TopicReport {
    let partitions: &[PartitionStatus] = match detail {
        Detail::Topics => &[],
        Detail::Partitions => &topic.partitions,
    };
    TopicReport {
        topic: topic.topic.clone(),
        exposure: Some(exposure::to(&topic.exposure, since_made_ms)),
        retention_runway: Some(exposure::to_runway(&topic.retention_runway)),
        is_good: topic.is_good,
        blocked: topic.blocked.clone(),
        partitions: partitions.iter().map(|partition| to_partition(partition, since_made_ms)).collect(),
    }
}

fn from_topic(topic: TopicReport, now_seconds: f64) -> Result<TopicStatus, Malformed> {
    Ok(TopicStatus {
        topic: topic.topic,
        exposure: exposure::from(
            topic.exposure.ok_or(Malformed::Missing("a topic's exposure"))?,
            now_seconds,
        ),
        retention_runway: exposure::from_runway(topic.retention_runway.unwrap_or_default()),
        is_good: topic.is_good,
        blocked: topic.blocked,
        partitions: topic
            .partitions
            .into_iter()
            .map(|partition| from_partition(partition, now_seconds))
            .collect::<Result<_, _>>()?,
    })
}

fn to_partition(partition: &PartitionStatus, since_made_ms: u64) -> PartitionReport {
    PartitionReport {
        partition: partition.partition,
        phase: partition.phase.clone(),
        verdict: partition.verdict.clone(),
        source_end_offset: partition.source_end_offset,
        source_last_stable_offset: partition.source_last_stable_offset,
        replicated_offset: partition.replicated_offset,
        exposure: Some(exposure::to(&partition.exposure, since_made_ms)),
        trouble: partition.trouble.clone(),
    }
}

fn from_partition(partition: PartitionReport, now_seconds: f64) -> Result<PartitionStatus, Malformed> {
    let exposure = partition.exposure.ok_or(Malformed::Missing("a partition's exposure"))?;
    Ok(PartitionStatus {
        partition: partition.partition,
        phase: partition.phase,
        verdict: partition.verdict,
        source_end_offset: partition.source_end_offset,
        source_last_stable_offset: partition.source_last_stable_offset,
        replicated_offset: partition.replicated_offset,
        exposure: exposure::from(exposure, now_seconds),
        trouble: partition.trouble,
    })
}

fn seconds(milliseconds: u64) -> f64 {
    milliseconds as f64 / 1_000.0
}

/// A negative age (a clock was set back) is none; one beyond what fits is as old as can be said.
fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1_000.0).round() as u64
}
