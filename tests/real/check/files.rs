//! Files by themselves: no broker is asked.

use lockstep_testkit::{Exit, Lockstep};

use super::File;
use crate::mirror::PATIENCE;

/// Thirty faults; the number behind each line says how many it has.
const THIRTY: &str = "\
site: prague castle                           # 1
lissten: off                                  # 1
memory: 1KB                                   # 1
drain: soon                                   # 1
log: { format: xml, level: loud, file: x }    # 3
defaults: { rpo: 0s, propagate: some }        # 2
clusters:
  mi: { bootstrap: [\"no-port\", \"a:0\"] }   # 2
  pr: { bootstrap: \"pr:9092\", security: { protocol: sasl_plaintext, sasl: { mechanism: PLAIN, password: planted-secret } } } # 2
  wi: { bootstraps: \"w:1\" }                   # 2
links:
  a:                                          # 1: no `from`
    to: praha                                 # 1
    topics: [\"orders(\", \"[\"]              # 2
    groups: { barrier: moon }                 # 2
    rename: { from: \"(\", new: x }           # 2
    throttle: 0                               # 1
    alignment_budget: lots                    # 1
    rpo: 99d                                  # 1
    priority: { hihg: x }                     # 1
    paused: perhaps                           # 1
  b: { from: mi, to: mi, topics: x, topic: y } # 2
";

/// The lines of the faults, as the comments of the file count them.
fn expected() -> Vec<u64> {
    let mut lines = Vec::new();
    for (line, text) in (1..).zip(THIRTY.lines()) {
        let Some((_, comment)) = text.rsplit_once('#') else { continue };
        let count: usize = comment.trim().split(':').next().unwrap().parse().unwrap();
        lines.extend(std::iter::repeat_n(line, count));
    }
    lines
}

#[test]
fn a_config_with_thirty_faults_lists_thirty_with_their_lines() {
    let file = File::new(THIRTY);
    let value = file.checked(1, &[]);
    let faults = value["faults"].as_array().unwrap();
    let lines: Vec<u64> = faults.iter().map(|fault| fault["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, expected(), "{faults:#?}");
    assert!(lines.len() >= 30 && value["code"] == "L-104" && value["ok"] == false);

    let finished = file.check(&[]);
    assert_eq!(finished.exit, Exit::Code(1));
    let words = finished.stderr;
    assert!(
        words.starts_with("error[L-104]: ") && words.contains(&format!("{} faults", lines.len())),
        "{words}"
    );
    assert!(words.contains("line 2: lissten: is no key of ours: did you mean \"listen\"?"), "{words}");
    assert_eq!(words.matches("\n  line ").count(), lines.len());
    assert!(!words.contains("planted-secret") && !value.to_string().contains("planted-secret"));
}

#[test]
fn files_without_a_fault_are_fine_whatever_they_are() {
    let agent = "site: praha\nclusters: { a: { bootstrap: \"a:1\" }, b: { bootstrap: \"b:1\" } }\n\
                 links: { x: { from: a, to: b, topics: orders } }\n";
    let value = File::new(agent).checked(0, &[]);
    assert!(value["ok"] == true && value["faults"].as_array().unwrap().is_empty());
    let finished = File::new(agent).check(&[]);
    assert!(finished.stdout.contains("ok (2 clusters, 1 links)"), "{}", finished.stdout);
    let security = File::new("security: { protocol: plaintext }\n");
    assert_eq!(security.check(&[]).exit, Exit::Code(0));
    let refused = security.check(&["--connect"]);
    assert!(refused.exit == Exit::Code(1) && refused.stderr.contains("remedy"), "{}", refused.stderr);
    assert_eq!(File::new("site: [\n").checked(1, &[])["faults"].as_array().unwrap().len(), 1);
}

#[test]
fn the_schema_is_json() {
    let finished = Lockstep::run(&["check", "--schema"], PATIENCE).unwrap();
    assert_eq!(finished.exit, Exit::Code(0));
    let schema: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    assert!(schema["properties"]["links"].is_object());
}
