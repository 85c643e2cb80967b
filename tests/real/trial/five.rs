//! Five coordinators: any two die and nothing changes, a third and nothing can be decided, while mirroring goes on. What the
//! manual page says brings the system back from two survivors; the commands are read from the page.

use lockstep_testkit::lockstep::Finished;
use lockstep_testkit::{Exit, Lockstep, Signal, unique, wait_until, wait_until_true};
use serde_json::Value;

use super::traffic::{Traffic, held};
use super::{CALL, Trial, offset_of};
use crate::mirror::{Ends, PATIENCE, assert_exact};

const PARTITIONS: i32 = 3;
const FIVE: [&str; 5] = ["c-east", "c-west", "c-witness", "c-east-2", "c-west-2"];

/// The page's commands for a majority that is lost for good, without `sudo`.
fn page() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATIONS.md");
    let text = std::fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once("\n**A majority lost for good.**").unwrap();
    let (section, _) = section.split_once("\n**Upgrading**").unwrap();
    let commands = section.lines().filter_map(|line| line.strip_prefix("sudo -u lockstep lockstep "));
    commands.map(str::to_owned).collect()
}

/// Words of a command line: quotes hold some together.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    let words = parts.flat_map(|(at, part)| match at % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    words.collect()
}

impl Trial {
    /// A command of the page, for one coordinator.
    fn by_the_page(&self, line: &str, name: &str) -> Finished {
        let line = line.replace("/etc/lockstep/coordinator.yaml", &self.config(name));
        let line = line.replace("pr-1.example:9470", &self.address(offset_of(name)));
        let words = words(&line);
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        Lockstep::run(&words, CALL).unwrap()
    }

    pub(super) fn terminate(&mut self, name: &str) {
        let mut child = self.running.remove(name).unwrap();
        child.signal(Signal::Terminate).unwrap();
        child.wait(PATIENCE).unwrap();
    }

    fn is_talking(&self) -> bool {
        self.local()["coordinators"]["conversation"]["state"] == "with"
    }

    /// Refused with its old folder; then anew, as the page says.
    fn comes_back(&mut self, name: &'static str, page: &[String], to: &str) {
        self.start(name);
        wait_until_true(&format!("{name} to be refused"), PATIENCE, || {
            self.running[name].stderr().contains("has to set its folder aside and join anew")
        });
        assert!(!self.voters().iter().any(|voter| voter == name));
        self.terminate(name);
        let folder = self.path.join(name);
        std::fs::rename(folder.join("data"), folder.join("data.old")).unwrap();
        let join = page[2].replace("mi-1.example:9470", &self.address(offset_of(to)));
        wait_until_true(&format!("{name} to get a seat"), PATIENCE, || {
            self.by_the_page(&join, name).exit == Exit::Code(0)
        });
        self.start(name);
    }
}

/// Where a survivor's log ends, as it says.
fn end(said: &str) -> (u64, u64) {
    let number = |word: &str| {
        let (_, rest) = said.split_once(word).unwrap();
        rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
    };
    (number("term "), number("index "))
}

fn goes_on(ends: &Ends, topic: &str, what: &str) {
    let before = held(ends, topic, PARTITIONS);
    wait_until_true(what, PATIENCE, || {
        held(ends, topic, PARTITIONS).iter().zip(&before).all(|(now, before)| now > before)
    });
}

#[test]
fn two_of_five_are_no_loss_and_the_manual_page_is_enough_for_three() {
    let ends = Ends::shared();
    let topic = unique("five");
    ends.create(&topic, PARTITIONS, &[]);
    let mut trial = Trial::with(&["--east", &ends.from, "--west", &ends.to]);
    trial.add_two();
    trial.start_three();
    for name in ["c-east-2", "c-west-2"] {
        trial.join(name, offset_of(name));
        trial.start(name);
    }
    trial.wait_for_voters(5);
    trial.start_agent("a-east");
    trial.start_agent("a-west");
    let spec = trial.only(&topic);
    trial.asked(0, &["apply", "-f", &spec]);
    let traffic = Traffic::start(&ends, &topic, PARTITIONS);
    goes_on(&ends, &topic, "every partition to be copied");

    // Any two.
    let mut order = FIVE;
    fastrand::shuffle(&mut order);
    println!("killed one after the other: {:?}", &order[..3]);
    let [first, second, third, ..] = order;
    trial.kill(first);
    trial.kill(second);
    trial.led_by_somebody();
    assert_eq!(trial.json(0, &["spec", "show"])["revision"], 1);
    trial.asked(0, &["apply", "-f", &trial.spec_with("1m"), "--expected-revision", "1"]);
    assert_eq!(trial.json(0, &["audit", "verify"])["ok"], true);
    wait_until_true("the agent to have heard of it", PATIENCE, || {
        trial.local()["coordinators"]["revision"] == 2
    });

    trial.kill(third);
    let knows = told_without_a_majority(&trial, &ends, &topic);
    let survivors = &order[3..];
    let lone = recovered(&mut trial, survivors);
    let other = *survivors.iter().find(|name| **name != lone).unwrap();
    let was = knows["incarnation"].as_u64().unwrap();
    wait_until("the agent to obey the recovered system", PATIENCE, || {
        let now = &trial.local()["coordinators"];
        (now["conversation"]["state"] == "with")
            .then(|| now["incarnation"].as_u64())?
            .filter(|now| *now > was)
    });
    // Not known whether it was done in the last moments: then it is a newer revision.
    let revision = trial.json(0, &["spec", "show"])["revision"].as_u64().unwrap();
    assert!((2..=3).contains(&revision), "{revision}");
    for (name, voters) in [(other, 2), (third, 3)] {
        trial.comes_back(name, &page(), lone);
        trial.wait_for_voters(voters);
    }
    let last = trial.spec_with("3m");
    trial.asked(0, &["apply", "-f", &last, "--expected-revision", &revision.to_string()]);
    assert_eq!(trial.json(0, &["audit", "verify"])["ok"], true);
    goes_on(&ends, &topic, "mirroring to go on under the recovered system");
    let written = traffic.stop();
    ends.wait_until_equal(&topic, PARTITIONS);
    assert_exact(&ends, &topic, PARTITIONS);
    assert_eq!(held(&ends, &topic, PARTITIONS).iter().sum::<i64>(), i64::try_from(written).unwrap());
    wait_until_true("the link to be known as safe", PATIENCE, || {
        let link: &Value = &trial.json(0, &["status", &topic])["links"][0];
        link["posture"] == "WITHIN_RPO" && link["exposure"]["seen_records"] == 0
    });
}

/// Nobody can decide, mirroring goes on, and an agent tells what it knows, and what it does not: what it knows of them.
fn told_without_a_majority(trial: &Trial, ends: &Ends, topic: &str) -> Value {
    wait_until_true("the agent to be without coordinators", PATIENCE, || !trial.is_talking());
    goes_on(ends, topic, "mirroring to go on");
    wait_until_true("the link to be told of all the same", PATIENCE, || {
        let local = trial.local();
        local["links"][0]["link"] == topic && local["links"][0]["posture"] == "WITHIN_RPO"
    });
    let knows = trial.local()["coordinators"].clone();
    assert!(knows["heard_age_ms"].is_u64() && knows["revision"] == 2, "{knows}");
    let refused = trial.asked(1, &["status"]);
    assert!(
        refused.stderr.contains("remedy") && refused.stderr.contains("lockstep status --local"),
        "{refused:?}"
    );
    let refused = trial.asked(1, &["apply", "-f", &trial.spec_with("2m")]);
    assert!(refused.stderr.contains("remedy"), "{refused:?}");
    knows
}

/// The survivors are stopped, asked where their logs end, and the right one is forced. Its name.
fn recovered(trial: &mut Trial, survivors: &[&'static str]) -> &'static str {
    let page = page();
    assert!(page.len() == 3 && page[2].starts_with("coordinator join "), "{page:#?}");
    for name in survivors {
        trial.terminate(name);
    }
    let ends = survivors.iter().map(|name| {
        let said = trial.by_the_page(&page[0], name);
        assert_eq!(said.exit, Exit::Code(3), "{said:?}");
        (end(&said.stdout), *name)
    });
    let (_, lone) = ends.max().unwrap();
    let said = trial.by_the_page(&page[1], lone);
    assert_eq!(said.exit, Exit::Code(0), "{said:?}");
    assert!(said.stdout.starts_with(&format!("{lone} is the only coordinator")), "{said:?}");
    trial.start(lone);
    assert_eq!((trial.led_by_somebody(), trial.voters()), (lone, vec![lone.to_owned()]));
    let export = trial.asked(0, &["audit", "export"]).stdout;
    assert!(export.contains("praha and wien burnt"), "{export}");
    lone
}
