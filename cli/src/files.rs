//! Our files by what they are: whoever is handed one knows it by its keys.
//! Promises: every fault at once, with its line. No message quotes a line of a file.

use std::path::Path;

use lockstep_agent::config::{Kind as Unfit, Unusable, load_security};
use lockstep_core::spec::dr::{Checked, DrSpec};
use lockstep_core::spec::fault::Fault;
use lockstep_core::spec::operator::{OperatorSpec, RawOperator};
use lockstep_yaml::dr::SpecFile;
use lockstep_yaml::{Document, NotRead};

/// Which of our files it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// agent.yaml: the daemon of a datacenter
    Agent,
    /// coordinator.yaml: one of the coordinators
    Coordinator,
    /// dr.yaml: what the whole system is to do
    Dr,
    /// operator.yaml: where the coordinators are, for the command line
    Operator,
    /// Nothing but a security section, as --from-config takes it
    #[value(skip)]
    Security,
}

impl Kind {
    /// Its JSON schema.
    pub(crate) fn schema(self) -> Option<impl serde::Serialize> {
        match self {
            Self::Agent => Some(lockstep_core::spec::agent::schema()),
            Self::Coordinator => Some(lockstep_core::spec::coordinator::schema()),
            Self::Dr => Some(lockstep_core::spec::dr::schema()),
            Self::Operator => Some(lockstep_core::spec::operator::schema()),
            Self::Security => None,
        }
    }
}

/// By keys that no other file of ours has; what has none of them counts as `agent.yaml`, whose check says what is wrong.
///
/// # Errors
/// The file cannot be read, or is no YAML.
pub(crate) fn kind(path: &Path) -> Result<Kind, Unusable> {
    let document = match Document::read(path) {
        Ok(document) => document,
        // A file of several documents: only specs have them.
        Err(NotRead::NoYaml(_)) if holds_documents(path) => return Ok(Kind::Dr),
        Err(why) => return Err(unusable(path, why)),
    };
    let keys = document.keys();
    let has = |key: &str| keys.iter().any(|given| given == key);
    let is_only = |key: &str| keys.iter().all(|given| given == key);
    Ok(if is_only("security") {
        Kind::Security
    } else if has("name") || has("access") {
        Kind::Coordinator
    } else if has("sites") {
        Kind::Dr
    } else if has("site") {
        Kind::Agent
    } else if has("tls") || is_only("coordinators") {
        Kind::Operator
    } else if has("links") || has("clusters") {
        // One of several files of a spec.
        Kind::Dr
    } else {
        Kind::Agent
    })
}

fn holds_documents(path: &Path) -> bool {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().skip(1).any(|line| line.trim_end() == "---")
}

/// Reads `operator.yaml`. The files that it names are read by whoever dials.
///
/// # Errors
/// [`Unusable`], with every fault.
pub(crate) fn operator(path: &Path) -> Result<OperatorSpec, Unusable> {
    let document = Document::read(path).map_err(|why| unusable(path, why))?;
    let raw: RawOperator = document.parse().map_err(|why| unusable(path, why))?;
    document.checked(raw.check(document.folder())).map_err(|faults| faulty(path, faults))
}

/// Reads `dr.yaml`, by itself: other files of the same folder are not looked at.
///
/// # Errors
/// [`Unusable`], with every fault.
pub(crate) fn dr(path: &Path) -> Result<Checked, Unusable> {
    let unreadable = |error: std::io::Error| unusable(path, NotRead::Unreadable(error.to_string()));
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let name = path.display().to_string();
    let read = lockstep_yaml::dr::read(&[SpecFile { name: &name, text: &text }]);
    read.map_err(|faults| faulty(path, faults.into_iter().map(|found| found.fault).collect()))
}

/// # Errors
/// [`Unusable`], with every fault.
pub(crate) fn security(path: &Path) -> Result<(), Unusable> {
    load_security(path).map(drop)
}

fn faulty(path: &Path, faults: Vec<Fault>) -> Unusable {
    Unusable::Faults { path: path.to_owned(), kind: Unfit::Coordinator, faults }
}

fn unusable(path: &Path, why: NotRead) -> Unusable {
    match why {
        NotRead::Unreadable(why) => Unusable::Unreadable { path: path.to_owned(), why },
        NotRead::NoYaml(why) => Unusable::NoYaml { path: path.to_owned(), why },
    }
}

/// How many of each a spec names.
pub(crate) fn counted(spec: &DrSpec) -> String {
    format!("{} sites, {} clusters, {} links", spec.sites.len(), spec.clusters.len(), spec.links.len())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use lockstep_agent::config::load_coordinator;

    use super::*;

    fn shipped(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
    }

    #[test]
    fn the_files_that_are_shipped_are_known_by_their_keys_and_have_no_fault() {
        for (name, expected) in [
            ("agent.yaml", Kind::Agent),
            ("coordinator.yaml", Kind::Coordinator),
            ("dr.yaml", Kind::Dr),
            ("operator.yaml", Kind::Operator),
        ] {
            assert_eq!(kind(&shipped(name)).unwrap(), expected, "{name}");
        }
        assert_eq!(load_coordinator(&shipped("coordinator.yaml")).unwrap().access.len(), 4);
        assert_eq!(operator(&shipped("operator.yaml")).unwrap().coordinators.len(), 3);
        assert_eq!(dr(&shipped("dr.yaml")).unwrap().spec.links.len(), 2);
    }

    #[test]
    fn a_file_is_known_by_what_only_it_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yaml");
        for (text, expected) in [
            ("security: { protocol: ssl }", Kind::Security),
            ("access: []", Kind::Coordinator),
            ("site: mi\ntls: {}\nname: c1", Kind::Coordinator),
            ("coordinators: [a:1]", Kind::Operator),
            ("tls: {}", Kind::Operator),
            ("site: mi\ncoordinators: {}", Kind::Agent),
            ("site: mi\nclusters: {}\nlinks: {}", Kind::Agent),
            ("links: {}", Kind::Dr),
            ("sites: {}\n---\nlinks: {}\n", Kind::Dr),
            ("nothing: of ours", Kind::Agent),
        ] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(kind(&path).unwrap(), expected, "{text}");
        }
        std::fs::write(&path, "a: [1").unwrap();
        assert!(kind(&path).is_err());
    }

    #[test]
    fn faults_of_every_kind_have_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.yaml");
        std::fs::write(&path, "coordinators: praha\ntls: { ca: ca.pem }\ncoordinators: x\n").unwrap();
        let words = operator(&path).unwrap_err().to_string();
        for line in [
            "line 1: coordinators: \"praha\": the port is missing",
            "line 2: tls.certificate: is missing",
            "line 3: coordinators: stands in line 1 already",
        ] {
            assert!(words.contains(line), "{line} in {words}");
        }
        std::fs::write(&path, "sites:\n  mi: {}\nlinks:\n  a: { clusters: [x, y] }\n").unwrap();
        assert!(dr(&path).unwrap_err().to_string().contains("line 4: links.a"));
    }
}
