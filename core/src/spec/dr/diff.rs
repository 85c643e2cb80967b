//! What changes from one spec to another, thing by thing and key by key, in words; and what of it weakens protection.
//! Promises: two specs without a difference here are equal; a removal says what stays.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::words::{link_words, weakens};
use super::{Cluster, DrSpec, Link, SiteKind};

/// What an apply would change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// Links first, then clusters and sites, each by name.
    pub things: Vec<Thing>,
}

/// A link, cluster or site that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thing {
    pub kind: ThingKind,
    pub name: String,
    /// What becomes of the thing as a whole.
    pub sign: Sign,
    /// At least one.
    pub lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ThingKind {
    Link,
    Cluster,
    Site,
}

/// One key of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub sign: Sign,
    pub key: String,
    pub words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    Add,
    Change,
    Remove,
    /// It weakens protection: look at it.
    Attention,
}

impl Sign {
    #[must_use]
    pub fn mark(self) -> char {
        match self {
            Self::Add => '+',
            Self::Change => '~',
            Self::Remove => '-',
            Self::Attention => '!',
        }
    }
}

impl Diff {
    /// From what is to what shall be.
    #[must_use]
    pub fn between(old: &DrSpec, new: &DrSpec) -> Self {
        let mut things = Vec::new();
        each(&old.links, &new.links, |name, change| things.push(link(name, change)));
        each(&old.clusters, &new.clusters, |name, change| things.push(cluster(name, change)));
        each(&old.sites, &new.sites, |name, change| things.push(site(name, change)));
        Self { things }
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.things.is_empty()
    }

    /// Lines that weaken protection.
    pub fn attention(&self) -> impl Iterator<Item = (&Thing, &Line)> {
        let lines = self.things.iter().flat_map(|thing| thing.lines.iter().map(move |line| (thing, line)));
        lines.filter(|(_, line)| line.sign == Sign::Attention)
    }

    /// `1 link added, 2 changed; 1 cluster removed. 2 need attention.`
    #[must_use]
    pub fn summary(&self) -> String {
        if self.is_empty() {
            return "no change".to_owned();
        }
        let mut parts = Vec::new();
        for (kind, noun) in
            [(ThingKind::Link, "link"), (ThingKind::Cluster, "cluster"), (ThingKind::Site, "site")]
        {
            let mut counts = Vec::new();
            for (sign, verb) in [(Sign::Add, "added"), (Sign::Change, "changed"), (Sign::Remove, "removed")] {
                let count =
                    self.things.iter().filter(|thing| thing.kind == kind && thing.sign == sign).count();
                if count > 0 {
                    let noun =
                        if !counts.is_empty() { String::new() } else { format!("{} ", plural(noun, count)) };
                    counts.push(format!("{count} {noun}{verb}"));
                }
            }
            if !counts.is_empty() {
                parts.push(counts.join(", "));
            }
        }
        let attention = match self.attention().count() {
            0 => String::new(),
            1 => ". 1 line needs attention".to_owned(),
            count => format!(". {count} lines need attention"),
        };
        format!("{}{attention}", parts.join("; "))
    }
}

fn plural(noun: &str, count: usize) -> String {
    if count == 1 { noun.to_owned() } else { format!("{noun}s") }
}

/// As `lockstep plan` shows it.
impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for thing in &self.things {
            let kind = match thing.kind {
                ThingKind::Link => "",
                ThingKind::Cluster => "cluster ",
                ThingKind::Site => "site ",
            };
            writeln!(f, "{kind}{}", thing.name)?;
            for line in &thing.lines {
                writeln!(f, "  {} {:<18} {}", line.sign.mark(), line.key, line.words)?;
            }
        }
        Ok(())
    }
}

enum Change<'a, T> {
    Added(&'a T),
    Changed(&'a T, &'a T),
    Removed(&'a T),
}

impl<T> Clone for Change<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Change<'_, T> {}

fn each<'a, T: PartialEq>(
    old: &'a BTreeMap<String, T>,
    new: &'a BTreeMap<String, T>,
    mut tell: impl FnMut(&str, Change<'a, T>),
) {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names {
        match (old.get(name), new.get(name)) {
            (None, Some(new)) => tell(name, Change::Added(new)),
            (Some(old), None) => tell(name, Change::Removed(old)),
            (Some(old), Some(new)) if old != new => tell(name, Change::Changed(old, new)),
            _ => {}
        }
    }
}

fn line(sign: Sign, key: &str, words: impl Into<String>) -> Line {
    Line { sign, key: key.to_owned(), words: words.into() }
}

fn link(name: &str, change: Change<'_, Link>) -> Thing {
    let (sign, lines) = match change {
        Change::Added(new) => {
            let (one, other) = (&new.prefer, new.other(&new.prefer).unwrap_or_default());
            let mut lines = vec![line(Sign::Add, "link", format!("{one} to {other}"))];
            lines.extend(link_words(new).into_iter().map(|(key, words)| line(Sign::Add, key, words)));
            (Sign::Add, lines)
        }
        Change::Removed(old) => {
            let what = format!(
                "no longer copied: mirrored topics, their data and group offsets stay on {}; the link's entries \
                 in their passports and its leases go",
                old.clusters.join(" and ")
            );
            (Sign::Remove, vec![line(Sign::Attention, "link", what)])
        }
        Change::Changed(old, new) => (Sign::Change, changed(old, new)),
    };
    Thing { kind: ThingKind::Link, name: name.to_owned(), sign, lines }
}

fn changed(old: &Link, new: &Link) -> Vec<Line> {
    let mut lines = Vec::new();
    if old.clusters != new.clusters {
        let mut pairs = [old.clusters.clone(), new.clusters.clone()];
        pairs.iter_mut().for_each(|pair| pair.sort());
        let words = format!("{} -> {}", old.clusters.join(", "), new.clusters.join(", "));
        lines.push(if pairs[0] == pairs[1] {
            line(Sign::Change, "clusters", format!("{words}: the order means nothing"))
        } else {
            line(Sign::Attention, "clusters", format!("{words}: what is new holds nothing of the link yet"))
        });
    }
    if old.prefer != new.prefer {
        let words = format!("{} -> {}: who is primary now stays so", old.prefer, new.prefer);
        lines.push(line(Sign::Change, "prefer", words));
    }
    let (before, after): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (link_words(old).into_iter().collect(), link_words(new).into_iter().collect());
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).copied().collect();
    for key in keys {
        let (was, is) = (before.get(key), after.get(key));
        if was == is {
            continue;
        }
        let shown = |words: Option<&String>| words.map_or("none", String::as_str).to_owned();
        let words = format!("{} -> {}", shown(was), shown(is));
        lines.push(match weakens(key, &old.rules, &new.rules) {
            Some(why) => line(Sign::Attention, key, format!("{words}: {why}")),
            None => line(Sign::Change, key, words),
        });
    }
    lines
}

fn cluster(name: &str, change: Change<'_, Cluster>) -> Thing {
    let words = |cluster: &Cluster| {
        [
            ("site", cluster.site.clone()),
            ("bootstrap", cluster.bootstrap.join(", ")),
            ("security", cluster.security.clone().unwrap_or_else(|| "plaintext".to_owned())),
        ]
    };
    let (sign, lines) = match change {
        Change::Added(new) => {
            (Sign::Add, words(new).into_iter().map(|(key, words)| line(Sign::Add, key, words)).collect())
        }
        Change::Removed(_) => {
            (Sign::Remove, vec![line(Sign::Remove, "cluster", "no longer known; nothing is changed on it")])
        }
        Change::Changed(old, new) => {
            let pairs = words(old).into_iter().zip(words(new)).filter(|(was, is)| was != is);
            let lines = pairs.map(|((key, was), (_, is))| line(Sign::Change, key, format!("{was} -> {is}")));
            (Sign::Change, lines.collect())
        }
    };
    Thing { kind: ThingKind::Cluster, name: name.to_owned(), sign, lines }
}

fn site(name: &str, change: Change<'_, SiteKind>) -> Thing {
    let words = |kind: &SiteKind| match kind {
        SiteKind::Data => "holds data",
        SiteKind::Witness => "witness",
    };
    let (sign, line) = match change {
        Change::Added(new) => (Sign::Add, line(Sign::Add, "site", words(new))),
        Change::Removed(_) => (Sign::Remove, line(Sign::Remove, "site", "no longer known")),
        Change::Changed(old, new) => {
            (Sign::Change, line(Sign::Change, "site", format!("{} -> {}", words(old), words(new))))
        }
    };
    Thing { kind: ThingKind::Site, name: name.to_owned(), sign, lines: vec![line] }
}
