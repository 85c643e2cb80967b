//! Everything that takes an offset is reproduced: any topic that applications have is mirrored with identical offsets.
//!
//! | file | the promise |
//! |---|---|
//! | `transactions` | commits, aborts and markers, in every order they come (M11, M12) |
//! | `crowd` | twenty transactional producers while the mirror is killed; Kafka's own consumer agrees |
//! | `hanging` | a transaction that nobody ends holds back its partition, and is named (M16) |
//! | `compaction` | topics cleaned before and during mirroring; tombstones, null keys, size (M12, M14, M21) |
//! | `starts` | late log starts, losses by expiry, holes above the budget (M9, M14) |
//! | `stamps` | a source that stamps records itself keeps its timestamps (M17) |
//! | `old_formats` | message formats v0 and v1 (M17) |
//! | `old_brokers` | Kafka 2.8 with ZooKeeper as a source: message format v1, transactions (M10, M12, M17) |
//! | `merging` | floods of tiny batches become few (M17) |
//! | `proof` | nothing is filled that was not proven a hole (M11) |
//! | `stragglers` | markers of a dead mirror still land while another one starts (M8, M13) |
//! | `slips` | lost answers, cut connections, second writers: no slip, or one that is said (M13, M18) |
//! | `rights` | without the right to write markers, and with it while running (M15) |
//! | `edges` | shapes between these |
//!
//! `raw` is what only this product's own client can do.

mod compaction;
mod crowd;
mod edges;
mod hanging;
mod merging;
mod old_brokers;
mod old_formats;
mod proof;
mod raw;
mod rights;
mod slips;
mod stamps;
mod starts;
mod stragglers;
mod transactions;

use std::thread;

use lockstep_testkit::Exit;
use lockstep_testkit::client::{Compared, Isolation, compare_as};

use super::Ends;
use super::compared::verify;

/// Partitions that are compared at once: a comparison mostly waits for its clients to start and to end.
const AT_ONCE: usize = 8;

/// What read_committed consumers see on the source is what consumers of both isolation levels see on the mirror:
/// rolled-back records are none there. Log starts and ends are equal too.
#[track_caller]
pub(crate) fn assert_exact(ends: &Ends, topic: &str, partitions: i32) -> Compared {
    let of = |partition, isolation| {
        let sides = [(ends.from.as_str(), Isolation::ReadCommitted), (ends.to.as_str(), isolation)];
        match compare_as(sides, topic, partition) {
            Ok(Ok(equal)) => Ok(equal),
            Ok(Err(difference)) => Err(format!("not identical as {isolation:?} reads it: {difference}")),
            Err(cause) => Err(format!("could not compare {topic}:{partition}: {cause}")),
        }
    };
    let compared = |partition| -> Result<Compared, String> {
        let committed = of(partition, Isolation::ReadCommitted)?;
        of(partition, Isolation::ReadUncommitted)?;
        Ok(committed)
    };
    let mut all = Compared::default();
    for some in (0..partitions).collect::<Vec<_>>().chunks(AT_ONCE) {
        let found: Vec<_> = thread::scope(|scope| {
            let compared = &compared;
            let running: Vec<_> = some.iter().map(|&n| scope.spawn(move || compared(n))).collect();
            running.into_iter().map(|each| each.join().unwrap()).collect()
        });
        for each in found {
            let equal = each.unwrap_or_else(|what| panic!("{what}"));
            all.records += equal.records;
            all.bytes += equal.bytes;
        }
    }
    all
}

/// What `lockstep verify` says, too.
#[track_caller]
pub(crate) fn assert_verified(ends: &Ends, topic: &str) {
    let finished = verify(ends, topic, &[]);
    assert_eq!(finished.exit, Exit::Code(0), "{}{}", finished.stdout, finished.stderr);
}
