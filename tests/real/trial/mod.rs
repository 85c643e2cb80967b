//! Coordinators as their operators meet them: processes, files and the command line. Some ask brokers.
//!
//! | file | what must hold |
//! |---|---|
//! | `daily` | from one command to a system that plans, applies and tells; a leader that is killed is no loss |
//! | `kills` | the leader is killed while something is applied: it is done or not, never half |
//! | `five` | five of them: two die, a third, and the manual page brings the system back |
//! | `exposure` | passwords, idle topics, open transactions and clocks: `status` tells what would be lost |
//! | `figures` | what coordinators tell monitoring |
//! | `seen` | a source dies under traffic: what was seen of the loss is never more than the loss |
//! | `shared_work` | two agents of a site share work, take over, and go on without coordinators |
//! | `broken_glass` | a lone survivor goes on after a forced recovery, and nobody of before gets in |
//! | `removal` | a link that is removed leaves what it mirrored, and nothing else |
//! | `rolling` | the next version comes one by one, goes again, and comes for good |
//! | `vanished` | a leader falls silent as behind a cut network: it is left, and wakes as a follower |
//! | `whole` | what one command makes carries records: agents take up the work, and status tells of it |
//!
//! `holders` and `traffic` are what they share.

mod broken_glass;
mod daily;
mod exposure;
mod figures;
mod five;
mod holders;
mod kills;
mod removal;
mod rolling;
mod seen;
mod shared_work;
mod traffic;
mod vanished;
mod whole;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::time::Duration;

use lockstep_testkit::lockstep::Finished;
use lockstep_testkit::{Exit, Lockstep, wait_until, wait_until_true};
use serde_json::Value;

use crate::mirror::PATIENCE;

/// Short enough to ask again, long enough for a slow machine.
const CALL: Duration = Duration::from_secs(75);

/// The first coordinator's port for its metrics, from the first port of all.
const METRICS: u16 = 7;

/// What `coordinator init --dev` makes, and what of it runs.
struct Trial {
    _folder: tempfile::TempDir,
    path: PathBuf,
    /// The first coordinator's.
    port: u16,
    running: BTreeMap<&'static str, Lockstep>,
}

impl Trial {
    /// Founded; nothing runs yet.
    fn new() -> Self {
        Self::with(&[])
    }

    /// With more flags for `init --dev`.
    fn with(more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trial");
        let port = free_ports(10);
        let (dev, first, agents) = (path.display().to_string(), port.to_string(), (port + 3).to_string());
        let metrics = (port + METRICS).to_string();
        let words = ["coordinator", "init", "--dev", &dev, "--port", &first, "--agent-port", &agents];
        let words = [&words[..], &["--metrics-port", &metrics]].concat();
        let finished = Lockstep::run(&[&words[..], more].concat(), CALL).unwrap();
        assert_eq!(finished.exit, Exit::Code(0), "{finished:?}");
        Self { _folder: folder, path, port, running: BTreeMap::new() }
    }

    /// All three run and vote.
    fn of_three() -> Self {
        let mut trial = Self::new();
        trial.start_three();
        trial
    }

    fn start_three(&mut self) {
        self.start("c-east");
        self.led_by_somebody();
        for (name, offset) in [("c-west", 1), ("c-witness", 2)] {
            self.join(name, offset);
            self.start(name);
        }
        self.wait_for_voters(3);
    }

    fn wait_for_voters(&self, count: usize) {
        wait_until_true(&format!("{count} coordinators to vote"), PATIENCE, || self.voters().len() == count);
    }

    /// What carries the work.
    fn start_agent(&mut self, name: &'static str) {
        self.start_agent_with(name, &[]);
    }

    fn start_agent_with(&mut self, name: &'static str, env: &[(&str, &str)]) {
        let config = self.file(&format!("{name}/agent.yaml"));
        let child = Lockstep::spawn_with(&["agent", "--config", &config], env).unwrap();
        self.running.insert(name, child);
    }

    fn file(&self, name: &str) -> String {
        self.path.join(name).display().to_string()
    }

    fn config(&self, name: &str) -> String {
        self.file(&format!("{name}/coordinator.yaml"))
    }

    fn address(&self, offset: u16) -> String {
        format!("127.0.0.1:{}", self.port + offset)
    }

    /// A seat that the first one gives, or whoever it says.
    fn join(&self, name: &str, offset: u16) {
        let (config, address) = (self.config(name), self.address(offset));
        let mut running = self.running.keys().filter(|name| name.starts_with("c-"));
        let to = self.address(offset_of(running.next().unwrap()));
        let words = ["coordinator", "join", "--config", &config, "--address", &address, "--to", &to];
        wait_until_true(&format!("{name} to get a seat"), PATIENCE, || {
            Lockstep::run(&words, CALL).unwrap().exit == Exit::Code(0)
        });
    }

    fn start(&mut self, name: &'static str) {
        self.start_with(name, &[]);
    }

    fn start_with(&mut self, name: &'static str, env: &[(&str, &str)]) {
        let child = Lockstep::spawn_with(&["coordinator", "--config", &self.config(name)], env).unwrap();
        self.running.insert(name, child);
    }

    fn kill(&mut self, name: &str) {
        self.running.remove(name).unwrap().kill().unwrap();
    }

    /// As the operator of the trial.
    fn ask(&self, words: &[&str]) -> Finished {
        let operator = self.file("operator/operator.yaml");
        Lockstep::run(&[words, &["--operator", &operator]].concat(), CALL).unwrap()
    }

    fn asked(&self, exit: i32, words: &[&str]) -> Finished {
        let finished = self.ask(words);
        assert_eq!(finished.exit, Exit::Code(exit), "{words:?}: {finished:?}");
        finished
    }

    fn json(&self, exit: i32, words: &[&str]) -> Value {
        let finished = self.asked(exit, &[words, &["-o", "json"]].concat());
        serde_json::from_str(&finished.stdout).unwrap()
    }

    /// Names; none while nobody answers.
    fn voters(&self) -> Vec<String> {
        let finished = self.ask(&["coordinator", "members", "-o", "json"]);
        let said: Value = serde_json::from_str(&finished.stdout).unwrap_or_default();
        let members = said["members"].as_array().cloned().unwrap_or_default();
        let voters = members.iter().filter(|member| member["is_learner"] == false);
        voters.map(|member| member["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Waits until one leads that runs.
    fn led_by_somebody(&self) -> &'static str {
        wait_until("a coordinator to lead", PATIENCE, || {
            let finished = self.ask(&["coordinator", "members", "-o", "json"]);
            let said: Value = serde_json::from_str(&finished.stdout).unwrap_or_default();
            self.running.keys().find(|name| said["leader"] == **name).copied()
        })
    }

    /// As the agent west says by itself, once it listens.
    fn local(&self) -> Value {
        let url = format!("127.0.0.1:{}", self.port + 4);
        wait_until("the agent to tell its status", PATIENCE, || {
            let told = Lockstep::run(&["status", "--local", "--agent", &url, "-o", "json"], CALL).unwrap();
            (told.exit == Exit::Code(0)).then(|| serde_json::from_str(&told.stdout).unwrap())
        })
    }

    /// The spec of the trial, of one topic only, with a link of its name: clusters are shared with other tests.
    fn only(&self, topic: &str) -> String {
        let spec = self.file("dr.yaml");
        let text = std::fs::read_to_string(&spec).unwrap().replace("  trial:", &format!("  {topic}:"));
        let text = text.replace("topics: [\".*\"]", &format!("topics: {topic}"));
        std::fs::write(&spec, text.replace("    groups: [\".*\"]\n", "")).unwrap();
        spec
    }

    /// The spec of the trial with another limit, as a file beside it.
    fn spec_with(&self, rpo: &str) -> String {
        let text = std::fs::read_to_string(self.path.join("dr.yaml")).unwrap();
        let path = self.path.join(format!("dr-{rpo}.yaml"));
        std::fs::write(&path, text.replace("rpo: 5s", &format!("rpo: {rpo}"))).unwrap();
        path.display().to_string()
    }
}

fn offset_of(name: &str) -> u16 {
    // The two between are the agents'.
    let all = ["c-east", "c-west", "c-witness", "a-east", "a-west", "c-east-2", "c-west-2"];
    u16::try_from(all.iter().position(|known| *known == name).unwrap()).unwrap()
}

/// One behind the other.
fn free_ports(count: u16) -> u16 {
    let is_free = |port: u16| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
    loop {
        let first = fastrand::u16(20_000..30_000);
        if (first..first + count).all(is_free) {
            return first;
        }
    }
}
