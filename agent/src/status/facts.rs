//! From a link's report to what its posture is judged by. Decides nothing: every rule stands in `core::dr`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lockstep_core::dr::exposure::DATUM_FRESH_MS;
use lockstep_core::dr::posture::{Doing, HeldBack, LinkFacts, PartitionFacts, SCHEMAS_TOPIC, TopicFacts};
use lockstep_core::dr::runway::{Runway, is_short, runway};
use lockstep_core::dr::total::{Figures, Total};
use lockstep_core::mirror::partition::Phase;
use lockstep_core::mirror::{Millis, Now, WallMillis};

use super::About;
use crate::pipeline::report::{LinkReport, PartitionReport};

/// A report comes several times a second, of a calm link every second or two. One older than this means that the engine is
/// stuck: what it estimated counts no longer. What it says has aged with it either way.
const REPORT_FRESH_MS: u64 = 3_000;

/// What the posture of a running link is judged by, at `now`.
pub fn facts(about: &About, report: &LinkReport, at: WallMillis) -> LinkFacts {
    let aged = |figures| aged(figures, silent_ms(report, at));
    let now = report.at.unwrap_or(Now { mono: Millis(0), wall: WallMillis(0) });
    let mut denied: BTreeSet<_> = report.denied.iter().cloned().collect();
    denied.extend(report.partitions.iter().flat_map(|p| p.denied.iter().cloned()));
    let schemas_since = behind_schemas_since(report, now.mono);
    let mut topics: BTreeMap<&Arc<str>, TopicFacts> = BTreeMap::new();
    let mut entry = |topic, partition, is_ahead: bool| {
        let facts = topics.entry(topic).or_insert_with(|| TopicFacts {
            topic: Arc::clone(topic),
            partitions: Vec::new(),
            is_ahead_of_schemas: false,
        });
        facts.is_ahead_of_schemas |= is_ahead;
        facts.partitions.push(partition);
    };
    for p in &report.partitions {
        let is_ahead = schemas_since.is_some_and(|since| p.held_as_of > Some(since));
        entry(
            &p.tp.topic,
            of_partition(p, aged(p.figures), about.rpo_ms, now),
            is_ahead && &*p.tp.topic != SCHEMAS_TOPIC,
        );
    }
    for (tp, figures) in &report.unheld {
        let partition = PartitionFacts {
            partition: tp.partition,
            figures: aged(*figures),
            doing: Doing::Copying,
            // The topic is listed as blocked, with what is refused.
            is_refused: false,
            held_back_by: None,
            runway: Runway::NothingWaits,
            runway_is_short: false,
            lost_records: 0,
        };
        entry(&tp.topic, partition, false);
    }
    LinkFacts {
        role: about.role,
        write_protection: about.write_protection,
        rpo_ms: about.rpo_ms,
        not_running: None,
        denied: denied.into_iter().map(|denied| (*denied).clone()).collect(),
        blocked: report.blocked_topics.clone(),
        topics: topics.into_values().collect(),
        elsewhere: report.elsewhere,
    }
}

/// Whether the exposure, seen or (of a silent source) estimated, is longer than the limit. Cheap: it is asked every second.
pub(crate) fn is_over(report: &LinkReport, rpo_ms: u64, at: WallMillis) -> bool {
    let silent = silent_ms(report, at);
    let mut total = Total::default();
    report.figures().for_each(|figures| total.add(&aged(*figures, silent)));
    let estimated = total.estimated().filter(|_| !total.is_fresh());
    [total.seen(), estimated].into_iter().flatten().any(|amount| amount.milliseconds > rpo_ms)
}

/// For how long the engine has said nothing.
fn silent_ms(report: &LinkReport, at: WallMillis) -> u64 {
    let since = report.at.and_then(|made| u64::try_from(at.0.saturating_sub(made.wall.0)).ok());
    since.unwrap_or(0)
}

fn aged(figures: Figures, silent_ms: u64) -> Figures {
    if silent_ms > REPORT_FRESH_MS { figures.aged(silent_ms) } else { figures.later(silent_ms) }
}

/// Since when schemas are missing on the standby, once that has lasted longer than a look takes.
fn behind_schemas_since(report: &LinkReport, now: Millis) -> Option<Millis> {
    let schemas = report.partitions.iter().filter(|p| &*p.tp.topic == SCHEMAS_TOPIC);
    let since = schemas.filter_map(|p| p.behind_since).min()?;
    (now.since(since) > DATUM_FRESH_MS).then_some(since)
}

fn of_partition(p: &PartitionReport, figures: Figures, rpo_ms: u64, now: Now) -> PartitionFacts {
    let runway = runway(p.retention, &p.waiting, now.wall);
    let is_behind = figures.seen.is_none_or(|seen| seen.records > 0);
    PartitionFacts {
        partition: p.tp.partition,
        figures,
        doing: match (&p.phase, &p.trouble) {
            (Phase::Stopped(verdict), _) => Doing::Stopped(verdict.clone()),
            (Phase::Opening, Some(trouble)) if is_behind => Doing::Waiting(trouble.clone()),
            _ => Doing::Copying,
        },
        is_refused: !p.denied.is_empty(),
        held_back_by: p.hanging.map(|open| HeldBack {
            producer_id: open.producer_id,
            silent_ms: open
                .silent_for(now.wall)
                .map(|silent| u64::try_from(silent.as_millis()).unwrap_or(u64::MAX)),
        }),
        runway,
        runway_is_short: is_short(runway, p.retention, &p.waiting, rpo_ms),
        lost_records: p.lost.iter().map(|span| span.offsets()).sum(),
    }
}
