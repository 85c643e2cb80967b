//! Every mechanism, on both sides: mirrored with a group, verified, the group shown, and looked at by librdkafka
//! through the plain listeners.

use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lockstep_testkit::secured::CLIENT;
use lockstep_testkit::{Realm, secured_pair, unique};

use super::{
    KEY_PASSWORD, Scene, Way, YEAR, kdc_stays, kerberos, mtls, mtls_as, oauth, password, secret, shown, tls,
    token,
};
use crate::secure::endpoint;

const HOUR: Duration = Duration::from_secs(3_600);

fn on_both_sides(name: &str, way: impl Fn(&Realm) -> Way) {
    Scene::new(name, |realm| (way(realm), way(realm))).must_work();
}

#[test]
fn tls_alone() {
    on_both_sides("tls", tls);
}

#[test]
fn client_certificates() {
    on_both_sides("mtls", mtls);
}

/// The key as openssl encrypts it.
#[test]
fn a_client_certificate_with_an_encrypted_key() {
    on_both_sides("sealed", |realm| {
        let mut issued = realm.pki.client(&unique("sealed"), CLIENT.0, &realm.pki.ours, YEAR).unwrap();
        let sealed = issued.key.with_extension("enc");
        let done = Command::new("openssl")
            .args([
                "pkcs8",
                "-topk8",
                "-passout",
                &format!("pass:{KEY_PASSWORD}"),
                "-v2",
                "aes-256-cbc",
                "-in",
            ])
            .arg(&issued.key)
            .arg("-out")
            .arg(&sealed)
            .status();
        assert!(done.unwrap().success());
        issued.key = sealed;
        let mut way = mtls_as(realm, &issued);
        let opened =
            format!(", key_password: {{ file: {} }} }}", shown(&secret(realm, &format!("{KEY_PASSWORD}\n"))));
        way.yaml = way.yaml.trim_end().trim_end_matches('}').trim_end().to_owned() + &opened + "\n";
        way
    });
}

#[test]
fn plain_over_tls() {
    on_both_sides("plain", |realm| password(realm, "PLAIN", CLIENT));
}

#[test]
fn scram_with_both_hashes() {
    let ways =
        |realm: &Realm| (password(realm, "SCRAM-SHA-256", CLIENT), password(realm, "SCRAM-SHA-512", CLIENT));
    Scene::new("scram", ways).must_work();
}

#[test]
fn a_password_from_the_environment() {
    let way = |realm: &Realm| {
        let mut way = password(realm, "SCRAM-SHA-512", CLIENT);
        let at = way.yaml.find("{ file: ").unwrap();
        way.yaml.replace_range(at.., "{ env: LOCKSTEP_TEST_PASSWORD } }\n");
        way.env.push(("LOCKSTEP_TEST_PASSWORD".to_owned(), CLIENT.1.to_owned()));
        way
    };
    on_both_sides("environment", way);
}

#[test]
fn oauthbearer_with_a_token_from_a_file() {
    on_both_sides("token", |realm| token(realm, CLIENT.0, HOUR));
}

#[test]
fn oauthbearer_with_tokens_from_an_endpoint() {
    // Held: a pair that nobody holds is gone, and its realm's keys with it.
    let pair = secured_pair();
    let realm = &pair.realm;
    // `mirror:s/cret`, both parts form-encoded, in base64.
    let endpoint = endpoint::start(realm, "bWlycm9yOnMlMkZjcmV0", HOUR);
    let how = format!(
        "token_endpoint_url: \"{}\", client_id: mirror, client_secret: {{ file: {} }}, scope: kafka",
        endpoint.url,
        shown(&secret(realm, "s/cret"))
    );
    on_both_sides("endpoint", |realm| oauth(realm, &how));
    let asked = endpoint.asked.load(Ordering::SeqCst);
    assert_eq!(asked, 6, "one token per cluster and process, whatever the number of connections");
}

#[test]
fn kerberos_with_a_keytab() {
    let _stays = kdc_stays();
    let pair = secured_pair();
    if kerberos(&pair.realm).is_some() {
        on_both_sides("kerberos", |realm| kerberos(realm).unwrap());
    }
}

#[test]
fn a_source_that_demands_certificates_and_a_destination_with_kerberos() {
    let _stays = kdc_stays();
    let pair = secured_pair();
    if kerberos(&pair.realm).is_some() {
        Scene::new("both", |realm| (mtls(realm), kerberos(realm).unwrap())).must_work();
    }
}

#[test]
fn from_a_plain_cluster_to_a_secured_one_and_the_other_way_round() {
    Scene::new("inwards", |realm| (Way::plain(), password(realm, "SCRAM-SHA-512", CLIENT))).must_work();
    Scene::new("outwards", |realm| (mtls(realm), Way::plain())).must_work();
}
