//! Whose records a destination topic holds, told by the producer in each partition's last batch, and who the link
//! was when the destination has forgotten its transactional id (M2): never a new producer beside old data.

use crate::ids::ProducerIdentity;
use crate::plan::topics::DataOwner;

/// The header of a partition's last batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastWriter {
    pub partition: i32,
    /// Of the batch's first record.
    pub offset: i64,
    /// Id −1: a producer without one.
    pub producer: ProducerIdentity,
}

/// Whether the link wrote what stands there. One foreign partition makes the topic foreign.
pub fn data_owner(writers: &[LastWriter], ours: Option<ProducerIdentity>) -> DataOwner {
    let foreign = writers.iter().find(|writer| ours.is_none_or(|ours| ours.id != writer.producer.id));
    match foreign {
        Some(LastWriter { partition, offset, producer }) => {
            DataOwner::Foreign { partition: *partition, offset: *offset, producer_id: producer.id }
        }
        None if writers.is_empty() => DataOwner::Nobody,
        None => DataOwner::ThisLink,
    }
}

/// The one producer that wrote all of these standby topics, under its highest epoch; `None` if there is none, or
/// more than one. What it wrote is compared with the source when its partitions are opened (M8, step 5).
pub fn recover<'a>(writers: impl Iterator<Item = &'a LastWriter>) -> Option<ProducerIdentity> {
    let mut found: Option<ProducerIdentity> = None;
    for LastWriter { producer, .. } in writers {
        match &mut found {
            _ if producer.id < 0 => return None,
            None => found = Some(*producer),
            Some(seen) if seen.id != producer.id => return None,
            Some(seen) => seen.epoch = seen.epoch.max(producer.epoch),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(partition: i32, id: i64, epoch: i16) -> LastWriter {
        LastWriter { partition, offset: 10, producer: ProducerIdentity { id, epoch } }
    }

    #[test]
    fn one_foreign_partition_makes_a_topic_foreign() {
        let ours = Some(ProducerIdentity { id: 7, epoch: 0 });
        assert_eq!(data_owner(&[], ours), DataOwner::Nobody);
        assert_eq!(data_owner(&[writer(0, 7, 0), writer(1, 7, 3)], ours), DataOwner::ThisLink);
        let foreign = DataOwner::Foreign { partition: 1, offset: 10, producer_id: -1 };
        assert_eq!(data_owner(&[writer(0, 7, 0), writer(1, -1, -1)], ours), foreign);
        assert!(matches!(data_owner(&[writer(0, 7, 0)], None), DataOwner::Foreign { .. }));
    }

    #[test]
    fn an_identity_is_recovered_only_from_one_voice() {
        let all = [writer(0, 7, 1), writer(1, 7, 2), writer(2, 7, 0)];
        assert_eq!(recover(all.iter()), Some(ProducerIdentity { id: 7, epoch: 2 }));
        assert_eq!(recover([].iter()), None);
        assert_eq!(recover([writer(0, 7, 1), writer(1, 8, 1)].iter()), None, "two producers");
        assert_eq!(recover([writer(0, 7, 1), writer(1, -1, -1)].iter()), None, "a producer without id");
    }
}
