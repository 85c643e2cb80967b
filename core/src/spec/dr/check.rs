//! From what was written to what is meant: sites, clusters, links, and links against each other.
//! Promises: every fault is reported, never only the first; a key that a later version will know is refused by name.

use std::collections::BTreeMap;

use super::raw::{RawCluster, RawDr, RawLink, RawSite};
use super::{Checked, Cluster, DrSpec, Link, SiteKind, warn};
use crate::spec::fault::Fault;
use crate::spec::faults::{Faults, join};
use crate::spec::link::check::{self, DEFAULTS_KEYS, Defaults, Given, KEYS, Tunable, cluster_named, dialled};
use crate::spec::link::{LinkRules, LinkSpec, between};
use crate::spec::names::{listed, meant, name};
use crate::spec::written::{Text, Unknown, Written};

const SECTIONS: &[&str] = &["defaults", "sites", "clusters", "links"];
const SITE_KEYS: &[&str] = &["witness"];
const CLUSTER_KEYS: &[&str] = &["site", "bootstrap", "security"];
const LINK_KEYS: &[&str] = &["clusters", "prefer"];

/// What stands in plans and papers, and comes with a later version.
const SECTIONS_LATER: &[&str] = &["stretched"];
const CLUSTER_LATER: &[&str] = &["sites"];
const LINK_LATER: &[&str] =
    &["automation", "rto", "identities", "self_fence", "order", "fence", "hooks", "drills"];

const SECTION: &str = "the section's keys below it";
const FLAG: &str = "true or false";
const TWO: &str = "the names of two clusters, as in [core-mi, core-pr]";

/// Keys of one document that mean nothing.
pub(super) fn unknown_sections(unknown: &Unknown) -> Vec<Fault> {
    let mut faults = Faults::default();
    refuse(&mut faults, "", unknown, SECTIONS, SECTIONS_LATER);
    faults.into_vec()
}

/// What all files together mean; `None` after a fault.
pub(super) fn meaning(faults: &mut Faults, raw: &RawDr) -> Option<Checked> {
    let defaults = faults.shape("defaults", raw.defaults.as_ref(), SECTION);
    if let Some(raw) = defaults {
        refuse(faults, "defaults", &raw.unknown, DEFAULTS_KEYS, LINK_LATER);
    }
    let defaults = Defaults::read(faults, defaults);
    let sites = sites(faults, raw);
    let (clusters, names) = clusters(faults, raw, &sites);
    let (links, directed) = links(faults, raw, &names, &clusters, &defaults);
    between::check(faults, &directed);
    let warnings = warn::warnings(&directed);
    faults.is_empty().then_some(Checked { spec: DrSpec { sites, clusters, links }, warnings })
}

fn refuse(faults: &mut Faults, key: &str, unknown: &Unknown, known: &[&str], later: &[&str]) {
    let (later, unknown): (Vec<_>, Vec<_>) =
        unknown.iter().partition(|(name, _)| later.contains(&name.as_str()));
    for (name, _) in later {
        faults.add(join(key, name), "comes with a later version: leave it out");
    }
    let unknown = unknown.into_iter().map(|(name, value)| (name.clone(), *value)).collect();
    faults.unknown(key, &unknown, known);
}

fn sites(faults: &mut Faults, raw: &RawDr) -> BTreeMap<String, SiteKind> {
    let expected =
        "a site's name and its keys below it, as in sites: { milano: {}, wien: { witness: true } }";
    if raw.sites.is_none() {
        faults.add("sites", format!("is missing: write {expected}"));
    }
    let given = faults.shape("sites", raw.sites.as_ref(), expected);
    let mut found = BTreeMap::new();
    for (called, raw) in given.into_iter().flatten() {
        let key = join("sites", called);
        if let Err(why) = name(called) {
            faults.add(&key, format!("{called:?} cannot be a site's name: {why}"));
        }
        let kind = faults.shape(&key, Some(raw), "its keys below it, {} for none").map(|raw| {
            let RawSite { witness, unknown } = raw;
            refuse(faults, &key, unknown, SITE_KEYS, &[]);
            faults.shape(&join(&key, "witness"), witness.as_ref(), FLAG).copied().unwrap_or(false)
        });
        let kind = if kind.unwrap_or(false) { SiteKind::Witness } else { SiteKind::Data };
        found.insert(called.clone(), kind);
    }
    found
}

/// Clusters that can be meant, and the names of all: a link to one with a fault has none of its own.
fn clusters<'a>(
    faults: &mut Faults,
    raw: &'a RawDr,
    sites: &BTreeMap<String, SiteKind>,
) -> (BTreeMap<String, Cluster>, Vec<&'a str>) {
    let expected = "a cluster's name and its keys below it";
    let given = faults.shape("clusters", raw.clusters.as_ref(), expected);
    let (mut found, mut names) = (BTreeMap::new(), Vec::new());
    for (called, raw) in given.into_iter().flatten() {
        let key = join("clusters", called);
        names.push(called.as_str());
        if let Err(why) = name(called) {
            faults.add(&key, format!("{called:?} cannot be a cluster's name: {why}"));
        }
        let expected = "its keys below it, as in { site: milano, bootstrap: \"host:9092\" }";
        let raw = faults.shape(&key, Some(raw), expected);
        if let Some(cluster) = raw.and_then(|raw| cluster(faults, &key, raw, sites)) {
            found.insert(called.clone(), cluster);
        }
    }
    (found, names)
}

fn cluster(
    faults: &mut Faults,
    key: &str,
    raw: &RawCluster,
    sites: &BTreeMap<String, SiteKind>,
) -> Option<Cluster> {
    refuse(faults, key, &raw.unknown, CLUSTER_KEYS, CLUSTER_LATER);
    let expected = "the name of a site of this spec";
    let site = faults.needed(&join(key, "site"), raw.site.as_ref(), expected, |text| match sites.get(text) {
        Some(SiteKind::Data) => Ok(text.to_owned()),
        Some(SiteKind::Witness) => {
            Err("a witness site holds no data: only coordinators and probes".to_owned())
        }
        None => Err(format!(
            "no site has this name{} (there: {})",
            meant(text, sites.keys().map(String::as_str)),
            listed(sites.keys())
        )),
    });
    let bootstrap = dialled(faults, &join(key, "bootstrap"), raw.bootstrap.as_ref());
    let expected = "the name of a section below security in the agents' files; no secret stands here";
    let security = faults.parsed(&join(key, "security"), raw.security.as_ref(), expected, name);
    Some(Cluster { site: site?, bootstrap, security })
}

/// Links as they are stored, and as they run while the preferred cluster is primary.
fn links(
    faults: &mut Faults,
    raw: &RawDr,
    names: &[&str],
    clusters: &BTreeMap<String, Cluster>,
    defaults: &Defaults,
) -> (BTreeMap<String, Link>, BTreeMap<String, LinkSpec>) {
    let given = faults.shape("links", raw.links.as_ref(), "a link's name and its keys below it");
    let (mut found, mut directed) = (BTreeMap::new(), BTreeMap::new());
    for (called, raw) in given.into_iter().flatten() {
        let key = join("links", called);
        if let Err(why) = name(called) {
            faults.add(&key, format!("{called:?} cannot be a link's name: {why}"));
        }
        let expected = "its keys below it, as in { clusters: [a, b], prefer: a, topics: orders }";
        let Some(raw) = faults.shape(&key, Some(raw), expected) else { continue };
        let known: Vec<&str> = LINK_KEYS.iter().chain(KEYS).copied().collect();
        refuse(faults, &key, &raw.unknown, &known, LINK_LATER);
        let ends = ends(faults, &key, raw, names, clusters);
        let (both, prefer) = match ends {
            Some((both, prefer)) => (Some(both), prefer),
            None => (None, None),
        };
        let from_to = both.as_ref().zip(prefer.as_ref()).map(|([one, other], prefer)| {
            (prefer.clone(), if prefer == one { other.clone() } else { one.clone() })
        });
        let link = check::link(faults, &key, from_to, &given_of(raw), defaults);
        if let (Some(link), Some(clusters), Some(prefer)) = (link, both, prefer) {
            found.insert(called.clone(), Link { clusters, prefer, rules: LinkRules::of(&link) });
            directed.insert(called.clone(), link);
        }
    }
    (found, directed)
}

/// A link's two clusters, and which of them is primary first.
fn ends(
    faults: &mut Faults,
    key: &str,
    raw: &RawLink,
    names: &[&str],
    clusters: &BTreeMap<String, Cluster>,
) -> Option<([String; 2], Option<String>)> {
    let (both_key, prefer_key) = (join(key, "clusters"), join(key, "prefer"));
    let both = both(faults, &both_key, raw, names);
    if let Some([one, other]) = &both {
        let addresses = |name: &String| clusters.get(name).map(|cluster| cluster.bootstrap.as_slice());
        let (ours, theirs) = (addresses(one).unwrap_or_default(), addresses(other).unwrap_or_default());
        if one == other {
            faults.add(&both_key, format!("{one:?} is named twice: write {TWO}"));
        } else if let Some(shared) = ours.iter().find(|address| theirs.contains(address)) {
            faults.add(
                &both_key,
                format!("{one:?} and {other:?} are the same cluster ({shared} is in both): write {TWO}"),
            );
        }
    }
    let expected = "which of the link's two clusters is primary at first";
    let prefer = faults.needed(&prefer_key, raw.prefer.as_ref(), expected, |text| match &both {
        Some(both) if !both.iter().any(|name| name == text) => {
            Err(format!("is none of the link's clusters ({})", both.join(", ")))
        }
        _ => Ok(text.to_owned()),
    });
    both.map(|both| (both, prefer))
}

fn both(faults: &mut Faults, key: &str, raw: &RawLink, names: &[&str]) -> Option<[String; 2]> {
    if raw.clusters.is_none() {
        faults.add(key, format!("is missing: write {TWO}"));
    }
    let given = faults.shape(key, raw.clusters.as_ref(), TWO)?;
    let mut named = |index: usize, text: &Written<Text>| {
        faults.parsed(&format!("{key}[{index}]"), Some(text), "the name of a cluster of this spec", |text| {
            cluster_named(text, names)
        })
    };
    let found: Vec<_> = given.iter().enumerate().map(|(index, text)| named(index, text)).collect();
    match <[Option<String>; 2]>::try_from(found) {
        Ok([one, other]) => one.zip(other).map(|(one, other)| [one, other]),
        Err(found) => {
            faults.add(key, format!("names {} clusters: write {TWO}", found.len()));
            None
        }
    }
}

fn given_of(raw: &RawLink) -> Given<'_> {
    Given {
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
    }
}
