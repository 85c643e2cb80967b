//! A destination whose passport (M27) hides: it is never taken for a fresh standby, and what is missing is said at once.

use std::time::{Duration, Instant};

use lockstep_testkit::broker::CLIENTS;
use lockstep_testkit::client::{Admin, Record, Seed};
use lockstep_testkit::lockstep::Finished;
use lockstep_testkit::{Exit, Kafka, Lockstep, pair, unique, wait_until};

use crate::mirror::{Ends, PATIENCE};

const PASSPORT: &str = "__lockstep";
/// Generous, and below the half minute in which a passport is tried again where asking again may help.
const AT_ONCE: Duration = Duration::from_secs(25);

fn run(ends: &Ends, topic: &str) -> Finished {
    let both = ["--from", &ends.from, "--to", &ends.to, "--topics", topic];
    Lockstep::run(&[&["mirror"], &both[..], &["--until-caught-up"]].concat(), PATIENCE).unwrap()
}

/// Runs it and looks at what it lacks.
fn refused(ends: &Ends, topic: &str) {
    let began = Instant::now();
    let finished = run(ends, topic);
    let said = &finished.stderr;
    assert_eq!(finished.exit, Exit::Code(1), "{finished:?}");
    assert!(began.elapsed() < AT_ONCE, "{:?}: {finished:?}", began.elapsed());
    assert!(
        said.contains("L-103") && said.contains(&format!("Read on Topic {PASSPORT} for {CLIENTS}")),
        "{said}"
    );
    assert!(
        said.contains("kafka-acls") && said.contains(&format!("--operation Read --topic '{PASSPORT}'")),
        "{said}"
    );
}

fn passes(ends: &Ends, topic: &str) {
    wait_until("the mirror to be let in", PATIENCE, || {
        let finished = run(ends, topic);
        assert!(finished.exit == Exit::Code(0) || finished.stderr.contains(PASSPORT), "{finished:?}");
        (finished.exit == Exit::Code(0)).then_some(())
    });
}

/// Story: whoever lacked DESCRIBE saw no such topic, and took a promoted cluster for a fresh one; whoever lacked only READ
/// waited half a minute at every start.
#[test]
fn m27_a_passport_that_may_not_be_read_refuses_the_start() {
    let dest = Kafka::builder("hidden").authorized().start().unwrap();
    let allow = |options: &[&str]| {
        dest.acls(&[&["--add", "--allow-principal", CLIENTS], options].concat()).unwrap();
    };
    let ends = Ends::of(&pair().source, &dest);
    let topic = unique("hidden");
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, (0..10).map(|n| Record::new(n.to_string()))).unwrap();
    allow(&["--operation", "All", "--topic", &topic]);
    allow(&["--operation", "All", "--group", "*", "--transactional-id", "*", "--cluster"]);

    // Not there, but who could know: it hides.
    refused(&ends, &topic);
    assert!(!dest.log_folder(1, &topic, 0).unwrap().exists(), "refused before anything was changed");
    // Whoever may see that it is not there, needs no more.
    allow(&["--operation", "Describe", "--operation", "Write", "--topic", PASSPORT]);
    passes(&ends, &topic);
    // There, with something in it that may not be read.
    Admin::of(&ends.to).unwrap().create(PASSPORT, 1, &[]).unwrap();
    Seed::to(&ends.to).write(PASSPORT, [Record::new("not a record of ours")]).unwrap();
    refused(&ends, &topic);
    allow(&["--operation", "Read", "--topic", PASSPORT]);
    passes(&ends, &topic);
}
