//! The daemon as its users run it: `lockstep agent --config agent.yaml`, asked over HTTP, told by signals.
//!
//! | file | what must hold |
//! |---|---|
//! | `links` | several links in one process; one that cannot work disturbs nobody |
//! | `reload` | only what changed is restarted; a file with a fault changes nothing |
//! | `told` | /status, /metrics, `lockstep status --local` |
//! | `process` | signals, drain, what systemd hears |

mod links;
mod process;
mod reload;
mod told;

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockstep_testkit::{Exit, Lockstep, Signal, pair, wait_until, wait_until_true};
use tempfile::TempDir;

use super::mirror::PATIENCE;

/// A running agent, its file, and where it listens.
pub(crate) struct Agent {
    pub(crate) process: Lockstep,
    folder: TempDir,
    pub(crate) address: String,
}

/// What stands in `agent.yaml`, put together.
pub(crate) struct File(String);

impl File {
    /// The shared pair as `mi` and `pr`, no links yet.
    pub(crate) fn new() -> Self {
        let (mi, pr) = (pair().source.bootstrap(), pair().destination.bootstrap());
        Self(format!(
            "site: test\nlisten: 127.0.0.1:0\nclusters:\n  mi: {{ bootstrap: \"{mi}\" }}\n  pr: {{ bootstrap: \"{pr}\" }}\nlinks:\n"
        ))
    }

    /// As it is.
    pub(crate) fn of(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// A link from `mi` to `pr`; `more`: further keys, as in `, paused: true`.
    pub(crate) fn link(self, name: &str, topics: &str, more: &str) -> Self {
        self.line(&format!("  {name}: {{ from: mi, to: pr, topics: '{topics}'{more} }}"))
    }

    pub(crate) fn line(mut self, line: &str) -> Self {
        writeln!(self.0, "{line}").unwrap();
        self
    }

    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

impl Agent {
    pub(crate) fn start(file: &File) -> Self {
        Self::start_with(file, &[])
    }

    pub(crate) fn start_with(file: &File, env: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("agent.yaml");
        std::fs::write(&path, file.text()).unwrap();
        let process = Lockstep::spawn_with(&["agent", "--config", path.to_str().unwrap()], env).unwrap();
        let address = wait_until("the agent to listen", PATIENCE, || {
            let said = process.stderr();
            let at = said.split("listening at ").nth(1)?;
            Some(at.split(": /").next()?.to_owned())
        });
        Self { process, folder, address }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("agent.yaml")
    }

    /// Replaces the file as an editor does: in one step.
    pub(crate) fn rewrite(&self, file: &File) {
        let new = self.folder.path().join("new");
        std::fs::write(&new, file.text()).unwrap();
        std::fs::rename(&new, self.path()).unwrap();
    }

    /// Status code and body.
    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        get(&self.address, path)
    }

    pub(crate) fn wait_until_ready(&self) {
        wait_until_true("every link to run", PATIENCE, || self.get("/readyz").0 == 200);
    }

    pub(crate) fn wait_until_said(&self, words: &str) {
        wait_until_true(&format!("the agent to say {words:?}"), PATIENCE, || {
            self.process.stderr().contains(words)
        });
    }

    /// Stops it in order and expects this exit code.
    pub(crate) fn stop(mut self, code: i32) -> String {
        self.process.signal(Signal::Terminate).unwrap();
        let exit = self.process.wait(PATIENCE).unwrap();
        assert_eq!(exit, Exit::Code(code), "{}", self.process.stderr());
        self.process.stderr()
    }
}

pub(crate) fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// A folder that outlives the agent's own.
pub(crate) fn in_folder(folder: &Path, name: &str) -> String {
    folder.join(name).display().to_string()
}
