//! A link's keys as people read them, and which of their changes weaken protection.
//! Promises: two links with equal words are equal but for their ends.

use std::collections::BTreeSet;

use super::Link;
use crate::groups::policy::{Barrier, Removal};
use crate::mirror::retention::Propagation;
use crate::spec::link::{GroupRules, LinkRules, Names, RenameRule, Wanted};

/// Keys that say something, in the order of the file.
pub(super) fn link_words(link: &Link) -> Vec<(&'static str, String)> {
    let rules = &link.rules;
    let mut words = vec![("topics", names(&rules.topics))];
    let mut put = |key, text: Option<String>| words.extend(text.map(|text| (key, text)));
    put("groups", rules.groups.as_ref().map(groups));
    put(
        "rename",
        match &rules.rename {
            RenameRule::Keep => None,
            RenameRule::Prefix(prefix) => Some(format!("{prefix}*")),
            RenameRule::Pattern { from, to } => Some(format!("{from} becomes {to}")),
        },
    );
    put("rpo", Some(time(rules.rpo_ms)));
    put("propagate", (rules.propagate == Propagation::All).then(|| "all".to_owned()));
    put("alignment_budget", Some(budget(rules)));
    put("throttle", rules.throttle_bytes_per_second.map(|bytes| format!("{}/s", size(bytes.get()))));
    let priority: Vec<_> = [("high", &rules.priority_high), ("low", &rules.priority_low)]
        .into_iter()
        .filter(|(_, patterns)| !patterns.is_empty())
        .map(|(word, patterns)| format!("{word}: {}", patterns.join(", ")))
        .collect();
    put("priority", (!priority.is_empty()).then(|| priority.join("; ")));
    let set = rules.settings.iter().map(|(name, value)| format!("{name}={value}"));
    let owners = rules.setting_owners.iter().map(|(name, owner)| format!("{name}: {}", owner.name()));
    let settings: Vec<_> = set.chain(owners).collect();
    put("topic_settings", (!settings.is_empty()).then(|| settings.join(", ")));
    put("paused", (rules.wanted == Wanted::Paused).then(|| "true".to_owned()));
    words
}

/// Why a change of this key leaves less protected than before.
pub(super) fn weakens(key: &str, old: &LinkRules, new: &LinkRules) -> Option<&'static str> {
    match key {
        "rpo" => (new.rpo_ms > old.rpo_ms).then_some("more may be lost before anybody is told"),
        "topics" => fewer(&old.topics, &new.topics).then_some("fewer topics may be copied"),
        "groups" => match (&old.groups, &new.groups) {
            (Some(_), None) => Some("no group's offsets are copied any more"),
            (Some(old), Some(new)) if fewer(&old.names, &new.names) => {
                Some("fewer groups' offsets may be copied")
            }
            (Some(old), Some(new)) if old.barrier == Barrier::Link && new.barrier == Barrier::None => {
                Some("an offset may stand before the outputs of its input are copied")
            }
            _ => None,
        },
        "propagate" => (new.propagate == Propagation::All && old.propagate != Propagation::All)
            .then_some("whatever is deleted at the primary is deleted on the standby too"),
        "paused" => (new.wanted == Wanted::Paused && old.wanted != Wanted::Paused)
            .then_some("nothing is copied: what would be lost grows from now on"),
        "rename" => Some("copies under the former names stay and are no longer kept equal"),
        _ => None,
    }
}

/// A pattern less to take, or one more to leave out.
fn fewer(old: &Names, new: &Names) -> bool {
    let set = |texts: &[String]| texts.iter().cloned().collect::<BTreeSet<_>>();
    !set(&old.include).is_subset(&set(&new.include)) || !set(&new.exclude).is_subset(&set(&old.exclude))
}

fn names(names: &Names) -> String {
    let include = names.include.join(", ");
    if names.exclude.is_empty() { include } else { format!("{include} without {}", names.exclude.join(", ")) }
}

fn groups(groups: &GroupRules) -> String {
    let mut words = names(&groups.names);
    if groups.barrier == Barrier::None {
        words.push_str("; barrier none");
    }
    if groups.removal == Removal::Follow {
        words.push_str("; removed with the primary's");
    }
    words
}

fn budget(rules: &LinkRules) -> String {
    let bytes = (rules.alignment.bytes != u64::MAX).then(|| size(rules.alignment.bytes));
    let time = (rules.alignment.milliseconds != u64::MAX).then(|| time(rules.alignment.milliseconds));
    let parts: Vec<_> = bytes.into_iter().chain(time).collect();
    if parts.is_empty() { "unbounded".to_owned() } else { parts.join(" or ") }
}

/// Exact, in as few units as it takes: `1h 30m`.
fn time(milliseconds: u64) -> String {
    let mut rest = milliseconds;
    let mut parts = Vec::new();
    for (unit, length) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)] {
        if rest >= length {
            parts.push(format!("{}{unit}", rest / length));
            rest %= length;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// Exact, in the largest unit that divides it.
fn size(bytes: u64) -> String {
    let units: [(&str, u64); 6] = [
        ("GiB", 1 << 30),
        ("GB", 1_000_000_000),
        ("MiB", 1 << 20),
        ("MB", 1_000_000),
        ("KiB", 1 << 10),
        ("KB", 1_000),
    ];
    let fits = units.into_iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{bytes} B"), |(name, unit)| format!("{}{name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_exact_and_short() {
        assert_eq!(time(5_000), "5s");
        assert_eq!(time(5_400_500), "1h 30m 500ms");
        assert_eq!((time(0), time(86_400_000)), ("0s".to_owned(), "1d".to_owned()));
        assert_eq!((size(50 << 20), size(2_000_000)), ("50MiB".to_owned(), "2MB".to_owned()));
        assert_eq!((size(1_001), size(0)), ("1001 B".to_owned(), "0 B".to_owned()));
    }
}
