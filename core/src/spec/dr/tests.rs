//! What `dr.yaml` may say, everything that is said when it is wrong, and what a change of it means.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::spec::link::Wanted;

fn raw(file: Value) -> RawDr {
    serde_json::from_value(file).expect("reading never fails for what stands in a key")
}

/// Three sites, three clusters and what the test adds.
fn with(more: Value) -> Value {
    let mut file = json!({
        "sites": { "milano": {}, "praha": {}, "wien": { "witness": true } },
        "clusters": {
            "mi": { "site": "milano", "bootstrap": "mi:9092", "security": "mi" },
            "mi2": { "site": "milano", "bootstrap": "mi2:9092" },
            "pr": { "site": "praha", "bootstrap": ["pr-1:9092", "pr-2:9092"] },
        },
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

fn claims(more: Value) -> Value {
    let mut link = json!({ "clusters": ["mi", "pr"], "prefer": "mi", "topics": "claims\\..*" });
    let Value::Object(more) = more else { panic!("keys") };
    for (key, value) in more {
        link[key] = value;
    }
    link
}

fn checked(file: Value) -> Result<Checked, Vec<String>> {
    let raw = raw(file);
    let faults = check(&[DrFile { name: "dr.yaml", raw: &raw }]);
    faults.map_err(|faults| faults.iter().map(|found| found.fault.to_string()).collect())
}

fn spec(file: Value) -> DrSpec {
    checked(file).unwrap().spec
}

/// The one fault of a file.
fn fault(file: Value) -> String {
    let faults = checked(file).unwrap_err();
    assert_eq!(faults.len(), 1, "{faults:#?}");
    faults.into_iter().next().unwrap()
}

#[test]
fn a_spec_means_what_it_says_and_survives_being_stored() {
    let spec = spec(with(json!({
        "defaults": { "rpo": "7s", "throttle": "1MiB" },
        "links": { "claims": claims(json!({
            "topics": { "include": ["claims\\..*", "_schemas"], "exclude": ".*\\.tmp" },
            "groups": { "include": "claims-.*", "barrier": "none" },
            "rename": { "from": "(.*)", "to": "east.$1" },
            "priority": { "high": "claims\\.pay" }, "alignment_budget": "10m", "propagate": "all",
            "topic_settings": { "set": { "min.insync.replicas": 2 }, "owners": { "segment.ms": "local" } },
            "paused": true,
        })) },
    })));
    assert_eq!((spec.sites["wien"], spec.sites["praha"]), (SiteKind::Witness, SiteKind::Data));
    assert_eq!(spec.clusters["mi"].security.as_deref(), Some("mi"));
    assert_eq!(spec.clusters["pr"].bootstrap, ["pr-1:9092", "pr-2:9092"]);
    let link = &spec.links["claims"];
    assert_eq!((link.prefer.as_str(), link.other("mi"), link.other("wi")), ("mi", Some("pr"), None));

    let stored: DrSpec = serde_json::from_value(serde_json::to_value(&spec).unwrap()).unwrap();
    assert_eq!(stored, spec);

    let there = link.while_primary("mi").unwrap();
    let back = link.while_primary("pr").unwrap();
    assert_eq!((there.from.as_str(), there.to.as_str(), back.to.as_str()), ("mi", "pr", "mi"));
    assert!(there.topics.takes("claims.x", false) && !there.topics.takes("claims.x.tmp", false));
    assert_eq!(there.rename.dest_name("claims.x"), "east.claims.x");
    assert_eq!((there.rpo, there.wanted), (Duration::from_secs(7), Wanted::Paused));
    assert_eq!(LinkRules::of(&there), link.rules, "there and back without loss");
    assert!(link.while_primary("mi2").is_err());
}

#[test]
fn fields_of_a_later_version_are_passed_over_and_patterns_that_cannot_be_read_are_not() {
    let mut stored = serde_json::to_value(spec(links(json!({ "claims": claims(json!({})) })))).unwrap();
    stored["links"]["claims"]["rules"]["of_tomorrow"] = json!({ "a": 1 });
    stored["of_tomorrow"] = json!(7);
    let read: DrSpec = serde_json::from_value(stored.clone()).unwrap();
    assert!(read.links["claims"].while_primary("mi").is_ok());
    stored["links"]["claims"]["rules"]["topics"]["include"] = json!(["claims("]);
    let read: DrSpec = serde_json::from_value(stored).unwrap();
    let faults = read.links["claims"].while_primary("mi").unwrap_err();
    assert!(faults[0].to_string().contains("claims("), "{faults:?}");
}

#[test]
fn keys_of_later_versions_are_refused_by_name() {
    for key in ["automation", "rto", "identities", "self_fence", "order", "fence", "hooks", "drills"] {
        let said = fault(links(json!({ "claims": claims(json!({ key: {} })) })));
        assert_eq!(said, format!("links.claims.{key}: comes with a later version: leave it out"));
    }
    assert!(fault(with(json!({ "stretched": {} }))).starts_with("stretched: comes with a later version"));
    assert!(fault(with(json!({ "defaults": { "automation": "auto" } }))).contains("a later version"));
    let said = fault(with(json!({ "clusters": {
        "l": { "site": "praha", "sites": { "mi-.*": "milano" }, "bootstrap": "l:1" } } })));
    assert!(said.starts_with("clusters.l.sites: comes with"), "{said}");
    assert!(fault(with(json!({ "lynks": {} }))).contains("did you mean \"links\"?"));
}

#[test]
fn what_cannot_go_together_is_refused_with_the_reason() {
    let one = |link: Value| fault(links(json!({ "claims": link })));
    assert!(one(claims(json!({ "prefer": "mi2" }))).contains("is none of the link's clusters (mi, pr)"));
    assert!(one(claims(json!({ "clusters": ["mi", "mi"] }))).contains("named twice"));
    assert!(one(claims(json!({ "clusters": ["mi", "pr", "mi2"] }))).contains("names 3 clusters"));
    let said = one(claims(json!({ "clusters": ["mi", "pra"] })));
    assert!(said.contains("links.claims.clusters[1]") && said.contains("did you mean \"pr\"?"), "{said}");
    let said = one(json!({ "clusters": ["mi", "pr"], "topics": "x" }));
    assert!(said.starts_with("links.claims.prefer: is missing"), "{said}");
    let said = fault(with(json!({ "clusters": { "mi": { "site": "milano", "bootstrap": "mi" } } })));
    assert_eq!(said, "clusters.mi.bootstrap: \"mi\": the port is missing; write host:port");
    let said = fault(with(json!({ "clusters": { "wi": { "site": "wien", "bootstrap": "w:1" } } })));
    assert!(said.starts_with("clusters.wi.site: \"wien\": a witness site holds no data"), "{said}");
    let said = fault(with(json!({
        "clusters": { "a": { "site": "praha", "bootstrap": "k:1" }, "b": { "site": "milano", "bootstrap": "z:1,k:1" } },
        "links": { "l": { "clusters": ["a", "b"], "prefer": "a", "topics": "x" } },
    })));
    assert!(said.contains("are the same cluster (k:1"), "{said}");
    let said = fault(links(json!({
        "a": claims(json!({})), "b": claims(json!({ "topics": "claims\\.x" })),
    })));
    assert!(said.contains("link a writes to \"claims.x\" on pr too"), "{said}");
    let said = fault(links(json!({ "a": claims(json!({})), "b": claims(json!({ "prefer": "pr" })) })));
    assert!(said.contains("copies in a circle"), "{said}");
}

#[test]
fn fifty_faults_are_fifty_lines() {
    let bad_link = json!({
        "clusters": ["mi", "nowhere"], "prefer": 7.5, "topics": ["fine", "claims(", "x["], "groups": "g(",
        "rename": "a b", "rpo": "soon", "throttle": "fast", "propagate": "some", "paused": "yes", "rto": "60s",
        "trottle": "1MB", "priority": { "high": "h(", "medium": "m" }, "topic_settings": { "set": { "retention.ms": 1 } },
    });
    let file = json!({
        "sites": { "milano": { "witness": "no", "color": 1 }, "a b": {} },
        "clusters": {
            "mi": { "site": "milan", "bootstrap": [], "sites": {} }, "pr": { "security": "a b" }, "c d": 7,
        },
        "defaults": { "rpo": "0s", "automation": "auto", "throttle": 0, "rpoo": 1 },
        "stretched": {}, "lunks": {},
        "links": { "a": bad_link, "b": bad_link, "c": { "clusters": ["mi"], "self_fence": true, "order": 10 } },
    });
    let faults = checked(file).unwrap_err();
    assert_eq!(faults.len(), 50, "{faults:#?}");
    assert_eq!(faults.iter().collect::<BTreeSet<_>>().len(), 50, "each once");
    for line in ["links.b.trottle: is no key", "clusters.c d: cannot be read", "links.c.prefer: is missing"] {
        assert!(faults.iter().any(|fault| fault.starts_with(line)), "{line} in {faults:#?}");
    }
}

#[test]
fn files_are_one_spec_and_a_name_in_two_is_a_fault_of_both() {
    let (sites, one, other) = (
        raw(with(json!({}))),
        raw(json!({ "links": { "claims": claims(json!({})) } })),
        raw(json!({ "links": {
            "claims": claims(json!({})), "bills": claims(json!({ "topics": "bills" , "rpo": "soon" })) },
            "sites": { "praha": {} }, "x": 1 })),
    );
    let files = |raws: &[(&'static str, &RawDr)]| {
        let files: Vec<_> = raws.iter().map(|(name, raw)| DrFile { name, raw }).collect();
        check(&files)
    };
    let both = files(&[("links.yaml", &one), ("sites.yaml", &sites)]).unwrap();
    assert_eq!(both.spec, files(&[("sites.yaml", &sites), ("links.yaml", &one)]).unwrap().spec);
    let faults = files(&[("sites.yaml", &sites), ("a.yaml", &one), ("b.yaml", &other)]).unwrap_err();
    let said: Vec<_> = faults.iter().map(|found| (found.file, found.fault.key.as_str())).collect();
    assert_eq!(said, [(2, "links.bills.rpo"), (2, "links.claims"), (2, "sites.praha"), (2, "x")]);
    assert!(faults[1].fault.what.contains("is in a.yaml and in b.yaml"), "{faults:?}");
}

#[test]
fn what_links_share_is_warned_of() {
    let warned = |file: Value| -> Vec<String> {
        checked(file).unwrap().warnings.iter().map(ToString::to_string).collect()
    };
    let said = warned(links(json!({
        "a": claims(json!({ "topics": ["a.*", "_schemas"], "groups": "app-.*" })),
        "b": claims(json!({ "topics": "b.*", "groups": ["x", "app-1"] })),
    })));
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].starts_with("links.a.topics: _schemas goes with this link, and b may need"), "{said:?}");
    assert!(said[1].starts_with("links.b.groups: a group such as"), "{said:?}");
    let apart = json!({
        "a": claims(json!({ "topics": "a.*", "groups": "a-.*" })),
        "b": claims(json!({ "topics": "b.*", "groups": "b-.*" })),
    });
    assert!(warned(links(apart)).is_empty());
    let chain = json!({
        "a": claims(json!({ "topics": "orders" })),
        "b": { "clusters": ["pr", "mi2"], "prefer": "pr", "topics": "orders" },
    });
    let said = warned(links(chain));
    assert!(said.len() == 1 && said[0].contains("both can come to write it on pr"), "{said:?}");
}

#[test]
fn a_link_without_agents_and_a_majority_in_one_site_are_warned_of() {
    let spec = spec(links(json!({ "claims": claims(json!({})) })));
    assert!(without_agents(&spec, &["milano", "praha"].into()).is_empty());
    let found = without_agents(&spec, &["milano", "wien"].into());
    assert!(found.len() == 1 && found[0].what.contains("no agent is registered in praha"), "{found:?}");
    assert!(majority_in_one_site(["a", "b", "c"]).is_none());
    assert!(majority_in_one_site(["a", "a", "b", "b"]).is_none(), "a half is no majority");
    assert!(majority_in_one_site(["a"]).is_none() && majority_in_one_site([]).is_none());
    assert!(majority_in_one_site(["a", "b", "a"]).unwrap().what.contains("2 of 3 coordinators are in a"));
}

#[test]
fn a_difference_is_told_in_words_and_what_weakens_stands_out() {
    let old = spec(links(json!({
        "bills": claims(json!({ "topics": "bills" })),
        "claims": claims(json!({ "rpo": "5s", "groups": "claims-.*", "throttle": "1MiB" })),
    })));
    let new = spec(with(json!({
        "clusters": {
            "mi": { "site": "milano", "bootstrap": "mi:9093", "security": "mi" },
            "pr": { "site": "praha", "bootstrap": ["pr-1:9092", "pr-2:9092"] },
        },
        "links": {
            "claims": claims(json!({
                "topics": { "include": "claims\\..*", "exclude": ".*tmp" }, "rpo": "1m 30s", "propagate": "all",
                "prefer": "pr", "paused": true, "throttle": "2MiB" })),
            "quotes": claims(json!({ "topics": "quotes.*" })),
        },
    })));
    let diff = Diff::between(&old, &new);
    let text = diff.to_string();
    let expected = [
        "bills",
        "  ! link               no longer copied: mirrored topics, their data and group offsets stay on mi and pr; the link's entries in their passports and its leases go",
        "claims",
        "  ~ prefer             mi -> pr: who is primary now stays so",
        "  ! groups             claims-.* -> none: no group's offsets are copied any more",
        "  ! paused             none -> true: nothing is copied: what would be lost grows from now on",
        "  ! propagate          none -> all: whatever is deleted at the primary is deleted on the standby too",
        "  ! rpo                5s -> 1m 30s: more may be lost before anybody is told",
        "  ~ throttle           1MiB/s -> 2MiB/s",
        "  ! topics             claims\\..* -> claims\\..* without .*tmp: fewer topics may be copied",
        "quotes",
        "  + link               mi to pr",
        "  + topics             quotes.*",
        "  + rpo                10s",
        "  + alignment_budget   1GiB or 10m",
        "cluster mi",
        "  ~ bootstrap          mi:9092 -> mi:9093",
        "cluster mi2",
        "  - cluster            no longer known; nothing is changed on it",
    ];
    assert_eq!(text.lines().collect::<Vec<_>>(), expected, "{text}");
    assert_eq!(
        diff.summary(),
        "1 link added, 1 changed, 1 removed; 1 cluster changed, 1 removed. 6 lines need attention"
    );
    assert_eq!(diff.attention().count(), 6);

    assert!(Diff::between(&new, &new).is_empty());
    assert_eq!(Diff::between(&new, &new).summary(), "no change");
    let turned = Diff::between(&new, &old);
    assert!(
        turned.attention().all(|(thing, _)| thing.name == "quotes" || thing.name == "claims"),
        "{turned}"
    );
}

#[test]
fn whatever_differs_is_told() {
    let base = json!({ "claims": claims(json!({})) });
    let before = spec(links(base));
    for more in [
        json!({ "clusters": ["pr", "mi"] }),
        json!({ "clusters": ["mi", "mi2"] }),
        json!({ "prefer": "pr" }),
        json!({ "topics": ["claims\\..*", "more"] }),
        json!({ "groups": "x" }),
        json!({ "rename": "x." }),
        json!({ "rpo": "11s" }),
        json!({ "propagate": "all" }),
        json!({ "alignment_budget": "1h" }),
        json!({ "throttle": "1MB" }),
        json!({ "priority": { "low": "x" } }),
        json!({ "topic_settings": { "set": { "segment.ms": "1000000" } } }),
        json!({ "topic_settings": { "owners": { "segment.ms": "local" } } }),
        json!({ "paused": true }),
    ] {
        let after = spec(links(json!({ "claims": claims(more.clone()) })));
        let diff = Diff::between(&before, &after);
        assert!(diff.things.len() == 1 && diff.things[0].lines.len() == 1, "{more}: {diff}");
        assert_eq!(diff.things[0].sign, Sign::Change);
    }
}

#[test]
fn the_schema_that_is_shipped_is_up_to_date() {
    let shipped = include_str!("../../../../deploy/dr.schema.json");
    let there: Value = serde_json::from_str(shipped).unwrap();
    let current = serde_json::to_value(schema()).unwrap();
    assert!(there == current, "write it anew:\n{}", serde_json::to_string_pretty(&current).unwrap());
}
