//! A single bit flipped between the source and us: the checksum is derived, never recomputed (M4), so the
//! destination refuses the batch, it is fetched again, and both sides end up identical.

use std::sync::atomic::Ordering;

use lockstep_testkit::client::{Codec, Record, Seed, assert_identical};
use lockstep_testkit::{Kafka, pair, unique, wait_until_true};

use super::{Ends, PATIENCE, stop};

#[test]
fn a_flipped_bit_is_refused_and_fetched_again() {
    let source = Kafka::builder("flipped").proxied().start().unwrap();
    let direct = Ends::of(&source, &pair().destination);
    let proxied = Ends { from: source.proxied_bootstrap().unwrap(), to: direct.to.clone() };
    // The first batch of a new topic (M7: nothing may be pipelined behind it), and later ones.
    for nth in [1, 2, 7] {
        let topic = unique(&format!("flip-{nth}"));
        direct.create(&topic, 1, &[]);
        let records = (0..2_000).map(|n| Record::new(format!("record {n} {}", "f".repeat(100))));
        Seed::to(&direct.from).codec(Codec::Lz4).batch_records(100).write(&topic, records).unwrap();
        let flipped = source.proxy(1).unwrap().flip_bit_in_fetched_batch(nth);
        let mirror = proxied.mirror(&topic);
        wait_until_true("a bit to be flipped", PATIENCE, || flipped.load(Ordering::Acquire) == 1);
        direct.wait_until_equal(&topic, 1);
        stop(mirror, 0);
        assert_identical(&direct.from, &direct.to, &topic, 1);
    }
}

#[test]
fn damage_under_traffic_does_not_disturb_other_partitions() {
    let source = Kafka::builder("flipped-often").proxied().start().unwrap();
    let direct = Ends::of(&source, &pair().destination);
    let proxied = Ends { from: source.proxied_bootstrap().unwrap(), to: direct.to.clone() };
    let topic = unique("flip-often");
    direct.create(&topic, 4, &[]);
    let mirror = proxied.mirror(&topic);
    let seeder = Seed::to(&direct.from).codec(Codec::Zstd).batch_records(50).open().unwrap();
    let mut damage = 0;
    for round in 0..8 {
        let flipped = source.proxy(1).unwrap().flip_bit_in_fetched_batch(3);
        let numbers = round * 2_000..(round + 1) * 2_000;
        let records = numbers.map(|n| Record::new(format!("record {n} {}", "f".repeat(90))).partition(n % 4));
        seeder.write(&topic, records).unwrap();
        direct.wait_until_equal(&topic, 4);
        damage += flipped.load(Ordering::Acquire);
    }
    assert!(damage >= 4, "bits were flipped in {damage} of 8 rounds only");
    stop(mirror, 0);
    assert_identical(&direct.from, &direct.to, &topic, 4);
}
