//! What an operator's file means, and every fault of one at once.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::*;

fn check(file: Value) -> Result<OperatorSpec, Vec<String>> {
    let raw: RawOperator = serde_json::from_value(file).unwrap();
    let checked = raw.check("/etc/lockstep".as_ref());
    checked.map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[test]
fn paths_start_at_the_file_and_several_addresses_are_taken() {
    let tls = json!({ "ca": "/etc/ca.pem", "certificate": "ada.pem", "key": "ada.key" });
    let spec =
        check(json!({ "coordinators": ["mi.test:9470", "pr.test:9470,[::1]:9470"], "tls": tls })).unwrap();
    assert_eq!(spec.coordinators, ["mi.test:9470", "pr.test:9470", "[::1]:9470"]);
    assert_eq!(spec.tls.ca, PathBuf::from("/etc/ca.pem"));
    assert_eq!(spec.tls.certificate, PathBuf::from("/etc/lockstep/ada.pem"));
}

#[test]
fn all_faults_are_said_at_once() {
    let tls = json!({ "ca": "", "key": ["k.pem"], "password": "hunter2" });
    let file = json!({ "coordinators": ["praha", "https://mi:9470"], "cordinators": [], "tls": tls });
    let faults = check(file).unwrap_err();
    for expected in [
        "cordinators: is no key of ours: did you mean \"coordinators\"?",
        "coordinators: \"praha\": the port is missing",
        "coordinators: \"https://mi:9470\": the host is missing or",
        "tls.password: is no key of ours",
        "tls.ca: \"\": is empty",
        "tls.certificate: is missing",
        "tls.key: cannot be read",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{expected} in {faults:#?}");
    }
    assert_eq!(faults.len(), 7, "{faults:#?}");
    assert!(!faults.concat().contains("hunter2"), "no value of an unknown key is shown");
    let keys: Vec<_> =
        check(json!({})).unwrap_err().iter().map(|f| f.split(':').next().unwrap().to_owned()).collect();
    assert_eq!(keys, ["coordinators", "tls"]);
}

#[test]
fn the_schema_in_deploy_is_this_one() {
    let shipped = include_str!("../../../../deploy/operator.schema.json");
    let there: Value = serde_json::from_str(shipped).unwrap();
    let current = serde_json::to_value(schema()).unwrap();
    assert!(there == current, "write it anew:\n{}", serde_json::to_string_pretty(&current).unwrap());
}
