//! From what was written to what is meant: the process, its log, its clusters; links are the next file's.
//! Promises: every fault is reported, never only the first. Reads no file and asks no name service.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::coordinators;
use super::link::links;
use super::raw::{RawAgent, RawCluster};
use super::{AgentSpec, ClusterSpec, LinkSpec};
use crate::spec::daemon::{Listen, listen, log_spec};
use crate::spec::fault::Fault;
use crate::spec::faults::{Faults, join};
use crate::spec::link::between;
use crate::spec::link::check::{DEFAULTS_KEYS, Defaults, addresses};
use crate::spec::names::name;
use crate::spec::quantity;
use crate::spec::security::SecuritySpec;
use crate::spec::written::Written;

const KEYS: &[&str] = &[
    "site",
    "listen",
    "memory",
    "drain",
    "log",
    "data",
    "defaults",
    "clusters",
    "links",
    "coordinators",
    "security",
];
const CLUSTER_KEYS: &[&str] = &["bootstrap", "security"];

const LISTEN_DEFAULT: &str = "127.0.0.1:9464";
const MEMORY_DEFAULT: u64 = 64 << 20;
/// One broker's answer has to fit into it, or no link would ever move.
const MEMORY_MIN: u64 = 1 << 20;
const DRAIN_DEFAULT: Duration = Duration::from_secs(10);
const DRAIN_MAX: Duration = Duration::from_secs(3_600);
const SECTION: &str = "the section's keys below it";

impl RawAgent {
    /// What the file means. Relative paths start at `folder`, the one of the file.
    ///
    /// # Errors
    /// Every fault, without lines: whoever read the file knows them.
    pub fn check(&self, folder: &Path) -> Result<AgentSpec, Vec<Fault>> {
        let mut faults = Faults::default();
        faults.unknown("", &self.unknown, KEYS);
        let site =
            faults.needed("site", self.site.as_ref(), "the name of this datacenter, as in site: praha", name);
        let listen = faults.parsed("listen", self.listen.as_ref(), "host:port, or off", listen);
        let memory = faults.parsed("memory", self.memory.as_ref(), "a size such as 64MiB", memory);
        let drain = faults.parsed("drain", self.drain.as_ref(), "a time such as 10s", drain);
        let data = faults.parsed("data", self.data.as_ref(), "a folder", |text| match text.trim() {
            "" => Err("is empty: name a folder, or leave the key out".to_owned()),
            path => Ok(path.to_owned()),
        });
        let log = faults.shape("log", self.log.as_ref(), SECTION);
        let log = log_spec(&mut faults, log);
        let defaults = faults.shape("defaults", self.defaults.as_ref(), SECTION);
        if let Some(raw) = defaults {
            faults.unknown("defaults", &raw.unknown, DEFAULTS_KEYS);
        }
        let defaults = Defaults::read(&mut faults, defaults);
        let (coordinators, security) = coordinators::read(&mut faults, self, folder);

        let found = self.clusters(folder);
        let names: Vec<&str> = found.iter().map(|(name, _)| *name).collect();
        if self.coordinators.is_none() {
            self.some_cluster(&mut faults, &names);
        }
        let links = links(&mut faults, self.links.as_ref(), &names, &defaults);
        let mut clusters = BTreeMap::new();
        for (name, cluster) in found {
            match cluster {
                Ok(cluster) => drop(clusters.insert(name.to_owned(), cluster)),
                Err(more) => faults.extend(more),
            }
        }
        for (name, link) in &links {
            to_itself(&mut faults, &clusters, name, link);
        }
        between::check(&mut faults, &links);
        let faults = faults.into_vec();
        match site {
            Some(site) if faults.is_empty() => Ok(AgentSpec {
                site,
                listen: listen.unwrap_or_else(|| Listen::At(LISTEN_DEFAULT.to_owned())),
                memory_bytes_max: usize::try_from(memory.unwrap_or(MEMORY_DEFAULT)).unwrap_or(usize::MAX),
                drain: drain.unwrap_or(DRAIN_DEFAULT),
                log,
                data: data.map(|path| folder.join(path)),
                clusters,
                links,
                coordinators,
                security,
            }),
            _ => Err(faults),
        }
    }

    fn some_cluster(&self, faults: &mut Faults, names: &[&str]) {
        if self.clusters.is_none() {
            faults.add(
                "clusters",
                "is missing: name at least one, as in clusters: { praha: { bootstrap: \"host:9092\" } }",
            );
        } else if self.clusters.as_ref().is_some_and(|clusters| clusters.right().is_none()) {
            faults.add("clusters", "cannot be read: write a cluster's name and its keys below it");
        } else if names.is_empty() {
            faults.add("clusters", "names no cluster: write one, with its bootstrap addresses");
        }
    }

    /// The clusters by themselves, by name: what is right can be looked at further although something else is wrong.
    pub fn clusters(&self, folder: &Path) -> Vec<(&str, Result<ClusterSpec, Vec<Fault>>)> {
        let Some(Written::Right(clusters)) = &self.clusters else { return Vec::new() };
        clusters.iter().map(|(name, raw)| (name.as_str(), cluster(name, raw, folder))).collect()
    }
}

fn cluster(called: &str, raw: &Written<RawCluster>, folder: &Path) -> Result<ClusterSpec, Vec<Fault>> {
    let mut faults = Faults::default();
    let key = join("clusters", called);
    if let Err(why) = name(called) {
        faults.add(&key, format!("{called:?} cannot be a cluster's name: {why}"));
    }
    let expected = "its keys below it, as in { bootstrap: \"host:9092\" }";
    let raw = faults.shape(&key, Some(raw), expected).cloned().unwrap_or_default();
    faults.unknown(&key, &raw.unknown, CLUSTER_KEYS);
    let bootstrap_key = join(&key, "bootstrap");
    let bootstrap = addresses(&mut faults, &bootstrap_key, raw.bootstrap.as_ref());
    let security_key = join(&key, "security");
    let security = faults.shape(&security_key, raw.security.as_ref(), SECTION);
    let security = match security.map(|raw| raw.check(&security_key, folder)) {
        None => SecuritySpec::default(),
        Some(Ok(security)) => security,
        Some(Err(more)) => {
            faults.extend(more);
            SecuritySpec::default()
        }
    };
    let faults = faults.into_vec();
    if faults.is_empty() { Ok(ClusterSpec { bootstrap, security }) } else { Err(faults) }
}

/// One cluster under two names shows by an address in common.
fn to_itself(faults: &mut Faults, clusters: &BTreeMap<String, ClusterSpec>, name: &str, link: &LinkSpec) {
    let key = format!("links.{name}.to");
    let (from, to) = (&link.from, &link.to);
    if from == to {
        faults.add(key, format!("{to:?} is the source too: from and to have to name different clusters"));
        return;
    }
    let (Some(source), Some(dest)) = (clusters.get(from), clusters.get(to)) else { return };
    if let Some(both) = source.bootstrap.iter().find(|address| dest.bootstrap.contains(address)) {
        faults.add(
            key,
            format!("{to:?} and {from:?} are the same cluster ({both} is in both): from and to have to name different ones"),
        );
    }
}

fn memory(text: &str) -> Result<u64, String> {
    match quantity::size(text)? {
        bytes if bytes < MEMORY_MIN => Err("is too little: at least 1MiB".to_owned()),
        bytes => Ok(bytes),
    }
}

fn drain(text: &str) -> Result<Duration, String> {
    match quantity::duration(text)? {
        time if time.is_zero() || time > DRAIN_MAX => Err("must lie above 0 and up to 1h".to_owned()),
        time => Ok(time),
    }
}
