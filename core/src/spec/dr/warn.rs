//! What may be meant and should be looked at: things that links share and that a change of sides would tear apart,
//! links nobody carries, a majority that one disaster would take.
//! Promises: nothing here keeps a spec from being applied; each says what may happen and what would avoid it.

use std::collections::{BTreeMap, BTreeSet};

use super::DrSpec;
use crate::spec::fault::Warning;
use crate::spec::link::{LinkSpec, Wanted, example, literal};
use crate::spec::names::listed;
use crate::spec::rename::Rename;

/// Where schema registries keep the schemas that records of all topics refer to.
const SCHEMAS: &str = "_schemas";

type Directed = BTreeMap<String, LinkSpec>;

/// A link with names that its patterns take, found once: compiling them for every pair of links would take minutes.
struct Running<'a> {
    name: &'a String,
    link: &'a LinkSpec,
    /// Groups that it copies, one for each of its patterns.
    groups: Vec<String>,
    /// Topics that it names.
    topics: Vec<String>,
}

/// Of links as they run while the preferred cluster is primary.
pub(super) fn warnings(links: &Directed) -> Vec<Warning> {
    let mut found = Vec::new();
    let running: Vec<_> =
        links.iter().filter(|(_, link)| link.wanted == Wanted::Running).map(with_names).collect();
    schemas(&mut found, &running);
    for (at, ours) in running.iter().enumerate() {
        for theirs in &running[..at] {
            groups(&mut found, ours, theirs);
            after_a_change(&mut found, ours, theirs);
        }
    }
    found
}

fn with_names<'a>((name, link): (&'a String, &'a LinkSpec)) -> Running<'a> {
    let groups = link.groups.as_ref().map_or(Vec::new(), |groups| {
        let examples = groups.selection.include.written().filter_map(example);
        examples.filter(|group| groups.selection.takes(group)).collect()
    });
    let topics = link.topics.include.written().filter_map(literal);
    let topics = topics.filter(|topic| link.topics.takes(topic, false)).collect();
    Running { name, link, groups, topics }
}

/// Schemas that go with one link while the records that need them go with another.
fn schemas(found: &mut Vec<Warning>, running: &[Running<'_>]) {
    for Running { name, link, .. } in running.iter().filter(|ours| ours.link.topics.takes(SCHEMAS, false)) {
        let without = running.iter().filter(|theirs| {
            theirs.name != *name && same_pair(link, theirs.link) && !theirs.link.topics.takes(SCHEMAS, false)
        });
        let without: Vec<_> = without.map(|theirs| theirs.name).collect();
        if !without.is_empty() {
            let what = format!(
                "{SCHEMAS} goes with this link, and {} may need its schemas: change their sides together, or make them \
                 one link",
                listed(without)
            );
            found.push(Warning::new(format!("links.{name}.topics"), what));
        }
    }
}

/// A group that reads topics of two links: its offsets would be copied by both, each for its own topics.
fn groups(found: &mut Vec<Warning>, ours: &Running<'_>, theirs: &Running<'_>) {
    let (Some(here), Some(there)) = (&ours.link.groups, &theirs.link.groups) else { return };
    if !same_pair(ours.link, theirs.link) {
        return;
    }
    let both = |group: &&String| here.selection.takes(group) && there.selection.takes(group);
    if let Some(group) = ours.groups.iter().chain(&theirs.groups).find(both) {
        let (name, other) = (ours.name, theirs.name);
        let what = format!(
            "a group such as {group:?} goes with link {other} too: after one of them has changed sides it would read half \
             of its topics on the wrong cluster; change their sides together, or keep groups apart with exclude"
        );
        found.push(Warning::new(format!("links.{name}.groups"), what));
    }
}

/// Two links that share one cluster and name one topic: fine as they prefer it, not after one has changed sides.
fn after_a_change(found: &mut Vec<Warning>, ours: &Running<'_>, theirs: &Running<'_>) {
    let (link, other) = (ours.link, theirs.link);
    if link.rename != Rename::Keep || other.rename != Rename::Keep || same_pair(link, other) {
        return;
    }
    let ends = [&link.from, &link.to];
    let Some(shared) = ends.into_iter().find(|end| [&other.from, &other.to].contains(end)) else { return };
    if link.to == *shared && other.to == *shared {
        // As they are preferred: said as a fault where names tell.
        return;
    }
    if let Some(topic) = ours.topics.iter().find(|topic| other.topics.takes(topic, false)) {
        let what = format!(
            "link {} takes {topic:?} too, and both can come to write it on {shared}: such a change of sides will be \
             refused while both run",
            theirs.name
        );
        found.push(Warning::new(format!("links.{}.topics", ours.name), what));
    }
}

fn same_pair(a: &LinkSpec, b: &LinkSpec) -> bool {
    (a.from == b.from && a.to == b.to) || (a.from == b.to && a.to == b.from)
}

/// What should be looked at in a spec that is in force: of its links as they run while the preferred cluster is primary.
#[must_use]
pub fn worth_a_look(spec: &DrSpec) -> Vec<Warning> {
    // A link that this version cannot read is whoever runs it's to say.
    let directed =
        |(name, link): (&String, &super::Link)| Some((name.clone(), link.while_primary(&link.prefer).ok()?));
    warnings(&spec.links.iter().filter_map(directed).collect())
}

/// Clusters of links in whose site no agent works. `sites`: those with one.
#[must_use]
pub fn without_agents(spec: &DrSpec, sites: &BTreeSet<&str>) -> Vec<Warning> {
    let mut found = Vec::new();
    for (name, link) in &spec.links {
        for cluster in &link.clusters {
            let Some(site) = spec.clusters.get(cluster).map(|cluster| cluster.site.as_str()) else {
                continue;
            };
            if !sites.contains(site) {
                let what = format!(
                    "no agent is registered in {site}: nothing is copied to {cluster} while it is the standby; start \
                     one there"
                );
                found.push(Warning::new(format!("links.{name}.clusters"), what));
            }
        }
    }
    found
}

/// Whether the loss of one site takes the majority of coordinators. `members`: the site of each that votes.
#[must_use]
pub fn majority_in_one_site<'a>(members: impl IntoIterator<Item = &'a str>) -> Option<Warning> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for site in members {
        *counts.entry(site).or_default() += 1;
    }
    let all: usize = counts.values().sum();
    let (site, count) = counts.into_iter().max_by_key(|(_, count)| *count)?;
    // One coordinator alone is a trial, and known to be one.
    (all > 1 && count * 2 > all).then(|| {
        let what = format!(
            "{count} of {all} coordinators are in {site}: without it no majority is left to decide anything; put some \
             elsewhere"
        );
        Warning::new("coordinators", what)
    })
}
