//! From one command to a system that plans, applies and tells.

use lockstep_testkit::{Exit, Signal, wait_until_true};

use super::Trial;
use crate::mirror::PATIENCE;

#[test]
fn a_spec_is_planned_applied_and_told_and_a_newer_revision_is_never_overwritten() {
    let trial = Trial::of_three();
    let (spec, plan) = (trial.file("dr.yaml"), trial.file("plan.json"));
    trial.asked(4, &["spec", "show"]);
    let planned = trial.json(2, &["plan", "-f", &spec, "--out", &plan]);
    assert_eq!((&planned["revision"], &planned["is_change"]), (&0.into(), &true.into()));
    assert_eq!(planned["things"][0]["name"], "trial");
    let applied = trial.json(0, &["apply", "--plan", &plan, "--reason", "first links"]);
    assert_eq!(applied["revision"], 1);
    trial.asked(0, &["plan", "-f", &spec]);
    // Weakened by somebody, while somebody else had planned for revision 1.
    let (weaker, other) = (trial.spec_with("1m"), trial.spec_with("2m"));
    let planned = trial.json(2, &["plan", "-f", &weaker]);
    assert_eq!(planned["things"][0]["lines"][0]["sign"], "attention");
    trial.asked(2, &["plan", "-f", &other, "--out", &plan]);
    trial.asked(0, &["apply", "-f", &weaker, "--expected-revision", "1"]);
    for words in [&["apply", "--plan", &plan][..], &["apply", "-f", &other, "--expected-revision", "1"]] {
        let refused = trial.asked(3, words);
        assert!(refused.stderr.contains("plan again"), "{refused:?}");
    }
    let shown = trial.asked(0, &["spec", "show"]).stdout;
    assert!(shown.starts_with("# lockstep revision 2\n") && shown.contains("rpo: 1m"), "{shown}");
    let status = trial.json(0, &["status"]);
    assert_eq!((&status["revision"], &status["links"][0]["posture"]), (&2.into(), &"UNKNOWN".into()));
    assert_eq!(status["links"][0]["exposure"]["seen_records"], serde_json::Value::Null);
    assert_eq!(trial.json(4, &["ready", "trial"])["is_ready"], false);
    trial.asked(1, &["status", "nothing"]);
    let export = trial.asked(0, &["audit", "export"]).stdout;
    assert!(export.lines().any(|line| line.contains("\"reason\":\"first links\"")), "{export}");
    let exported = trial.file("trail.jsonl");
    std::fs::write(&exported, &export).unwrap();
    assert_eq!(trial.json(0, &["audit", "verify"])["ok"], true);
    std::fs::write(&exported, export.replace("first links", "other links")).unwrap();
    let tampered =
        lockstep_testkit::Lockstep::run(&["audit", "verify", "--trail", &exported], PATIENCE).unwrap();
    assert_eq!(tampered.exit, Exit::Code(2), "{tampered:?}");
}

#[test]
fn a_leader_that_is_killed_is_no_loss_and_a_lone_one_says_so() {
    let mut trial = Trial::of_three();
    trial.asked(0, &["apply", "-f", &trial.file("dr.yaml")]);
    let leader = trial.led_by_somebody();
    trial.kill(leader);
    let other = trial.led_by_somebody();
    assert_ne!(leader, other);
    trial.asked(0, &["apply", "-f", &trial.spec_with("1m"), "--expected-revision", "1"]);
    assert_eq!(trial.json(0, &["status"])["revision"], 2);
    assert_eq!(trial.json(0, &["audit", "verify"])["ok"], true);
    trial.kill(other);
    let spec = trial.spec_with("2m");
    let refused = trial.asked(1, &["apply", "-f", &spec]);
    assert!(refused.stderr.contains("nobody listens there"), "{refused:?}");
    let refused = trial.asked(1, &["status"]);
    assert!(refused.stderr.contains("lockstep status --local"), "{refused:?}");
    trial.start(other);
    trial.led_by_somebody();
    // What was refused was not done; or it was said that nobody knew.
    let revision = trial.json(0, &["spec", "show"])["revision"].as_u64().unwrap();
    assert!(revision == 2 || refused.stderr.contains("not known"), "{revision}: {refused:?}");
}

#[test]
fn what_operators_may_do_is_read_again_without_a_restart() {
    let mut trial = Trial::new();
    trial.start("c-east");
    trial.led_by_somebody();
    trial.asked(0, &["apply", "-f", &trial.file("dr.yaml")]);
    let config = trial.config("c-east");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("role: admin", "role: viewer")).unwrap();
    trial.running.get_mut("c-east").unwrap().signal(Signal::Hangup).unwrap();
    let spec = trial.spec_with("1m");
    wait_until_true("the role to be taken away", PATIENCE, || {
        let finished = trial.ask(&["apply", "-f", &spec]);
        finished.exit == Exit::Code(1) && finished.stderr.contains("lacks the role admin")
    });
    trial.asked(0, &["status"]);
    let export = trial.asked(0, &["audit", "export"]).stdout;
    let last = export.lines().last().unwrap();
    assert!(last.contains("apply_spec") && last.contains("\"outcome\":\"refused: "), "{last}");
}

#[test]
fn fifty_faults_of_a_spec_are_fifty_lines() {
    let mut trial = Trial::new();
    trial.start("c-east");
    trial.led_by_somebody();
    let mut text = "sites: { mi: {}, pr: {} }\nclusters:\n".to_owned();
    for at in 0..25 {
        text.push_str(&format!("  k{at}: {{ site: nowhere, bootstrap: \"no-port\" }}\n"));
    }
    let path = trial.file("faulty.yaml");
    std::fs::write(&path, text).unwrap();
    let faulty = trial.json(1, &["plan", "-f", &path]);
    let faults: Vec<_> = faulty["faults"].as_array().unwrap().iter().map(|f| f.as_str().unwrap()).collect();
    for at in 0..25 {
        let line = format!("faulty.yaml: line {}: clusters.k{at}.", at + 3);
        assert_eq!(faults.iter().filter(|fault| fault.contains(&line)).count(), 2, "{line} in {faults:#?}");
    }
    assert_eq!(faults.len(), 50, "{faults:#?}");
    let said = trial.asked(1, &["apply", "-f", &path]).stderr;
    assert!(said.starts_with("error[L-104]: 50 faults; nothing was changed\n"), "{said}");
    trial.asked(4, &["spec", "show"]);
}
