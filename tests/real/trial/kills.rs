//! The leader is killed while something is applied, again and again: it is done or not, never half, and what was answered as
//! done stays.

use std::thread::sleep;
use std::time::Duration;

use lockstep_testkit::{Exit, Lockstep, rounds, wait_until};
use serde_json::Value;

use super::{CALL, Trial};
use crate::mirror::PATIENCE;

#[test]
fn the_leader_is_killed_during_apply_and_each_is_in_or_not() {
    let mut trial = Trial::of_three();
    trial.asked(0, &["apply", "-f", &trial.file("dr.yaml")]);
    let operator = trial.file("operator/operator.yaml");
    let (mut present, mut revision) = ("5s".to_owned(), 1);
    let (mut done, mut lost) = (0, 0);
    for round in 0..rounds(10, 100) {
        let wanted = format!("{}s", 10 + round);
        let spec = trial.spec_with(&wanted);
        let leader = trial.led_by_somebody();
        let mut apply = Lockstep::spawn(&["apply", "-f", &spec, "--operator", &operator]).unwrap();
        sleep(Duration::from_millis(fastrand::u64(0..400)));
        trial.kill(leader);
        let exit = apply.wait(CALL).unwrap();
        trial.start(leader);
        // For a moment the others still take the one that was killed for the leader.
        let shown: Value = wait_until("the spec to be shown", PATIENCE, || {
            let finished = trial.ask(&["spec", "show", "-o", "json"]);
            (finished.exit == Exit::Code(0)).then(|| serde_json::from_str(&finished.stdout).unwrap())
        });
        let (text, now) = (shown["text"].as_str().unwrap(), shown["revision"].as_u64().unwrap());
        let is_in = text.contains(&format!("rpo: {wanted}"));
        assert!(is_in || text.contains(&format!("rpo: {present}")), "neither {present} nor {wanted}: {text}");
        assert_eq!(now, revision + u64::from(is_in), "half of it: {shown}");
        assert!(is_in || exit != Exit::Code(0), "answered as done, and lost: {}", apply.stdout());
        if is_in {
            (present, revision, done) = (wanted, now, done + 1);
        } else {
            lost += 1;
        }
    }
    assert_eq!(trial.json(0, &["audit", "verify"])["ok"], true);
    println!("{done} were done, {lost} were not");
}
