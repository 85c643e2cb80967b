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

/// Of links as they run while the preferred cluster is primary.
pub(super) fn warnings(links: &Directed) -> Vec<Warning> {
    let mut found = Vec::new();
    let running: Vec<_> = links.iter().filter(|(_, link)| link.wanted == Wanted::Running).collect();
    schemas(&mut found, &running);
    for (at, (name, link)) in running.iter().enumerate() {
        for (other_name, other) in &running[..at] {
            groups(&mut found, (name, link), (other_name, other));
            after_a_change(&mut found, (name, link), (other_name, other));
        }
    }
    found
}

/// Schemas that go with one link while the records that need them go with another.
fn schemas(found: &mut Vec<Warning>, running: &[(&String, &LinkSpec)]) {
    for (name, link) in running.iter().filter(|(_, link)| link.topics.takes(SCHEMAS, false)) {
        let without = running.iter().filter(|(other, theirs)| {
            other != name && same_pair(link, theirs) && !theirs.topics.takes(SCHEMAS, false)
        });
        let without: Vec<_> = without.map(|(other, _)| other).collect();
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
fn groups(
    found: &mut Vec<Warning>,
    (name, link): (&String, &LinkSpec),
    (other, theirs): (&String, &LinkSpec),
) {
    let (Some(ours), Some(others)) = (&link.groups, &theirs.groups) else { return };
    if !same_pair(link, theirs) {
        return;
    }
    let patterns = ours.selection.include.written().chain(others.selection.include.written());
    let both = |group: &String| ours.selection.takes(group) && others.selection.takes(group);
    if let Some(group) = patterns.filter_map(example).find(both) {
        let what = format!(
            "a group such as {group:?} goes with link {other} too: after one of them has changed sides it would read half \
             of its topics on the wrong cluster; change their sides together, or keep groups apart with exclude"
        );
        found.push(Warning::new(format!("links.{name}.groups"), what));
    }
}

/// Two links that share one cluster and name one topic: fine as they prefer it, not after one has changed sides.
fn after_a_change(
    found: &mut Vec<Warning>,
    (name, link): (&String, &LinkSpec),
    (other, theirs): (&String, &LinkSpec),
) {
    if link.rename != Rename::Keep || theirs.rename != Rename::Keep || same_pair(link, theirs) {
        return;
    }
    let ends = [&link.from, &link.to];
    let Some(shared) = ends.into_iter().find(|end| [&theirs.from, &theirs.to].contains(end)) else { return };
    if link.to == *shared && theirs.to == *shared {
        // As they are preferred: said as a fault where names tell.
        return;
    }
    let named = link.topics.include.written().filter_map(literal);
    let both = |topic: &String| link.topics.takes(topic, false) && theirs.topics.takes(topic, false);
    if let Some(topic) = named.into_iter().find(both) {
        let what = format!(
            "link {other} takes {topic:?} too, and both can come to write it on {shared}: such a change of sides will be \
             refused while both run"
        );
        found.push(Warning::new(format!("links.{name}.topics"), what));
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
