//! What `lockstep status` tells of exposure through coordinators: a password that is refused, a topic that is idle, an
//! acknowledged record behind somebody's open transaction, and a site whose clocks are an hour off.

use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use lockstep_testkit::client::{Admin, Codec, Record, Seed, Transactor};
use lockstep_testkit::secured::CLIENT;
use lockstep_testkit::{Listener, SecuredPair, secured_pair, unique, wait_until, wait_until_true};
use serde_json::Value;

use super::Trial;
use crate::mirror::{Ends, PATIENCE};

/// In seconds. Less than the half of an hour: a figure that is an hour off is far from it.
const LONG: f64 = 1_500.0;
const HOUR_MS: i64 = 3_600_000;
/// A little less than what brokers take of timestamps that are ahead.
const AHEAD_MS: i64 = HOUR_MS - 60_000;

/// A trial whose source asks for a password.
struct Scene {
    trial: Trial,
    topic: String,
    /// By the plain listeners.
    ends: Ends,
    password: PathBuf,
}

impl Scene {
    fn new(pair: &SecuredPair) -> Self {
        let topic = unique("exposure");
        let ends = Ends::of(&pair.source, &pair.destination);
        Admin::of(&ends.from).unwrap().create(&topic, 1, &[]).unwrap();
        let password = pair.realm.write(&unique("password"), CLIENT.1).unwrap();
        let section = format!(
            "security:\n  east:\n    protocol: sasl_ssl\n    ssl: {{ truststore: {} }}\n    sasl: {{ mechanism: \
             SCRAM-SHA-256, username: {}, password: {{ file: {} }} }}\n",
            pair.realm.pki.ours.file.display(),
            CLIENT.0,
            password.display()
        );
        let east = pair.source.secured_bootstrap(Listener::Scram).unwrap();
        let trial = Trial::with(&["--east", &east, "--west", &ends.to]);
        for agent in ["a-east", "a-west"] {
            let path = trial.path.join(agent).join("agent.yaml");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text + &section).unwrap();
        }
        let spec = trial.only(&topic);
        let text = std::fs::read_to_string(&spec).unwrap();
        let (plain, secured) = ("{ site: east, bootstrap", "{ site: east, security: east, bootstrap");
        assert!(text.contains(plain), "{text}");
        // A limit that is soon passed.
        std::fs::write(&spec, text.replace(plain, secured).replace("rpo: 5s", "rpo: 2s")).unwrap();
        Self { trial, topic, ends, password }
    }

    fn write(&self, count: i32, at_ms: i64) {
        let records = (0..count).map(|n| Record::new(format!("record {n}")).at(at_ms));
        Seed::to(&self.ends.from).write(&self.topic, records).unwrap();
    }

    /// What any coordinator says of the link, and when; `None` while none answers.
    fn link(&self) -> Option<(Value, f64)> {
        let finished = self.trial.ask(&["status", &self.topic, "-o", "json"]);
        let said: Value = serde_json::from_str(&finished.stdout).ok()?;
        Some((said["links"][0].clone(), said["as_of_timestamp_seconds"].as_f64()?))
    }

    fn until(&self, what: &str, fits: impl Fn(&Value) -> bool) -> (Value, f64) {
        wait_until(what, PATIENCE, || self.link().filter(|(link, _)| fits(link)))
    }

    fn until_safe(&self) {
        self.until("everything to be held, and known to be", |link| {
            link["posture"] == "WITHIN_RPO" && link["exposure"]["seen_records"] == 0
        });
    }

    /// All that was acknowledged behind an open transaction counts, for as long as it waits and not longer.
    fn behind_a_transaction(&self, at_ms: i64) {
        let transactor = Transactor::open(&self.ends.from, &unique("tx"), Codec::Lz4).unwrap();
        transactor.begin().unwrap();
        transactor.write(&self.topic, (0..10).map(|n| Record::new(format!("open {n}")).at(at_ms))).unwrap();
        self.write(30, at_ms);
        let (link, as_of) = self.until("40 records to count that wait too long", |link| {
            let exposure = &link["exposure"];
            exposure["seen_records"] == 40
                && exposure["held_back_records"] == 40
                && link["posture"] == "OVER_RPO"
        });
        let figure = |name: &str| link["exposure"][name].as_f64().unwrap();
        assert!((2.0..LONG).contains(&figure("seen_seconds")), "{link}");
        assert!((0.0..LONG).contains(&figure("datum_age_seconds")), "{link}");
        assert!((as_of - figure("datum_timestamp_seconds")).abs() < LONG, "as of {as_of}: {link}");
        transactor.commit().unwrap();
        self.until_safe();
    }

    fn site_west_is_an_hour_ahead(&mut self, fake_time: &Path) {
        let fake_time = fake_time.display().to_string();
        let env =
            [("LD_PRELOAD", fake_time.as_str()), ("FAKETIME", "+1h"), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        let env = [&env[..], &[("DONT_FAKE_MONOTONIC", "1")]].concat();
        self.trial.kill("a-west");
        self.trial.kill("c-west");
        self.trial.start_with("c-west", &env);
        self.trial.start_agent_with("a-west", &env);
        let now = now_ms() as f64 / 1_000.0;
        let ahead = self.trial.local()["as_of_timestamp_seconds"].as_f64().unwrap() - now;
        assert!((LONG..2.0 * 3_600.0).contains(&ahead), "{ahead}");
    }
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// `None` where it is not installed.
fn fake_time() -> Option<&'static Path> {
    let path = Path::new("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1");
    let is_ci = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(path.is_file() || !is_ci, "no faketime: `./dev setup` installs it");
    path.is_file().then_some(path)
}

#[test]
fn exposure_is_right_whatever_is_refused_open_or_an_hour_off() {
    let pair = secured_pair();
    let mut scene = Scene::new(&pair);
    scene.trial.start_three();
    scene.trial.start_agent("a-east");
    scene.trial.start_agent("a-west");
    scene.write(100, now_ms());
    scene.trial.asked(0, &["apply", "-f", &scene.trial.file("dr.yaml")]);
    scene.until_safe();

    // Idle: what is known grows no older, though nobody writes.
    let written = now_ms() as f64 / 1_000.0;
    scene.until("an idle topic to stay known", |link| {
        let datum = link["exposure"]["datum_timestamp_seconds"].as_f64();
        datum.is_some_and(|datum| datum > written + 8.0)
            && link["posture"] == "WITHIN_RPO"
            && link["exposure"]["seen_records"] == 0
    });

    scene.behind_a_transaction(now_ms());

    // The source's password becomes a wrong one: logins end soon, and no new one is taken.
    std::fs::write(&scene.password, "no-longer-this-one").unwrap();
    let (link, _) = scene.until("the refused login to be the reason", |link| {
        link["posture"] == "UNPROTECTED" && link["reasons"].to_string().contains("L-120")
    });
    let reason = link["reasons"].as_array().unwrap().iter().find(|reason| reason["reason"] == "AUTH");
    assert!(reason.is_some_and(|reason| reason["text"].to_string().contains("source")), "{link}");
    let table = scene.trial.asked(0, &["status", &scene.topic]).stdout;
    assert!(table.contains("UNPROTECTED") && table.contains("L-120"), "{table}");
    assert!(!table.contains("no-longer-this-one"), "{table}");
    scene.write(25, now_ms());
    std::fs::write(&scene.password, CLIENT.1).unwrap();
    scene.until_safe();

    // Producers' clocks, then those of a whole site.
    for at_ms in [now_ms() - HOUR_MS, now_ms() + AHEAD_MS] {
        scene.behind_a_transaction(at_ms);
    }
    let Some(fake_time) = fake_time() else { return };
    scene.site_west_is_an_hour_ahead(fake_time);
    scene.until_safe();
    scene.behind_a_transaction(now_ms());
    wait_until_true("everything to be there", PATIENCE, || {
        scene.ends.held(&scene.topic, 0) == scene.ends.written(&scene.topic, 0)
    });
}
