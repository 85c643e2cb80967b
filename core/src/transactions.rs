//! What read_committed makes of a batch: the records of rolled-back transactions are void, control batches are nobody's.
//! Promises: judges as Apache Kafka's own consumer does (`CompletedFetch.java`), from the list of aborted transactions
//! that came with the same Fetch answer. Never guesses: without that list everything counts as committed, so an answer
//! has to be a read_committed one, and is judged by its own list, from its first batch on.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use lockstep_batch::header::BatchHeader;
use lockstep_batch::records::control::ControlKind;

/// From `first_offset` on, up to its abort marker, every transactional record of this producer is void
/// (`AbortedTransaction` of the Fetch answer, KIP-98).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AbortedTransaction {
    pub producer_id: i64,
    pub first_offset: i64,
}

/// What becomes of the records of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fate {
    /// Consumers see them, in both isolation levels.
    Committed,
    /// Of a transaction that was rolled back: only read_uncommitted sees them.
    Aborted,
    /// A control batch: no consumer sees it.
    Control,
}

/// Tells the fates of the batches of one Fetch answer, in the order of the log.
#[derive(Clone, Debug, Default)]
pub struct AbortedFilter {
    /// That have not begun yet: first offset and producer id, the lowest offset on top.
    to_come: BinaryHeap<Reverse<(i64, i64)>>,
    /// Producers within an aborted transaction.
    aborting: HashSet<i64>,
}

impl AbortedFilter {
    /// `list` is what the answer says of the partition, in any order.
    pub fn new(list: impl IntoIterator<Item = AbortedTransaction>) -> Self {
        let to_come = list.into_iter().map(|a| Reverse((a.first_offset, a.producer_id))).collect();
        Self { to_come, aborting: HashSet::new() }
    }

    /// The fate of the next batch. `control` is what its control record says; `None` for a batch of data, and for a
    /// control batch that the cleaner has emptied.
    pub fn fate(&mut self, header: &BatchHeader, control: Option<ControlKind>) -> Fate {
        self.begin(header.last_offset());
        let producer = header.producer_id();
        if header.is_control() {
            if control == Some(ControlKind::Abort) {
                self.aborting.remove(&producer);
            }
            Fate::Control
        } else if header.is_transactional() && self.aborting.contains(&producer) {
            Fate::Aborted
        } else {
            Fate::Committed
        }
    }

    /// A transaction that begins inside a batch holds all of that batch: a batch belongs to one transaction.
    fn begin(&mut self, last_offset: i64) {
        while let Some(Reverse((first_offset, producer))) = self.to_come.peek().copied() {
            if first_offset > last_offset {
                break;
            }
            self.to_come.pop();
            self.aborting.insert(producer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_batch::view::FetchedBatch;

    use crate::verify::testing::{Ends, batch, in_transaction, marker};

    fn aborted(list: &[(i64, i64)]) -> AbortedFilter {
        let list = list.iter().map(|(producer_id, first_offset)| AbortedTransaction {
            producer_id: *producer_id,
            first_offset: *first_offset,
        });
        AbortedFilter::new(list.collect::<Vec<_>>())
    }

    fn fates(filter: &mut AbortedFilter, batches: &[FetchedBatch]) -> Vec<Fate> {
        let kind = |batch: &FetchedBatch| lockstep_batch::records::control::kind(&batch.view()).unwrap();
        batches.iter().map(|batch| filter.fate(batch.header(), kind(batch))).collect()
    }

    use Fate::{Aborted, Committed, Control};

    #[test]
    fn an_aborted_transaction_is_void_up_to_its_marker() {
        let log = [
            in_transaction(4, 0..5),
            in_transaction(5, 5..8),
            batch(8..9),
            in_transaction(4, 9..11),
            marker(4, 11, Ends::Abort),
            marker(5, 12, Ends::Commit),
            in_transaction(4, 13..14),
            marker(4, 14, Ends::Commit),
        ];
        let told = fates(&mut aborted(&[(4, 0)]), &log);
        assert_eq!(told, [Aborted, Committed, Committed, Aborted, Control, Control, Committed, Control]);
    }

    #[test]
    fn one_that_began_before_the_answer_holds_from_its_first_batch_on() {
        let log = [in_transaction(4, 50..52), marker(4, 52, Ends::Abort), in_transaction(4, 53..54)];
        assert_eq!(fates(&mut aborted(&[(4, 10)]), &log), [Aborted, Control, Committed]);
    }

    #[test]
    fn two_of_one_producer_are_told_apart_whatever_their_order_in_the_list() {
        let log = [
            in_transaction(4, 0..1),
            marker(4, 1, Ends::Abort),
            in_transaction(4, 2..3),
            marker(4, 3, Ends::Commit),
            in_transaction(4, 4..5),
            marker(4, 5, Ends::Abort),
        ];
        let told = fates(&mut aborted(&[(4, 4), (4, 0)]), &log);
        assert_eq!(told, [Aborted, Control, Committed, Control, Aborted, Control]);
    }

    #[test]
    fn a_transaction_that_begins_inside_a_batch_holds_all_of_it() {
        // The list names the first offset still in the log; the batch may start before it.
        let log = [in_transaction(4, 0..5)];
        assert_eq!(fates(&mut aborted(&[(4, 3)]), &log), [Aborted]);
        assert_eq!(fates(&mut aborted(&[(4, 5)]), &log), [Committed]);
    }

    #[test]
    fn plain_batches_of_an_aborting_producer_count() {
        // `batch` is written by producer 7, outside a transaction.
        assert_eq!(fates(&mut aborted(&[(7, 0)]), &[batch(0..3)]), [Committed]);
    }

    #[test]
    fn only_an_abort_marker_of_its_own_ends_it() {
        let log = [
            in_transaction(4, 0..1),
            marker(5, 1, Ends::Abort),
            marker(4, 2, Ends::Commit),
            in_transaction(4, 3..4),
        ];
        assert_eq!(fates(&mut aborted(&[(4, 0)]), &log), [Aborted, Control, Control, Aborted]);
    }
}
