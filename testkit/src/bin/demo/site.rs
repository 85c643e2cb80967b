//! The system of the demo: what `lockstep coordinator init --dev` makes of two clusters, started process by process, so that
//! one can be killed in the middle. Everything ends with it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use lockstep_testkit::{Error, Exit, Lockstep};

const CALL: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(60);
const COORDINATORS: [&str; 3] = ["c-east", "c-west", "c-witness"];
/// Ports in a row: three coordinators, two agents.
const PORTS: u16 = 8;

pub(crate) struct System {
    folder: PathBuf,
    _place: tempfile::TempDir,
    running: BTreeMap<&'static str, Lockstep>,
}

impl System {
    /// Three coordinators that agree, and an agent in each site.
    pub(crate) fn start(east: &str, west: &str) -> Result<Self, Error> {
        let place = tempfile::tempdir().map_err(|error| Error::Refused(error.to_string()))?;
        let folder = place.path().join("trial");
        let port = free_ports();
        let mut system = Self { folder, _place: place, running: BTreeMap::new() };
        let [first, agents, metrics] = [0, 3, 5].map(|offset| (port + offset).to_string());
        let dev = system.path("");
        call(&[
            "coordinator",
            "init",
            "--dev",
            &dev,
            "--port",
            &first,
            "--agent-port",
            &agents,
            "--metrics-port",
            &metrics,
            "--east",
            east,
            "--west",
            west,
        ])?;
        let to = format!("127.0.0.1:{port}");
        for (offset, name) in COORDINATORS.into_iter().enumerate() {
            let config = system.path(&format!("{name}/coordinator.yaml"));
            if offset > 0 {
                let address = format!("127.0.0.1:{}", usize::from(port) + offset);
                let join = ["coordinator", "join", "--config", &config, "--address", &address, "--to", &to];
                again(|| call(&join).map(drop))?;
            }
            system.running.insert(name, Lockstep::spawn(&["coordinator", "--config", &config])?);
        }
        for agent in ["a-east", "a-west"] {
            system.start_agent(agent)?;
        }
        Ok(system)
    }

    pub(crate) fn start_agent(&mut self, name: &'static str) -> Result<(), Error> {
        let config = self.path(&format!("{name}/agent.yaml"));
        self.running.insert(name, Lockstep::spawn(&["agent", "--config", &config])?);
        Ok(())
    }

    pub(crate) fn kill(&mut self, name: &str) -> Result<(), Error> {
        match self.running.remove(name) {
            Some(mut process) => process.kill(),
            None => Err(Error::Refused(format!("{name} does not run"))),
        }
    }

    /// The sample that was made with the system: a link for every topic from east to west.
    pub(crate) fn apply(&self) -> Result<String, Error> {
        let spec = self.path("dr.yaml");
        let mut said = String::new();
        again(|| {
            said = self.ask(&["apply", "-f", &spec])?;
            Ok(())
        })?;
        Ok(said)
    }

    /// As the operator; what was said.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<String, Error> {
        let operator = self.path("operator/operator.yaml");
        call(&[words, &["--operator", &operator]].concat())
    }

    /// The coordinator that leads.
    pub(crate) fn leader(&self) -> Result<&'static str, Error> {
        let said = self.ask(&["coordinator", "members"])?;
        let leads =
            |name: &&str| said.lines().any(|line| line.starts_with(*name) && line.ends_with("leader"));
        COORDINATORS.into_iter().find(leads).ok_or_else(|| Error::Refused(format!("nobody leads:\n{said}")))
    }

    fn path(&self, below: &str) -> String {
        self.folder.join(below).display().to_string()
    }
}

fn call(words: &[&str]) -> Result<String, Error> {
    let finished = Lockstep::run(words, CALL)?;
    match finished.exit {
        Exit::Code(0) => Ok(finished.stdout),
        exit => Err(Error::Refused(format!("{words:?} ended with {exit:?}: {}", finished.stderr))),
    }
}

/// Until it works: processes that were just started need a moment.
fn again(mut act: impl FnMut() -> Result<(), Error>) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match act() {
            Ok(()) => return Ok(()),
            Err(error) if Instant::now() > deadline => return Err(error),
            Err(_) => sleep(Duration::from_millis(300)),
        }
    }
}

fn free_ports() -> u16 {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    loop {
        let first = fastrand::u16(20_000..30_000);
        if (first..first + PORTS).all(is_free) {
            return first;
        }
    }
}
