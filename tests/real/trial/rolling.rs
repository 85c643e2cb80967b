//! An upgrade one by one under load: coordinators and agents are replaced by such of a version that knows one kind of entry
//! more, back again, and once more for good. The next version is this one with a word in its environment; in the long form it
//! is a second build.

use std::path::{Path, PathBuf};
use std::process::Command;

use lockstep_testkit::wait::is_long;
use lockstep_testkit::{Exit, Lockstep, unique, wait_until_true};

use super::Trial;
use super::traffic::{Traffic, held};
use crate::mirror::{Ends, PATIENCE, assert_exact};

const PARTITIONS: i32 = 3;
const COORDINATORS: [&str; 3] = ["c-east", "c-west", "c-witness"];
const AGENTS: [&str; 2] = ["a-east", "a-west"];

/// What a process is started from.
enum Version {
    Present,
    Next(NextVersion),
}

enum NextVersion {
    SwitchedOn,
    Built(PathBuf),
}

impl NextVersion {
    fn get() -> Self {
        if !is_long() {
            return Self::SwitchedOn;
        }
        let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        let target = workspace.join("target/next-version");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.current_dir(workspace).args(["build", "-p", "lockstep-cli", "--features", "rehearsal"]);
        let built = build.arg("--target-dir").arg(&target).status().unwrap();
        assert!(built.success(), "the second build: {built}");
        Self::Built(target.join("debug/lockstep"))
    }
}

/// A system under load whose processes are exchanged.
struct Rolling {
    trial: Trial,
    ends: Ends,
    topic: String,
    revision: u64,
}

impl Rolling {
    fn begin(topic: &str) -> Self {
        let ends = Ends::shared();
        ends.create(topic, PARTITIONS, &[]);
        let mut trial = Trial::with(&["--east", &ends.from, "--west", &ends.to]);
        trial.start_three();
        for agent in AGENTS {
            trial.start_agent(agent);
        }
        let spec = trial.only(topic);
        trial.asked(0, &["apply", "-f", &spec]);
        Self { trial, ends, topic: topic.to_owned(), revision: 1 }
    }

    fn start(&mut self, name: &'static str, version: &Version) {
        let (verb, config) = match COORDINATORS.contains(&name) {
            true => ("coordinator", self.trial.config(name)),
            false => ("agent", self.trial.file(&format!("{name}/agent.yaml"))),
        };
        let words = [verb, "--config", &config];
        let child = match version {
            Version::Present => Lockstep::spawn(&words),
            Version::Next(NextVersion::SwitchedOn) => {
                Lockstep::spawn_with(&words, &[("LOCKSTEP_REHEARSE_UPGRADE", "1")])
            }
            Version::Next(NextVersion::Built(program)) => Lockstep::spawn_of(program, &words, &[]),
        };
        self.trial.running.insert(name, child.unwrap());
    }

    /// Stopped as a service manager does it, and started again as this version.
    fn replace(&mut self, name: &'static str, version: &Version) {
        self.trial.terminate(name);
        self.start(name, version);
        if COORDINATORS.contains(&name) {
            self.trial.led_by_somebody();
            self.answers(name);
        } else {
            wait_until_true(&format!("{name} to be heard again"), PATIENCE, || {
                let agents = &self.trial.json(0, &["status"])["agents"];
                agents[name]["heard_age_ms"].as_u64().is_some_and(|age| age < 5_000)
            });
        }
    }

    fn answers(&self, name: &str) {
        wait_until_true(&format!("{name} to answer the others"), PATIENCE, || {
            let ready = self.trial.ask(&["ready", &self.topic, "-o", "json"]);
            ready.stdout.contains("3 of 3 answer")
        });
    }

    /// Something is agreed on, and records go on arriving.
    fn works(&mut self) {
        let spec = self.trial.spec_with(if self.revision.is_multiple_of(2) { "2m" } else { "3m" });
        let expected = self.revision.to_string();
        self.trial.asked(0, &["apply", "-f", &spec, "--expected-revision", &expected]);
        self.revision += 1;
        let before = held(&self.ends, &self.topic, PARTITIONS);
        wait_until_true("mirroring to go on", PATIENCE, || {
            let now = held(&self.ends, &self.topic, PARTITIONS);
            now.iter().zip(&before).all(|(now, before)| now > before)
        });
    }

    fn replace_all(&mut self, version: &Version) {
        for name in COORDINATORS.into_iter().chain(AGENTS) {
            self.replace(name, version);
            self.works();
        }
    }

    /// Refused by name, whoever of the new ones leads: one is not replaced yet.
    fn cannot_be_finalized_yet(&mut self, old: &'static str, version: &Version) {
        while self.trial.led_by_somebody() == old {
            self.replace(old, &Version::Present);
        }
        let refused = self.trial.asked(3, &["coordinator", "finalize", "--reason", "too early"]);
        assert!(refused.stderr.contains(old) && refused.stderr.contains("replace it"), "{refused:?}");
        self.works();
        self.replace(old, version);
    }

    /// Of the trail: how often something was done.
    fn done(&self, what: &str) -> usize {
        let exported = self.trial.asked(0, &["audit", "export"]).stdout;
        let of_what = format!("\"what\":\"{what}\"");
        exported
            .lines()
            .filter(|line| line.contains(&of_what) && line.contains("\"outcome\":\"done\""))
            .count()
    }
}

#[test]
fn processes_are_replaced_one_by_one_and_back_until_the_new_level_is_final() {
    let next = Version::Next(NextVersion::get());
    let topic = unique("rolling");
    let mut system = Rolling::begin(&topic);
    let traffic = Traffic::start(&system.ends, &topic, PARTITIONS);
    system.works();

    system.replace("c-west", &next);
    system.works();
    system.replace("c-witness", &next);
    system.cannot_be_finalized_yet("c-east", &next);
    for agent in AGENTS {
        system.replace(agent, &next);
    }
    system.works();
    let ready = system.trial.ask(&["ready", &topic]).stdout;
    assert!(ready.contains("entries of level 1 are switched on, this version knows 2"), "{ready}");
    assert_eq!((system.done("rehearse"), system.done("finalize")), (0, 0));

    // Nothing was written that the version before does not understand.
    system.replace_all(&Version::Present);
    system.replace_all(&next);
    let final_level = system.trial.asked(0, &["coordinator", "finalize", "--reason", "all run it"]);
    assert!(final_level.stdout.contains("level 2 is final"), "{final_level:?}");
    wait_until_true("an entry of the new kind", PATIENCE, || system.done("rehearse") == 1);
    system.works();

    // From here on there is no way back: who does not know the entry says so and stops.
    system.trial.terminate("c-witness");
    system.start("c-witness", &Version::Present);
    let old = system.trial.running.get_mut("c-witness").unwrap();
    assert_eq!(old.wait(PATIENCE).unwrap(), Exit::Code(1));
    let said = old.stderr();
    assert!(said.contains("not known to this version") && said.contains("start the version"), "{said}");
    system.works();
    system.start("c-witness", &next);
    system.answers("c-witness");
    assert_eq!(system.trial.json(0, &["audit", "verify"])["ok"], true);

    let written = traffic.stop();
    system.ends.wait_until_equal(&topic, PARTITIONS);
    assert_exact(&system.ends, &topic, PARTITIONS);
    let held = held(&system.ends, &topic, PARTITIONS).iter().sum::<i64>();
    assert_eq!(held, i64::try_from(written).unwrap());
}
