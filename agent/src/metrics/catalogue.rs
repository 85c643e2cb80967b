//! Every metric: its name, what it means, and where its value comes from. One place, so that the list in
//! docs/OPERATIONS.md can be kept equal (a test compares them).

use std::time::UNIX_EPOCH;

use lockstep_core::dr::posture::Posture;
use prometheus::proto::MetricFamily;

use super::kept::Counters;
use super::write::Family;
use super::{GROUPS_MAX, PartitionSeries, Process, Shown, TOPICS_MAX};
use crate::pipeline::groups::report::GroupState;
use crate::status::{LinkState, LinkStatus};

/// All families that have anything to say, in the order of docs/OPERATIONS.md.
pub(super) fn families(
    links: &[Shown<'_>],
    partitions: PartitionSeries,
    process: &Process,
) -> Vec<MetricFamily> {
    let mut all = vec![build_info(), start_time(process.started), lease_ends(process.lease_ends)];
    all.extend(state(links));
    all.extend(exposure(links));
    all.extend(runways(links));
    all.extend(copied(links));
    all.extend(topics(links));
    all.extend(groups(links));
    if partitions == PartitionSeries::On {
        all.extend(of_partitions(links));
    }
    all.into_iter().filter_map(Family::done).collect()
}

fn build_info() -> Family {
    let mut family = Family::gauge("build_info", "Always 1; the version of the process is the label.");
    family.set(&[("version", env!("CARGO_PKG_VERSION"))], Some(1.0));
    family
}

fn start_time(started: f64) -> Family {
    let mut family = Family::gauge(
        "process_start_timestamp_seconds",
        "When the process was started, in seconds since 1970.",
    );
    family.set(&[], Some(started));
    family
}

fn lease_ends(at: Option<f64>) -> Family {
    let mut family = Family::gauge(
        "lease_expiry_timestamp_seconds",
        "When the agent's work lease ends unless coordinators grant it again, in seconds since 1970.",
    );
    family.set(&[], at);
    family
}

/// A family with one sample of each link.
fn per_link(links: &[Shown<'_>], mut family: Family, value: impl Fn(&Shown<'_>) -> Option<f64>) -> Family {
    for shown in links {
        family.set(&[("link", &shown.status.link)], value(shown));
    }
    family
}

fn state(links: &[Shown<'_>]) -> Vec<Family> {
    let mut state = Family::gauge("link_state", "1 for the state that the link is in; only running copies.");
    let mut posture = Family::gauge("posture", "1 for the posture that the link is in (docs/GLOSSARY.md).");
    let mut phases = Family::gauge("link_partitions", "Partitions of the link, by what they do.");
    for Shown { status, .. } in links {
        let link = status.link.as_str();
        state.one_of(link, "state", LinkState::ALL.map(LinkState::word), status.state.word());
        posture.one_of(link, "posture", Posture::ALL.map(Posture::word), &status.posture);
        let counts = status.partitions;
        for (phase, count) in [
            ("opening", counts.opening),
            ("copying", counts.copying),
            ("caught_up", counts.caught_up),
            ("draining", counts.draining),
            ("stopped", counts.stopped),
        ] {
            phases.set(&[("link", link), ("phase", phase)], Some(count as f64));
        }
    }
    let topics = Family::gauge("link_topics", "Topics of the link, blocked ones included.");
    let good = Family::gauge("link_topics_good", "Topics of the link that nothing is wrong with.");
    let drift = Family::gauge(
        "link_drift_settings",
        "Settings of standby topics that are not as their owners have them, and are left alone.",
    );
    let memory =
        Family::gauge("link_memory_bytes", "Fetched records in memory, of all links of the process.");
    vec![
        state,
        posture,
        phases,
        per_link(links, topics, |shown| Some(shown.status.topics_total as f64)),
        per_link(links, good, |shown| Some(shown.status.topics_good as f64)),
        per_link(links, drift, |shown| Some(shown.status.drift? as f64)),
        per_link(links, memory, |shown| Some(shown.status.memory_bytes as f64)),
    ]
}

fn exposure(links: &[Shown<'_>]) -> Vec<Family> {
    let of = |name: &str, help: &str, value: fn(&LinkStatus) -> Option<f64>| {
        per_link(links, Family::gauge(name, help), |shown| value(shown.status))
    };
    let breach = Family::counter(
        "rpo_breach_seconds_total",
        "Time for which the exposure, seen or (of a silent source) estimated, was above the limit.",
    );
    vec![
        of(
            "exposure_seconds",
            "How long ago the source's end passed what the standby holds; a lower bound where the datum is old.",
            |s| s.exposure.seen_seconds,
        ),
        of(
            "exposure_records",
            "Records of the source that the standby does not hold; a lower bound where the datum is old.",
            |s| s.exposure.seen_records.map(|records| records as f64),
        ),
        of("exposure_bytes", "The same in bytes, estimated from the average wire bytes of an offset.", |s| {
            s.exposure.seen_estimated_bytes.map(|bytes| bytes as f64)
        }),
        of(
            "exposure_held_back_records",
            "Of exposure_records: behind open transactions of the source.",
            |s| s.exposure.seen_records.map(|_| s.exposure.held_back_records as f64),
        ),
        of(
            "exposure_estimated_seconds",
            "Estimated exposure: as seen, but at least the age of what is known of the source. Not a bound.",
            |s| s.exposure.estimated_seconds,
        ),
        of(
            "exposure_estimated_records",
            "Estimated exposure: as seen, and the peak rate for the age of what is known of the source. Not a bound.",
            |s| s.exposure.estimated_records.map(|records| records as f64),
        ),
        of(
            "exposure_unknown_partitions",
            "Partitions that are in no figure of the exposure, because nothing is known of them.",
            |s| Some(s.exposure.unknown_partitions as f64),
        ),
        of(
            "exposure_datum_timestamp_seconds",
            "When the oldest answer came that the exposure rests on, in seconds since 1970.",
            |s| s.exposure.datum_timestamp_seconds,
        ),
        of(
            "link_lag_records",
            "Records of the source that the standby does not hold, open transactions left out.",
            |s| s.exposure.seen_records.map(|all| all.saturating_sub(s.exposure.held_back_records) as f64),
        ),
        of(
            "link_source_end_timestamp_seconds",
            "When the source last told the end of every partition, in seconds since 1970.",
            |s| s.source_end_timestamp_seconds,
        ),
        of("rpo_target_seconds", "The limit of the link's exposure.", |s| Some(s.rpo_seconds)),
        per_link(links, breach, |shown| Some(shown.kept.breach_ms as f64 / 1_000.0)),
    ]
}

fn runways(links: &[Shown<'_>]) -> Vec<Family> {
    let of = |name: &str, help: &str, value: fn(&LinkStatus) -> Option<f64>| {
        per_link(links, Family::gauge(name, help), |shown| value(shown.status))
    };
    vec![
        of(
            "retention_runway_seconds",
            "Time until the source deletes what is not copied; infinite where it deletes nothing or nothing waits.",
            runway,
        ),
        of(
            "retention_runway_short_partitions",
            "Partitions of which the source deletes records before they can be copied, or soon.",
            |s| Some(s.reasons.iter().filter(|reason| reason.reason == "RUNWAY_SHORT").count() as f64),
        ),
    ]
}

fn runway(status: &LinkStatus) -> Option<f64> {
    match status.retention_runway.kind.as_str() {
        "nothing_waits" | "endless" => Some(f64::INFINITY),
        _ => status.retention_runway.seconds,
    }
}

fn copied(links: &[Shown<'_>]) -> Vec<Family> {
    let of = |name: &str, help: &str, value: fn(&Counters) -> u64| {
        per_link(links, Family::counter(name, help), |shown| Some(value(&shown.kept.totals) as f64))
    };
    let mut errors = Family::counter(
        "link_errors_total",
        "Failed fetches, appends and openings, by what they ask for: transient, needs_action or denied.",
    );
    let mut latency = Family::histogram(
        "link_replication_latency_seconds",
        "From a batch's newest record timestamp at the source to its acknowledgement by the standby.",
    );
    for Shown { status, kept, .. } in links {
        let (link, totals) = (status.link.as_str(), &kept.totals);
        for (class, count) in [
            ("transient", totals.failures.transient),
            ("needs_action", totals.failures.needs_action),
            ("denied", totals.failures.denied),
        ] {
            errors.set(&[("link", link), ("class", class)], Some(count as f64));
        }
        latency.observed(&[("link", link)], &totals.latency);
    }
    let last = Family::gauge(
        "link_last_replicated_timestamp_seconds",
        "When records were last made durable on the standby, in seconds since 1970.",
    );
    vec![
        of("link_replicated_records_total", "Records made durable on the standby.", |totals| totals.records),
        of("link_replicated_bytes_total", "Bytes of the batches made durable, as on the wire.", |totals| {
            totals.bytes
        }),
        of("link_aligned_offsets_total", "Offsets filled without a record of the source.", |totals| {
            totals.aligned_offsets
        }),
        of("link_lost_records_total", "Records that the source deleted before they were copied.", |totals| {
            totals.lost_records
        }),
        errors,
        per_link(links, last, |shown| shown.status.last_replicated_timestamp_seconds),
        latency,
    ]
}

fn topics(links: &[Shown<'_>]) -> Vec<Family> {
    let mut seconds = Family::gauge("topic_exposure_seconds", "exposure_seconds of one topic.");
    let mut records = Family::gauge("topic_exposure_records", "exposure_records of one topic.");
    let mut hidden =
        Family::gauge("link_topics_without_series", "Topics of the link that have no series of their own.");
    for Shown { status, .. } in links {
        let link = status.link.as_str();
        for topic in status.topics.iter().take(TOPICS_MAX) {
            let labels = [("link", link), ("topic", topic.topic.as_str())];
            seconds.set(&labels, topic.exposure.seen_seconds);
            records.set(&labels, topic.exposure.seen_records.map(|records| records as f64));
        }
        let without = status.topics.len().saturating_sub(TOPICS_MAX);
        hidden.set(&[("link", link)], Some(without as f64));
    }
    vec![seconds, records, hidden]
}

fn groups(links: &[Shown<'_>]) -> Vec<Family> {
    let mut counts = Family::gauge("link_groups", "Consumer groups of the link, by how they stand.");
    let mut lag =
        Family::gauge("group_lag_records", "Records of the source that the group has not read there.");
    let mut unread = Family::gauge(
        "group_unread_records",
        "Records that the group would find on the standby if it went on there.",
    );
    let mut synced = Family::gauge(
        "group_sync_timestamp_seconds",
        "When all offsets of the group were last known to stand on the standby as at the source, in seconds since 1970.",
    );
    let mut hidden =
        Family::gauge("link_groups_without_series", "Groups of the link that have no series of their own.");
    for Shown { status, groups, .. } in links {
        let (link, all) = (status.link.as_str(), &groups.groups);
        // A link that copies no groups says nothing of them.
        let Some(_) = status.groups else { continue };
        let in_step = groups.count(|state| matches!(state, GroupState::InStep));
        let behind = groups.count(|state| matches!(state, GroupState::Behind));
        for (state, count) in
            [("in_step", in_step), ("behind", behind), ("skipped", all.len() - in_step - behind)]
        {
            counts.set(&[("link", link), ("state", state)], Some(count as f64));
        }
        for group in all.iter().take(GROUPS_MAX) {
            let labels = [("link", link), ("group", &*group.group)];
            lag.set(&labels, Some(group.lag_records() as f64));
            unread.set(&labels, Some(group.unread_records() as f64));
            let since = group.synced.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
            synced.set(&labels, since.map(|since| since.as_secs_f64()));
        }
        hidden.set(&[("link", link)], Some(all.len().saturating_sub(GROUPS_MAX) as f64));
    }
    vec![counts, lag, unread, synced, hidden]
}

fn of_partitions(links: &[Shown<'_>]) -> Vec<Family> {
    let mut records = Family::gauge("partition_exposure_records", "exposure_records of one partition.");
    let mut held =
        Family::gauge("partition_replicated_offset", "The offset below which the standby holds everything.");
    for Shown { status, .. } in links {
        let link = status.link.as_str();
        for topic in status.topics.iter().take(TOPICS_MAX) {
            for partition in &topic.partitions {
                let number = partition.partition.to_string();
                let labels =
                    [("link", link), ("topic", topic.topic.as_str()), ("partition", number.as_str())];
                records.set(&labels, partition.exposure.seen_records.map(|records| records as f64));
                held.set(&labels, partition.replicated_offset.map(|offset| offset as f64));
            }
        }
    }
    vec![records, held]
}
