//! What `agent.yaml` may say, and everything that is said when it is wrong. Lines are the loader's part, and tested there.

use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::groups::policy::{Barrier, Removal};
use crate::mirror::cost::AlignmentBudget;
use crate::mirror::retention::Propagation;
use crate::plan::owners::Owner;
use crate::spec::daemon::LogFormat;
use crate::spec::pace::Priority;
use crate::spec::rename::Rename;

/// Two clusters and what the test adds.
fn with(more: Value) -> Value {
    let mut file = json!({
        "site": "praha",
        "clusters": { "mi": { "bootstrap": "mi:9092" }, "pr": { "bootstrap": ["pr-1:9092", "pr-2:9092"] } },
    });
    let Value::Object(more) = more else { panic!("keys") };
    for (key, value) in more {
        file[key] = value;
    }
    file
}

fn links(links: Value) -> Value {
    with([("links".to_owned(), links)].into_iter().collect())
}

fn check(file: Value) -> Result<AgentSpec, Vec<String>> {
    let raw: RawAgent = serde_json::from_value(file).expect("reading never fails for what stands in a key");
    raw.check(Path::new("/etc/lockstep")).map_err(|faults| faults.iter().map(ToString::to_string).collect())
}

/// The one fault of a file.
fn fault(file: Value) -> String {
    let faults = check(file).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:#?}");
    faults.into_iter().next().unwrap()
}

#[test]
fn the_smallest_file_gets_its_defaults() {
    let spec = check(links(json!({ "a": { "from": "mi", "to": "pr", "topics": "orders" } }))).unwrap();
    assert_eq!(spec.listen, Listen::At("127.0.0.1:9464".to_owned()));
    assert_eq!((spec.memory_bytes_max, spec.drain), (64 << 20, Duration::from_secs(10)));
    assert_eq!(spec.log, LogSpec { format: LogFormat::Text, filter: "info".to_owned() });
    assert_eq!(spec.clusters["pr"].bootstrap, ["pr-1:9092", "pr-2:9092"]);
    let link = &spec.links["a"];
    assert!(link.topics.takes("orders", false) && !link.topics.takes("orders2", false));
    assert!(link.groups.is_none() && link.rename == Rename::Keep && link.wanted == Wanted::Running);
    assert_eq!((link.propagation, link.alignment), (Propagation::None, AlignmentBudget::default()));
    assert_eq!(link.rpo, Duration::from_secs(10));
    assert!(check(with(json!({}))).unwrap().links.is_empty(), "a site may have no link yet");
}

#[test]
fn every_key_has_its_meaning() {
    let spec = check(with(json!({
        "listen": "off", "memory": "1GiB", "drain": "1m", "log": { "format": "json", "level": "info,lockstep_agent=debug" },
        "defaults": { "rpo": "7s", "propagate": "all", "alignment_budget": "10m", "throttle": "1MiB" },
        "links": {
            "a": {
                "from": "mi", "to": "pr", "topics": { "include": ["claims\\..*", "_schemas"], "exclude": ".*\\.tmp" },
                "groups": { "include": ["claims-.*"], "exclude": ["claims-x"], "barrier": "none", "remove": true },
                "rename": "east.", "throttle": "50MiB/s", "priority": { "high": ["claims\\.pay.*"], "low": ".*log" },
                "rpo": "5s", "paused": true,
            },
            "b": { "from": "pr", "to": "mi", "topics": "other", "rename": { "from": "(.*)", "to": "west.$1" } },
        },
    })))
    .unwrap();
    assert_eq!(
        (spec.listen, spec.memory_bytes_max, spec.log.format),
        (Listen::Off, 1 << 30, LogFormat::Json)
    );
    let (a, b) = (&spec.links["a"], &spec.links["b"]);
    assert!(a.topics.takes("claims.photos", false) && !a.topics.takes("claims.x.tmp", false));
    let groups = a.groups.as_ref().unwrap();
    assert!(groups.selection.takes("claims-y") && !groups.selection.takes("claims-x"));
    assert_eq!((groups.barrier, groups.removal), (Barrier::None, Removal::Follow));
    assert_eq!(a.rename.dest_name("claims.x"), "east.claims.x");
    assert_eq!(a.pace.bytes_per_second_max.unwrap().get(), 50 << 20);
    assert_eq!(a.pace.priorities.of("claims.payments"), Priority::High);
    assert_eq!((a.rpo, a.wanted), (Duration::from_secs(5), Wanted::Paused));
    assert_eq!((b.rpo, b.propagation), (Duration::from_secs(7), Propagation::All));
    assert_eq!((b.alignment.milliseconds, b.pace.bytes_per_second_max.unwrap().get()), (600_000, 1 << 20));
    assert_eq!(b.rename.dest_name("other"), "west.other");
}

#[test]
fn what_has_not_changed_is_equal() {
    let spec = |throttle: &str| {
        check(links(json!({
            "a": { "from": "mi", "to": "pr", "topics": ["a.*"], "throttle": throttle, "rename": "x." },
            "b": { "from": "mi", "to": "pr", "topics": ["b.*"], "groups": "b-.*" },
        })))
        .unwrap()
    };
    let (before, after) = (spec("1MiB"), spec("2MiB"));
    assert_eq!(before, spec("1MiB"));
    assert!(before.links["a"] != after.links["a"] && before.links["b"] == after.links["b"]);
}

#[test]
fn unknown_keys_are_named_with_what_was_probably_meant() {
    let said = fault(links(json!({ "a": { "from": "mi", "to": "pr", "topics": "x", "trottle": "1MB" } })));
    assert!(said.starts_with("links.a.trottle: is no key of ours: did you mean \"throttle\"?"), "{said}");
    let said = fault(with(json!({ "link": {} })));
    assert!(said.contains("did you mean \"links\"?"), "{said}");
    let said = fault(links(json!({ "a": { "from": "mi", "to": "pra", "topics": "x" } })));
    assert!(said.contains("links.a.to: \"pra\"") && said.contains("did you mean \"pr\"?"), "{said}");
}

#[test]
fn values_of_a_wrong_shape_or_range_are_faults_like_all_others() {
    for (key, value) in [
        ("site", json!("a b")),
        ("site", json!(["a"])),
        ("listen", json!("9464")),
        ("memory", json!("1KB")),
        ("memory", json!("a lot")),
        ("drain", json!("0s")),
        ("drain", json!({})),
        ("log", json!("info")),
        ("log", json!({ "level": "loud" })),
        ("defaults", json!({ "rpo": "0s" })),
        ("defaults", json!({ "throttle": 0 })),
        ("links", json!(["a"])),
        ("links", json!({ "a b": { "from": "mi", "to": "pr", "topics": "x" } })),
        ("links", json!({ "a": 5 })),
        ("clusters", json!({})),
        ("clusters", json!({ "mi": "mi:9092" })),
    ] {
        let faults = check(with(json!({ key: value }))).unwrap_err();
        assert!(faults.iter().any(|fault| fault.starts_with(key)), "{key} {value}: {faults:?}");
    }
}

#[test]
fn a_cluster_s_section_says_its_own_faults_and_no_secret() {
    let security = json!({ "protocol": "sasl_ssl", "sasl": { "mechanism": "PLAIN", "password": "hunter2" } });
    let faults = check(with(json!({ "clusters": { "mi": { "bootstrap": "a:1", "security": security } } })))
        .unwrap_err();
    let keys: Vec<_> = faults.iter().filter_map(|fault| fault.split(": ").next()).collect();
    let below = ["ssl.truststore", "sasl.username", "sasl.password"];
    assert_eq!(keys, below.map(|key| format!("clusters.mi.security.{key}")));
    assert!(!faults.concat().contains("hunter2"));
}

#[test]
fn a_link_from_a_cluster_to_itself_is_refused_under_whatever_name() {
    let said = fault(links(json!({ "a": { "from": "mi", "to": "mi", "topics": "x" } })));
    assert!(said.starts_with("links.a.to: \"mi\" is the source too"), "{said}");
    let clusters = json!({ "mi": { "bootstrap": "k:1" }, "alias": { "bootstrap": "z:1,k:1" } });
    let said = fault(with(json!({
        "clusters": clusters, "links": { "a": { "from": "mi", "to": "alias", "topics": "x" } }
    })));
    assert!(said.contains("are the same cluster (k:1"), "{said}");
}

#[test]
fn links_that_write_to_one_topic_are_refused_where_patterns_tell() {
    let two = |a: Value, b: Value| {
        let link = |from: &str, more: Value| {
            let mut link = json!({ "from": from, "to": "pr" });
            for (key, value) in more.as_object().unwrap() {
                link[key] = value.clone();
            }
            link
        };
        let from_b = b.get("from").and_then(Value::as_str).unwrap_or("mi").to_owned();
        with(json!({
            "clusters": { "mi": { "bootstrap": "m:1" }, "wi": { "bootstrap": "w:1" }, "pr": { "bootstrap": "p:1" } },
            "links": { "a": link("mi", a), "b": link(&from_b, b) },
        }))
    };
    // From one source: whatever both take.
    let said = fault(two(json!({ "topics": "pay.*" }), json!({ "topics": ["x", "payments|bills"] })));
    assert!(said.starts_with("links.b.topics: link a writes to \"payments\" on pr too"), "{said}");
    fault(two(json!({ "topics": ".*" }), json!({ "topics": "orders" })));
    for apart in [
        two(json!({ "topics": { "include": ".*", "exclude": "pay.*" } }), json!({ "topics": "pay.*" })),
        two(json!({ "topics": "pay.*" }), json!({ "topics": "pay.*", "rename": "copy." })),
        two(json!({ "topics": "pay.*" }), json!({ "topics": "pay.*", "paused": true })),
        // Patterns of two sources may mean different topics: their names are looked at when the links start.
        two(json!({ "topics": "pay.*" }), json!({ "topics": "pay.*", "from": "wi" })),
    ] {
        check(apart).unwrap();
    }
    // From two sources: names.
    let said = fault(two(json!({ "topics": "orders" }), json!({ "topics": "orders", "from": "wi" })));
    assert!(said.contains("\"orders\" of mi, here \"orders\" of wi"), "{said}");
    check(two(json!({ "topics": "orders" }), json!({ "topics": "orders", "from": "wi", "rename": "wi." })))
        .unwrap();
    let said = fault(two(
        json!({ "topics": "wi.orders" }),
        json!({ "topics": "orders", "from": "wi", "rename": "wi." }),
    ));
    assert!(said.contains("\"wi.orders\""), "{said}");
    let said = fault(links(json!({
        "a": { "from": "mi", "to": "pr", "topics": ".*", "rename": { "from": "a.*", "to": "all" } }
    })));
    assert!(said.starts_with("links.a.rename: every topic that \"a.*\" matches would become"), "{said}");
}

#[test]
fn circles_are_refused_and_ways_that_end_are_not() {
    let both = |there: Value, back: Value| {
        let link = |from: &str, to: &str, more: &Value| {
            let mut link = json!({ "from": from, "to": to });
            for (key, value) in more.as_object().unwrap() {
                link[key] = value.clone();
            }
            link
        };
        links(json!({ "there": link("mi", "pr", &there), "back": link("pr", "mi", &back) }))
    };
    let said = fault(both(json!({ "topics": "claims\\..*" }), json!({ "topics": "claims\\..*" })));
    assert!(
        said.starts_with("links.back.topics: copies in a circle: back (pr to mi), there (mi to pr)"),
        "{said}"
    );
    assert!(said.contains("\"claims.any\""), "{said}");
    fault(both(json!({ "topics": ".*" }), json!({ "topics": "orders" })));
    // Ever longer names.
    let said = fault(both(
        json!({ "topics": ".*", "rename": "east." }),
        json!({ "topics": ".*", "rename": "west." }),
    ));
    assert!(said.contains("in a circle"), "{said}");
    for ends in [
        both(
            json!({ "topics": { "include": ".*", "exclude": "west\\..*" }, "rename": "east." }),
            json!({ "topics": { "include": ".*", "exclude": "east\\..*" }, "rename": "west." }),
        ),
        both(json!({ "topics": "claims\\..*" }), json!({ "topics": "bills\\..*" })),
        both(json!({ "topics": ".*" }), json!({ "topics": ".*", "paused": true })),
    ] {
        check(ends).unwrap();
    }
    // Over three clusters.
    let three = |last: &str| {
        with(json!({
            "clusters": { "a": { "bootstrap": "a:1" }, "b": { "bootstrap": "b:1" }, "c": { "bootstrap": "c:1" } },
            "links": {
                "ab": { "from": "a", "to": "b", "topics": "x.*" },
                "bc": { "from": "b", "to": "c", "topics": "x.*" },
                "ca": { "from": "c", "to": "a", "topics": last },
            },
        }))
    };
    assert!(fault(three("x-1")).contains("ab (a to b), bc (b to c), ca (c to a)"));
    check(three("y")).unwrap();
}

#[test]
fn settings_of_topics_are_set_or_given_away_but_not_those_a_mirror_depends_on() {
    let with_settings = |settings: Value| {
        links(json!({ "a": { "from": "mi", "to": "pr", "topics": "x", "topic_settings": settings } }))
    };
    let spec = check(with_settings(json!({
        "set": { "min.insync.replicas": 2 },
        "owners": { "segment.ms": "local" },
    })));
    let policy = &spec.unwrap().links["a"].topic_settings;
    assert_eq!(policy.owner("min.insync.replicas"), Owner::Config);
    assert_eq!(policy.owner("segment.ms"), Owner::Local);

    let faults = check(with_settings(json!({
        "set": { "retention.ms": "1000" },
        "owners": { "segment.ms": "me" },
        "more": 1,
    })));
    let faults = faults.unwrap_err();
    for start in [
        "links.a.topic_settings.more: is no key of ours",
        "links.a.topic_settings.owners.segment.ms: \"me\": is neither; write source or local",
        "links.a.topic_settings.retention.ms: a mirror depends on it",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(start)), "{start} in {faults:#?}");
    }
}

/// A file under coordinators, and what the test adds.
fn told(more: Value) -> Value {
    let mut file = json!({
        "site": "praha",
        "coordinators": { "addresses": ["c1:9470", "c2:9470,c3:9470"], "ca": "ca.pem", "certificate": "agent.pem", "key": "/k" },
        "security": { "core-mi": { "protocol": "plaintext" }, "core-pr": {} },
    });
    let Value::Object(more) = more else { panic!("keys") };
    for (key, value) in more {
        file[key] = value;
    }
    file
}

#[test]
fn under_coordinators_the_file_says_where_they_are_and_how_clusters_are_reached() {
    let spec = check(told(json!({}))).unwrap();
    let coordinators = spec.coordinators.unwrap();
    assert_eq!(coordinators.addresses, ["c1:9470", "c2:9470", "c3:9470"]);
    assert_eq!(coordinators.certificate, Path::new("/etc/lockstep/agent.pem"));
    assert_eq!(coordinators.key, Path::new("/k"));
    assert_eq!(spec.security.keys().collect::<Vec<_>>(), ["core-mi", "core-pr"]);
    assert!(spec.clusters.is_empty() && spec.links.is_empty());
    assert!(check(with(json!({}))).unwrap().coordinators.is_none());
}

#[test]
fn what_coordinators_say_stands_nowhere_else() {
    for key in ["links", "clusters", "defaults"] {
        let said = fault(told(json!({ key: {} })));
        assert!(said.starts_with(&format!("{key}: comes from the coordinators")), "{said}");
    }
    assert!(fault(with(json!({ "security": {} }))).starts_with("security: only goes with coordinators"));
    let faults = check(told(json!({
        "coordinators": { "addresses": ["c1"], "ca": "", "key": [], "adresses": "x" },
        "security": { "a b": {}, "core-mi": { "protocol": "tls" } },
    })));
    let faults = faults.unwrap_err();
    for start in [
        "coordinators.adresses: is no key of ours: did you mean \"addresses\"?",
        "coordinators.addresses: \"c1\": the port is missing",
        "coordinators.ca: \"\": is empty",
        "coordinators.certificate: is missing",
        "coordinators.key: cannot be read",
        "security.a b: \"a b\" cannot be a section's name",
        "security.core-mi.protocol",
    ] {
        assert!(faults.iter().any(|fault| fault.starts_with(start)), "{start} in {faults:#?}");
    }
    assert_eq!(faults.len(), 7, "{faults:#?}");
}
