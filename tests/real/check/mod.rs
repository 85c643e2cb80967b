//! `lockstep check` as its users run it.
//!
//! | file | what must hold |
//! |---|---|
//! | `files` | every fault of a file at once, with its line; nothing is said that could be a secret |
//! | `passport` | a passport that may not be seen or read is never taken for an empty one |
//! | `rights` | every missing right of every link at once; granting what is listed is enough to mirror |

mod files;
mod passport;
mod rights;

use std::path::PathBuf;

use lockstep_testkit::lockstep::Finished;
use lockstep_testkit::{Exit, Lockstep};

use crate::mirror::PATIENCE;

/// A configuration in a folder of its own, which goes with it.
struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.yaml");
        std::fs::write(&path, text).unwrap();
        Self { _folder: folder, path }
    }

    fn check(&self, more: &[&str]) -> Finished {
        let path = self.path.display().to_string();
        Lockstep::run(&[&["check", &path], more].concat(), PATIENCE).unwrap()
    }

    /// What it writes as JSON, after the exit code was looked at.
    fn checked(&self, exit: i32, more: &[&str]) -> serde_json::Value {
        let finished = self.check(&[&["-o", "json"], more].concat());
        assert_eq!(finished.exit, Exit::Code(exit), "{finished:?}");
        serde_json::from_str(&finished.stdout).unwrap()
    }
}
