//! Sessions that end while records flow (KIP-368), tokens that expire, a KDC that is away: no record lost or repeated,
//! and no connection lost either.

use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lockstep_testkit::client::Admin;
use lockstep_testkit::secured::{CLIENT, SESSION_MS};
use lockstep_testkit::{Lockstep, Realm, rounds, secured_pair, wait_until_true};

use super::{KDC, Scene, Way, kerberos, oauth, password, secret, shown};
use crate::mirror::{PATIENCE, stop, wait_for};

/// The last ticket, and the sessions made with it, end well within the KDC's absence.
const TICKET_SECONDS: u32 = 6;

/// Writes for so long; how many records.
fn flow(scene: &Scene, time: Duration) -> i32 {
    let began = Instant::now();
    let mut written = 0;
    while began.elapsed() < time {
        scene.write(300);
        written += 300;
    }
    written
}

/// Stops the mirror when all has arrived, and compares.
fn all_there(scene: &Scene, mirror: Lockstep, written: i32) -> String {
    wait_until_true("the destination to hold everything", PATIENCE, || {
        let held = |partition| {
            let to = scene.pair.destination.bootstrap();
            lockstep_testkit::client::watermarks(&to, &scene.topic, partition).map_or(0, |range| range.end)
        };
        (0..3).map(held).sum::<i64>() == i64::from(written)
    });
    let finished = stop(mirror, 0);
    assert_eq!(scene.identical(), usize::try_from(written).unwrap());
    finished.stderr
}

/// A mirror whose log tells of lost connections.
fn logged(scene: &Scene) -> Lockstep {
    let log = ("LOCKSTEP_LOG".to_owned(), "lockstep_agent=debug,lockstep_kafka=debug".to_owned());
    scene.spawn("mirror", &["--link", &scene.topic, "--interval", "500ms"], &[log])
}

/// Waits until a mirror says that it cannot reach a cluster, for this reason.
fn silent(mirror: &Lockstep, code: &str) {
    wait_for(mirror, "silent", |said| said["reason"].as_str().is_some_and(|reason| reason.contains(code)));
}

/// What a log tells of connections that ended otherwise than by us.
fn lost(log: &str) -> Vec<&str> {
    assert!(log.contains("connection ended"), "ends are logged, else this proves nothing");
    log.lines().filter(|line| line.contains("connection ended") && !line.contains("closed by us")).collect()
}

#[test]
fn sessions_are_renewed_under_load_without_losing_a_connection() {
    let way = |realm: &Realm| password(realm, "SCRAM-SHA-256", CLIENT);
    let scene = Scene::new("sessions", |realm| (way(realm), way(realm)));
    scene.write(3);
    let mirror = logged(&scene);
    let sessions = 3 * Duration::from_millis(SESSION_MS.into());
    let written = flow(&scene, sessions) + 3;
    let said = all_there(&scene, mirror, written);
    assert!(said.matches("session renewed").count() >= 4, "{said}");
    assert_eq!(lost(&said), [""; 0]);
}

#[test]
fn a_token_file_is_renewed_before_the_token_expires() {
    // Held: a pair that nobody holds is gone, and its realm's keys with it.
    let pair = secured_pair();
    let realm = &pair.realm;
    let short = || realm.tokens.issue(CLIENT.0, Duration::from_secs(6));
    let file = secret(realm, &short());
    let how = format!("token: {{ file: {} }}", shown(&file));
    let scene = Scene::new("expiring", |realm| (oauth(realm, &how), oauth(realm, &how)));
    scene.write(3);
    let done = AtomicBool::new(false);
    let said = thread::scope(|scope| {
        // Somebody renews the file, as whatever keeps tokens fresh does: whole, and long before the last one ends.
        scope.spawn(|| {
            let next = file.with_extension("next");
            while !done.load(Ordering::Acquire) {
                std::fs::write(&next, short()).and_then(|()| std::fs::rename(&next, &file)).unwrap();
                thread::sleep(Duration::from_millis(500));
            }
        });
        let _done = Ended(&done);
        let mirror = logged(&scene);
        let written = flow(&scene, Duration::from_secs(8));
        all_there(&scene, mirror, written + 3)
    });
    assert!(said.contains("session renewed"), "{said}");
    assert_eq!(lost(&said), [""; 0]);
}

/// Told when dropped, also by a panic: the scope waits for whoever listens.
struct Ended<'a>(&'a AtomicBool);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Nobody renews the file in time.
#[test]
fn a_token_that_expires_is_said_and_the_next_one_heals() {
    // Held: a pair that nobody holds is gone, and its realm's keys with it.
    let pair = secured_pair();
    let realm = &pair.realm;
    let file = secret(realm, &realm.tokens.issue(CLIENT.0, Duration::from_secs(5)));
    let how = format!("token: {{ file: {} }}", shown(&file));
    let scene = Scene::new("expired", |realm| (oauth(realm, &how), oauth(realm, &how)));
    scene.write(3);
    let mut mirror = logged(&scene);
    let written = 3 + flow(&scene, Duration::from_secs(1));
    silent(&mirror, "(L-124)");
    scene.write(300);
    assert!(mirror.is_running().unwrap(), "{}", mirror.stderr());
    std::fs::write(&file, realm.tokens.issue(CLIENT.0, Duration::from_secs(600))).unwrap();
    let said = all_there(&scene, mirror, written + 300);
    assert!(!said.contains("eyJ"), "no token is shown: {said}");
}

/// Tickets that outlive the KDC's absence: nothing is noticed. Tickets that do not: said, and it heals by itself.
#[test]
fn a_kdc_may_be_away_for_ten_seconds() {
    let pair = secured_pair();
    let Some(kdc) = pair.realm.kdc() else { return };
    let _alone = KDC.write().unwrap_or_else(PoisonError::into_inner);
    let away = Duration::from_secs(rounds(10, 60).into());
    let way = |realm: &Realm| kerberos(realm).unwrap();
    let scene = Scene::new("kdc", |realm| (way(realm), way(realm)));
    let brief = Scene::new("kdc-brief", |realm| {
        let env = kdc.environment_with_brief_tickets(CLIENT.0, TICKET_SECONDS).unwrap();
        (way(realm), Way { env, ..way(realm) })
    });
    scene.write(3);
    brief.write(3);
    let mirrors = [&scene, &brief].map(logged);
    for scene in [&scene, &brief] {
        let dest = Admin::of(&scene.pair.destination.bootstrap()).unwrap();
        let made = || dest.leaders(&scene.topic).unwrap().len() == 3;
        wait_until_true("the mirror to run", PATIENCE, made);
    }
    let stopped = Instant::now();
    kdc.stop().unwrap();
    let mut beside = 3;
    let mut written = 3 + flow(&scene, away / 2);
    brief.write(300);
    beside += 300;
    written += flow(&scene, away / 2);
    silent(&mirrors[1], "(L-127)");
    kdc.resume().unwrap();
    assert!(stopped.elapsed() >= away);
    written += flow(&scene, Duration::from_secs(1));
    brief.write(300);
    beside += 300;
    let [mirror, missed] = mirrors;
    let said = all_there(&scene, mirror, written);
    assert!(said.contains("session renewed"), "twice in that time: {said}");
    assert_eq!(lost(&said), [""; 0], "its tickets were good all the time");
    all_there(&brief, missed, beside);
}
