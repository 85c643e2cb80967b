//! What an apply would change, or has changed: things and their keys with their marks, what agents say of topics and
//! groups, warnings, and one line that says it all. Faults come instead of all that.

use std::fmt::Write as _;

use lockstep_core::spec::dr::{Sign, Thing, ThingKind};
use lockstep_core::status::{LinkPlan, PlanStatus};
use serde_json::{Value, json};

/// Everything that an answer says.
pub(crate) struct Change<'a> {
    pub(crate) revision: u64,
    pub(crate) plan: &'a PlanStatus,
    pub(crate) warnings: &'a [String],
}

/// In words, with a line for each key.
pub(crate) fn words(change: &Change<'_>) -> String {
    let mut text = String::new();
    for thing in &change.plan.diff.things {
        words_of_thing(thing, &mut text);
        if let (ThingKind::Link, Some(said)) = (thing.kind, change.plan.agents.get(&thing.name)) {
            words_of_agent(said, &mut text);
        }
    }
    for warning in change.warnings {
        let _ = writeln!(text, "warning: {warning}");
    }
    text
}

fn words_of_thing(thing: &Thing, text: &mut String) {
    let kind = match thing.kind {
        ThingKind::Link => "",
        ThingKind::Cluster => "cluster ",
        ThingKind::Site => "site ",
    };
    let _ = writeln!(text, "{kind}{}", thing.name);
    for line in &thing.lines {
        let _ = writeln!(text, "  {} {:<16}  {}", line.sign.mark(), line.key, line.words);
    }
}

fn words_of_agent(said: &LinkPlan, text: &mut String) {
    let width = said.lines.iter().map(|line| line.name.chars().count()).max().unwrap_or(0);
    for line in &said.lines {
        let words = format!("  {} {:<8}  {:width$}  {}", line.sign.mark(), line.what, line.name, line.words);
        let _ = writeln!(text, "{}", words.trim_end());
    }
    if let Some(error) = &said.error {
        // Not nothing: nobody looked.
        let _ = writeln!(text, "  ? topics and groups were not looked at: {error}");
    }
}

/// Things and lines to look at.
pub(crate) fn needing_attention(plan: &PlanStatus) -> usize {
    let of_agents = plan.agents.values().flat_map(|said| &said.lines);
    plan.diff.attention().count() + of_agents.filter(|line| line.sign == Sign::Attention).count()
}

/// One object; faults are a list that is empty here.
pub(crate) fn json(change: &Change<'_>, is_change: bool) -> Result<Value, String> {
    let mut value = serde_json::to_value(change.plan).map_err(|error| error.to_string())?;
    value["revision"] = json!(change.revision);
    value["is_change"] = json!(is_change);
    value["warnings"] = json!(change.warnings);
    value["faults"] = json!([]);
    Ok(value)
}

/// The same for a spec that was not taken.
pub(crate) fn json_of_faults(revision: u64, faults: &[String], warnings: &[String]) -> Value {
    json!({ "revision": revision, "is_change": false, "faults": faults, "warnings": warnings })
}

/// `3 faults` and each on a line of its own.
pub(crate) fn words_of_faults(faults: &[String]) -> String {
    let noun = if faults.len() == 1 { "fault" } else { "faults" };
    let lines: String = faults.iter().map(|fault| format!("\n  {fault}")).collect();
    format!("{} {noun}; nothing was changed{lines}", faults.len())
}

#[cfg(test)]
mod tests {
    use lockstep_core::spec::dr::{Diff, Line};
    use lockstep_core::status::PlanLine;

    use super::*;

    fn plan() -> PlanStatus {
        let line = |sign, key: &str, words: &str| Line { sign, key: key.to_owned(), words: words.to_owned() };
        let thing =
            |kind, name: &str, lines| Thing { kind, name: name.to_owned(), sign: Sign::Change, lines };
        let things = vec![
            thing(
                ThingKind::Link,
                "claims",
                vec![line(Sign::Attention, "rpo", "5s -> 1m: more may be lost")],
            ),
            thing(ThingKind::Link, "bills", vec![line(Sign::Change, "throttle", "none -> 2MB/s")]),
            thing(ThingKind::Site, "wien", vec![line(Sign::Add, "site", "witness")]),
        ];
        let said = |sign, what: &str, name: &str, words: &str| PlanLine {
            sign,
            what: what.to_owned(),
            name: name.to_owned(),
            words: words.to_owned(),
        };
        let lines = vec![
            said(Sign::Add, "topic", "claims.photos", "12 partitions"),
            said(Sign::Attention, "group", "claims-batch", "has 3 members on core-pr"),
        ];
        let claims = LinkPlan { agent: Some("a1".to_owned()), lines, error: None };
        let bills = LinkPlan { error: Some("no agent is in praha".to_owned()), ..LinkPlan::default() };
        PlanStatus {
            summary: "2 links changed".to_owned(),
            diff: Diff { things },
            agents: [("claims".to_owned(), claims), ("bills".to_owned(), bills)].into(),
        }
    }

    #[test]
    fn each_thing_has_its_keys_and_what_agents_say_of_it() {
        let (plan, warnings) = (plan(), ["links.claims.groups: look".to_owned()]);
        let change = Change { revision: 41, plan: &plan, warnings: &warnings };
        assert_eq!(
            words(&change),
            "claims\n  ! rpo               5s -> 1m: more may be lost\n  + topic     claims.photos  12 partitions\n  ! group     \
             claims-batch   has 3 members on core-pr\nbills\n  ~ throttle          none -> 2MB/s\n  ? topics and groups were \
             not looked at: no agent is in praha\nsite wien\n  + site              witness\nwarning: links.claims.groups: \
             look\n"
        );
        assert_eq!(needing_attention(&plan), 2);
    }

    #[test]
    fn json_has_the_same_keys_with_and_without_faults() {
        let (plan, warnings) = (plan(), []);
        let fine = json(&Change { revision: 41, plan: &plan, warnings: &warnings }, true).unwrap();
        assert_eq!(
            (&fine["revision"], &fine["is_change"], &fine["faults"]),
            (&json!(41), &json!(true), &json!([]))
        );
        assert_eq!(fine["things"][0]["lines"][0]["sign"], "attention");
        assert_eq!(fine["agents"]["claims"]["lines"][0]["name"], "claims.photos");
        let faulty = json_of_faults(41, &["dr.yaml: line 3: x".to_owned()], &[]);
        assert_eq!(
            (&faulty["is_change"], &faulty["faults"][0]),
            (&json!(false), &json!("dr.yaml: line 3: x"))
        );
        assert_eq!(words_of_faults(&["a".to_owned()]), "1 fault; nothing was changed\n  a");
    }
}
