//! Faults as a user sees them: all at once, each with its line.

use std::path::PathBuf;

use super::*;

fn file(text: &str) -> PathBuf {
    // Tests run beside each other: a file for each.
    let (process, thread) = (std::process::id(), std::thread::current().id());
    let path = std::env::temp_dir().join(format!("lockstep-agent-{process}-{thread:?}.yaml"));
    std::fs::write(&path, text).unwrap();
    path
}

fn said(text: &str) -> String {
    let path = file(text);
    let words = load(&path).map(drop).unwrap_err().to_string();
    std::fs::remove_file(&path).unwrap();
    words.replace(&path.display().to_string(), "FILE")
}

/// A fault in almost every line; the ones behind it say which.
const THIRTY: &str = "\
sitte: praha                                      # 1: unknown
listen: nowhere                                   # 2
memory: 12 parsecs                                # 3
drain: 2h                                         # 4
log: { format: xml, level: loud }                 # 5: two
defaults:
  rpo: 0s                                         # 7
  propagate: some                                 # 8
  speed: 3                                        # 9: unknown
clusters:
  mi:                                             # 11: no bootstrap
    security:
      protocol: sasl_ssl
      ssl: { trust: ca.pem }                      # 14: unknown, and no truststore
      sasl: { mechanism: PLAIN, usernme: x, password: hunter2 }   # 15: three
  pr: { bootstrap: [\"no-port\", \"b:0\"] }       # 16: two
  bad name: { bootstrap: \"c:1\" }                # 17
links:
  claims:
    from: mi
    to: milano                                    # 21
    topics:
      include: [\"claims(\", 5, \"fine\"]         # 23
      exclude: []                                 # 24
    groups: { barrier: moon, remove: perhaps }    # 25: three
    rename: \"ea st\"                             # 26
    propagate: [all]                              # 27
    alignment_budget: lots                        # 28
    throttle: 0                                   # 29
    priority: { hihg: x }                         # 30
    rpo: soon                                     # 31
    paused: perhaps                               # 32
  empty: {}                                       # 33: from, to, topics
  back: { from: pr, to: pr, topics: x }           # 34
";

#[test]
fn a_config_with_many_faults_lists_them_all_with_their_lines() {
    let words = said(THIRTY);
    let faults: Vec<&str> = words.lines().skip(1).map(str::trim).collect();
    let lines: Vec<u32> = faults
        .iter()
        .map(|fault| fault.strip_prefix("line ").and_then(|rest| rest.split(':').next()?.parse().ok()))
        .map(|line| line.unwrap_or(0))
        .collect();
    let expected = [
        0, 1, 2, 3, 4, 5, 5, 7, 8, 9, 11, 14, 14, 15, 15, 15, 16, 16, 17, 21, 23, 24, 25, 25, 25, 26, 27, 28,
        29, 30, 31, 32, 33, 33, 33, 34,
    ];
    assert_eq!(lines, expected, "{words}");
    assert!(words.starts_with(&format!("FILE: {} faults\n", expected.len())), "{words}");
    assert!(!words.contains("hunter2"), "{words}");
    for (fault, key) in [
        (faults[0], "site: is missing"),
        (faults[1], "line 1: sitte: is no key of ours: did you mean \"site\"?"),
        (faults[20], "line 23: links.claims.topics.include[0]: \"claims(\""),
        (faults[28], "line 29: links.claims.throttle: \"0\": would copy nothing"),
    ] {
        assert!(fault.starts_with(key), "{fault}");
    }
}

#[test]
fn a_good_file_is_ready_to_be_used() {
    let path = file(
        "site: praha\nlisten: off\nclusters:\n  mi: { bootstrap: \"a:1, b:2\" }\n  pr: { bootstrap: [\"c:3\"] }\nlinks:\n  \
         my.link: { from: mi, to: pr, topics: [orders, 7], groups: g.* }\n",
    );
    let config = load(&path).unwrap();
    assert_eq!(config.clusters["mi"].bootstrap.len(), 2);
    assert_eq!(config.spec.listen, lockstep_core::spec::daemon::Listen::Off);
    let link = &config.spec.links["my.link"];
    assert!(link.topics.takes("7", false) && link.groups.is_some());
    assert_eq!(config.clusters["pr"].bootstrap[0].to_string(), "c:3");
    assert_eq!(load_spec(&path).unwrap(), config.spec);
    assert_eq!(kind(&path).unwrap(), Kind::Agent);
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn files_that_the_file_names_are_read_once() {
    let words = said(
        "site: a\nclusters:\n  x:\n    bootstrap: \"k:1\"\n    security:\n      protocol: ssl\n      ssl:\n        \
         truststore: no-such.pem\n",
    );
    assert!(
        words.contains("line 8: clusters.x.security.ssl.truststore: ") && words.contains("no-such.pem"),
        "{words}"
    );
}

#[test]
fn a_key_given_twice_is_a_fault_with_its_line() {
    let words = said("site: a\nclusters: { x: { bootstrap: \"k:1\" } }\nlinks:\n  a: {}\n  a: {}\n");
    assert!(words.contains("line 5") && words.contains('a'), "{words}");
}

#[test]
fn a_file_with_security_alone_is_recognised() {
    let path =
        file("security:\n  protocol: sasl_plaintext\n  sasl: { mechanism: PLAIN, username: 5 }\nmore: 1\n");
    assert_eq!(kind(&path).unwrap(), Kind::Agent, "with other keys it is no such file");
    let words = load_security(&path).map(drop).unwrap_err().to_string();
    assert!(words.contains("line 3: security.sasl.password: is missing"), "{words}");
    assert!(words.contains("line 4: more: is no key of ours"), "{words}");
    std::fs::write(&path, "security: { protocol: plaintext }\n").unwrap();
    assert_eq!(kind(&path).unwrap(), Kind::Security);
    load_security(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
}

/// A file of the repository.
fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy").join(name)
}

#[test]
fn the_schema_that_is_shipped_is_up_to_date() {
    let current = serde_json::to_value(lockstep_core::spec::agent::schema()).unwrap();
    let text = std::fs::read_to_string(shipped("agent.schema.json")).unwrap();
    let there: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(there == current, "write it anew: lockstep check --schema > deploy/agent.schema.json");
}

#[test]
fn the_sample_is_right_and_shows_every_key() {
    let document = Document::read(&shipped("agent.yaml")).unwrap();
    let raw: RawAgent = document.parse().unwrap();
    let spec = raw.check(document.folder()).unwrap();
    assert_eq!((spec.clusters.len(), spec.links.len()), (3, 3));
    // Its certificates are nowhere, so it cannot be loaded; nothing else may be wrong.
    let Err(Unusable::Faults { faults, .. }) = load(&shipped("agent.yaml")) else { panic!("no such files") };
    assert!(faults.iter().all(|fault| fault.key.contains(".security.")), "{faults:?}");

    let text = std::fs::read_to_string(shipped("agent.yaml")).unwrap();
    let schema = serde_json::to_value(lockstep_core::spec::agent::schema()).unwrap();
    let definitions = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    let keys: Vec<_> =
        definitions.filter_map(|each| each["properties"].as_object()).flat_map(|p| p.keys()).collect();
    assert!(keys.len() > 50, "{keys:?}");
    for key in keys {
        assert!(text.contains(&format!("{key}:")), "{key} is not in the sample");
    }
}

/// Story: a key that stood twice ended the reading, and nothing else that was wrong was said.
#[test]
fn a_key_that_stands_twice_is_a_fault_with_its_line_beside_all_others() {
    let words = said(
        "site: praha\nmemory: lots\nclusters:\n  a: { bootstrap: \"a:1\" }\n  a: { bootstrap: \"b:1\" }\nsite: brno\n\
         links:\n  x: { from: a, to: a, from: b }\n",
    );
    let lines: Vec<_> = words.lines().skip(1).map(str::trim).collect();
    let expected = [
        "line 2: memory",
        "line 5: clusters.a: stands in line 4 already",
        "line 6: site: stands in line 1 already",
    ];
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{words}");
    }
    assert!(words.contains("line 8: links.x.from: stands in line 8 already"), "{words}");
    assert!(words.contains("line 8: links.x.topics: is missing"), "{words}");
    let security = file("security:\n  protocol: plaintext\n  protocol: ssl\n");
    let words = load_security(&security).map(drop).unwrap_err().to_string();
    assert!(words.contains("line 3: security.protocol: stands in line 2 already"), "{words}");
    std::fs::remove_file(&security).unwrap();
    // What is merged in and overridden is no repetition.
    let merged = file(
        "site: &s praha\nclusters:\n  a: &a { bootstrap: \"a:1\" }\n  b: { <<: *a, bootstrap: \"b:1\" }\n",
    );
    assert_eq!(load(&merged).unwrap().spec.clusters["b"].bootstrap, ["b:1"]);
    std::fs::remove_file(&merged).unwrap();
}

#[test]
fn a_coordinators_file_is_known_by_its_own_keys_and_its_faults_have_lines() {
    let path = file("site: praha\ndata: data\naccess: []\n");
    assert_eq!(kind(&path).unwrap(), Kind::Coordinator);
    let unusable = load_coordinator(&path).unwrap_err();
    let keys: Vec<_> = unusable.faults().into_iter().map(|fault| fault.key).collect();
    assert_eq!(keys, ["name", "tls"]);
    std::fs::write(
        &path,
        "site: praha\nlisten: 7\nname: c1\ndata: d\ntls: { ca: a, certificate: b, key: c }\n",
    )
    .unwrap();
    assert!(load_coordinator(&path).unwrap_err().to_string().contains("line 2: listen"));
    std::fs::write(&path, "site: praha\ndata: data\nclusters: {}\n").unwrap();
    assert_eq!(kind(&path).unwrap(), Kind::Agent, "an agent has a data folder too");
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn the_sample_of_the_whole_system_is_right_and_shows_every_key() {
    use lockstep_core::spec::dr::{DrFile, RawDr, check, schema};

    let raw: RawDr = Document::read(&shipped("dr.yaml")).unwrap().parse().unwrap();
    let checked = check(&[DrFile { name: "dr.yaml", raw: &raw }]).unwrap();
    assert_eq!((checked.spec.sites.len(), checked.spec.clusters.len(), checked.spec.links.len()), (3, 2, 2));
    assert!(checked.warnings.iter().all(|warning| warning.what.starts_with("_schemas goes with this link")));

    let text = std::fs::read_to_string(shipped("dr.yaml")).unwrap();
    let schema = serde_json::to_value(schema()).unwrap();
    let definitions = schema["$defs"].as_object().unwrap().values().chain([&schema]);
    let keys: Vec<_> =
        definitions.filter_map(|each| each["properties"].as_object()).flat_map(|p| p.keys()).collect();
    assert!(keys.len() > 30, "{keys:?}");
    for key in keys {
        assert!(text.contains(&format!("{key}:")), "{key} is not in the sample");
    }
}
