//! One link by itself: what it takes, under which names, how fast; and what holds where it says nothing.
//! Promises: every fault is told, with the key below which it stands.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use super::raw::{
    RawDefaults, RawGroupPolicy, RawGroups, RawLists, RawPriority, RawRename, RawTopicSettings, RawTopics,
};
use super::{LinkSpec, Wanted};
use crate::groups::policy::{Barrier, GroupPolicy, Removal};
use crate::mirror::cost::AlignmentBudget;
use crate::mirror::retention::Propagation;
use crate::plan::owners::{Owner, TopicSettingsPolicy};
use crate::spec::fault::Fault;
use crate::spec::faults::{Faults, join};
use crate::spec::names::{self, listed, meant};
use crate::spec::pace::{Pace, Priorities};
use crate::spec::quantity;
use crate::spec::rename::Rename;
use crate::spec::select::{GroupSelection, Patterns, TopicSelection};
use crate::spec::written::{Text, Texts, Written};

/// Keys of a link wherever it is written.
pub(in crate::spec) const KEYS: &[&str] = &[
    "topics",
    "groups",
    "rename",
    "propagate",
    "alignment_budget",
    "throttle",
    "priority",
    "topic_settings",
    "rpo",
    "paused",
];
/// Keys of `defaults`.
pub(in crate::spec) const DEFAULTS_KEYS: &[&str] = &["rpo", "propagate", "alignment_budget", "throttle"];
const RPO_DEFAULT: Duration = Duration::from_secs(10);
const RPO_MAX: Duration = Duration::from_secs(30 * 86_400);
const PATTERNS: &str = "anchored regular expressions, one or a list, as in ['orders\\..*', 'payments']";
const SECTION: &str = "the section's keys below it";
const FLAG: &str = "true or false";
const ADDRESSES: &str = "host:port, several as a list or separated by commas";

/// What holds where a link says nothing.
pub(in crate::spec) struct Defaults {
    rpo: Duration,
    propagation: Propagation,
    alignment: AlignmentBudget,
    throttle: Option<NonZeroU64>,
}

/// The same four keys stand in `defaults` and in every link.
pub(in crate::spec) struct Tunable<'a> {
    pub(in crate::spec) rpo: Option<&'a Written<Text>>,
    pub(in crate::spec) propagate: Option<&'a Written<Text>>,
    pub(in crate::spec) alignment_budget: Option<&'a Written<Text>>,
    pub(in crate::spec) throttle: Option<&'a Written<Text>>,
}

impl Defaults {
    pub(in crate::spec) fn read(faults: &mut Faults, raw: Option<&RawDefaults>) -> Self {
        let ours = Self {
            rpo: RPO_DEFAULT,
            propagation: Propagation::default(),
            alignment: AlignmentBudget::default(),
            throttle: None,
        };
        let Some(raw) = raw else { return ours };
        let given = Tunable {
            rpo: raw.rpo.as_ref(),
            propagate: raw.propagate.as_ref(),
            alignment_budget: raw.alignment_budget.as_ref(),
            throttle: raw.throttle.as_ref(),
        };
        ours.but(faults, "defaults", &given)
    }

    fn but(&self, faults: &mut Faults, key: &str, given: &Tunable<'_>) -> Self {
        let at = |name: &str| join(key, name);
        let rpo = faults.parsed(&at("rpo"), given.rpo, "a time such as 10s", rpo);
        let propagation = faults.parsed(&at("propagate"), given.propagate, "none or all", propagation);
        let alignment = faults.parsed(
            &at("alignment_budget"),
            given.alignment_budget,
            "a size such as 2GiB or a time such as 10m",
            quantity::alignment_budget,
        );
        let throttle = faults.parsed(
            &at("throttle"),
            given.throttle,
            "bytes per second such as 50MiB",
            quantity::throttle,
        );
        Self {
            rpo: rpo.unwrap_or(self.rpo),
            propagation: propagation.unwrap_or(self.propagation),
            alignment: alignment.unwrap_or(self.alignment),
            throttle: throttle.or(self.throttle),
        }
    }
}

/// What a link says, less where it goes.
pub(in crate::spec) struct Given<'a> {
    pub(in crate::spec) topics: Option<&'a Written<RawTopics>>,
    pub(in crate::spec) groups: Option<&'a Written<RawGroups>>,
    pub(in crate::spec) rename: Option<&'a Written<RawRename>>,
    pub(in crate::spec) priority: Option<&'a Written<RawPriority>>,
    pub(in crate::spec) topic_settings: Option<&'a Written<RawTopicSettings>>,
    pub(in crate::spec) paused: Option<&'a Written<bool>>,
    pub(in crate::spec) tunable: Tunable<'a>,
}

/// A link between two clusters, as far as it can be meant; every fault of it is told, even where an end is missing.
pub(in crate::spec) fn link(
    faults: &mut Faults,
    key: &str,
    ends: Option<(String, String)>,
    given: &Given<'_>,
    defaults: &Defaults,
) -> Option<LinkSpec> {
    let at = |name: &str| join(key, name);
    let topics = topics(faults, &at("topics"), given.topics);
    let groups = groups(faults, &at("groups"), given.groups);
    let rename = rename(faults, &at("rename"), given.rename);
    let own = defaults.but(faults, key, &given.tunable);
    let priorities = priorities(faults, &at("priority"), given.priority);
    let topic_settings = topic_settings(faults, &at("topic_settings"), given.topic_settings);
    let paused = faults.shape(&at("paused"), given.paused, FLAG).copied();
    let (from, to) = ends?;
    Some(LinkSpec {
        from,
        to,
        topics: topics?,
        groups,
        rename: rename?,
        propagation: own.propagation,
        alignment: own.alignment,
        topic_settings: topic_settings?,
        pace: Pace { bytes_per_second_max: own.throttle, priorities },
        rpo: own.rpo,
        wanted: if paused.unwrap_or(false) { Wanted::Paused } else { Wanted::Running },
    })
}

/// The name of a cluster of the same file.
pub(in crate::spec) fn cluster_named(text: &str, clusters: &[&str]) -> Result<String, String> {
    let known = clusters.contains(&text).then(|| text.to_owned());
    known.ok_or_else(|| {
        format!(
            "no cluster has this name{} (there: {})",
            meant(text, clusters.iter().copied()),
            listed(clusters)
        )
    })
}

/// Where a cluster answers: texts, each of one address or several separated by commas.
pub(in crate::spec) fn addresses(
    faults: &mut Faults,
    key: &str,
    given: Option<&Written<Texts>>,
) -> Vec<String> {
    if given.is_none() {
        faults.add(key, format!("is missing: write {ADDRESSES}"));
    }
    let Some(given) = faults.shape(key, given, ADDRESSES) else { return Vec::new() };
    let texts = faults.texts(key, given, "host:port");
    let parts = texts.iter().flat_map(|(_, text)| text.split(','));
    let addresses: Vec<_> =
        parts.map(|part| part.trim().to_owned()).filter(|part| !part.is_empty()).collect();
    if addresses.is_empty() {
        faults.add(key, format!("names no address: write {ADDRESSES}"));
    }
    addresses
}

/// The same, each `host:port`.
pub(in crate::spec) fn dialled(
    faults: &mut Faults,
    key: &str,
    given: Option<&Written<Texts>>,
) -> Vec<String> {
    let addresses = addresses(faults, key, given);
    for address in &addresses {
        if let Err(why) = names::address(address) {
            faults.add(key, format!("{address:?}: {why}; write host:port"));
        }
    }
    addresses
}

fn topics(faults: &mut Faults, key: &str, given: Option<&Written<RawTopics>>) -> Option<TopicSelection> {
    if given.is_none() {
        faults.add(key, format!("is missing: write {PATTERNS}"));
    }
    match faults.shape(key, given, PATTERNS)? {
        RawTopics::Plain(plain) => {
            Some(TopicSelection { include: patterns(faults, key, plain)?, exclude: Patterns::default() })
        }
        RawTopics::Lists(RawLists { include, exclude, unknown }) => {
            faults.unknown(key, unknown, &["include", "exclude"]);
            let (include, exclude) = lists(faults, key, include.as_ref(), exclude.as_ref());
            Some(TopicSelection { include: include?, exclude: exclude? })
        }
    }
}

fn groups(faults: &mut Faults, key: &str, given: Option<&Written<RawGroups>>) -> Option<GroupPolicy> {
    match faults.shape(key, given, PATTERNS)? {
        RawGroups::Plain(plain) => {
            let selection =
                GroupSelection { include: patterns(faults, key, plain)?, exclude: Patterns::default() };
            Some(GroupPolicy { selection, ..GroupPolicy::default() })
        }
        RawGroups::Policy(RawGroupPolicy { include, exclude, barrier, remove, unknown }) => {
            faults.unknown(key, unknown, &["include", "exclude", "barrier", "remove"]);
            let (include, exclude) = lists(faults, key, include.as_ref(), exclude.as_ref());
            let barrier =
                faults.parsed(&join(key, "barrier"), barrier.as_ref(), "link or none", |text| match text {
                    "link" => Ok(Barrier::Link),
                    "none" => Ok(Barrier::None),
                    _ => Err("is no barrier".to_owned()),
                });
            let remove = faults.shape(&join(key, "remove"), remove.as_ref(), FLAG).copied();
            Some(GroupPolicy {
                selection: GroupSelection { include: include?, exclude: exclude? },
                barrier: barrier.unwrap_or_default(),
                removal: if remove.unwrap_or(false) { Removal::Follow } else { Removal::Keep },
            })
        }
    }
}

/// What to take is needed, what to leave out is not.
fn lists(
    faults: &mut Faults,
    key: &str,
    include: Option<&Written<Texts>>,
    exclude: Option<&Written<Texts>>,
) -> (Option<Patterns>, Option<Patterns>) {
    if include.is_none() {
        faults.add(join(key, "include"), format!("is missing: write {PATTERNS}"));
    }
    let include = optional(faults, &join(key, "include"), include).filter(|_| include.is_some());
    (include, optional(faults, &join(key, "exclude"), exclude))
}

/// No pattern where none is given; `None` after a fault.
fn optional(faults: &mut Faults, key: &str, given: Option<&Written<Texts>>) -> Option<Patterns> {
    match given {
        None => Some(Patterns::default()),
        given => faults.shape(key, given, PATTERNS).and_then(|texts| patterns(faults, key, texts)),
    }
}

fn patterns(faults: &mut Faults, key: &str, given: &Texts) -> Option<Patterns> {
    let texts = faults.texts(key, given, "an anchored regular expression");
    if texts.is_empty() {
        faults.add(key, format!("names nothing: write {PATTERNS}"));
        return None;
    }
    let mut all_good = true;
    for (key, text) in &texts {
        if let Err(bad) = Patterns::new([text.as_str()]) {
            all_good = false;
            faults
                .add(key, format!("{text:?} is not a regular expression: {}; write {PATTERNS}", bad.reason));
        }
    }
    // Each has been tried by itself.
    all_good.then(|| Patterns::new(texts.iter().map(|(_, text)| text.as_str())).ok()).flatten()
}

fn rename(faults: &mut Faults, key: &str, given: Option<&Written<RawRename>>) -> Option<Rename> {
    let Some(given) = given else { return Some(Rename::Keep) };
    let expected = "a prefix such as \"east.\", or { from: PATTERN, to: NAME }";
    let (key, renamed) = match faults.shape(key, Some(given), expected)? {
        RawRename::Prefix(Text(text)) => (key.to_owned(), Rename::parse(text)),
        RawRename::Pattern(raw) => {
            faults.unknown(key, &raw.unknown, &["from", "to"]);
            let any = |text: &str| Ok(text.to_owned());
            let from = faults.needed(&join(key, "from"), raw.from.as_ref(), "a pattern such as '(.*)'", any);
            let to = faults.needed(&join(key, "to"), raw.to.as_ref(), "the new name such as east.$1", any);
            (key.to_owned(), Rename::pattern(&from?, &to?))
        }
    };
    renamed.map_err(|bad| faults.add(key, format!("{bad}; write {expected}"))).ok()
}

fn priorities(faults: &mut Faults, key: &str, given: Option<&Written<RawPriority>>) -> Priorities {
    let Some(raw) = faults.shape(key, given, SECTION) else { return Priorities::default() };
    faults.unknown(key, &raw.unknown, &["high", "low"]);
    Priorities {
        high: optional(faults, &join(key, "high"), raw.high.as_ref()).unwrap_or_default(),
        low: optional(faults, &join(key, "low"), raw.low.as_ref()).unwrap_or_default(),
    }
}

fn topic_settings(
    faults: &mut Faults,
    key: &str,
    given: Option<&Written<RawTopicSettings>>,
) -> Option<TopicSettingsPolicy> {
    let Some(raw) = faults.shape(key, given, SECTION) else {
        return given.is_none().then(TopicSettingsPolicy::default);
    };
    faults.unknown(key, &raw.unknown, &["set", "owners"]);
    let any = |text: &str| Ok(text.to_owned());
    let set = named(faults, &join(key, "set"), raw.set.as_ref(), "a value such as 2", any);
    let owner = |text: &str| match text {
        "source" => Ok(Owner::Source),
        "local" => Ok(Owner::Local),
        _ => Err("is neither".to_owned()),
    };
    let owners = named(faults, &join(key, "owners"), raw.owners.as_ref(), "source or local", owner);
    let policy = TopicSettingsPolicy::new(set, owners);
    let place = |fault: Fault| Fault { key: fault.key.replacen("topic_settings", key, 1), ..fault };
    policy.map_err(|more| faults.extend(more.into_iter().map(place).collect())).ok()
}

/// What is written for each name; names whose value cannot be meant are faults.
fn named<T>(
    faults: &mut Faults,
    key: &str,
    given: Option<&Written<BTreeMap<String, Written<Text>>>>,
    expected: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> BTreeMap<String, T> {
    let entries = faults.shape(key, given, SECTION).into_iter().flatten();
    let mut found = BTreeMap::new();
    for (name, text) in entries {
        if let Some(value) = faults.parsed(&join(key, name), Some(text), expected, &parse) {
            found.insert(name.clone(), value);
        }
    }
    found
}

fn rpo(text: &str) -> Result<Duration, String> {
    match quantity::duration(text)? {
        time if time.is_zero() => Err("nothing lost at all is more than a mirror can promise".to_owned()),
        time if time > RPO_MAX => Err("must be at most 30d".to_owned()),
        time => Ok(time),
    }
}

fn propagation(text: &str) -> Result<Propagation, String> {
    match text {
        "none" => Ok(Propagation::None),
        "all" => Ok(Propagation::All),
        _ => Err("is neither".to_owned()),
    }
}
