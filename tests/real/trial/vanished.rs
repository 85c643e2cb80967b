//! A coordinator that vanishes without a word, as everything behind a network that was cut: its connections stay open, and
//! nobody answers. The process is stopped (SIGSTOP) while it leads, and goes on later as if nothing had been.

use lockstep_testkit::{Signal, unique, wait_until, wait_until_true};

use super::traffic::{Traffic, held};
use super::{Trial, offset_of};
use crate::mirror::{Ends, PATIENCE, assert_exact};

const PARTITIONS: i32 = 3;

impl Trial {
    fn signal(&mut self, name: &str, signal: Signal) {
        self.running.get_mut(name).unwrap().signal(signal).unwrap();
    }

    /// Whom the agent west talks to under a lease that runs.
    fn obeyed(&self) -> Option<String> {
        let known = self.local()["coordinators"].clone();
        let is_held = known["lease_left_ms"].as_u64().is_some_and(|left| left > 0);
        let address = known["conversation"]["address"].as_str()?.to_owned();
        is_held.then_some(address)
    }
}

/// Story: the site of the leader was cut off. A status took more than a minute, and agents waited for their connections to be
/// given up while their leases ended.
#[test]
fn a_leader_that_falls_silent_is_left_and_changes_nothing_when_it_wakes() {
    let ends = Ends::shared();
    let topic = unique("vanished");
    ends.create(&topic, PARTITIONS, &[]);
    let mut trial = Trial::with(&["--east", &ends.from, "--west", &ends.to]);
    trial.start_three();
    for agent in ["a-east", "a-west"] {
        trial.start_agent(agent);
    }
    let spec = trial.only(&topic);
    trial.asked(0, &["apply", "-f", &spec]);
    let traffic = Traffic::start(&ends, &topic, PARTITIONS);
    let is_safe = |trial: &Trial| {
        let link = trial.json(0, &["status", &topic])["links"][0].clone();
        link["posture"] == "WITHIN_RPO" && link["exposure"]["is_fresh"] == true
    };
    wait_until_true("the link to be known as safe", PATIENCE, || is_safe(&trial));

    // Most often the first one in the operator's file, too.
    let first = trial.led_by_somebody();
    trial.signal(first, Signal::Stop);
    let silent = trial.address(offset_of(first));
    let obeyed = wait_until("the agent to obey another one", PATIENCE, || {
        trial.obeyed().filter(|address| *address != silent)
    });
    // Calls go through, whomever they ask first.
    wait_until_true("the link to be known as safe again", PATIENCE, || is_safe(&trial));
    let next = trial.led_by_somebody();
    assert_eq!((next == first, trial.address(offset_of(next))), (false, obeyed));
    trial.asked(0, &["apply", "-f", &trial.spec_with("1m"), "--expected-revision", "1"]);
    let before = held(&ends, &topic, PARTITIONS);
    wait_until_true("mirroring to go on", PATIENCE, || {
        held(&ends, &topic, PARTITIONS).iter().zip(&before).all(|(now, before)| now > before)
    });

    // It wakes, believes for a moment that it leads, and can decide nothing.
    trial.signal(first, Signal::Continue);
    trial.asked(0, &["apply", "-f", &trial.spec_with("2m"), "--expected-revision", "2"]);
    wait_until_true("it to know what was agreed on without it", PATIENCE, || {
        trial.figure(first, "lockstep_coordinator_spec_revision") == Some(3.0)
    });
    assert_eq!(trial.json(0, &["spec", "show"])["revision"], 3);
    assert_eq!(trial.json(0, &["audit", "verify"])["ok"], true);
    let written = traffic.stop();
    ends.wait_until_equal(&topic, PARTITIONS);
    assert_exact(&ends, &topic, PARTITIONS);
    assert_eq!(held(&ends, &topic, PARTITIONS).iter().sum::<i64>(), i64::try_from(written).unwrap());
}
