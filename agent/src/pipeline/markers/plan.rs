//! Which markers go into one request: entries shared by partitions, coordinator epochs in order (M12, M13).
//! Pure. Promises: a partition gets exactly as many entries as it wants, each above the last epoch the broker knows
//! there, in growing order; a request holds at most [`REQUEST_MARKERS_MAX`] markers. Never splits a run.

use std::collections::{HashSet, VecDeque};

use lockstep_core::ids::LeaderEpoch;
use lockstep_core::mirror::markers::{COORDINATOR_EPOCH_JUMP, MARKERS_MAX, MarkerRun};
use lockstep_kafka::admin::MarkerEntry;

use crate::pipeline::names::Twin;

/// Markers of one request, over all its partitions: some 0.2 s of a broker's time.
pub const REQUEST_MARKERS_MAX: u32 = 20_000;

const _: () = assert!(MARKERS_MAX <= REQUEST_MARKERS_MAX, "every run must fit into a request");
const _: () =
    assert!(2 * MARKERS_MAX < COORDINATOR_EPOCH_JUMP.unsigned_abs(), "a new owner jumps over any request");

/// A run of one partition, under the leader epoch it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedRun {
    pub twin: Twin,
    pub epoch: LeaderEpoch,
    pub run: MarkerRun,
}

/// One request to be.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) wanted: Vec<WantedRun>,
    /// The coordinator epoch of the first entry.
    first_epoch: i32,
}

impl Plan {
    /// Takes the oldest runs that go together into one request; `None` if nothing waits. Partitions share the entries,
    /// so that a request costs the broker one loop over them and not one per partition. Only partitions whose last
    /// epochs are within [`MARKERS_MAX`] of each other do: on none may a request reach further than a new owner jumps
    /// ([`COORDINATOR_EPOCH_JUMP`]).
    pub(super) fn take(waiting: &mut VecDeque<WantedRun>) -> Option<Self> {
        let mut wanted: Vec<WantedRun> = Vec::new();
        let mut left = VecDeque::new();
        let mut named = HashSet::new();
        let mut markers = 0;
        let above = waiting.front()?.run.above_coordinator_epoch;
        let (mut lowest, mut highest) = (above, above);
        while let Some(next) = waiting.pop_front() {
            let above = next.run.above_coordinator_epoch;
            let (low, high) = (lowest.min(above), highest.max(above));
            let fits = markers + next.run.count <= REQUEST_MARKERS_MAX
                && high.abs_diff(low) <= MARKERS_MAX
                // A partition has one run at a time; a second one would be answered with the first one's end.
                && named.insert(next.twin.source.clone());
            if fits {
                markers += next.run.count;
                (lowest, highest) = (low, high);
                wanted.push(next);
            } else {
                left.push_back(next);
            }
        }
        *waiting = left;
        wanted.sort_by_key(|each| std::cmp::Reverse(each.run.count));
        Some(Self { wanted, first_epoch: highest.saturating_add(1).max(0) })
    }

    /// The entries in order: the k-th goes to every partition that wants more than k.
    pub(super) fn entries(&self) -> Vec<MarkerEntry> {
        let most = self.wanted.first().map_or(0, |each| each.run.count);
        let mut width = self.wanted.len();
        (0..most)
            .map(|index| {
                // Sorted by count: those that want this entry are the first ones.
                while width > 0 && self.wanted[width - 1].run.count <= index {
                    width -= 1;
                }
                MarkerEntry {
                    coordinator_epoch: self.epoch_of(index),
                    partitions: self.wanted[..width]
                        .iter()
                        .map(|each| each.twin.dest.there().clone())
                        .collect(),
                }
            })
            .collect()
    }

    /// The coordinator epoch of the last marker of a run.
    pub(super) fn last_epoch(&self, run: &MarkerRun) -> i32 {
        self.epoch_of(run.count.saturating_sub(1))
    }

    /// At the end of its range the epoch stays where it is: an equal one is taken, so nothing stops. What is lost then:
    /// markers of a dead owner that still land are no longer refused because of ours; the end that has to stand still
    /// before a partition opens (M8) remains.
    fn epoch_of(&self, index: u32) -> i32 {
        self.first_epoch.saturating_add(i32::try_from(index).unwrap_or(i32::MAX))
    }
}

#[cfg(test)]
pub(super) mod testing {
    use lockstep_core::ids::{DestOffset, TopicPartition};
    use lockstep_core::mirror::window::Ticket;

    use super::*;

    /// Partition `partition` of topic `t`, `east.t` on the destination, wants `count` markers from offset 100 on.
    pub(in super::super) fn wanted(partition: i32, count: u32, above: i32) -> WantedRun {
        let run = MarkerRun {
            ticket: Ticket(u64::from(partition.unsigned_abs())),
            from: DestOffset(100),
            count,
            above_coordinator_epoch: above,
        };
        let twin = Twin::new(TopicPartition::new("t", partition), &"east.t".into());
        WantedRun { twin, epoch: LeaderEpoch(7), run }
    }
}

#[cfg(test)]
mod tests {
    use super::testing::wanted;
    use super::*;

    fn planned(runs: impl IntoIterator<Item = WantedRun>) -> (Plan, VecDeque<WantedRun>) {
        let mut waiting: VecDeque<_> = runs.into_iter().collect();
        (Plan::take(&mut waiting).expect("something waits"), waiting)
    }

    fn shape(plan: &Plan) -> Vec<(i32, Vec<i32>)> {
        let shape = |entry: MarkerEntry| {
            let mut partitions: Vec<_> = entry.partitions.iter().map(|tp| tp.partition).collect();
            partitions.sort_unstable();
            (entry.coordinator_epoch, partitions)
        };
        plan.entries().into_iter().map(shape).collect()
    }

    #[test]
    fn partitions_share_entries_until_each_has_its_count() {
        let (plan, left) = planned([wanted(0, 1, -1), wanted(1, 3, 4), wanted(2, 2, 2)]);
        assert_eq!(shape(&plan), [(5, vec![0, 1, 2]), (6, vec![1, 2]), (7, vec![1])]);
        assert!(left.is_empty());
        let last: Vec<_> =
            plan.wanted.iter().map(|each| (each.twin.source.partition, plan.last_epoch(&each.run))).collect();
        assert_eq!(last, [(1, 7), (2, 6), (0, 5)]);
    }

    #[test]
    fn the_first_marker_of_all_has_epoch_zero() {
        assert_eq!(shape(&planned([wanted(0, 2, -1)]).0), [(0, vec![0]), (1, vec![0])]);
    }

    #[test]
    fn the_epoch_stays_at_its_maximum() {
        let (plan, _) = planned([wanted(0, 3, i32::MAX - 2), wanted(1, 1, i32::MAX - 9)]);
        assert_eq!(shape(&plan), [(i32::MAX - 1, vec![0, 1]), (i32::MAX, vec![0]), (i32::MAX, vec![0])]);
        assert_eq!(shape(&planned([wanted(0, 1, i32::MAX)]).0), [(i32::MAX, vec![0])]);
    }

    #[test]
    fn a_request_is_bounded_and_the_rest_waits_in_order() {
        let (plan, left) = planned((0..6).map(|n| wanted(n, 4_500, -1)));
        assert_eq!(plan.wanted.len(), 4);
        assert_eq!(left.iter().map(|each| each.twin.source.partition).collect::<Vec<_>>(), [4, 5]);
        let markers: usize = plan.entries().iter().map(|entry| entry.partitions.len()).sum();
        assert_eq!(markers, 18_000);
    }

    #[test]
    fn partitions_share_epochs_only_near_each_other() {
        let far = 10 + 5_001;
        let runs =
            [wanted(0, 1, 10), wanted(1, 1, far), wanted(2, 1, 5_010), wanted(3, 1, 9), wanted(4, 1, far)];
        let (plan, mut left) = planned(runs);
        assert_eq!(shape(&plan), [(5_011, vec![0, 2])]);
        assert_eq!(left.iter().map(|each| each.twin.source.partition).collect::<Vec<_>>(), [1, 3, 4]);
        let next = Plan::take(&mut left).expect("something waits");
        assert_eq!(shape(&next), [(far + 1, vec![1, 4])]);
    }

    #[test]
    fn a_partition_never_comes_twice_in_a_request() {
        let (plan, left) = planned([wanted(0, 1, -1), wanted(1, 1, -1), wanted(0, 1, 5)]);
        assert_eq!((plan.wanted.len(), left.len()), (2, 1));
        assert_eq!(left[0].run.above_coordinator_epoch, 5);
        assert!(Plan::take(&mut VecDeque::new()).is_none());
    }
}
