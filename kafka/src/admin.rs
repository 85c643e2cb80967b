//! Everything but fetch and produce: one file per API, typed questions, typed answers.
//! Promises: answers come in the order asked, one for each item, or the call fails as a whole; a code that concerns one
//! item stays with that item. Questions a leader must answer take its connection; the others route themselves.
//! Never retries what could have been done already, except where the API makes a repeat harmless.

mod acls;
mod configs;
mod create_partitions;
mod create_topics;
mod delete_groups;
mod delete_records;
mod delete_topics;
mod describe_log_dirs;
mod describe_producers;
mod describe_transactions;
mod empty_transaction;
mod filler_transactions;
mod find_coordinator;
mod init_producer_id;
mod list_groups;
mod list_offsets;
mod list_transactions;
mod offset_commit;
mod offset_delete;
mod offset_fetch;
mod offset_for_leader_epoch;
mod partitions;
mod patience;
mod rights;
mod rights_on_absent;
mod write_txn_markers;

pub use acls::{create_acls, delete_acls, describe_acls};
pub use configs::{
    ConfigEntry, ConfigSource, ConfigTarget, TopicChanges, TopicConfigs, alter_topic_configs,
    ask_topic_configs, describe_configs, describe_topic_configs, incremental_alter_configs,
};
pub use create_partitions::create_partitions;
pub use create_topics::{NewTopic, create_topics};
pub use delete_groups::delete_groups;
pub use delete_records::delete_records;
pub use delete_topics::delete_topics;
pub use describe_log_dirs::describe_log_dirs;
pub use describe_producers::{
    PendingProducers, ProducerState, describe_producers, submit_describe_producers,
};
pub use describe_transactions::{TransactionPhase, TransactionState, describe_transactions};
pub use empty_transaction::run_empty_transaction;
pub use filler_transactions::{Filled, FillerTransactions};
pub use find_coordinator::{CoordinatorKind, find_coordinator, find_coordinators};
pub use init_producer_id::init_producer_id;
pub use list_groups::{ListedGroup, list_groups};
pub use list_offsets::{At, list_offsets};
pub use list_transactions::{
    ListedTransaction, list_open_transactions, list_transactional_ids, list_transactions,
    list_transactions_of,
};
pub use offset_commit::{PendingCommit, submit_offset_commit};
pub use offset_delete::offset_delete;
pub use offset_fetch::{Committed, GroupOffsets, Unstable, offset_fetch};
pub use offset_for_leader_epoch::{
    EpochEnd, EpochQuestion, PendingEnds, offset_for_leader_epoch, submit_offset_for_leader_epoch,
};
pub use rights::{
    learn_cluster_configs, learn_create_and_alter_configs, learn_describe_configs, learn_group_read,
    learn_groups_describe, learn_masks, learn_transactional_id,
};
pub use rights_on_absent::{learn_on_absent, learn_read_on_absent};
pub use write_txn_markers::{MarkerEntry, MarkerKind, PendingMarkers, submit_write_txn_markers};

use std::time::Duration;

use kafka_protocol::protocol::StrBytes;
use lockstep_core::ids::TopicPartition;

use crate::code::ErrorCode;

/// One answer for each partition asked about, in the order asked.
pub type PerPartition<T> = Vec<(TopicPartition, Result<T, ErrorCode>)>;

/// One answer for each name asked about, in the order asked; a refusal has its code and the broker's words.
pub type PerName<T> = Vec<(String, Result<T, (ErrorCode, String)>)>;

/// Beyond the broker's own deadline: what an answer may take on its way.
const ANSWER_GRACE: Duration = Duration::from_secs(5);

/// The broker's words with a code; where it has none, the code's name.
fn words(code: ErrorCode, message: Option<&StrBytes>) -> String {
    match message {
        Some(text) if !text.is_empty() => text.to_string(),
        _ => code.name(),
    }
}

/// A duration as the protocol takes it, in whole milliseconds.
fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX)
}
