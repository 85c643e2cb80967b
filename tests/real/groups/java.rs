//! Kafka's own consumer goes on at the standby: it does not hang (M30), and misses or repeats nothing.

use lockstep_testkit::client::{Seed, commit_offsets};
use lockstep_testkit::{pair, rounds, unique};

use super::{carry, numbered};
use crate::mirror::Ends;

const RECORDS: usize = 16_000;

#[test]
fn m30_a_java_consumer_goes_on_with_the_next_unread_record() {
    let (ends, topic) = (Ends::shared(), unique("groups-java"));
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).batch_records(700).write(&topic, numbered(0, RECORDS)).unwrap();
    let usual = [0, 1_000];
    let all = [0, 1, 100, 1_000, 5_000, 15_000];
    let lags = if rounds(0, 1) == 1 { &all[..] } else { &usual[..] };
    let name = |lag: usize| format!("{topic}-lag-{lag}");
    for lag in lags {
        let at = i64::try_from(RECORDS - lag).unwrap();
        commit_offsets(&ends.from, &name(*lag), &[(&topic, 0, at)], "").unwrap();
    }
    carry(&ends, &topic, &format!("{topic}-lag-.*"));
    for lag in lags {
        let printed = pair().destination.console_consumer_of(&topic, &name(*lag)).unwrap();
        let offsets: Vec<_> = printed.iter().map(|printed| printed.offset).collect();
        let from = i64::try_from(RECORDS - lag).unwrap();
        assert!(offsets.iter().copied().eq(from..from + i64::try_from(*lag).unwrap()), "{lag}: {offsets:?}");
    }
}
