//! The process: what a service manager sees of it.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use lockstep_testkit::client::{Record, Seed, assert_identical};
use lockstep_testkit::{Exit, Lockstep, Signal, pair, unique, wait_until_true};

use super::super::mirror::{Ends, PATIENCE};
use super::{Agent, File, in_folder};

#[test]
fn systemd_hears_ready_reloading_watchdog_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let address = in_folder(folder.path(), "notify");
    let socket = UnixDatagram::bind(&address).unwrap();
    socket.set_nonblocking(true).unwrap();
    let mut agent =
        Agent::start_with(&File::new(), &[("NOTIFY_SOCKET", &address), ("WATCHDOG_USEC", "1000000")]);
    let mut heard = String::new();
    let mut hear = |what: &str| {
        wait_until_true(&format!("systemd to hear {what}"), PATIENCE, || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                heard.push_str(std::str::from_utf8(&buffer[..length]).unwrap());
                heard.push('\n');
            }
            heard.contains(what)
        });
        heard.clear();
    };
    hear("READY=1");
    hear("WATCHDOG=1");
    agent.process.signal(Signal::Hangup).unwrap();
    hear("RELOADING=1");
    hear("WATCHDOG=1");
    agent.process.signal(Signal::Terminate).unwrap();
    hear("STOPPING=1");
    assert_eq!(agent.process.wait(PATIENCE).unwrap(), Exit::Code(0));
}

/// Told to stop in the middle of copying: what is in flight is finished, and the next agent goes on.
#[test]
fn a_stop_in_the_middle_drains_and_the_next_start_goes_on() {
    let ends = Ends::shared();
    let topic = unique("drains");
    ends.create(&topic, 2, &[]);
    let records =
        (0..60_000).map(|n| Record::new(format!("record {n} {}", "x".repeat(400))).partition(n % 2));
    Seed::to(&ends.from).batch_records(50).write(&topic, records).unwrap();
    let file = File::new().link(&topic, &topic, ", throttle: 8MiB");
    let agent = Agent::start(&file);
    wait_until_true("some records to be held", PATIENCE, || ends.held(&topic, 0) > 100);
    let said = agent.stop(0);
    assert!(said.contains("everything in flight was answered"), "{said}");
    let agent = Agent::start(&File::new().link(&topic, &topic, ""));
    ends.wait_until_equal(&topic, 2);
    agent.stop(0);
    assert_identical(&ends.from, &ends.to, &topic, 2);
}

#[test]
fn an_address_that_is_taken_is_an_error_with_exit_code_1() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::tempdir().unwrap();
    let path = in_folder(folder.path(), "agent.yaml");
    let bootstrap = pair().source.bootstrap();
    let text = format!("site: a\nlisten: {address}\nclusters:\n  mi: {{ bootstrap: \"{bootstrap}\" }}\n");
    std::fs::write(&path, text).unwrap();
    let finished = Lockstep::run(&["agent", "--config", &path], Duration::from_secs(30)).unwrap();
    assert_eq!(finished.exit, Exit::Code(1));
    assert!(finished.stderr.contains(&format!("cannot listen at {address}")), "{}", finished.stderr);
}
