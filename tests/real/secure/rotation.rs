//! Certificates change while a mirror runs: the new ones are used at the next connection, half a rotation is not, what
//! expires soon is said, and no record is lost or repeated.

use std::time::{Duration, Instant};

use lockstep_testkit::broker::start_all;
use lockstep_testkit::client::{Admin, assert_identical};
use lockstep_testkit::secured::CLIENT;
use lockstep_testkit::{Kafka, Lockstep, Realm, unique, wait_until_true};

use super::{YEAR, mtls_as, write};
use crate::mirror::{PATIENCE, stop};

/// Long enough to start a mirror with it.
const SHORT: Duration = Duration::from_secs(8);

#[test]
fn certificates_are_renewed_while_a_mirror_runs() {
    let realm = Realm::start().unwrap();
    let principal = format!("User:broker;User:ANONYMOUS;User:{}", CLIENT.0);
    let source = Kafka::builder("rotation").secured(&realm).config("super.users", &principal);
    let clusters = [source, Kafka::builder("rotation-to")];
    let [source, dest] = start_all(clusters).unwrap();
    let topic = unique("rotation");
    Admin::of(&source.bootstrap()).unwrap().create(&topic, 3, &[]).unwrap();
    write(&source, &topic, 30);

    let pki = &realm.pki;
    let expires = Instant::now() + SHORT;
    let issued = pki.client("rotating", CLIENT.0, &pki.ours, SHORT).unwrap();
    let way = mtls_as(&realm, &issued);
    let (from, to) = (way.bootstrap(&source), dest.bootstrap());
    let config = way.flag(&realm, "--from-config").remove(1);
    let arguments = ["mirror", "--from", &from, "--to", &to, "--from-config", &config, "--topics", &topic];
    let mirror = Lockstep::spawn(&[&arguments[..], &["-o", "json", "--interval", "500ms"]].concat()).unwrap();
    let held = || -> i64 {
        let all =
            (0..3).map(|p| lockstep_testkit::client::watermarks(&to, &topic, p).map_or(0, |range| range.end));
        all.sum()
    };
    wait_until_true("the first records", PATIENCE, || held() == 30);
    assert!(
        mirror.stderr().contains("L-117: our client certificate (CN=drclient,O=Test) expires in 0 hours")
    );

    // Half a rotation: another certificate beside the old key. Connections that are open do not care.
    let stranger = pki.client("other", CLIENT.0, &pki.ours, YEAR).unwrap();
    std::fs::copy(&stranger.certificate, &issued.certificate).unwrap();
    write(&source, &topic, 30);
    wait_until_true("records over open connections", PATIENCE, || held() == 60);

    // The old one has expired when the broker comes back, and half a rotation is no rotation.
    wait_until_true("the old certificate's end", PATIENCE, || Instant::now() > expires);
    source.terminate(1).unwrap();
    source.restart(1).unwrap();
    write(&source, &topic, 30);
    wait_until_true("the half rotation to be said", PATIENCE, || mirror.stderr().contains("L-118: "));
    assert_eq!(held(), 60, "nobody lets an expired certificate in");
    pki.client("rotating", CLIENT.0, &pki.ours, YEAR).unwrap();
    wait_until_true("records with the new certificate", PATIENCE, || held() == 90);
    stop(mirror, 0);
    assert_eq!(assert_identical(&source.bootstrap(), &to, &topic, 3).records, 90);
}
