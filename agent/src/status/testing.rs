//! Reports to show: a link with one topic that copies, as tests of status and metrics need it.

use std::sync::Arc;

use lockstep_core::dr::denied::{Cause, Denied, Permission, Side};
use lockstep_core::dr::estimate::Amount;
use lockstep_core::dr::posture::{Role, WriteProtection};
use lockstep_core::dr::runway::Waiting;
use lockstep_core::dr::total::Figures;
use lockstep_core::ids::{DestOffset, SourceOffset, TopicPartition};
use lockstep_core::mirror::partition::Phase;
use lockstep_core::mirror::{Millis, Now, WallMillis};

use super::About;
use crate::pipeline::report::{LinkReport, PartitionReport};

pub(crate) const NOW: Now = Now { mono: Millis(100_000), wall: WallMillis(1_700_000_000_000) };

pub(crate) fn about() -> About {
    About {
        link: "claims".to_owned(),
        from: "core-mi".to_owned(),
        to: "core-pr".to_owned(),
        rpo_ms: 5_000,
        role: Role::Standby,
        write_protection: WriteProtection::NotLooked,
        groups: None,
        drift: None,
    }
}

pub(crate) fn figures(records: u64, milliseconds: u64, source_age_ms: u64) -> Figures {
    let seen = Amount { records, bytes: Some(records * 100), milliseconds };
    let estimated =
        Amount { records: records + 20, bytes: None, milliseconds: milliseconds.max(source_age_ms) };
    Figures {
        seen: Some(seen),
        held_back_records: 0,
        estimated: Some(estimated),
        source_age_ms: Some(source_age_ms),
        dest_age_ms: Some(100),
    }
}

pub(crate) fn partition(topic: &str, partition: i32, figures: Figures) -> PartitionReport {
    PartitionReport {
        tp: TopicPartition::new(topic, partition),
        dest_topic: Arc::from(topic),
        phase: Phase::Copying,
        source_end: Some(SourceOffset(50)),
        source_last_stable: Some(SourceOffset(50)),
        durable: Some(DestOffset(9)),
        figures,
        denied: Vec::new(),
        waiting: Waiting::default(),
        retention: None,
        behind_since: None,
        held_as_of: Some(NOW.mono),
        copied_at: Some(Millis(99_000)),
        held_back: None,
        aligning: None,
        lost: Vec::new(),
        hanging: None,
        tombstones_at_risk: false,
        delete_refused: None,
        trouble: None,
    }
}

pub(crate) fn report(partitions: Vec<PartitionReport>) -> LinkReport {
    LinkReport { at: Some(NOW), copied_records: 7, copied_bytes: 700, partitions, ..LinkReport::default() }
}

pub(crate) fn denied() -> Arc<Denied> {
    let permission = Permission {
        principal: "User:dr".to_owned(),
        operation: "Read",
        resource: "Topic orders".to_owned(),
        grant: "kafka-acls --add".to_owned(),
    };
    let code = lockstep_core::code::Code::PermissionMissing;
    Arc::new(Denied { side: Side::Source, code, cause: Cause::Permission(permission) })
}
