//! A hole is proven by the next base offset and by nothing else (M11): with little memory and many partitions most
//! answers come back empty for most of them, and nothing may be filled on that ground.

use lockstep_testkit::client::{Codec, Record, Seed, Transactor};
use lockstep_testkit::{Exit, unique};

use super::assert_exact;
use crate::mirror::Ends;

const PARTITIONS: i32 = 64;

#[test]
fn empty_answers_for_many_partitions_fill_nothing() {
    let ends = Ends::shared();
    let topic = unique("exact-narrow");
    ends.create(&topic, PARTITIONS, &[]);
    let plain = Seed::to(&ends.from).codec(Codec::Lz4).batch_records(25).open().unwrap();
    let transactor = Transactor::open(&ends.from, &unique("tx"), Codec::None).unwrap();
    let records = |what: &'static str, count: i32| {
        (0..count)
            .map(move |n| Record::new(format!("{what} {n} {}", "y".repeat(150))).partition(n % PARTITIONS))
    };
    for round in 0..4 {
        plain.write(&topic, records("plain", 100 * PARTITIONS)).unwrap();
        transactor.begin().unwrap();
        transactor.write(&topic, records("in a transaction", 40 * PARTITIONS)).unwrap();
        if round % 2 == 0 { transactor.abort().unwrap() } else { transactor.commit().unwrap() }
    }
    let start = std::time::Instant::now();
    let finished = ends.mirror_to_the_end(&topic, &["--memory", "256KiB"]);
    assert_eq!(finished.exit, Exit::Code(0), "{}{}", finished.stdout, finished.stderr);
    eprintln!("{PARTITIONS} partitions mirrored in {:?}", start.elapsed());
    let compared = assert_exact(&ends, &topic, PARTITIONS);
    assert_eq!(compared.records, (4 * 100 + 2 * 40) * 64);
}
