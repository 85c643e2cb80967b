//! The way back: the former primary becomes a standby that holds exactly what was agreed at the cut.
//! Promises: a log that ends anywhere else than at its cut is a tail, and refused; denials of ordinary principals stay as
//! the new standby's protection (M23); the topic fence goes, because it would stop the mirror too (M25).

use std::collections::{BTreeMap, BTreeSet};

use lockstep_core::dr::passport::{CutRecord, LinkRecord, Passport, Role};
use lockstep_core::ids::TopicPartition;

use super::acls;
use super::evidence::AclReport;
use super::fault::DriverError;
use super::logs;
use super::site::Site;
use super::topics::lift;

/// Both sides, as the link ran before the promotion.
pub(super) struct Reversal<'a> {
    pub(super) former: &'a Site,
    pub(super) promoted: &'a Site,
}

impl Reversal<'_> {
    /// The generation, and what protects the new standby.
    pub(super) async fn run(&self) -> Result<(u64, AclReport), DriverError> {
        let (former, promoted) = (self.former.passport().await?, self.promoted.passport().await?);
        let generation = promoted.generation();
        if promoted.role() != Some(Role::Primary) {
            return Err(DriverError::WrongRole {
                what: "the way back",
                side: "promoted side",
                role: promoted.role(),
                generation,
                remedy: "\n  remedy  open it first",
            });
        }
        let cuts = cuts(&promoted, generation);
        let topics: BTreeSet<_> = cuts.keys().map(|tp| tp.topic.to_string()).collect();
        let partitions: Vec<_> = cuts.keys().cloned().collect();
        let is_done = former.role() == Some(Role::Standby) && former.generation() == generation;
        if !is_done {
            self.ends_at_the_cuts(&cuts, &partitions).await?;
            self.former.note_cuts(cuts.iter().map(|(tp, record)| (tp, *record))).await?;
            let peer = self.promoted.cluster.cluster_id();
            let record = LinkRecord { generation, role: Role::Standby, peer, was: None };
            self.former.note_link(record).await?;
        }
        // Denials before the topic fence goes: there is no moment in which clients could write.
        let protection = acls::hold(self.former, &topics, generation).await?;
        lift(self.former, &partitions).await?;
        Ok((generation, protection))
    }

    async fn ends_at_the_cuts(
        &self,
        cuts: &BTreeMap<TopicPartition, CutRecord>,
        partitions: &[TopicPartition],
    ) -> Result<(), DriverError> {
        let held = logs::read(&self.former.cluster, partitions).await?;
        for (tp, record) in cuts {
            let end = held.get(tp).map_or(-1, |log| log.end);
            if end != record.cut {
                return Err(DriverError::Tail { tp: tp.clone(), cut: record.cut, end });
            }
        }
        Ok(())
    }
}

fn cuts(promoted: &Passport, generation: u64) -> BTreeMap<TopicPartition, CutRecord> {
    let cuts = promoted.cuts.iter().filter(|(_, record)| record.generation == generation);
    cuts.map(|(tp, record)| (tp.clone(), *record)).collect()
}
