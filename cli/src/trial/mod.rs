//! A whole system on one machine, to try it: three coordinators, two agents, an operator, certificates, a spec, and a
//! script that starts everything.
//!
//! ```text
//! Layout (ports, clusters) ─ plan ─► every file with its text ─ write ─► a folder that was empty or not there
//! ```
//!
//! Promises: a folder with anything in it is not touched; keys are readable by their owner only. Listens on loopback only.

pub(crate) mod authority;
mod files;

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

pub(crate) use files::{FOUNDER, Layout};

/// One file of the trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TrialFile {
    /// From the trial's folder.
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) kind: FileKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Plain,
    Key,
    Script,
}

/// Writes everything below `folder`, which is made if it is missing.
///
/// # Errors
/// In words: there is something in the folder already, or it cannot be written.
pub(crate) fn write(folder: &Path, layout: &Layout) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    match std::fs::read_dir(folder) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                return Err(format!(
                    "{}: there is something in it already\n  remedy  name a folder that is empty or not there",
                    folder.display()
                ));
            }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    let files = files::plan(layout).map_err(|error| format!("no certificates can be made: {error}"))?;
    for file in files {
        let path = folder.join(&file.path);
        if let Some(parent) = path.parent() {
            std::fs::DirBuilder::new().recursive(true).mode(0o755).create(parent).map_err(failed)?;
        }
        let mode = match file.kind {
            FileKind::Plain => 0o644,
            FileKind::Key => 0o600,
            FileKind::Script => 0o755,
        };
        let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&path);
        opened.and_then(|mut open| open.write_all(file.text.as_bytes())).map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use lockstep_core::spec::daemon::Listen;
    use std::os::unix::fs::PermissionsExt;

    use lockstep_agent::config::load_coordinator;
    use lockstep_coordinator::holder::Holder;
    use lockstep_core::spec::coordinator::Role;

    use super::*;
    use crate::files::{Kind, kind, operator};

    fn trial() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trial");
        write(&path, &Layout::default()).unwrap();
        (folder, path)
    }

    #[test]
    fn every_file_is_one_that_its_reader_takes() {
        let (_folder, trial) = trial();
        for (name, site, port) in
            [("c-east", "east", 9470), ("c-west", "west", 9471), ("c-witness", "witness", 9472)]
        {
            let spec = load_coordinator(&trial.join(name).join("coordinator.yaml")).unwrap();
            assert_eq!((spec.name.as_str(), spec.site.as_str()), (name, site));
            assert_eq!(spec.listen, format!("127.0.0.1:{port}"));
            assert_eq!(spec.http, Listen::At(format!("127.0.0.1:{}", port + 10)));
            assert_eq!((spec.access[0].operator.as_str(), spec.access[0].role), ("trial", Role::Admin));
            assert!(spec.tls.ca.exists() && spec.tls.certificate.exists() && spec.tls.key.exists());
        }
        let spec = operator(&trial.join("operator/operator.yaml")).unwrap();
        assert_eq!(spec.coordinators, ["127.0.0.1:9470", "127.0.0.1:9471", "127.0.0.1:9472"]);
        crate::operator::Coordinators::new(&spec, &trial).unwrap();
        for agent in ["a-east", "a-west"] {
            assert_eq!(kind(&trial.join(agent).join("agent.yaml")).unwrap(), Kind::Agent);
        }
        let text = std::fs::read_to_string(trial.join("dr.yaml")).unwrap();
        let checked =
            lockstep_yaml::dr::read(&[lockstep_yaml::dr::SpecFile { name: "dr.yaml", text: &text }]).unwrap();
        assert_eq!(
            (checked.spec.sites.len(), checked.spec.clusters.len(), checked.spec.links.len()),
            (3, 2, 1)
        );
        assert_eq!(checked.warnings, []);
    }

    #[test]
    fn certificates_name_their_holders_and_keys_are_nobody_elses() {
        use tokio_rustls::rustls::pki_types::CertificateDer;
        use tokio_rustls::rustls::pki_types::pem::PemObject;
        let (_folder, trial) = trial();
        for (folder, uri) in [
            ("c-witness", "lockstep://coordinator/c-witness"),
            ("a-west", "lockstep://agent/west/a-west"),
            ("operator", "lockstep://operator/trial"),
        ] {
            let der = CertificateDer::from_pem_file(trial.join(folder).join("certificate.pem")).unwrap();
            assert_eq!(Holder::of_certificate(&der).unwrap().to_string(), uri);
            let key = std::fs::metadata(trial.join(folder).join("key.pem")).unwrap();
            assert_eq!(key.permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn the_script_is_one_that_a_shell_takes() {
        let folder = tempfile::tempdir().unwrap();
        let trial = folder.path().join("trial");
        let program = "/opt/it's here/lockstep".to_owned();
        write(&trial, &Layout { program, ..Layout::default() }).unwrap();
        let script = trial.join("start.sh");
        let mode = std::fs::metadata(&script).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        let checked = std::process::Command::new("sh").arg("-n").arg(&script).output().unwrap();
        assert!(checked.status.success() && checked.stderr.is_empty(), "{checked:?}");
        let text = std::fs::read_to_string(&script).unwrap();
        assert!(text.contains("|| LOCKSTEP='/opt/it'\\''s here/lockstep'\n"), "{text}");
        assert!(text.contains("\ncoordinator c-west 127.0.0.1:9471\n") && text.contains("\nagent a-west\n"));
    }

    #[test]
    fn what_is_there_is_left_alone() {
        let (_folder, trial) = trial();
        let before = std::fs::read(trial.join("ca.pem")).unwrap();
        let words = write(&trial, &Layout::default()).unwrap_err();
        assert!(words.contains("there is something in it already"), "{words}");
        assert_eq!(std::fs::read(trial.join("ca.pem")).unwrap(), before);
    }
}
