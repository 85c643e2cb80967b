//! Nothing survives the process that started it: not its broker, whether it was killed or failed.
//! The test starts this very binary again as the process that dies.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use lockstep_testkit::{Kafka, wait_until, wait_until_true};

/// Where the dying process writes its broker's pid, and how it dies.
const TELL: &str = "LOCKSTEP_HARNESS_TELL";
const DIE: &str = "LOCKSTEP_HARNESS_DIE";

/// Not a test: the process that the tests below start.
#[test]
#[ignore = "started by the tests of this file"]
fn the_process_that_dies() {
    let Some(tell) = env::var_os(TELL).map(PathBuf::from) else { return };
    let kafka = Kafka::builder("orphan").start().unwrap();
    let text = format!("{}\n{}\n", kafka.pid(1).unwrap(), kafka.folder().display());
    fs::write(tell.with_extension("part"), text).unwrap();
    fs::rename(tell.with_extension("part"), tell).unwrap();
    assert!(env::var_os(DIE).is_none(), "a failing test, on purpose");
    thread::sleep(Duration::from_secs(120)); // killed long before
}

struct Started {
    child: Child,
    broker_pid: u32,
    broker_folder: PathBuf,
    _folder: tempfile::TempDir,
}

fn start(die: &[(&str, &str)]) -> Started {
    let folder = tempfile::tempdir().unwrap();
    let tell = folder.path().join("tell");
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["harness::orphans::the_process_that_dies", "--exact", "--ignored"])
        .env(TELL, &tell)
        .envs(die.iter().copied())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let told = wait_until("a broker in another process", Duration::from_secs(120), || {
        let ended = child.try_wait().unwrap().is_some();
        let told = fs::read_to_string(&tell).ok();
        assert!(!ended || told.is_some(), "the process ended without a broker");
        told
    });
    let mut lines = told.lines();
    let broker_pid = lines.next().unwrap().parse().unwrap();
    let broker_folder = PathBuf::from(lines.next().unwrap());
    Started { child, broker_pid, broker_folder, _folder: folder }
}

fn exists(pid: u32) -> bool {
    // A zombie has no command line any more.
    fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[test]
fn a_killed_test_process_leaves_no_broker() {
    let mut started = start(&[]);
    assert!(exists(started.broker_pid), "it runs, else this proves nothing");
    started.child.kill().unwrap();
    started.child.wait().unwrap();
    wait_until_true("the broker's end", Duration::from_secs(5), || !exists(started.broker_pid));
    let _ = fs::remove_dir_all(&started.broker_folder); // nobody was left to do so
}

#[test]
fn a_failing_test_leaves_no_broker_and_keeps_its_log() {
    let mut started = start(&[(DIE, "yes")]);
    assert!(!started.child.wait().unwrap().success());
    wait_until_true("the broker's end", Duration::from_secs(5), || !exists(started.broker_pid));
    let log = started.broker_folder.join("node-1").join("server.log");
    assert!(Path::new(&log).exists(), "kept for the reader: {}", log.display());
    fs::remove_dir_all(&started.broker_folder).unwrap();
}
