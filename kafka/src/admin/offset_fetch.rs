//! OffsetFetch: every committed offset of groups, read from their coordinator. Many groups in one request where the
//! broker takes that (Kafka 3.0, KIP-709), else one request each, all on their way at once.
//! Topics without DESCRIBE are left out by the broker, in silence.

use std::collections::HashMap;

use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{OffsetFetchRequest, OffsetFetchResponse};
use lockstep_core::ids::{LeaderEpoch, TopicPartition};

use crate::code::ErrorCode;
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// A committed offset: the next record to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    pub offset: i64,
    /// Of the record before it, in the cluster that it was committed to; −1: not known (KIP-320).
    pub leader_epoch: LeaderEpoch,
    /// The committer's own words; empty for none.
    pub metadata: String,
}

/// What is answered where a transaction with offsets of the partition is under way (KIP-447).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unstable {
    /// The offset that was committed before it.
    Before,
    /// The partition is refused (88) until the transaction has ended. From Kafka 2.5; below as [`Self::Before`].
    Refused,
}

/// Groups in the order asked, each with the partitions it has an offset for, or the code for the group as a whole.
pub type GroupOffsets = Vec<(String, Result<Vec<(TopicPartition, Result<Committed, ErrorCode>)>, ErrorCode>)>;

/// From this version on, groups come in lists.
const FIRST_WITH_LISTS: i16 = 8;

/// All committed offsets of groups that this broker coordinates. A group that does not exist has none.
///
/// # Errors
/// Per group or partition its code (14, 16, 30, 88); else whatever a connection can meet.
pub async fn offset_fetch(
    connection: &Connection,
    groups: &[&str],
    unstable: Unstable,
) -> Result<GroupOffsets, Error> {
    let version = connection.version(Api::OffsetFetch)?;
    match version >= FIRST_WITH_LISTS {
        true => together(connection, version, groups, unstable).await,
        false => one_by_one(connection, version, groups, unstable).await,
    }
}

async fn together(
    connection: &Connection,
    version: i16,
    groups: &[&str],
    unstable: Unstable,
) -> Result<GroupOffsets, Error> {
    let api = Api::OffsetFetch;
    let asked = groups.iter().map(|group| {
        // `None` means all topics; the library's default, an empty list, would mean none.
        OffsetFetchRequestGroup::default().with_group_id(wire_text(group).into()).with_topics(None)
    });
    let request = OffsetFetchRequest::default()
        .with_groups(asked.collect())
        .with_require_stable(unstable == Unstable::Refused);
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    let mut found: HashMap<String, _> =
        answer.groups.into_iter().map(|found| (found.group_id.to_string(), found)).collect();
    let result = |group: &&str| {
        let found = found.remove(*group);
        let found =
            found.ok_or_else(|| connection.protocol(api, format!("the answer leaves out {group}")))?;
        let topics = found.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter();
            let partitions = partitions.map(|p| {
                (p.partition_index, p.committed_offset, p.committed_leader_epoch, &p.metadata, p.error_code)
            });
            read(&topic.name, partitions)
        });
        let offsets =
            ErrorCode::from_wire(found.error_code).map_or_else(|| Ok(topics.flatten().collect()), Err);
        Ok(((*group).to_owned(), offsets))
    };
    groups.iter().map(result).collect()
}

async fn one_by_one(
    connection: &Connection,
    version: i16,
    groups: &[&str],
    unstable: Unstable,
) -> Result<GroupOffsets, Error> {
    let api = Api::OffsetFetch;
    let mut pending = Vec::with_capacity(groups.len());
    for group in groups {
        let request = OffsetFetchRequest::default()
            .with_group_id(wire_text(group).into())
            .with_topics(None)
            .with_require_stable(version >= 7 && unstable == Unstable::Refused);
        let body = connection.encode(api, version, &request)?;
        pending.push(connection.submit(api, version, vec![body], connection.request_timeout()).await?);
    }
    let mut all = Vec::with_capacity(groups.len());
    for (group, pending) in groups.iter().zip(pending) {
        let answer: OffsetFetchResponse = pending.decoded().await?;
        let topics = answer.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter();
            let partitions = partitions.map(|p| {
                (p.partition_index, p.committed_offset, p.committed_leader_epoch, &p.metadata, p.error_code)
            });
            read(&topic.name, partitions)
        });
        let offsets =
            ErrorCode::from_wire(answer.error_code).map_or_else(|| Ok(topics.flatten().collect()), Err);
        all.push(((*group).to_owned(), offsets));
    }
    Ok(all)
}

type Wire<'a> = (i32, i64, i32, &'a Option<kafka_protocol::protocol::StrBytes>, i16);

/// Partitions without a committed offset (−1) are left out.
fn read<'a>(
    topic: &str,
    partitions: impl Iterator<Item = Wire<'a>>,
) -> Vec<(TopicPartition, Result<Committed, ErrorCode>)> {
    let topic: std::sync::Arc<str> = topic.into();
    let one = |(partition, offset, leader_epoch, metadata, error_code): Wire<'a>| {
        let tp = TopicPartition::new(std::sync::Arc::clone(&topic), partition);
        match ErrorCode::from_wire(error_code) {
            Some(code) => Some((tp, Err(code))),
            None if offset < 0 => None,
            None => {
                let metadata = metadata.as_ref().map_or_else(String::new, |text| text.to_string());
                Some((tp, Ok(Committed { offset, leader_epoch: LeaderEpoch(leader_epoch), metadata })))
            }
        }
    };
    partitions.filter_map(one).collect()
}
