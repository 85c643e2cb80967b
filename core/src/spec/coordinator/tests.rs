//! What a coordinator's file means, and every fault of one at once.

use serde_json::{Value, json};

use super::*;
use crate::spec::daemon::LogFormat;

fn good() -> Value {
    json!({
        "name": "c1",
        "site": "praha",
        "data": "data",
        "tls": { "ca": "/etc/ca.pem", "certificate": "c1.pem", "key": "c1.key" },
        "access": [
            { "operator": "ada", "role": "admin" },
            { "operator": "bob", "role": "operator", "links": ["payments.*", "claims"] },
        ],
    })
}

fn check(file: Value) -> Result<CoordinatorSpec, Vec<String>> {
    let raw: RawCoordinator = serde_json::from_value(file).unwrap();
    let checked = raw.check("/etc/lockstep".as_ref());
    checked.map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

#[test]
fn paths_start_at_the_file_and_the_rest_has_defaults() {
    let spec = check(good()).unwrap();
    assert_eq!(
        (spec.name.as_str(), spec.site.as_str(), spec.listen.as_str()),
        ("c1", "praha", "0.0.0.0:9470")
    );
    assert_eq!(spec.http, Listen::At("127.0.0.1:9480".to_owned()));
    assert_eq!(spec.log, LogSpec { format: LogFormat::Text, filter: "info".to_owned() });
    assert_eq!(spec.data, PathBuf::from("/etc/lockstep/data"));
    assert_eq!(spec.tls.ca, PathBuf::from("/etc/ca.pem"));
    assert_eq!(spec.tls.key, PathBuf::from("/etc/lockstep/c1.key"));
    assert_eq!(spec.access[0], Grant { operator: "ada".to_owned(), role: Role::Admin, links: Reach::All });
    let Reach::Links(links) = &spec.access[1].links else { panic!("{:?}", spec.access) };
    assert!(links.matches("payments-eu") && links.matches("claims") && !links.matches("claims-2"));
}

#[test]
fn an_empty_file_names_everything_that_is_needed() {
    let faults = check(json!({})).unwrap_err();
    let keys: Vec<_> = faults.iter().map(|fault| fault.split(':').next().unwrap()).collect();
    assert_eq!(keys, ["name", "site", "data", "tls"]);
}

#[test]
fn all_faults_are_said_at_once() {
    let mut file = good();
    file["name"] = json!("a b");
    file["listen"] = json!("9470");
    file["http"] = json!("here");
    file["log"] = json!({ "level": "loud", "fromat": "json" });
    file["acess"] = json!([]);
    file["tls"] = json!({ "ca": "", "key": "k.pem", "password": "hunter2" });
    file["access"] = json!([
        { "operator": "ada", "role": "root" },
        { "role": "viewer", "links": "(" },
        { "operator": "eve", "role": "admin", "links": { "all": true } },
        7,
    ]);
    let faults = check(file).unwrap_err();
    for expected in [
        "acess: is no key of ours: did you mean \"access\"?",
        "name: \"a b\": use 1 to 200",
        "listen: \"9470\": the port is missing; write host:port",
        "http: \"here\": the port is missing",
        "log.level: \"loud\": \"loud\" is no level",
        "log.fromat: is no key of ours",
        "tls.password: is no key of ours",
        "tls.ca: \"\": is empty",
        "tls.certificate: is missing",
        "access[0].role: \"root\": is no role; write viewer, operator or admin",
        "access[1].operator: is missing",
        "access[1].links: \"(\" is not a regular expression",
        "access[2].links: cannot be read",
        "access[3]: cannot be read",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(expected)), "{expected} in {faults:#?}");
    }
    assert_eq!(faults.len(), 14, "{faults:#?}");
    assert!(!faults.concat().contains("hunter2"), "no value of an unknown key is shown");
}

#[test]
fn links_that_cannot_be_read_never_become_all_links() {
    for links in [json!("("), json!({}), json!([[]])] {
        let mut file = good();
        file["access"] = json!([{ "operator": "eve", "role": "admin", "links": links }]);
        assert!(check(file).is_err());
    }
}

#[test]
fn the_schema_in_deploy_is_this_one() {
    let shipped = include_str!("../../../../deploy/coordinator.schema.json");
    let there: Value = serde_json::from_str(shipped).unwrap();
    let current = serde_json::to_value(schema()).unwrap();
    assert!(there == current, "write it anew:\n{}", serde_json::to_string_pretty(&current).unwrap());
}
