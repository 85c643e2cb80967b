//! A link of `agent.yaml`: its two ends; what it takes and how fast is checked where every link is.

use std::collections::BTreeMap;

use super::raw::RawLink;
use crate::spec::faults::{Faults, join};
use crate::spec::link::LinkSpec;
use crate::spec::link::check::{self, Defaults, Given, KEYS, Tunable, cluster_named};
use crate::spec::names::name;
use crate::spec::written::{Text, Written};

/// All links of the file that can be meant, by name. `clusters`: those that are named.
pub(super) fn links(
    faults: &mut Faults,
    raw: Option<&Written<BTreeMap<String, Written<RawLink>>>>,
    clusters: &[&str],
    defaults: &Defaults,
) -> BTreeMap<String, LinkSpec> {
    let links = faults.shape("links", raw, "a link's name and its keys below it");
    let mut found = BTreeMap::new();
    for (called, raw) in links.into_iter().flatten() {
        let key = join("links", called);
        if let Err(why) = name(called) {
            faults.add(&key, format!("{called:?} cannot be a link's name: {why}"));
        }
        let raw =
            faults.shape(&key, Some(raw), "its keys below it, as in { from: a, to: b, topics: orders }");
        if let Some(link) = raw.and_then(|raw| link(faults, &key, raw, clusters, defaults)) {
            found.insert(called.clone(), link);
        }
    }
    found
}

fn link(
    faults: &mut Faults,
    key: &str,
    raw: &RawLink,
    clusters: &[&str],
    defaults: &Defaults,
) -> Option<LinkSpec> {
    let known: Vec<&str> = ["from", "to"].iter().chain(KEYS).copied().collect();
    faults.unknown(key, &raw.unknown, &known);
    let mut end = |name: &str, given: Option<&Written<Text>>| {
        faults.needed(&join(key, name), given, "the name of a cluster of this file", |text| {
            cluster_named(text, clusters)
        })
    };
    let (from, to) = (end("from", raw.from.as_ref()), end("to", raw.to.as_ref()));
    let given = Given {
        topics: raw.topics.as_ref(),
        groups: raw.groups.as_ref(),
        rename: raw.rename.as_ref(),
        priority: raw.priority.as_ref(),
        topic_settings: raw.topic_settings.as_ref(),
        paused: raw.paused.as_ref(),
        tunable: Tunable {
            rpo: raw.rpo.as_ref(),
            propagate: raw.propagate.as_ref(),
            alignment_budget: raw.alignment_budget.as_ref(),
            throttle: raw.throttle.as_ref(),
        },
    };
    check::link(faults, key, from.zip(to), &given, defaults)
}
