//! Promotion (M26): the epoch is raised by compare-and-swap, then one marker with the higher epoch is written to every
//! partition, so that its broker refuses data and markers of the old direction; then the topics get their real settings.
//! Promises: cuts and the epoch to be refused are in the passport before the first marker; a repeat finishes what was
//! begun and writes no second marker. A cluster that has forgotten the link's transactional id cannot swap: the markers
//! alone refuse the old epoch there, and the link gets a new producer for the way forward.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use lockstep_core::dr::passport::{
    CutRecord, KnownBy, LinkRecord, Passport, Role, Standing, Writer, standing,
};
use lockstep_core::dr::settings::promoted_settings;
use lockstep_core::ids::{ProducerIdentity, TopicPartition};
use lockstep_core::mirror::markers::COORDINATOR_EPOCH_JUMP;
use lockstep_core::plan::owners::TopicSettingsPolicy;
use lockstep_core::spec::rename::Rename;
use lockstep_kafka::admin::{
    MarkerEntry, MarkerKind, ProducerState, incremental_alter_configs, init_producer_id,
    submit_write_txn_markers,
};
use lockstep_kafka::{Class, ErrorCode};
use tokio::time::{Instant, sleep};

use super::evidence::{Promoted, Settled};
use super::fault::DriverError;
use super::logs::{self, Logs, Look, PATIENCE, PAUSE, by_leader};
use super::site::Site;
use super::topics::overrides;
use crate::link::identity::{LinkIdentity, create, look_up, transactional_id};
use crate::pipeline::tail::Inherited;

/// Of the link's own transactional id, whose transactions are empty.
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
const MARKER_TIMEOUT: Duration = Duration::from_secs(30);

/// Both sides of the link, as it runs before the promotion.
pub(super) struct Promotion<'a> {
    pub(super) primary: &'a Site,
    pub(super) standby: &'a Site,
    pub(super) rename: &'a Rename,
    pub(super) policy: &'a TopicSettingsPolicy,
    pub(super) settled: &'a Settled,
}

impl Promotion<'_> {
    pub(super) async fn run(&self) -> Result<Promoted, DriverError> {
        let (there, here) = (self.primary.passport().await?, self.standby.passport().await?);
        match here.role() {
            None | Some(Role::Standby) => {
                let generation = there.generation().max(here.generation()) + 1;
                let was = self.begin(&there, &here, generation).await?;
                self.finish(generation, was).await
            }
            Some(Role::Promoting) => {
                let was = here.link.as_ref().and_then(|link| link.was);
                let Some(was) = was else { return Err(wrong_role("promoting", &here)) };
                self.finish(here.generation(), was).await
            }
            Some(Role::Promoted | Role::Primary) => {
                let was = here.link.as_ref().and_then(|link| link.was);
                let Some(was) = was else { return Err(wrong_role("promoting", &here)) };
                Ok(promoted(here.generation(), was, &cuts_of(&here)))
            }
        }
    }

    /// What is settled, by the standby's names.
    fn wanted(&self) -> BTreeMap<TopicPartition, i64> {
        let renamed = self.settled.ends.iter().map(|(tp, end)| {
            (TopicPartition::new(self.rename.dest_name(&tp.topic).as_ref(), tp.partition), *end)
        });
        renamed.collect()
    }

    /// Everything that must be so, and what must be known before the first act.
    async fn begin(&self, there: &Passport, here: &Passport, generation: u64) -> Result<Writer, DriverError> {
        let inherited = match standing(Some(there), here) {
            Ok(Standing::Fresh) => Inherited::new(),
            Ok(Standing::FormerPrimary { inherited, .. }) => inherited,
            Err(_) => return Err(wrong_role("promoting", here)),
        };
        let source: Vec<_> = self.settled.ends.keys().cloned().collect();
        let now = logs::read(&self.primary.cluster, &source).await?;
        for (tp, before) in &self.settled.ends {
            if let Some(log) = now.get(tp)
                && log.end != *before
            {
                return Err(DriverError::EndsMove { tp: tp.clone(), before: *before, now: log.end });
            }
        }
        let wanted = self.wanted();
        self.holds_everything(&wanted).await?;
        let topics: BTreeSet<_> = wanted.keys().map(|tp| tp.topic.to_string()).collect();
        let known = topics.iter().map(String::as_str);
        let found = look_up(&self.standby.cluster, &self.standby.link, known, &inherited).await?;
        let identity = match found {
            Some(identity) => identity,
            // A link that has never written: there is nothing to refuse but what may come.
            None => create(&self.standby.cluster, &self.standby.link).await?,
        };
        let ProducerIdentity { id, epoch } = identity.producer();
        let known_by = match identity {
            LinkIdentity::Registered(_) => KnownBy::TransactionalId,
            LinkIdentity::Recovered(_) => KnownBy::Log,
        };
        let was = Writer { producer_id: id, epoch, known_by };
        // M27: before the act, cuts first: who finds `promoting` finds them, too.
        let cut = |end: i64| CutRecord { generation, cut: end, floor: end };
        self.standby.note_cuts(wanted.iter().map(|(tp, end)| (tp, cut(*end)))).await?;
        let peer = self.primary.cluster.cluster_id();
        let record = LinkRecord { generation, role: Role::Promoting, peer, was: Some(was) };
        self.standby.note_link(record).await?;
        Ok(was)
    }

    async fn holds_everything(&self, wanted: &BTreeMap<TopicPartition, i64>) -> Result<(), DriverError> {
        let names: Vec<_> = wanted.keys().cloned().collect();
        let held = logs::read(&self.standby.cluster, &names).await?;
        for (tp, end) in wanted {
            let log = held.get(tp).ok_or_else(|| DriverError::Unsettled { tp: tp.clone() })?;
            if log.end != *end || log.high_watermark != *end {
                let held = log.end.min(log.high_watermark);
                return Err(DriverError::NotDrained { tp: tp.clone(), end: *end, held });
            }
        }
        Ok(())
    }

    async fn finish(&self, generation: u64, was: Writer) -> Result<Promoted, DriverError> {
        let here = self.standby.passport().await?;
        let cuts: BTreeMap<_, _> = here
            .cuts
            .iter()
            .filter(|(_, record)| record.generation == generation)
            .map(|(tp, record)| (tp.clone(), record.cut))
            .collect();
        self.raise_epoch(was).await?;
        let refusing = ProducerIdentity { id: was.producer_id, epoch: was.epoch.saturating_add(1) };
        self.write_markers(refusing, &cuts).await?;
        self.put_settings_right(&cuts).await?;
        let peer = self.primary.cluster.cluster_id();
        let record = LinkRecord { generation, role: Role::Promoted, peer, was: Some(was) };
        self.standby.note_link(record).await?;
        tracing::info!(link = self.standby.link, generation, "promoted: {} is refused", was.identity());
        Ok(promoted(generation, was, &cuts))
    }

    /// M26: by compare-and-swap, whose repeat answers the same. Where the transactional id is forgotten there is nothing
    /// to compare with: a new producer is registered, which nobody has written as yet.
    async fn raise_epoch(&self, was: Writer) -> Result<(), DriverError> {
        let (cluster, link) = (&self.standby.cluster, &self.standby.link);
        let id = transactional_id(link);
        match was.known_by {
            KnownBy::Log => {
                create(cluster, link).await?;
                Ok(())
            }
            KnownBy::TransactionalId => {
                match init_producer_id(cluster, &id, Some(was.identity()), TRANSACTION_TIMEOUT).await {
                    Ok(_) => Ok(()),
                    Err(error)
                        if [ErrorCode::PRODUCER_FENCED, ErrorCode::INVALID_PRODUCER_EPOCH]
                            .map(Some)
                            .contains(&error.code()) =>
                    {
                        Err(DriverError::Contested { was: was.identity() })
                    }
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    /// One marker per partition that has none yet; then every end has to be right behind it.
    async fn write_markers(
        &self,
        refusing: ProducerIdentity,
        cuts: &BTreeMap<TopicPartition, i64>,
    ) -> Result<(), DriverError> {
        let names: Vec<_> = cuts.keys().cloned().collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let logs = logs::read(&self.standby.cluster, &names).await?;
            let left: Vec<_> = names.iter().filter(|tp| !is_marked(&logs, tp, refusing)).cloned().collect();
            for (tp, cut) in cuts {
                let Some(log) = logs.get(tp) else { continue };
                let expected = if left.contains(tp) { *cut } else { *cut + 1 };
                if log.end != expected {
                    return Err(DriverError::MarkerMisplaced { tp: tp.clone(), cut: *cut, end: log.end });
                }
            }
            if left.is_empty() {
                return Ok(());
            }
            let outcome = self.mark(refusing, &left, &logs).await;
            match outcome {
                Ok(()) => {}
                Err(Look::Final(error)) => return Err(error),
                Err(Look::Again(why)) if Instant::now() >= deadline => {
                    let seconds = PATIENCE.as_secs();
                    return Err(DriverError::Unconfirmed { what: "the promotion's markers", seconds, why });
                }
                Err(Look::Again(_)) => {
                    sleep(PAUSE).await;
                    self.standby.cluster.refresh().await?;
                }
            }
        }
    }

    async fn mark(
        &self,
        refusing: ProducerIdentity,
        left: &[TopicPartition],
        logs: &Logs,
    ) -> Result<(), Look> {
        for (node, group) in by_leader(&self.standby.cluster, left).map_err(Look::Again)? {
            let partitions: Vec<_> = group.into_iter().map(|(tp, _)| tp).collect();
            let last = partitions.iter().filter_map(|tp| entry(logs, tp, refusing.id));
            let last = last.map(|producer| producer.coordinator_epoch).max().unwrap_or(-1);
            // M13: above everything that the old direction may have on its way.
            let coordinator_epoch = last.saturating_add(COORDINATOR_EPOCH_JUMP);
            let entries = [MarkerEntry { coordinator_epoch, partitions }];
            let connection = self.standby.cluster.connection(node).await?;
            let sent =
                submit_write_txn_markers(&connection, refusing, MarkerKind::Abort, &entries, MARKER_TIMEOUT);
            for (tp, answer) in sent.await?.answer().await? {
                match answer {
                    Ok(()) => {}
                    Err(code) if code.class() == Class::Fatal => {
                        let (what, about) = ("writing the promotion's marker to", tp.to_string());
                        return Err(Look::Final(DriverError::Refused { what, about, code }));
                    }
                    Err(code) => return Err(Look::Again(format!("{tp}: {code}"))),
                }
            }
        }
        Ok(())
    }

    /// The values are the source's as they are now, less what the fence has changed there.
    async fn put_settings_right(&self, cuts: &BTreeMap<TopicPartition, i64>) -> Result<(), DriverError> {
        let noted = self.primary.passport().await?.changes.settings;
        let sources: BTreeSet<_> = self.settled.ends.keys().map(|tp| tp.topic.to_string()).collect();
        let theirs = overrides(self.primary, &sources).await?;
        let promoted: BTreeSet<_> = cuts.keys().map(|tp| tp.topic.to_string()).collect();
        let ours = overrides(self.standby, &promoted).await?;
        let none = BTreeMap::new();
        for (source, values) in &theirs {
            let name = self.rename.dest_name(source);
            let Some(standing) = ours.get(name.as_ref()) else { continue };
            let changes =
                promoted_settings(values, noted.get(source).unwrap_or(&none), standing, self.policy);
            if changes.is_empty() {
                continue;
            }
            let changes: Vec<_> =
                changes.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            incremental_alter_configs(&self.standby.cluster, &name, &changes).await?;
        }
        Ok(())
    }
}

fn entry<'a>(logs: &'a Logs, tp: &TopicPartition, id: i64) -> Option<&'a ProducerState> {
    logs.get(tp)?.producers.iter().find(|producer| producer.producer_id == id)
}

fn is_marked(logs: &Logs, tp: &TopicPartition, refusing: ProducerIdentity) -> bool {
    entry(logs, tp, refusing.id).is_some_and(|producer| producer.epoch >= refusing.epoch)
}

fn cuts_of(here: &Passport) -> BTreeMap<TopicPartition, i64> {
    let generation = here.generation();
    let cuts = here.cuts.iter().filter(|(_, record)| record.generation == generation);
    cuts.map(|(tp, record)| (tp.clone(), record.cut)).collect()
}

fn promoted(generation: u64, was: Writer, cuts: &BTreeMap<TopicPartition, i64>) -> Promoted {
    Promoted { generation, refused: was.identity(), cuts: cuts.clone() }
}

fn wrong_role(what: &'static str, here: &Passport) -> DriverError {
    DriverError::WrongRole {
        what,
        side: "standby",
        role: here.role(),
        generation: here.generation(),
        remedy: "",
    }
}
