//! Files of ours, read and checked: `agent.yaml`, `coordinator.yaml`, and files with a `security` section.
//!
//! ```text
//! path ─ lockstep_yaml ─► text, lines ─ serde ─► raw ─ core::spec ─► checked ─ resolve ─► Config, or every fault with its line
//! ```
//!
//! Promises: all faults at once, in the order of the file; no message quotes a line of the file, which might hold a secret by
//! mistake. Reads the files that the file names once, so that what cannot work is said before anything is dialled.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lockstep_core::code::Code;
use lockstep_core::spec::agent::{AgentSpec, ClusterSpec, RawAgent};
use lockstep_core::spec::coordinator::{CoordinatorSpec, RawCoordinator};
use lockstep_core::spec::fault::Fault;
use lockstep_core::spec::security::RawSecurityFile;
use lockstep_kafka::{Security, Settings};
use lockstep_yaml::{Document, NotRead};
use serde::de::DeserializeOwned;
use thiserror::Error;

/// The one key of a file that only says how a cluster is reached.
const SECURITY: &str = "security";
/// Keys that no other file of ours has.
const ONLY_COORDINATORS: [&str; 3] = ["name", "tls", "access"];

/// `agent.yaml`, ready to be used.
#[derive(Clone, Debug)]
pub struct Config {
    pub spec: AgentSpec,
    /// How each cluster of the spec is dialled; certificates and secrets are read anew at every connection.
    pub clusters: BTreeMap<String, Settings>,
}

/// Which of our files it is, by its keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `agent.yaml`.
    Agent,
    /// `coordinator.yaml`.
    Coordinator,
    /// Nothing but a `security` section.
    Security,
}

/// Why a file cannot be used.
#[derive(Clone, Debug, Error)]
pub enum Unusable {
    #[error("{}: cannot be read: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error("{}: {why}", path.display())]
    NoYaml { path: PathBuf, why: String },
    /// In the order of the file.
    #[error("{}: {}", path.display(), list(faults))]
    Faults { path: PathBuf, kind: Kind, faults: Vec<Fault> },
}

impl Unusable {
    /// Every fault; one for a file that could not be looked into.
    #[must_use]
    pub fn faults(&self) -> Vec<Fault> {
        match self {
            Self::Faults { faults, .. } => faults.clone(),
            Self::Unreadable { path, why } | Self::NoYaml { path, why } => {
                vec![Fault::new(path.display().to_string(), why.clone())]
            }
        }
    }

    /// The page for whoever has to put it right.
    #[must_use]
    pub fn page(&self) -> Code {
        match self {
            Self::Faults { kind: Kind::Security, .. } => Code::SecuritySettings,
            _ => Code::Configuration,
        }
    }
}

fn list(faults: &[Fault]) -> String {
    let lines: String = faults.iter().map(|fault| format!("\n  {fault}")).collect();
    let noun = if faults.len() == 1 { "fault" } else { "faults" };
    format!("{} {noun}{lines}", faults.len())
}

fn open(path: &Path) -> Result<Document, Unusable> {
    Document::read(path).map_err(|why| unusable(path, why))
}

fn parse<T: DeserializeOwned>(path: &Path, document: &Document) -> Result<T, Unusable> {
    document.parse().map_err(|why| unusable(path, why))
}

fn unusable(path: &Path, why: NotRead) -> Unusable {
    match why {
        NotRead::Unreadable(why) => Unusable::Unreadable { path: path.to_owned(), why },
        NotRead::NoYaml(why) => Unusable::NoYaml { path: path.to_owned(), why },
    }
}

fn placed<T>(
    path: &Path,
    document: &Document,
    kind: Kind,
    outcome: Result<T, Vec<Fault>>,
) -> Result<T, Unusable> {
    document.checked(outcome).map_err(|faults| Unusable::Faults { path: path.to_owned(), kind, faults })
}

/// Which of our files `path` is. What is none counts as `agent.yaml`, whose check says what is wrong.
///
/// # Errors
/// The file cannot be read, or is no YAML.
pub fn kind(path: &Path) -> Result<Kind, Unusable> {
    let document = open(path)?;
    let keys = document.keys();
    Ok(if keys.iter().all(|key| key == SECURITY) {
        Kind::Security
    } else if keys.iter().any(|key| ONLY_COORDINATORS.contains(&key.as_str())) {
        Kind::Coordinator
    } else {
        Kind::Agent
    })
}

/// Reads `agent.yaml` for the daemon: secrets and certificates are each link's own affair, or one that is missing would
/// keep all others from running.
///
/// # Errors
/// [`Unusable`], with every fault.
pub fn load_spec(path: &Path) -> Result<AgentSpec, Unusable> {
    let document = open(path)?;
    let raw: RawAgent = parse(path, &document)?;
    placed(path, &document, Kind::Agent, raw.check(document.folder()))
}

/// Reads `agent.yaml` and what it names.
///
/// # Errors
/// [`Unusable`], with every fault.
pub fn load(path: &Path) -> Result<Config, Unusable> {
    let document = open(path)?;
    let raw: RawAgent = parse(path, &document)?;
    let checked = raw.check(document.folder());
    let mut faults = checked.as_ref().err().cloned().unwrap_or_default();
    let mut clusters = BTreeMap::new();
    for (name, cluster) in raw.clusters(document.folder()) {
        // Faults of a cluster's section are among those of the check.
        let Ok(cluster) = cluster else { continue };
        match settings(name, &cluster) {
            Ok(settings) => drop(clusters.insert(name.to_owned(), settings)),
            Err(more) => faults.extend(more),
        }
    }
    let outcome = match checked {
        Ok(spec) if faults.is_empty() => Ok(Config { spec, clusters }),
        _ => Err(faults),
    };
    placed(path, &document, Kind::Agent, outcome)
}

/// How the client reaches a cluster of the file. Secrets are read from their files or variables now.
///
/// # Errors
/// Every address that cannot be meant, and every secret or certificate that cannot be used.
pub fn settings(name: &str, cluster: &ClusterSpec) -> Result<Settings, Vec<Fault>> {
    let key = format!("clusters.{name}");
    let mut faults = Vec::new();
    for address in &cluster.bootstrap {
        if let Err(error) = Settings::new(address) {
            faults.push(Fault::new(format!("{key}.bootstrap"), error.to_string()));
        }
    }
    match Security::resolve(&cluster.security) {
        Ok(security) if faults.is_empty() => {
            let settings = Settings::new(&cluster.bootstrap.join(","));
            let settings =
                settings.map_err(|error| vec![Fault::new(format!("{key}.bootstrap"), error.to_string())])?;
            Ok(Settings { security, ..settings })
        }
        Ok(_) => Err(faults),
        Err(more) => {
            faults
                .extend(more.into_iter().map(|fault| Fault { key: format!("{key}.{}", fault.key), ..fault }));
            Err(faults)
        }
    }
}

/// Reads `coordinator.yaml`. The files that it names are read by whoever starts a coordinator.
///
/// # Errors
/// [`Unusable`], with every fault.
pub fn load_coordinator(path: &Path) -> Result<CoordinatorSpec, Unusable> {
    let document = open(path)?;
    let raw: RawCoordinator = parse(path, &document)?;
    placed(path, &document, Kind::Coordinator, raw.check(document.folder()))
}

/// Reads a file with a `security` section.
///
/// # Errors
/// [`Unusable`], with every fault.
pub fn load_security(path: &Path) -> Result<Security, Unusable> {
    let document = open(path)?;
    let raw: RawSecurityFile = parse(path, &document)?;
    let spec = placed(path, &document, Kind::Security, raw.check(document.folder()))?;
    placed(path, &document, Kind::Security, Security::resolve(&spec))
}
