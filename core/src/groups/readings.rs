//! Offsets on their way: each waits until the standby holds what it must (M31).
//! Promises: with [`Barrier::Link`] nothing passes before every partition of the link holds what its source held when
//! the offset was read; in every case the record before the offset is held. A later reading of the same offset replaces
//! an earlier one, never the other way round. Bounded: neighbours are merged towards the later barrier.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::policy::Barrier;
use super::{GroupPartition, SourceCommit};
use crate::ids::{DestOffset, SourceOffset, TopicPartition};
use crate::mirror::Millis;

/// Readings that wait at a time. Under steady change and a steady lag this is how finely offsets follow.
const READINGS_MAX: usize = 32;

/// What was read at one moment, and what has to be held first.
#[derive(Clone, Debug)]
struct Reading {
    at: Millis,
    /// Source ends, read after the offsets, of partitions that the standby does not yet hold up to there.
    awaited: HashMap<TopicPartition, SourceOffset>,
    offsets: BTreeMap<GroupPartition, SourceCommit>,
}

/// All readings that wait, oldest first.
#[derive(Clone, Debug)]
pub struct Readings {
    barrier: Barrier,
    waiting: VecDeque<Reading>,
}

impl Readings {
    pub fn new(barrier: Barrier) -> Self {
        Self { barrier, waiting: VecDeque::new() }
    }

    /// Offsets that changed, and the ends of every partition of the link, read *after* them: an offset that is newer
    /// than an end would pass too early.
    pub fn read(
        &mut self,
        at: Millis,
        offsets: impl IntoIterator<Item = (GroupPartition, SourceCommit)>,
        ends: impl IntoIterator<Item = (TopicPartition, SourceOffset)>,
    ) {
        let awaited = match self.barrier {
            Barrier::Link => ends.into_iter().collect(),
            Barrier::None => HashMap::new(),
        };
        self.waiting.push_back(Reading { at, awaited, offsets: offsets.into_iter().collect() });
        if self.waiting.len() > READINGS_MAX {
            self.merge_closest();
        }
    }

    /// What may reach the standby now. `held`: the standby is complete and durable below this; `None`: not known.
    pub fn pass(
        &mut self,
        held: impl Fn(&TopicPartition) -> Option<DestOffset>,
    ) -> BTreeMap<GroupPartition, SourceCommit> {
        let has =
            |tp: &TopicPartition, offset: SourceOffset| held(tp).is_some_and(|h| h >= offset.mirrored());
        let mut passed = BTreeMap::new();
        // From the newest: what has passed there makes older readings of the same offset void.
        for reading in self.waiting.iter_mut().rev() {
            reading.offsets.retain(|place, _| !passed.contains_key(place));
            reading.awaited.retain(|tp, end| !has(tp, *end));
            if !reading.awaited.is_empty() {
                continue;
            }
            // An offset beyond what is copied waits too, whatever the barrier (M32).
            let ready: Vec<_> = reading
                .offsets
                .iter()
                .filter(|(place, commit)| has(&place.tp, commit.offset))
                .map(|(place, _)| place.clone())
                .collect();
            for place in ready {
                if let Some(commit) = reading.offsets.remove(&place) {
                    passed.insert(place, commit);
                }
            }
        }
        self.waiting.retain(|reading| !reading.offsets.is_empty());
        passed
    }

    /// What the standby has to hold before anything more can pass: partitions to ask about.
    pub fn awaited(&self) -> BTreeSet<&TopicPartition> {
        let barriers = self.waiting.iter().flat_map(|reading| reading.awaited.keys());
        let own = self.waiting.iter().flat_map(|reading| reading.offsets.keys().map(|place| &place.tp));
        barriers.chain(own).collect()
    }

    /// Partitions that the oldest reading waits for.
    pub fn oldest_awaited(&self) -> impl Iterator<Item = (&TopicPartition, SourceOffset)> {
        self.waiting.front().into_iter().flat_map(|reading| &reading.awaited).map(|(tp, end)| (tp, *end))
    }

    /// Since when the oldest one waits.
    pub fn oldest(&self) -> Option<Millis> {
        self.waiting.front().map(|reading| reading.at)
    }

    pub fn is_waiting(&self, place: &GroupPartition) -> bool {
        self.waiting.iter().any(|reading| reading.offsets.contains_key(place))
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The offset is gone at the source.
    pub fn forget(&mut self, place: &GroupPartition) {
        for reading in &mut self.waiting {
            reading.offsets.remove(place);
        }
    }

    /// Two neighbours become one with the later ends and the later offsets: everything waits longer, nothing passes
    /// earlier.
    fn merge_closest(&mut self) {
        let gap = |i: &usize| self.waiting[i + 1].at.since(self.waiting[*i].at);
        // Of equals the newest; and a merged one keeps its first moment, so that all are merged in turn and the oldest
        // does not recede for ever.
        let Some(first) = (0..self.waiting.len().saturating_sub(1)).rev().min_by_key(gap) else { return };
        let Some(earlier) = self.waiting.remove(first) else { return };
        let later = &mut self.waiting[first];
        later.at = earlier.at;
        for (tp, end) in earlier.awaited {
            let known = later.awaited.entry(tp).or_insert(end);
            *known = (*known).max(end);
        }
        for (place, commit) in earlier.offsets {
            later.offsets.entry(place).or_insert(commit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tp(partition: i32) -> TopicPartition {
        TopicPartition::new("t", partition)
    }

    fn place(partition: i32) -> GroupPartition {
        GroupPartition { group: "g".into(), tp: tp(partition) }
    }

    fn commit(offset: i64) -> SourceCommit {
        SourceCommit { offset: SourceOffset(offset), metadata: "".into() }
    }

    fn ends(all: &[i64]) -> Vec<(TopicPartition, SourceOffset)> {
        all.iter().zip(0..).map(|(end, n)| (tp(n), SourceOffset(*end))).collect()
    }

    fn pass(readings: &mut Readings, held: &[i64]) -> Vec<i64> {
        let held = held.to_vec();
        let at = move |tp: &TopicPartition| held.get(tp.partition as usize).map(|h| DestOffset(*h));
        readings.pass(at).into_values().map(|commit| commit.offset.0).collect()
    }

    #[test]
    fn m31_an_offset_waits_for_every_partition_of_the_link() {
        let mut readings = Readings::new(Barrier::Link);
        readings.read(Millis(1), [(place(0), commit(5))], ends(&[7, 9]));
        assert!(pass(&mut readings, &[7, 8]).is_empty(), "partition 1 misses its last record");
        assert_eq!(readings.oldest_awaited().map(|(tp, _)| tp.partition).collect::<Vec<_>>(), [1]);
        assert_eq!(pass(&mut readings, &[7, 9]), [5]);
        assert!(readings.is_empty());
    }

    #[test]
    fn m31_without_the_barrier_only_its_own_partition_counts() {
        let mut readings = Readings::new(Barrier::None);
        readings.read(Millis(1), [(place(0), commit(5))], ends(&[7, 9]));
        assert!(pass(&mut readings, &[4, 0]).is_empty());
        assert_eq!(pass(&mut readings, &[5, 0]), [5]);
    }

    #[test]
    fn m32_an_offset_beyond_the_source_s_own_end_waits() {
        let mut readings = Readings::new(Barrier::Link);
        readings.read(Millis(1), [(place(0), commit(50))], ends(&[7]));
        assert!(pass(&mut readings, &[7]).is_empty());
        assert_eq!(pass(&mut readings, &[50]), [50]);
    }

    #[test]
    fn an_older_reading_never_replaces_a_newer_one() {
        let mut readings = Readings::new(Barrier::Link);
        readings.read(Millis(1), [(place(0), commit(50))], ends(&[7]));
        readings.read(Millis(2), [(place(0), commit(3))], ends(&[7]));
        assert_eq!(pass(&mut readings, &[7]), [3], "the group was reset");
        assert!(pass(&mut readings, &[60]).is_empty(), "what it was before is void");
    }

    #[test]
    fn steady_change_with_a_steady_lag_goes_on_passing() {
        let mut readings = Readings::new(Barrier::Link);
        let mut passed = Vec::new();
        for step in 0..400i64 {
            let at = Millis(step.unsigned_abs() * 250);
            readings.read(at, [(place(0), commit(step))], ends(&[step, step]));
            let held = (step - 100).max(0);
            passed.extend(pass(&mut readings, &[held, held]));
            assert!(readings.waiting.len() <= READINGS_MAX);
        }
        assert!(passed.len() > 50 && passed.is_sorted(), "{passed:?}");
    }

    proptest! {
        /// M31: whatever is merged, an offset passes only when the standby holds all that the source held at its reading,
        /// and the record before it.
        #[test]
        fn an_offset_never_gets_ahead_of_the_barrier(
            steps in prop::collection::vec((0i64..5, 0i64..5, 0i64..5, 0i64..5, any::<bool>(), 1u64..9), 1..300),
            link in any::<bool>(),
        ) {
            let barrier = if link { Barrier::Link } else { Barrier::None };
            let mut readings = Readings::new(barrier);
            let (mut end, mut held, mut group, mut now) = ([0i64; 2], [0i64; 2], 0, 0);
            // What the ends were when each offset was read first.
            let mut read_at: Vec<(i64, [i64; 2])> = Vec::new();
            let mut last = -1;
            for (a, b, c, d, samples, dt) in steps {
                now += dt;
                end = [end[0] + a, end[1] + b];
                held = [(held[0] + c).min(end[0]), (held[1] + d).min(end[1])];
                if samples {
                    group = (group + a).min(end[0]);
                    if read_at.last().is_none_or(|(offset, _)| *offset != group) {
                        read_at.push((group, end));
                        readings.read(Millis(now), [(place(0), commit(group))], ends(&end));
                    }
                }
                for offset in pass(&mut readings, &held) {
                    let (_, then) = *read_at.iter().find(|(o, _)| *o == offset).unwrap();
                    prop_assert!(offset <= held[0]);
                    prop_assert!(offset > last, "never back to an older reading");
                    last = offset;
                    if link {
                        prop_assert!(then[0] <= held[0] && then[1] <= held[1], "{then:?} {held:?}");
                    }
                }
            }
            // In the end everything is held, and so the newest reading has passed.
            let done = pass(&mut readings, &end);
            let newest = read_at.last().map_or(-1, |(offset, _)| *offset);
            prop_assert_eq!(done.last().copied().unwrap_or(last), newest);
            prop_assert!(readings.is_empty());
        }
    }
}
