//! What becomes of one topic's settings: the source's word now, what we last set, and what stands on the standby now.
//! A value that somebody else set on the standby is drift: said, and left alone, unless the mirror depends on it (M20).
//! Promises: nothing is overwritten blindly, nothing is ever meant for the source, what a fence wrote is nobody's will (M23).
//! Without a memory of what we last set (after a start) every difference is somebody's value.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::owners::{Owner, TopicSettingsPolicy};
use super::topics::{COMPACTED_POLICY, SourceCompaction};
use crate::dr::fence::{MAX_MESSAGE_BYTES, TopicStage};

/// Settings of a topic itself, not inherited from its brokers.
pub type Own = BTreeMap<String, String>;

/// What we set last, or found as it should be: `None` for a setting that should not be there. A name that is missing
/// is not known: nothing was ever equal.
pub type Base = BTreeMap<String, Option<String>>;

const CLEANUP_POLICY: &str = "cleanup.policy";
const UNCOMPACTED_POLICY: &str = "delete";
/// A segment that begins with a marker carries the broker's time and is not rolled by older records behind it: were these
/// set while a compacted topic is copied from its start, its cleaner would wait for `segment.bytes` (M21).
pub(crate) const WITH_COMPACTION: [&str; 2] = ["segment.jitter.ms", "segment.ms"];

/// The three views of one topic.
#[derive(Clone, Copy, Debug)]
pub struct Views<'a> {
    /// `None`: the source does not let us read them. Nothing follows from that.
    pub source: Option<&'a SourceSettings>,
    pub standby: &'a Own,
    pub base: &'a Base,
}

/// A source topic's settings, as far as they mean anything to its mirror.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceSettings {
    pub own: Own,
    /// By the policy that holds there, inherited or not.
    pub compaction: SourceCompaction,
}

/// What holds for every topic of a link.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    pub policy: &'a TopicSettingsPolicy,
    /// What a standby topic has to carry on this destination (M20).
    pub standby: &'a [(String, String)],
    /// Names of the settings that the destination's topics have.
    pub known: &'a BTreeSet<String>,
}

/// One setting to be written on the standby; `None`: to be removed from the topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub field: String,
    pub value: Option<String>,
    /// What stood there.
    pub found: Option<String>,
    pub owner: Owner,
}

impl Change {
    /// Whether it only follows somebody: nothing breaks without it.
    pub fn is_followed(&self) -> bool {
        matches!(self.owner, Owner::Source | Owner::Config) && self.field != CLEANUP_POLICY
    }
}

/// A setting of a standby topic that is not as its owner has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drift {
    /// As the source calls it.
    pub topic: Arc<str>,
    pub field: String,
    /// The source's own value; for what the user's file owns, the file's.
    pub wanted: Option<String>,
    /// What stands on the standby, or stood there before it was put back.
    pub standby: Option<String>,
    pub owner: Owner,
    pub act: Act,
}

/// What we do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Somebody set it on the standby: theirs until they remove it from the topic.
    LeftAlone,
    /// The mirror depends on it: put back so many times by this process (M20).
    PutBack { times: u64 },
    /// The destination does not take the value.
    Refused { why: String },
    /// The destination's topics have no such setting.
    Unsupported,
    /// No rule for this name: it stays the destination's.
    Unruled,
    /// Settings that cannot be read; the field is `*`.
    Unread { why: String },
}

impl Drift {
    /// Whether the two sides still differ.
    pub fn is_open(&self) -> bool {
        !matches!(self.act, Act::PutBack { .. })
    }
}

/// What the three views say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    pub changes: Vec<Change>,
    /// Without a topic's name: the caller's.
    pub drift: Vec<(String, Drifted)>,
    /// What is as it should be now; the changes join it once they are made.
    pub base: Base,
}

/// A difference that no change removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drifted {
    pub wanted: Option<String>,
    pub standby: Option<String>,
    pub owner: Owner,
    pub act: Act,
}

/// Compares one topic. Pure; the changes name everything that is to be written.
pub fn compare(views: Views<'_>, rules: Rules<'_>) -> Comparison {
    let mut out = Comparison { base: views.base.clone(), ..Comparison::default() };
    needed(views, rules, &mut out);
    let Some(source) = views.source else {
        for (name, value) in rules.policy.set() {
            followed(name, Some(value), Owner::Config, views, rules, &mut out);
        }
        return out;
    };
    let names: BTreeSet<&String> =
        source.own.keys().chain(views.standby.keys()).chain(rules.policy.set().keys()).collect();
    for name in names {
        let theirs = source.own.get(name);
        match rules.policy.owner(name) {
            Owner::Source => followed(name, theirs, Owner::Source, views, rules, &mut out),
            Owner::Config => {
                followed(name, rules.policy.set().get(name), Owner::Config, views, rules, &mut out);
            }
            Owner::Local
                if !rules.policy.knows(name)
                    && theirs.is_some_and(|t| views.standby.get(name) != Some(t)) =>
            {
                out.drifted(name, theirs, views, Owner::Local, Act::Unruled);
            }
            Owner::Local | Owner::Standby => {}
        }
    }
    out
}

/// M20: what the mirror depends on is put right, whoever changed it.
fn needed(views: Views<'_>, rules: Rules<'_>, out: &mut Comparison) {
    for (name, value) in rules.standby {
        let found = views.standby.get(name);
        // M21: the engine makes the mirror compacted, and only of a topic that is.
        let may_be_compacted =
            views.source.is_none_or(|source| matches!(source.compaction, SourceCompaction::On { .. }));
        let is_compacted = name == CLEANUP_POLICY
            && may_be_compacted
            && found.is_some_and(|found| found == COMPACTED_POLICY);
        if found == Some(value) || is_compacted {
            continue;
        }
        // A mirror that is no longer compacted because its source is not: nobody has broken anything.
        let follows = name == CLEANUP_POLICY && found.is_some_and(|found| found == COMPACTED_POLICY);
        out.changes.push(Change {
            field: name.clone(),
            value: Some(value.clone()),
            found: found.cloned(),
            owner: if follows { Owner::Source } else { Owner::Standby },
        });
    }
}

fn followed(
    name: &str,
    wanted: Option<&String>,
    owner: Owner,
    views: Views<'_>,
    rules: Rules<'_>,
    out: &mut Comparison,
) {
    let found = views.standby.get(name);
    if found == wanted {
        out.base.insert(name.to_owned(), wanted.cloned());
        return;
    }
    let waits = views.source.is_some_and(|source| source.compaction != SourceCompaction::Off)
        && views.standby.get(CLEANUP_POLICY).is_none_or(|policy| policy != COMPACTED_POLICY);
    if waits && WITH_COMPACTION.contains(&name) {
        return;
    }
    if !rules.known.contains(name) {
        out.drifted(name, wanted, views, owner, Act::Unsupported);
        return;
    }
    let is_ours = match views.base.get(name) {
        Some(base) => base.as_ref() == found,
        // The file is said anew with every start, by somebody who means this very link.
        None => owner == Owner::Config,
    };
    // What nobody has set is free; to remove a setting from the topic is to hand it back.
    if !is_ours && found.is_some() {
        out.drifted(name, wanted, views, owner, Act::LeftAlone);
        return;
    }
    let (value, found) = (wanted.cloned(), found.cloned());
    out.changes.push(Change { field: name.to_owned(), value, found, owner });
}

impl Comparison {
    fn drifted(&mut self, name: &str, wanted: Option<&String>, views: Views<'_>, owner: Owner, act: Act) {
        let standby = views.standby.get(name).cloned();
        self.drift.push((name.to_owned(), Drifted { wanted: wanted.cloned(), standby, owner, act }));
    }
}

/// The values that a promotion gives a mirror in place of its standby settings (M20): the source's own, read while it can
/// be. What a fence wrote is no such value (M23): the one before it stays. `before`: what was kept last.
pub fn kept(source: &Own, before: &Own) -> Own {
    let owned =
        source.iter().filter(|(name, _)| TopicSettingsPolicy::default().owner(name) == Owner::Standby);
    let mut kept: Own = owned.map(|(name, value)| (name.clone(), value.clone())).collect();
    if TopicStage::of_value(kept.get(MAX_MESSAGE_BYTES).map(String::as_str)).is_some() {
        kept.remove(MAX_MESSAGE_BYTES);
        kept.extend(before.get_key_value(MAX_MESSAGE_BYTES).map(|(n, v)| (n.clone(), v.clone())));
    }
    kept
}

/// What makes a mirror uncompacted again, at once (M21).
pub fn uncompacted() -> (&'static str, &'static str) {
    (CLEANUP_POLICY, UNCOMPACTED_POLICY)
}

impl fmt::Display for Drift {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "not set".to_owned());
        let (field, standby, wanted) = (&self.field, value(&self.standby), value(&self.wanted));
        let by = if self.owner == Owner::Config { "configured" } else { "at the source" };
        match &self.act {
            Act::LeftAlone => write!(
                f,
                "{field} is {standby} here and {wanted} {by}: left as somebody set it; remove it from the topic to have it follow"
            ),
            Act::PutBack { times } => {
                write!(
                    f,
                    "{field} was {standby} here, which the mirror cannot do with: put back to {wanted}"
                )?;
                if *times > 1 { write!(f, " ({times} times)") } else { Ok(()) }
            }
            Act::Refused { why } => {
                write!(f, "{field} is {wanted} {by} and the destination does not take it: {why}")
            }
            Act::Unsupported => {
                write!(f, "{field} is {wanted} {by}; the destination's topics have no such setting")
            }
            Act::Unruled => write!(
                f,
                "{field} is {wanted} {by} and {standby} here: a setting without a rule, left to the destination"
            ),
            Act::Unread { why } => write!(f, "the settings cannot be read: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::topics::standby_settings;
    use super::*;

    fn own(pairs: &[(&str, &str)]) -> Own {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn base(pairs: &[(&str, Option<&str>)]) -> Base {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect()
    }

    /// A mirror on a destination of 4.3, compared.
    struct Stage {
        source: SourceSettings,
        /// Beside the standby settings.
        standby: Own,
        base: Base,
        policy: TopicSettingsPolicy,
    }

    impl Stage {
        fn new(source: &[(&str, &str)], standby: &[(&str, &str)], last: &[(&str, Option<&str>)]) -> Self {
            let source = SourceSettings { own: own(source), compaction: SourceCompaction::Off };
            Self { source, standby: own(standby), base: base(last), policy: TopicSettingsPolicy::default() }
        }

        fn compare(&self) -> Comparison {
            let needed = standby_settings(|_| true);
            let mut standby: Own = needed.iter().cloned().collect();
            standby.extend(self.standby.clone());
            let known = super::super::owners::FIELDS.iter().map(|field| field.name.to_owned()).collect();
            let views = Views { source: Some(&self.source), standby: &standby, base: &self.base };
            compare(views, Rules { policy: &self.policy, standby: &needed, known: &known })
        }

        fn changes(&self) -> Vec<(String, Option<String>)> {
            self.compare().changes.into_iter().map(|change| (change.field, change.value)).collect()
        }

        fn acts(&self) -> Vec<(String, Act)> {
            self.compare().drift.into_iter().map(|(name, drifted)| (name, drifted.act)).collect()
        }
    }

    fn change(name: &str, value: Option<&str>) -> Vec<(String, Option<String>)> {
        vec![(name.to_owned(), value.map(str::to_owned))]
    }

    #[test]
    fn what_the_source_changes_is_followed_if_what_stands_here_is_ours() {
        let changed =
            Stage::new(&[("segment.ms", "2")], &[("segment.ms", "1")], &[("segment.ms", Some("1"))]);
        assert_eq!(changed.changes(), change("segment.ms", Some("2")));
        let removed = Stage::new(&[], &[("segment.ms", "1")], &[("segment.ms", Some("1"))]);
        assert_eq!(removed.changes(), change("segment.ms", None));
        let first = Stage::new(&[("segment.ms", "2")], &[], &[]);
        assert_eq!(first.changes(), change("segment.ms", Some("2")), "nobody has set anything");
        for stage in [changed, removed, first] {
            assert!(stage.acts().is_empty());
        }
    }

    #[test]
    fn what_somebody_set_here_is_drift_and_stays() {
        let by_hand =
            Stage::new(&[("segment.ms", "1")], &[("segment.ms", "7")], &[("segment.ms", Some("1"))]);
        let unasked = Stage::new(&[], &[("segment.ms", "7")], &[("segment.ms", None)]);
        let after_a_start = Stage::new(&[("segment.ms", "1")], &[("segment.ms", "7")], &[]);
        for stage in [by_hand, unasked, after_a_start] {
            assert!(stage.changes().is_empty());
            assert_eq!(stage.acts(), [("segment.ms".to_owned(), Act::LeftAlone)]);
        }
        let handed_back = Stage::new(&[("segment.ms", "1")], &[], &[("segment.ms", Some("1"))]);
        assert_eq!(handed_back.changes(), change("segment.ms", Some("1")));
    }

    /// Drift ends when both sides agree, and from then on the source is followed again.
    #[test]
    fn an_equal_value_is_ours_from_then_on() {
        let equal = Stage::new(&[("segment.ms", "7")], &[("segment.ms", "7")], &[("segment.ms", Some("1"))]);
        let Comparison { changes, drift, base: after } = equal.compare();
        assert!(changes.is_empty() && drift.is_empty());
        assert_eq!(after, base(&[("segment.ms", Some("7"))]));
    }

    #[test]
    fn m20_what_the_mirror_depends_on_is_put_back_whoever_changed_it() {
        let broken = [
            ("cleanup.policy", "compact"),
            ("compression.type", "gzip"),
            ("max.message.bytes", "1000"),
            ("retention.ms", "1000"),
        ];
        let stage = Stage::new(&[("retention.ms", "5"), ("max.message.bytes", "0")], &broken, &[]);
        let Comparison { changes, drift, .. } = stage.compare();
        let put_back: Vec<_> = changes.iter().map(|c| (c.field.as_str(), c.value.as_deref())).collect();
        let expected = [
            ("cleanup.policy", Some("delete")),
            ("compression.type", Some("producer")),
            ("max.message.bytes", Some("2147483647")),
            ("retention.ms", Some("-1")),
        ];
        assert_eq!(put_back, expected);
        assert!(changes.iter().all(|change| change.owner == Owner::Standby) && drift.is_empty());
    }

    #[test]
    fn m21_only_the_mirror_of_a_compacted_topic_may_be_compacted() {
        let mut stage = Stage::new(&[], &[("cleanup.policy", "compact,delete")], &[]);
        assert_eq!(stage.changes(), change("cleanup.policy", Some("delete")));
        stage.source.compaction = SourceCompaction::On { delete_retention_ms: 1 };
        assert!(stage.changes().is_empty());
        stage.standby = own(&[("cleanup.policy", "compact")]);
        assert_eq!(
            stage.changes(),
            change("cleanup.policy", Some("delete")),
            "DeleteRecords is refused there"
        );
    }

    /// Story: with `segment.ms` from the start a mirror of markers and old records was never cleaned.
    #[test]
    fn m21_segments_are_rolled_by_time_once_the_mirror_is_compacted() {
        let own = [("segment.ms", "5000"), ("segment.bytes", "1048576")];
        let mut stage = Stage::new(&own, &[], &[]);
        stage.source.compaction = SourceCompaction::On { delete_retention_ms: 1 };
        assert_eq!(stage.changes(), change("segment.bytes", Some("1048576")));
        stage.standby = self::own(&[("cleanup.policy", COMPACTED_POLICY), ("segment.bytes", "1048576")]);
        assert_eq!(stage.changes(), change("segment.ms", Some("5000")));
    }

    #[test]
    fn a_source_that_does_not_tell_changes_nothing() {
        let standby: Own =
            standby_settings(|_| true).into_iter().chain(own(&[("segment.ms", "1")])).collect();
        let mut compacted = standby.clone();
        compacted.extend(own(&[("cleanup.policy", "compact,delete")]));
        let (needed, known, policy) =
            (standby_settings(|_| true), BTreeSet::new(), TopicSettingsPolicy::default());
        for standby in [standby, compacted] {
            let base = base(&[("segment.ms", Some("1"))]);
            let views = Views { source: None, standby: &standby, base: &base };
            let compared = compare(views, Rules { policy: &policy, standby: &needed, known: &known });
            assert_eq!(compared, Comparison { base, ..Comparison::default() });
        }
    }

    #[test]
    fn what_the_file_names_is_set_at_the_start_and_drifts_afterwards() {
        let policy =
            || TopicSettingsPolicy::new(own(&[("min.insync.replicas", "2")]), BTreeMap::new()).unwrap();
        let with = |standby: &[(&str, &str)], last: &[(&str, Option<&str>)]| Stage {
            policy: policy(),
            ..Stage::new(&[("min.insync.replicas", "3")], standby, last)
        };
        let start = with(&[("min.insync.replicas", "1")], &[]);
        assert_eq!(start.changes(), change("min.insync.replicas", Some("2")));
        let later = with(&[("min.insync.replicas", "1")], &[("min.insync.replicas", Some("2"))]);
        assert!(later.changes().is_empty());
        assert_eq!(later.acts(), [("min.insync.replicas".to_owned(), Act::LeftAlone)]);
    }

    #[test]
    fn local_fields_are_nobodys_business_and_new_names_are_said() {
        let local =
            Stage::new(&[("min.insync.replicas", "3"), ("flush.ms", "1")], &[("preallocate", "true")], &[]);
        assert!(local.changes().is_empty() && local.acts().is_empty());
        let new = Stage::new(&[("diskless.enable", "true")], &[("something.else", "1")], &[]);
        assert!(new.changes().is_empty());
        assert_eq!(new.acts(), [("diskless.enable".to_owned(), Act::Unruled)]);
        let mut unsupported = Stage::new(&[], &[], &[]);
        unsupported.policy =
            TopicSettingsPolicy::new(own(&[("diskless.enable", "true")]), BTreeMap::new()).unwrap();
        assert_eq!(unsupported.acts(), [("diskless.enable".to_owned(), Act::Unsupported)]);
        assert!(unsupported.changes().is_empty());
    }

    #[test]
    fn m23_what_a_fence_wrote_is_not_kept_for_the_promotion() {
        let source = own(&[("max.message.bytes", "5000"), ("retention.ms", "7"), ("segment.ms", "1")]);
        let first = kept(&source, &Own::new());
        assert_eq!(first, own(&[("max.message.bytes", "5000"), ("retention.ms", "7")]));
        for fenced in ["78", "0"] {
            let source = own(&[("max.message.bytes", fenced), ("retention.ms", "8")]);
            assert_eq!(kept(&source, &first), own(&[("max.message.bytes", "5000"), ("retention.ms", "8")]));
            assert_eq!(
                kept(&source, &Own::new()),
                own(&[("retention.ms", "8")]),
                "unset before, as far as known"
            );
        }
    }

    #[test]
    fn drift_says_what_is_done_about_it() {
        let drift = |act| Drift {
            topic: "orders".into(),
            field: "segment.ms".to_owned(),
            wanted: Some("1".to_owned()),
            standby: None,
            owner: Owner::Source,
            act,
        };
        let words = drift(Act::LeftAlone).to_string();
        assert!(words.starts_with("segment.ms is not set here and 1 at the source: left as"), "{words}");
        assert!(drift(Act::PutBack { times: 2 }).to_string().ends_with("put back to 1 (2 times)"));
        assert!(!drift(Act::PutBack { times: 1 }).is_open() && drift(Act::Unsupported).is_open());
    }
}
