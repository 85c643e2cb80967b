//! Links against each other, as far as their patterns tell without a cluster; names that only clusters know are looked
//! at when a link starts. Promises: what is refused here cannot go well for a topic that both patterns take.
//! Paused links are left out: they copy nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::example::{example, literal};
use super::{LinkSpec, Wanted};
use crate::spec::faults::{Faults, join};
use crate::spec::rename::Rename;

/// A topic's way over links, longer than any that ends.
const HOPS_MAX: usize = 64;
/// For all examples together; what is not seen within is left to the start.
const STEPS_MAX: usize = 100_000;

pub(in crate::spec) type Links = BTreeMap<String, LinkSpec>;

/// Everything but what a link's own ends tell.
pub(in crate::spec) fn check(faults: &mut Faults, links: &Links) {
    for (name, link) in links {
        fan_in(faults, name, link);
    }
    collisions(faults, links);
    circles(faults, links);
}

/// A new name without a group of the old one is the same for every topic.
fn fan_in(faults: &mut Faults, name: &str, link: &LinkSpec) {
    let Rename::Pattern { from, to } = &link.rename else { return };
    let one_name = literal(from.as_str().trim_start_matches("^(?:").trim_end_matches(")$")).is_some();
    if !to.contains('$') && !one_name {
        let what = format!(
            "every topic that {:?} matches would become {to:?}: put a group of the pattern into the name, as in east.$1",
            written(from.as_str())
        );
        faults.add(format!("links.{name}.rename"), what);
    }
}

fn written(anchored: &str) -> &str {
    anchored.strip_prefix("^(?:").and_then(|rest| rest.strip_suffix(")$")).unwrap_or(anchored)
}

/// A link with names that its patterns take, found once: compiling them for every pair of links would take minutes.
struct Running<'a> {
    name: &'a String,
    link: &'a LinkSpec,
    /// Topics that the link takes, one for each of its patterns.
    examples: Vec<String>,
    /// Topics that the link names, with their names on the destination.
    literals: Vec<(String, String)>,
}

fn running(links: &Links) -> Vec<Running<'_>> {
    let running = links.iter().filter(|(_, link)| link.wanted == Wanted::Running);
    running
        .map(|(name, link)| Running { name, link, examples: examples(link), literals: literals(link) })
        .collect()
}

fn examples(link: &LinkSpec) -> Vec<String> {
    let examples = link.topics.include.written().filter_map(example);
    examples.filter(|topic| link.topics.takes(topic, false)).collect()
}

fn literals(link: &LinkSpec) -> Vec<(String, String)> {
    let named = link.topics.include.written().filter_map(literal);
    let named = named.filter(|topic| link.topics.takes(topic, false));
    let both = |topic: String| {
        let becomes = link.rename.dest_name(&topic).into_owned();
        (topic, becomes)
    };
    named.map(both).collect()
}

/// Two links that write to one topic. From one source: whatever both take. From two: names written out in both; patterns
/// may well take different topics on different clusters.
fn collisions(faults: &mut Faults, links: &Links) {
    let running = running(links);
    for (at, ours) in running.iter().enumerate() {
        for theirs in &running[..at] {
            let (link, other) = (ours.link, theirs.link);
            if link.to != other.to || link.from == link.to || other.from == other.to {
                continue;
            }
            let found = if link.from == other.from {
                ours.examples.iter().chain(&theirs.examples).find_map(|topic| in_both(topic, link, other))
            } else {
                ours.literals.iter().find_map(|(topic, becomes)| {
                    let twin = theirs.literals.iter().find(|(_, theirs)| theirs == becomes)?;
                    Some((topic.clone(), twin.0.clone(), becomes.clone()))
                })
            };
            if let Some((here, there, becomes)) = found {
                let what = format!(
                    "link {} writes to {becomes:?} on {} too ({there:?} of {}, here {here:?} of {}): exclude it from one \
                     of them, or rename it",
                    theirs.name, link.to, other.from, link.from
                );
                faults.add(join(&join("links", ours.name), "topics"), what);
            }
        }
    }
}

fn in_both(topic: &str, a: &LinkSpec, b: &LinkSpec) -> Option<(String, String, String)> {
    let taken = a.topics.takes(topic, false) && b.topics.takes(topic, false);
    let becomes = taken.then(|| a.rename.dest_name(topic))?;
    (becomes == b.rename.dest_name(topic)).then(|| (topic.to_owned(), topic.to_owned(), becomes.into_owned()))
}

/// A topic that comes back to its cluster under its own name, or under ever longer ones.
fn circles(faults: &mut Faults, links: &Links) {
    let running = running(links);
    let mut walk =
        Walk { links: &running, way: Vec::new(), steps: 0, told: BTreeSet::new(), found: Vec::new() };
    for start in &running {
        for topic in &start.examples {
            walk.go(&start.link.from, topic);
        }
    }
    for circle in walk.found {
        let Some(first) = circle.links.first() else { continue };
        let hops: Vec<_> = circle
            .links
            .iter()
            .filter_map(|name| Some(format!("{name} ({} to {})", links.get(name)?.from, links.get(name)?.to)))
            .collect();
        let what = format!(
            "copies in a circle: {}; a topic such as {:?} would come back to {}: pause one of them, or keep their topics \
             apart with exclude or rename",
            hops.join(", "),
            circle.topic,
            circle.cluster
        );
        faults.add(join(&join("links", first), "topics"), what);
    }
}

struct Circle {
    /// In the order of the copying, beginning with the first by name.
    links: Vec<String>,
    topic: String,
    cluster: String,
}

/// Follows one topic over every link that takes it.
struct Walk<'a> {
    links: &'a [Running<'a>],
    /// Where the topic has been (cluster, name), and the link that took it on.
    way: Vec<(String, String, &'a str)>,
    steps: usize,
    told: BTreeSet<BTreeSet<String>>,
    found: Vec<Circle>,
}

impl Walk<'_> {
    fn go(&mut self, cluster: &str, topic: &str) {
        self.steps += 1;
        if let Some(start) = self.way.iter().position(|(c, t, _)| c == cluster && t == topic) {
            self.tell(start);
            return;
        }
        if self.way.len() >= HOPS_MAX {
            // Ever longer names: the circle is what lies between the last two visits of this cluster.
            if let Some(start) = self.way.iter().rposition(|(c, _, _)| c == cluster) {
                self.tell(start);
            }
            return;
        }
        for Running { name, link, .. } in self.links {
            if self.steps < STEPS_MAX && link.from == cluster && link.topics.takes(topic, false) {
                let becomes = link.rename.dest_name(topic).into_owned();
                self.way.push((cluster.to_owned(), topic.to_owned(), name.as_str()));
                self.go(&link.to, &becomes);
                self.way.pop();
            }
        }
    }

    fn tell(&mut self, start: usize) {
        let circle = &self.way[start..];
        let members: BTreeSet<String> = circle.iter().map(|(_, _, link)| (*link).to_owned()).collect();
        // From a cluster to itself has been said already.
        if members.len() < 2 || !self.told.insert(members) {
            return;
        }
        let first = circle.iter().enumerate().min_by_key(|(_, (_, _, link))| *link).map_or(0, |(at, _)| at);
        let (cluster, topic, _) = &circle[first];
        let links = circle.iter().cycle().skip(first).take(circle.len());
        self.found.push(Circle {
            links: links.map(|(_, _, link)| (*link).to_owned()).collect(),
            topic: topic.clone(),
            cluster: cluster.clone(),
        });
    }
}
