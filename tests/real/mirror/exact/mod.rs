//! Everything that takes an offset is reproduced: any topic that applications have is mirrored with identical offsets.
//!
//! | file | the promise |
//! |---|---|
//! | `transactions` | commits, aborts, markers, in every order they come (M11–M13, M16) |

mod compaction;
mod crowd;
mod hanging;
mod merging;
mod proof;
mod raw;
mod rights;
mod slips;
mod stamps;
mod starts;
mod stragglers;
mod transactions;

use lockstep_testkit::client::{Compared, Isolation, assert_identical_as};

use super::Ends;

/// What read_committed consumers see on the source is what consumers of both isolation levels see on the mirror:
/// rolled-back records are none there. Log starts and ends are equal too.
#[track_caller]
fn assert_exact(ends: &Ends, topic: &str, partitions: i32) -> Compared {
    let sides = [ends.from.as_str(), ends.to.as_str()];
    let committed = assert_identical_as(Isolation::ReadCommitted, sides, topic, partitions);
    let uncommitted = assert_identical_as(Isolation::ReadUncommitted, sides, topic, partitions);
    assert_eq!(committed, uncommitted);
    committed
}
