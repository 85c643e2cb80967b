//! One word for a link, with every reason. Of several true postures the first in the order of [`Posture`] is shown.
//! Silence is UNKNOWN, whatever was seen last; a refusal is an answer, so what only a missing right hides is
//! UNPROTECTED. Green needs every partition measured, fresh, copying, and time left at the source.
//! Reasons are typed and their words are stable; nothing is left out because something worse is true.

use std::fmt;
use std::sync::Arc;

use super::denied::{Denied, Side};
use super::runway::{Basis, Runway};
use super::total::{Figures, Total};
use crate::mirror::verdict::Verdict;

/// The limit of a link that names none, in milliseconds.
pub const RPO_DEFAULT_MS: u64 = 10_000;

/// Kafka's usual home of schemas: what is ahead of it cannot be read on the standby.
pub const SCHEMAS_TOPIC: &str = "_schemas";

/// How a link stands, worst first: the first that is true is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Posture {
    /// The old primary has to be made a standby again.
    ReinstateRequired,
    FailedOver,
    /// Somebody is silent: what would be lost is not known.
    Unknown,
    /// Something is not copied, or would not count as a standby.
    Unprotected,
    OverRpo,
    WithinRpo,
}

impl Posture {
    pub const ALL: [Self; 6] = [
        Self::ReinstateRequired,
        Self::FailedOver,
        Self::Unknown,
        Self::Unprotected,
        Self::OverRpo,
        Self::WithinRpo,
    ];

    /// The stable word.
    pub fn word(self) -> &'static str {
        match self {
            Self::ReinstateRequired => "REINSTATE_REQUIRED",
            Self::FailedOver => "FAILED_OVER",
            Self::Unknown => "UNKNOWN",
            Self::Unprotected => "UNPROTECTED",
            Self::OverRpo => "OVER_RPO",
            Self::WithinRpo => "WITHIN_RPO",
        }
    }

    /// By its word. One that this version does not know says nothing that can be relied on: UNKNOWN.
    pub fn of_word(word: &str) -> Self {
        Self::ALL.into_iter().find(|posture| posture.word() == word).unwrap_or(Self::Unknown)
    }
}

/// What the passports say of the standby (M27).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    #[default]
    Standby,
    FailedOver,
    ReinstateRequired,
}

/// Whether clients may write to the standby (M23).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteProtection {
    /// Nobody has looked: nothing is claimed.
    #[default]
    NotLooked,
    Protected,
    Writable,
}

/// What a partition is doing, as far as posture goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Doing {
    Copying,
    /// Not open, and why.
    Waiting(String),
    Stopped(Verdict),
}

/// A transaction that holds a partition back (M16).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldBack {
    pub producer_id: i64,
    /// Since its producer's last record; `None`: it has none with a timestamp.
    pub silent_ms: Option<u64>,
}

/// One partition.
#[derive(Clone, Debug)]
pub struct PartitionFacts {
    pub partition: i32,
    pub figures: Figures,
    pub doing: Doing,
    /// A cluster refuses what this partition needs: it is not silent.
    pub is_refused: bool,
    pub held_back_by: Option<HeldBack>,
    pub runway: Runway,
    /// As [`super::runway::is_short`] says.
    pub runway_is_short: bool,
    /// Records that the source deleted before they were copied (M9).
    pub lost_records: u64,
}

/// A topic and its partitions.
#[derive(Clone, Debug)]
pub struct TopicFacts {
    pub topic: Arc<str>,
    pub partitions: Vec<PartitionFacts>,
    /// The standby holds records that came after schemas which it does not hold.
    pub is_ahead_of_schemas: bool,
}

/// A link.
#[derive(Clone, Debug, Default)]
pub struct LinkFacts {
    pub role: Role,
    pub write_protection: WriteProtection,
    pub rpo_ms: u64,
    /// Why it does not run; `None`: it runs.
    pub not_running: Option<String>,
    /// What the clusters refuse, each once.
    pub denied: Vec<Denied>,
    /// Topics that cannot be mirrored as things stand, and why.
    pub blocked: Vec<(String, String)>,
    pub topics: Vec<TopicFacts>,
    /// Partitions of the link that are another agent's work: an agent whose share is nothing has nothing to measure.
    pub elsewhere: u64,
}

/// Why a link is not green, or what else is worth a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    ReinstateRequired,
    FailedOver,
    /// No partition has been measured, because there is none yet.
    NothingMeasured,
    /// So many partitions of the link are in no agent's report.
    Uncovered {
        partitions: u64,
    },
    /// Nobody has reported on the link for so long.
    AgentSilent {
        age_ms: u64,
    },
    /// Since the last report the older of both sides' answers has become too old.
    DatumOld {
        age_ms: u64,
    },
    /// A side has never answered for these partitions, or they were never opened.
    Unmeasured {
        topic: Arc<str>,
        partitions: u64,
    },
    /// A side has not answered lately for so many partitions.
    Silent {
        side: Side,
        partitions: u64,
        age_ms: Option<u64>,
    },
    NotRunning {
        why: String,
    },
    /// A missing right, a login or a certificate that is refused.
    Auth(Denied),
    StandbyWritable,
    TopicBlocked {
        topic: String,
        why: String,
    },
    PartitionStopped {
        topic: Arc<str>,
        partition: i32,
        verdict: Verdict,
    },
    RunwayShort {
        topic: Arc<str>,
        partition: i32,
        milliseconds: u64,
        basis: Basis,
    },
    OverRpo {
        topic: Arc<str>,
        milliseconds: u64,
        rpo_ms: u64,
    },
    /// An open transaction of the source holds everything behind it back (M16).
    HeldBack {
        topic: Arc<str>,
        partition: i32,
        by: HeldBack,
    },
    Waiting {
        topic: Arc<str>,
        partition: i32,
        why: String,
    },
    /// The source deleted them before they were copied (M9).
    Lost {
        topic: Arc<str>,
        records: u64,
    },
    AheadOfSchemas {
        topic: Arc<str>,
    },
    /// Deleted at the source; what was known of it is held.
    TopicGone {
        topic: Arc<str>,
    },
}

impl Reason {
    /// The stable word.
    pub fn word(&self) -> &'static str {
        match self {
            Self::ReinstateRequired => "REINSTATE_REQUIRED",
            Self::FailedOver => "FAILED_OVER",
            Self::NothingMeasured => "NOTHING_MEASURED",
            Self::Uncovered { .. } => "UNCOVERED",
            Self::AgentSilent { .. } => "AGENT_SILENT",
            Self::DatumOld { .. } => "DATUM_OLD",
            Self::Unmeasured { .. } => "UNMEASURED",
            Self::Silent { side: Side::Source, .. } => "SOURCE_SILENT",
            Self::Silent { side: Side::Dest, .. } => "DESTINATION_SILENT",
            Self::NotRunning { .. } => "NOT_RUNNING",
            Self::Auth(_) => "AUTH",
            Self::StandbyWritable => "STANDBY_WRITABLE",
            Self::TopicBlocked { .. } => "TOPIC_BLOCKED",
            Self::PartitionStopped { .. } => "PARTITION_STOPPED",
            Self::RunwayShort { .. } => "RUNWAY_SHORT",
            Self::OverRpo { .. } => "OVER_RPO",
            Self::HeldBack { .. } => "HELD_BACK",
            Self::Waiting { .. } => "WAITING",
            Self::Lost { .. } => "LOST_AT_SOURCE",
            Self::AheadOfSchemas { .. } => "AHEAD_OF_SCHEMAS",
            Self::TopicGone { .. } => "TOPIC_GONE",
        }
    }

    /// The posture that it makes true; `None`: a word beside it.
    pub fn posture(&self) -> Option<Posture> {
        match self {
            Self::ReinstateRequired => Some(Posture::ReinstateRequired),
            Self::FailedOver => Some(Posture::FailedOver),
            Self::NothingMeasured
            | Self::Uncovered { .. }
            | Self::AgentSilent { .. }
            | Self::DatumOld { .. }
            | Self::Unmeasured { .. }
            | Self::Silent { .. } => Some(Posture::Unknown),
            Self::NotRunning { .. } | Self::Auth(_) | Self::StandbyWritable => Some(Posture::Unprotected),
            Self::TopicBlocked { .. } | Self::PartitionStopped { .. } | Self::RunwayShort { .. } => {
                Some(Posture::Unprotected)
            }
            Self::OverRpo { .. } => Some(Posture::OverRpo),
            Self::HeldBack { .. }
            | Self::Waiting { .. }
            | Self::Lost { .. }
            | Self::AheadOfSchemas { .. }
            | Self::TopicGone { .. } => None,
        }
    }
}

/// The posture, and all reasons, those of the worst posture first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    pub posture: Posture,
    pub reasons: Vec<Reason>,
}

/// Judges a link.
pub fn judge(link: &LinkFacts) -> Judged {
    let mut reasons = Vec::new();
    match link.role {
        Role::Standby => {}
        Role::FailedOver => reasons.push(Reason::FailedOver),
        Role::ReinstateRequired => reasons.push(Reason::ReinstateRequired),
    }
    if let Some(why) = &link.not_running {
        reasons.push(Reason::NotRunning { why: why.clone() });
    } else if link.elsewhere == 0 && link.topics.iter().all(|topic| topic.partitions.is_empty()) {
        reasons.push(Reason::NothingMeasured);
    }
    reasons.extend(silences(link));
    reasons.extend(link.denied.iter().cloned().map(Reason::Auth));
    if link.write_protection == WriteProtection::Writable {
        reasons.push(Reason::StandbyWritable);
    }
    let blocked =
        |(topic, why): &(String, String)| Reason::TopicBlocked { topic: topic.clone(), why: why.clone() };
    reasons.extend(link.blocked.iter().map(blocked));
    for topic in &link.topics {
        of_topic(topic, link.rpo_ms, &mut reasons);
    }
    let rank = |reason: &Reason| reason.posture().unwrap_or(Posture::WithinRpo);
    // Stable: within a posture they stay in the order found.
    reasons.sort_by_key(rank);
    let posture = reasons.first().map_or(Posture::WithinRpo, rank);
    Judged { posture, reasons }
}

/// A topic that is gone at the source, with everything held that was known of it: nobody can answer for it any more.
fn is_settled(partition: &PartitionFacts) -> bool {
    matches!(partition.doing, Doing::Stopped(Verdict::Orphaned))
        && partition.figures.seen.is_some_and(|seen| seen.records == 0)
}

fn silences(link: &LinkFacts) -> Vec<Reason> {
    let mut found = Vec::new();
    let mut silent = [(Side::Source, 0u64, Some(0)), (Side::Dest, 0, Some(0))];
    for topic in &link.topics {
        let mut unmeasured = 0;
        let counts = topic.partitions.iter().filter(|p| !p.is_refused && !is_settled(p));
        for figures in counts.map(|p| &p.figures) {
            unmeasured += u64::from(figures.seen.is_none());
            let Some(side) = figures.silent_side().filter(|_| figures.seen.is_some()) else { continue };
            let (_, partitions, age) = &mut silent[usize::from(side == Side::Dest)];
            let this = if side == Side::Source { figures.source_age_ms } else { figures.dest_age_ms };
            *partitions += 1;
            *age = age.zip(this).map(|(a, b): (u64, u64)| a.max(b));
        }
        if unmeasured > 0 {
            found.push(Reason::Unmeasured { topic: Arc::clone(&topic.topic), partitions: unmeasured });
        }
    }
    let silent = silent.into_iter().filter(|(_, partitions, _)| *partitions > 0);
    found.extend(silent.map(|(side, partitions, age_ms)| Reason::Silent { side, partitions, age_ms }));
    found
}

fn of_topic(facts: &TopicFacts, rpo_ms: u64, reasons: &mut Vec<Reason>) {
    let topic = || Arc::clone(&facts.topic);
    let total: Total = facts.partitions.iter().map(|p| &p.figures).collect();
    if let Some(seen) = total.seen().filter(|seen| seen.milliseconds > rpo_ms) {
        reasons.push(Reason::OverRpo { topic: topic(), milliseconds: seen.milliseconds, rpo_ms });
    }
    let mut is_gone = false;
    for p in &facts.partitions {
        let partition = p.partition;
        match &p.doing {
            Doing::Copying => {}
            Doing::Waiting(why) => {
                reasons.push(Reason::Waiting { topic: topic(), partition, why: why.clone() });
            }
            Doing::Stopped(_) if is_settled(p) => is_gone = true,
            Doing::Stopped(verdict) => {
                let verdict = verdict.clone();
                reasons.push(Reason::PartitionStopped { topic: topic(), partition, verdict });
            }
        }
        if let Some(by) = p.held_back_by {
            reasons.push(Reason::HeldBack { topic: topic(), partition, by });
        }
        if let Runway::Lasts { milliseconds, basis, .. } = p.runway
            && p.runway_is_short
        {
            reasons.push(Reason::RunwayShort { topic: topic(), partition, milliseconds, basis });
        }
    }
    let records = facts.partitions.iter().map(|p| p.lost_records).sum();
    if records > 0 {
        reasons.push(Reason::Lost { topic: topic(), records });
    }
    if facts.is_ahead_of_schemas {
        reasons.push(Reason::AheadOfSchemas { topic: topic() });
    }
    if is_gone {
        reasons.push(Reason::TopicGone { topic: topic() });
    }
}

/// `8.1 s`, `9 m`, `3 h`.
fn time(milliseconds: u64) -> String {
    match milliseconds / 1_000 {
        0..60 => format!("{}.{} s", milliseconds / 1_000, milliseconds % 1_000 / 100),
        seconds @ 60..3_600 => format!("{} m", seconds / 60),
        seconds => format!("{} h", seconds / 3_600),
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReinstateRequired => write!(f, "the old primary has to be made a standby again"),
            Self::FailedOver => write!(f, "failed over"),
            Self::NothingMeasured => write!(f, "no partition has been measured yet"),
            Self::Uncovered { partitions } => write!(f, "{partitions} partitions are in no agent's report"),
            Self::AgentSilent { age_ms } => write!(f, "no agent has reported for {}", time(*age_ms)),
            Self::DatumOld { age_ms } => write!(f, "the newest figures are {} old", time(*age_ms)),
            Self::Unmeasured { topic, partitions } => {
                write!(f, "topic {topic}: {partitions} partitions were never measured")
            }
            Self::Silent { side, partitions, age_ms } => {
                let age = age_ms.map_or_else(|| "ever".to_owned(), time);
                write!(f, "the {side} has not answered for {age} ({partitions} partitions)")
            }
            Self::NotRunning { why } => write!(f, "does not run: {why}"),
            Self::Auth(denied) => write!(f, "{denied}"),
            Self::StandbyWritable => write!(f, "clients may write to the standby"),
            Self::TopicBlocked { topic, why } => write!(f, "topic {topic} is not mirrored: {why}"),
            Self::PartitionStopped { topic, partition, verdict } => {
                write!(f, "{topic}:{partition} stopped: {verdict}")
            }
            Self::RunwayShort { topic, partition, milliseconds, basis } => write!(
                f,
                "{topic}:{partition}: the source deletes what is not copied in {} (by {})",
                time(*milliseconds),
                basis.name().replace('_', " ")
            ),
            Self::OverRpo { topic, milliseconds, rpo_ms } => {
                write!(f, "topic {topic} is {} behind, limit {}", time(*milliseconds), time(*rpo_ms))
            }
            Self::HeldBack { topic, partition, by } => {
                write!(f, "{topic}:{partition} waits for an open transaction (producer {}", by.producer_id)?;
                match by.silent_ms {
                    Some(silent) => write!(f, ", {})", time(silent)),
                    None => write!(f, ")"),
                }
            }
            Self::Waiting { topic, partition, why } => write!(f, "{topic}:{partition} is not open: {why}"),
            Self::Lost { topic, records } => {
                write!(f, "topic {topic}: the source deleted {records} records before they were copied")
            }
            Self::AheadOfSchemas { topic } => {
                write!(
                    f,
                    "topic {topic} is ahead of {SCHEMAS_TOPIC}: records may need schemas that are not here yet"
                )
            }
            Self::TopicGone { topic } => write!(f, "topic {topic} is gone at the source; its copy is kept"),
        }
    }
}

#[cfg(test)]
#[path = "posture_tests.rs"]
mod tests;
