//! Everything that can be wrong: its own code, its page, exit 1, nothing changed, and no secret in any output, whatever
//! is logged.

use std::path::Path;
use std::time::Duration;

use lockstep_testkit::client::Admin;
use lockstep_testkit::secured::{CLIENT, LIMITED};
use lockstep_testkit::{Exit, Listener, Realm, secured_pair, unique};

use super::{Scene, Way, YEAR, kdc_stays, kerberos, mtls_as, oauth, password, secret, shown, tls, token};

/// Planted wherever a secret is asked for.
const PLANTED: &str = "planted-hunter2-secret";

/// Runs the mirror with `way` towards the source and expects this code. What it said.
fn refused(name: &str, code: &str, words: &str, way: impl FnOnce(&Realm) -> Way) -> String {
    refused_with(name, code, words, &[], way)
}

fn refused_with(
    name: &str,
    code: &str,
    words: &str,
    env: &[(String, String)],
    way: impl FnOnce(&Realm) -> Way,
) -> String {
    let scene = Scene::new(name, |realm| (way(realm), Way::plain()));
    let mut env = env.to_vec();
    env.push(("LOCKSTEP_LOG".to_owned(), "trace".to_owned()));
    let finished = scene.mirror_all(&env);
    let said = format!("{}{}", finished.stdout, finished.stderr);
    assert_eq!(finished.exit, Exit::Code(1), "{said}");
    assert!(said.contains(&format!("error[{code}]: ")), "{code} in {said}");
    assert!(said.contains(&format!("page    docs/errors/{code}.md")), "{said}");
    assert!(said.contains(words), "{words:?} in {said}");
    for secret in [PLANTED, CLIENT.1, LIMITED.1] {
        assert!(!said.contains(secret), "a secret in {said}");
    }
    let there = Admin::of(&scene.pair.destination.bootstrap()).unwrap().leaders(&scene.topic).unwrap();
    assert!(there.is_empty(), "nothing was changed");
    said
}

#[test]
fn certificates() {
    refused("wrong-ca", "L-112", "not in the truststore", |realm| {
        let mut way = tls(realm);
        way.yaml = way.yaml.replace(&shown(&realm.pki.ours.file), &shown(&realm.pki.stranger.file));
        way
    });
    refused("expired", "L-113", "outside its time", |realm| Way {
        listener: Some(Listener::Expired),
        ..tls(realm)
    });
    refused("no-certificate", "L-115", "keystore", |realm| Way {
        listener: Some(Listener::Mtls),
        ..tls(realm)
    });
    refused("stranger", "L-116", "does not accept", |realm| {
        let stranger = realm.pki.client(&unique("stranger"), CLIENT.0, &realm.pki.stranger, YEAR);
        mtls_as(realm, &stranger.unwrap())
    });
}

#[test]
fn host_names() {
    let scene = Scene::new("host", |realm| (tls(realm), Way::plain()));
    let address =
        scene.pair.source.secured_bootstrap(Listener::Tls).unwrap().replace("localhost", "127.0.0.1");
    let mirror = |yaml: &str| {
        let config =
            shown(&scene.pair.realm.write(&unique("config"), &format!("security:\n{yaml}")).unwrap());
        let to = scene.pair.destination.bootstrap();
        let arguments = ["mirror", "--from", &address, "--to", &to, "--topics", &scene.topic, "--dry-run"];
        let arguments = [&arguments[..], &["--from-config", &config]].concat();
        lockstep_testkit::Lockstep::run(&arguments, super::PATIENCE).unwrap()
    };
    let finished = mirror(&scene.from.yaml);
    assert!(
        finished.stderr.contains("error[L-114]") && finished.stderr.contains("it is for"),
        "{finished:?}"
    );
    assert!(finished.stderr.contains("not for 127.0.0.1"), "{finished:?}");
    let lax = scene.from.yaml.replace(" }\n", ", verify_hostname: false }\n");
    assert_eq!(mirror(&lax).exit, Exit::Code(0), "switched off explicitly");
}

#[test]
fn wrong_ports() {
    refused("tls-to-plain", "L-110", "does not speak TLS", |realm| Way { listener: None, ..tls(realm) });
    let plain = |listener| Way { listener: Some(listener), ..Way::plain() };
    refused("plain-to-tls", "L-111", "protocol ssl or sasl_ssl", |_| plain(Listener::Tls));
    refused("sasl-to-plain", "L-122", "does not ask for SASL", |realm| {
        let mut way = password(realm, "PLAIN", CLIENT);
        let at = way.yaml.find("  sasl:").unwrap();
        way.yaml = format!("  protocol: sasl_plaintext\n{}", &way.yaml[at..]);
        Way { listener: None, ..way }
    });
    refused("no-sasl", "L-123", "demands SASL", |realm| Way {
        listener: Some(Listener::Scram),
        ..tls(realm)
    });
}

#[test]
fn passwords() {
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] {
        refused("password", "L-120", CLIENT.0, |realm| password(realm, mechanism, (CLIENT.0, PLANTED)));
    }
    refused("user", "L-120", "nobody", |realm| password(realm, "SCRAM-SHA-256", ("nobody", PLANTED)));
    let said = refused("mechanism", "L-121", "SCRAM-SHA-512", |realm| Way {
        listener: Some(Listener::Scram),
        ..token(realm, CLIENT.0, Duration::from_secs(600))
    });
    assert!(said.contains("it offers") && said.contains("PLAIN"), "{said}");
    refused("inline", "L-101", "security.sasl.password", |realm| {
        let mut way = password(realm, "PLAIN", CLIENT);
        let at = way.yaml.find("{ file: ").unwrap();
        way.yaml.replace_range(at.., &format!("{PLANTED} }}\n"));
        way
    });
}

#[test]
fn tokens() {
    let expired = refused("expired-token", "L-124", "which expired", |realm| {
        let way = token(realm, CLIENT.0, Duration::from_secs(1));
        std::thread::sleep(Duration::from_millis(2_500));
        way
    });
    assert!(!expired.contains("eyJ"), "no token is shown: {expired}");
    refused("forged", "L-124", "refuses the token", |realm| {
        let good = realm.tokens.issue(CLIENT.0, Duration::from_secs(600));
        // Another payload under the same signature.
        let parts: Vec<_> = good.split('.').collect();
        let other = realm.tokens.issue("admin", Duration::from_secs(600));
        let forged = format!("{}.{}.{}", parts[0], other.split('.').nth(1).unwrap(), parts[2]);
        oauth(realm, &format!("token: {{ file: {} }}", shown(&secret(realm, &forged))))
    });
    let endpoint = |realm: &Realm, url: &str| {
        let secret = shown(&secret(realm, PLANTED));
        oauth(
            realm,
            &format!("token_endpoint_url: \"{url}\", client_id: x, client_secret: {{ file: {secret} }}"),
        )
    };
    let pair = secured_pair();
    let server = super::endpoint::start(&pair.realm, "bm8=", Duration::from_secs(1));
    refused("endpoint-refuses", "L-125", "status 401 (invalid_client)", |realm| endpoint(realm, &server.url));
    refused("no-endpoint", "L-125", "cannot be reached", |realm| endpoint(realm, "http://127.0.0.1:1/token"));
}

#[test]
fn kerberos_without_a_key_and_with_a_wrong_clock() {
    let _stays = kdc_stays();
    let pair = secured_pair();
    let Some(kdc) = pair.realm.kdc() else { return };
    let nobody = kdc.environment("nobody");
    refused_with("no-keytab", "L-127", "Kerberos", &nobody, |realm| Way {
        env: Vec::new(),
        ..kerberos(realm).unwrap()
    });
    let fake_time = Path::new("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1");
    if !fake_time.is_file() {
        assert!(
            std::env::var_os("CI").is_none_or(|ci| ci != "true"),
            "no faketime: `./dev setup` installs it"
        );
        return;
    }
    let mut skewed = kdc.environment_with_own_clock(CLIENT.0).unwrap();
    skewed.push(("LD_PRELOAD".to_owned(), shown(fake_time)));
    skewed.push(("FAKETIME".to_owned(), "+2h".to_owned()));
    refused_with("skew", "L-128", "clocks differ", &skewed, |realm| Way {
        env: Vec::new(),
        ..kerberos(realm).unwrap()
    });
}
