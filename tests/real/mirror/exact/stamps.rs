//! A source that stamps records itself (LogAppendTime): the mirror keeps the broker's timestamps as they were read
//! (M17), for every codec, in small and large batches.

use lockstep_testkit::client::{Codec, Isolation, Record, Seed, Transactor, read_all};
use lockstep_testkit::unique;

use super::{assert_exact, assert_verified};
use crate::mirror::Ends;
use crate::mirror::shapes::now_ms;

/// What the writer says, far from what the broker stamps.
const LONG_AGO: i64 = 1_000_000_000_000;

#[test]
fn records_stamped_by_the_source_keep_their_timestamps() {
    let ends = Ends::shared();
    let topic = unique("exact-append-time");
    ends.create(&topic, 2, &[("message.timestamp.type", "LogAppendTime")]);
    let before = now_ms();
    for codec in Codec::ALL {
        for batch in [1, 500] {
            let records = (0..600).map(|n| {
                let value = format!("record {n} of {}: {}", codec.name(), "abcdefgh".repeat(n % 9));
                Record::new(value).key(n.to_string()).header("a", "1").partition(n as i32 % 2).at(LONG_AGO)
            });
            Seed::to(&ends.from).codec(codec).batch_records(batch).write(&topic, records).unwrap();
        }
        let transactor = Transactor::open(&ends.from, &unique("tx"), codec).unwrap();
        transactor.begin().unwrap();
        transactor.write(&topic, [Record::new("decided").at(LONG_AGO)]).unwrap();
        transactor.commit().unwrap();
    }
    ends.mirror_all(&topic);
    let compared = assert_exact(&ends, &topic, 2);
    assert_eq!(compared.records, 5 * (2 * 600 + 1));
    assert_verified(&ends, &topic);
    let end = ends.held(&topic, 0);
    let seen = read_all(&ends.to, &topic, 0, 0..end, Isolation::ReadCommitted).unwrap();
    assert!(seen.iter().all(|record| record.timestamp >= before), "the broker's time, not the writer's");
}
