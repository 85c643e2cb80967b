//! A transaction that nobody ends holds its partition back (M16): said with producer, offset and age; the others go
//! on; what waits counts as exposure; once it is decided the rest is copied.

use lockstep_testkit::client::{Codec, Seed, Transactor};
use lockstep_testkit::{unique, wait_until_true};

use super::assert_exact;
use super::transactions::records;
use crate::mirror::{Ends, PATIENCE, said, stop, wait_for};

#[test]
fn m16_a_hanging_transaction_is_named_and_the_rest_is_copied_once_it_ends() {
    let ends = Ends::shared();
    let topic = unique("exact-hanging");
    ends.create(&topic, 2, &[]);
    let seeder = Seed::to(&ends.from).codec(Codec::Lz4).open().unwrap();
    seeder.write(&topic, records("before", 200, 2)).unwrap();
    let open = Transactor::open(&ends.from, &unique("tx"), Codec::None).unwrap();
    open.begin().unwrap();
    open.write(&topic, records("undecided", 5, 1)).unwrap();
    seeder.write(&topic, records("behind", 40, 2)).unwrap();
    let mirror = ends.mirror(&topic);
    wait_until_true("what is decided to be copied", PATIENCE, || {
        ends.held(&topic, 0) == 100 && ends.held(&topic, 1) == 120
    });
    wait_for(&mirror, "progress", |v| v["exposure"]["records"].as_u64() >= Some(25));
    let held = wait_for(&mirror, "held_back", |_| true);
    assert_eq!((&held["partition"], &held["from_offset"]), (&0.into(), &100.into()), "{held}");
    assert!(held["producer_id"].as_i64() >= Some(0), "{held}");
    assert!(held["last_record_timestamp_ms"].as_i64() > Some(0), "{held}");
    seeder.write(&topic, records("meanwhile", 40, 2)).unwrap();
    wait_until_true("the other partition to go on", PATIENCE, || ends.held(&topic, 1) == 140);
    assert_eq!(ends.held(&topic, 0), 100, "nothing was written past what is undecided");
    open.commit().unwrap();
    ends.wait_until_equal(&topic, 2);
    let finished = stop(mirror, 0);
    assert_eq!(said(&finished.stdout, "stopped").len(), 0, "{}", finished.stdout);
    assert_eq!(assert_exact(&ends, &topic, 2).records, 200 + 5 + 80);
}
