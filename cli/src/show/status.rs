//! `lockstep status`: one line per link, posture first, exposure with its label and the age of its datum.
//! `wide` adds the state, every reason, and topics and partitions that something is wrong with. Nothing unknown is shown
//! as zero; what is old is marked `seen`. Plain ASCII works everywhere; the arrow is drawn only where asked for.

use std::fmt::Write as _;
use std::time::Duration;

use lockstep_agent::status::{
    AgentStatus, ExposureStatus, GroupsSummary, LinkStatus, RunwayStatus, TopicStatus,
};

use super::table::table;
use super::units;
use super::{Output, control};

/// What is drawn between two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrow {
    Ascii,
    Unicode,
}

/// One for each figure of a link.
pub(crate) const COLUMNS: [&str; 10] =
    ["LINK", "DIRECTION", "POSTURE", "EXPOSURE", "DATUM", "BEHIND", "TOPICS", "GROUPS", "DRIFT", "REASON"];

/// A status in words, or as it is.
///
/// # Errors
/// The status cannot be written, which is a defect.
pub(crate) fn render(status: &AgentStatus, format: Output, arrow: Arrow) -> Result<String, String> {
    match format {
        Output::Json | Output::Yaml => as_it_is(status, format),
        Output::Table | Output::Wide => {
            let mut text = links(&status.links, status.as_of_timestamp_seconds, arrow);
            if format == Output::Wide {
                status.links.iter().for_each(|link| wide(link, &mut text));
            }
            if let Some(control) = &status.coordinators {
                text.push_str(&control::words(control));
            }
            Ok(text)
        }
    }
}

/// For scripts: YAML where it is asked for, else JSON.
pub(crate) fn as_it_is(status: &impl serde::Serialize, format: Output) -> Result<String, String> {
    match format {
        Output::Yaml => serde_saphyr::to_string(status).map_err(|e| e.to_string()),
        _ => serde_json::to_string_pretty(status).map(|text| text + "\n").map_err(|e| e.to_string()),
    }
}

/// One line per link.
pub(super) fn links(links: &[LinkStatus], as_of: f64, arrow: Arrow) -> String {
    let rows: Vec<_> = links.iter().map(|link| link_row(link, as_of, arrow)).collect();
    table(COLUMNS, &rows)
}

/// The cells of a link's line.
pub(crate) fn link_row(link: &LinkStatus, as_of: f64, arrow: Arrow) -> [String; COLUMNS.len()] {
    let arrow = if arrow == Arrow::Unicode { "▶" } else { "->" };
    let reason = match link.reasons.as_slice() {
        [] => "-".to_owned(),
        [only] => only.text.clone(),
        [first, others @ ..] => format!("{} (and {} more: -o wide)", first.text, others.len()),
    };
    [
        link.link.clone(),
        format!("{} {arrow} {}", link.from, link.to),
        link.posture.clone(),
        exposure(&link.exposure),
        datum(link, as_of),
        link.exposure.seen_estimated_bytes.map_or_else(|| "?".to_owned(), units::bytes),
        format!("{}/{}", link.topics_good, link.topics_total),
        link.groups
            .map_or_else(|| "-".to_owned(), |GroupsSummary { copied, total }| format!("{copied}/{total}")),
        match link.drift {
            None => "-".to_owned(),
            Some(0) => "none".to_owned(),
            Some(drift) => drift.to_string(),
        },
        reason,
    ]
}

/// `0.3 s, 41 records`; of a silent source `seen 0.4 s, estimated 41 s`; `unknown`.
pub(super) fn exposure(exposure: &ExposureStatus) -> String {
    let (Some(records), Some(seconds)) = (exposure.seen_records, exposure.seen_seconds) else {
        return "unknown".to_owned();
    };
    let mut text = if exposure.is_fresh {
        format!("{}, {} records", time(seconds), units::count(records))
    } else {
        let estimated = match (exposure.estimated_seconds, exposure.estimated_records) {
            (Some(seconds), Some(records)) => {
                format!("estimated {}, {} records", time(seconds), units::count(records))
            }
            _ => "estimated unknown".to_owned(),
        };
        format!("seen {}, {} records, {estimated}", time(seconds), units::count(records))
    };
    if exposure.unknown_partitions > 0 {
        // The sum is of the others only.
        let _ = write!(text, " + {} partitions unknown", units::count(exposure.unknown_partitions));
    }
    text
}

/// The age of the datum now, also of a status that is old itself.
fn datum(link: &LinkStatus, as_of: f64) -> String {
    match link.exposure.datum_timestamp_seconds {
        Some(at) => time((as_of - at).max(0.0)),
        None => "?".to_owned(),
    }
}

fn time(seconds: f64) -> String {
    units::duration(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// The state, every reason, and topics and partitions that something is wrong with.
pub(crate) fn link_words(link: &LinkStatus) -> String {
    let mut text = String::new();
    wide(link, &mut text);
    text.trim_start().to_owned()
}

pub(super) fn wide(link: &LinkStatus, text: &mut String) {
    let state = link.state.word();
    let mut line = format!("\n{}  STATE {state}  limit {}", link.link, time(link.rpo_seconds));
    if link.exposure.held_back_records > 0 {
        let held_back = units::count(link.exposure.held_back_records);
        let _ = write!(line, "  {held_back} records behind open transactions");
    }
    if link.lost_records > 0 {
        let _ = write!(line, "  {} records LOST at the source", units::count(link.lost_records));
    }
    let _ = write!(line, "  runway {}", runway(&link.retention_runway));
    text.push_str(&line);
    text.push('\n');
    for reason in &link.reasons {
        let posture = reason.posture.as_deref().unwrap_or("note");
        let _ = writeln!(text, "  {posture}  {}: {}", reason.reason, reason.text);
    }
    for topic in &link.topics {
        if needs_a_look(topic) {
            wide_topic(topic, text);
        }
    }
}

fn needs_a_look(topic: &TopicStatus) -> bool {
    let exposure = &topic.exposure;
    topic.blocked.is_some()
        || !exposure.is_fresh
        || exposure.seen_records != Some(0)
        || topic.partitions.iter().any(|p| p.trouble.is_some())
}

fn wide_topic(topic: &TopicStatus, text: &mut String) {
    let runway = runway(&topic.retention_runway);
    let _ = writeln!(text, "  topic {}  {}  runway {runway}", topic.topic, exposure(&topic.exposure));
    let _ = writeln!(text, "    PARTITION  SRC_END  SRC_LSO  REPLICATED  LAG  AGE  MODE");
    let offset = |offset: Option<i64>| offset.map_or_else(|| "?".to_owned(), |offset| offset.to_string());
    for p in &topic.partitions {
        let _ = write!(
            text,
            "    {}  {}  {}  {}  {}  {}  {}",
            p.partition,
            offset(p.source_end_offset),
            offset(p.source_last_stable_offset),
            offset(p.replicated_offset),
            p.exposure.seen_records.map_or_else(|| "?".to_owned(), units::count),
            p.exposure.datum_age_seconds.map_or_else(|| "?".to_owned(), time),
            p.verdict.as_deref().unwrap_or(&p.phase),
        );
        if let Some(trouble) = &p.trouble {
            let _ = write!(text, "  {trouble}");
        }
        text.push('\n');
    }
}

/// `3 h 20 m (by age)`, `unknown (no settings)`, `-`.
fn runway(runway: &RunwayStatus) -> String {
    let missing = runway.missing.as_deref();
    match (runway.kind.as_str(), runway.seconds, runway.basis.as_deref()) {
        ("lasts", Some(seconds), Some(basis)) => match missing {
            None => format!("{} (by {basis})", time(seconds)),
            Some(missing) => format!("{} or less (by {basis}, no {missing})", time(seconds)),
        },
        ("unknown", ..) => format!("unknown (no {})", missing.unwrap_or("answer")),
        ("endless", ..) => "endless".to_owned(),
        _ => "-".to_owned(),
    }
}

#[cfg(test)]
#[path = "status_tests.rs"]
mod tests;
