//! What is said of consumer groups: one line for each, and the reason where one is skipped; with `-o json` one object.
//! Figures that are not known are `-` in tables and null in JSON, never zero.

use lockstep_agent::pipeline::groups::report::{GroupReport, GroupState, GroupsReport};
use lockstep_agent::status::{GroupStatus, GroupsStatus, OffsetStatus};
use serde_json::{Value, json};

use super::table::table;
use super::{Output, units};

/// The whole list.
///
/// # Errors
/// It cannot be written, which is a defect.
pub(crate) fn text(groups: &GroupsStatus, output: Output) -> Result<String, String> {
    if !output.is_for_people() {
        return Ok(output.document(&serde_json::to_value(groups).map_err(|error| error.to_string())?));
    }
    let mut text: String = lines(&groups.groups).into_iter().map(|line| line + "\n").collect();
    if output == Output::Wide && !groups.groups.is_empty() {
        text.push('\n');
        text.push_str(&offsets(&groups.groups));
    }
    Ok(text)
}

/// Every offset of every group: where it stands on both sides, and where a consumer would resume.
fn offsets(groups: &[GroupStatus]) -> String {
    let known = |figure: Option<String>| figure.unwrap_or_else(|| "-".to_owned());
    let row = |group: &GroupStatus, offset: &OffsetStatus| {
        [
            group.group.clone(),
            format!("{}/{}", offset.topic, offset.partition),
            offset.source_offset.to_string(),
            known(offset.standby_offset.map(|at| at.to_string())),
            known(offset.resumes_at_offset.map(|at| at.to_string())),
            known(offset.lag_records.map(units::count)),
            known(offset.unread_records.map(units::count)),
            known(offset.repeats_records.map(units::count)),
        ]
    };
    let rows: Vec<_> =
        groups.iter().flat_map(|group| group.offsets.iter().map(move |at| row(group, at))).collect();
    table(["GROUP", "PARTITION", "SOURCE", "STANDBY", "RESUMES AT", "LAG", "UNREAD", "REPEATS"], &rows)
}

/// One line per group under a heading, columns aligned.
pub(crate) fn lines(groups: &[GroupStatus]) -> Vec<String> {
    if groups.is_empty() {
        return vec![
            "no group of the source matches, or none may be seen (DESCRIBE on the groups)".to_owned(),
        ];
    }
    let heading = ["GROUP", "STATE", "OFFSETS", "LAG", "UNREAD", "REPEATS"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once((heading, String::new())).chain(groups.iter().map(row)).collect();
    let width =
        |column: usize| rows.iter().map(|(cells, _)| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..6).map(width).collect();
    let line = |(cells, why): &([String; 6], String)| {
        let mut line = format!("{:w0$}  {:w1$}", cells[0], cells[1], w0 = widths[0], w1 = widths[1]);
        for (cell, width) in cells.iter().zip(&widths).skip(2) {
            line.push_str(&format!("  {cell:>width$}"));
        }
        if !why.is_empty() {
            line.push_str(&format!("  {why}"));
        }
        line
    };
    rows.iter().map(line).collect()
}

fn row(group: &GroupStatus) -> ([String; 6], String) {
    let known = |known: bool, number: u64| if known { units::count(number) } else { "-".to_owned() };
    let some = !group.offsets.is_empty();
    let standing = some && group.missing() == 0;
    let cells = [
        group.group.clone(),
        group.state.clone(),
        units::count(group.offsets.len() as u64),
        known(some, group.lag_records),
        known(standing, group.unread_records),
        known(standing, group.repeats_records),
    ];
    let why = match &group.reason {
        Some(why) => why.clone(),
        None if group.missing() > 0 => format!("{} not on the standby yet", group.missing()),
        None => String::new(),
    };
    (cells, why)
}

/// `12 groups in step, 1 behind, 2 skipped`; empty where there are none.
pub(crate) fn summary(report: &GroupsReport) -> String {
    if report.groups.is_empty() {
        return String::new();
    }
    let in_step = report.count(|state| *state == GroupState::InStep);
    let mut text = format!("{} groups in step", units::count(in_step as u64));
    let behind = report.count(|state| *state == GroupState::Behind);
    if behind > 0 {
        text.push_str(&format!(", {behind} behind"));
    }
    let skipped = report.count(|state| matches!(state, GroupState::Skipped(_)));
    if skipped > 0 {
        text.push_str(&format!(", {skipped} skipped"));
    }
    text
}

/// The same for scripts.
pub(crate) fn summary_json(report: &GroupsReport) -> Value {
    json!({
        "total": report.groups.len(),
        "in_step": report.count(|state| *state == GroupState::InStep),
        "behind": report.count(|state| *state == GroupState::Behind),
        "skipped": report.count(|state| matches!(state, GroupState::Skipped(_))),
        "waits_for": report.waits_for,
    })
}

/// Something that is said once, as long as it holds; without words it holds no more.
pub(crate) struct News {
    pub(crate) key: String,
    pub(crate) words: Option<(String, Value)>,
}

/// Groups that are skipped, a right that is missing, a cluster that does not answer.
pub(crate) fn news(report: &GroupsReport) -> Vec<News> {
    let group = |group: &GroupReport| {
        let words = match &group.state {
            GroupState::Skipped(why) => Some((
                format!("group {}: not copied: {why}", group.group),
                json!({ "kind": "group_skipped", "group": &*group.group, "reason": why }),
            )),
            _ => None,
        };
        News { key: format!("group {}", group.group), words }
    };
    let mut all: Vec<_> = report.groups.iter().map(group).collect();
    let right = report.missing_right.as_ref();
    let words = right.map(|why| (why.clone(), json!({ "kind": "missing_right", "reason": why })));
    all.push(News { key: "right for groups".to_owned(), words });
    let troubles = report.troubles.join("; ");
    let words = (!troubles.is_empty())
        .then(|| (format!("groups wait: {troubles}"), json!({ "kind": "groups_wait", "reason": troubles })));
    all.push(News { key: "troubles of groups".to_owned(), words });
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_agent::pipeline::groups::report::OffsetReport;
    use lockstep_core::groups::copies::Standing;
    use lockstep_core::groups::kind::GroupKind;
    use lockstep_core::ids::{DestOffset, SourceOffset, TopicPartition};

    fn group(name: &str, standby: Option<i64>, state: GroupState) -> GroupStatus {
        let offset = OffsetReport {
            tp: TopicPartition::new("t", 0),
            source: SourceOffset(1_000),
            source_end: Some(SourceOffset(3_500)),
            standby: standby.map(DestOffset),
            standby_end: Some(DestOffset(3_500)),
            resumes_at: standby.map(DestOffset),
            repeats: standby.map(|at| (1_000 - at).unsigned_abs()),
            standing: Standing::InStep,
        };
        let report = GroupReport {
            group: name.into(),
            kind: GroupKind::Consumer,
            state,
            synced: None,
            offsets: vec![offset],
        };
        lockstep_agent::status::group_status(&report)
    }

    #[test]
    fn wide_has_every_offset_and_where_a_consumer_would_resume() {
        let groups = GroupsStatus::of(vec![
            group("a", Some(1_000), GroupState::InStep),
            group("bcd", None, GroupState::Behind),
        ]);
        let wide = text(&groups, Output::Wide).unwrap();
        let below: Vec<_> = wide.lines().skip(4).collect();
        assert_eq!(
            below,
            [
                "GROUP  PARTITION  SOURCE  STANDBY  RESUMES AT  LAG    UNREAD  REPEATS",
                "a      t/0        1000    1000     1000        2,500  2,500   0",
                "bcd    t/0        1000    -        -           2,500  -       -",
            ]
        );
        let json: Value = serde_json::from_str(&text(&groups, Output::Json).unwrap()).unwrap();
        let yaml: Value = serde_saphyr::from_str(&text(&groups, Output::Yaml).unwrap()).unwrap();
        assert_eq!(json, yaml);
    }

    #[test]
    fn a_line_has_figures_and_reasons_and_never_a_made_up_zero() {
        let groups = [
            group("a", Some(1_000), GroupState::InStep),
            group("bcd", None, GroupState::Behind),
            group("e", Some(900), GroupState::Skipped("it has members on the standby".to_owned())),
        ];
        assert_eq!(
            lines(&groups),
            [
                "GROUP  STATE    OFFSETS    LAG  UNREAD  REPEATS",
                "a      in step        1  2,500   2,500        0",
                "bcd    behind         1  2,500       -        -  1 not on the standby yet",
                "e      skipped        1  2,500   2,600      100  it has members on the standby",
            ]
        );
        let json = serde_json::to_value(&groups[1]).unwrap();
        assert_eq!(json["offsets"][0]["repeats_records"], Value::Null);
        assert_eq!((&json["type"], &json["state"]), (&json!("consumer"), &json!("behind")));
    }
}
