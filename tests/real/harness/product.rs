//! The product as a child process: found beside the tests, run, its end and its words brought back.

use std::time::Duration;

use lockstep_testkit::{Exit, Lockstep};

#[test]
fn wrong_usage_is_exit_code_1_and_words_on_standard_error() {
    let finished = Lockstep::run(&["--no-such-option"], Duration::from_secs(20)).unwrap();
    assert_eq!(finished.exit, Exit::Code(1), "{finished:?}");
    assert!(finished.stderr.contains("--no-such-option") && finished.stdout.is_empty(), "{finished:?}");
}
