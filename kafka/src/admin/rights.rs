//! What we may do, asked without doing it: the brokers' own masks for topics and the cluster (KIP-430), and questions that
//! cannot have an effect for the rest. Any broker can be asked: it looks at rights before it looks for a coordinator,
//! so that no internal topic comes into being. Which right a request needs: `KafkaApis` of Apache Kafka.

use std::time::Duration;

use kafka_protocol::messages::incremental_alter_configs_request::AlterConfigsResource;
use kafka_protocol::messages::metadata_request::MetadataRequestTopic;
use kafka_protocol::messages::{
    DescribeTransactionsRequest, EndTxnRequest, GroupId, HeartbeatRequest, IncrementalAlterConfigsRequest,
    MetadataRequest, ProducerId,
};
use lockstep_core::plan::permissions::{Allowed, Operation, Resource};

use super::{ConfigTarget, NewTopic, Unstable, create_topics, describe_configs, offset_fetch};
use crate::cluster::Cluster;
use crate::code::ErrorCode;
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::{Api, Versions};

/// The versions whose answers have the masks of topics and of the cluster (Kafka 2.3 and newer).
const WITH_MASKS: Versions = Versions::new(8, 10);
/// A mask that was not given.
const NO_MASK: i32 = i32::MIN;
/// Nobody's: a producer id that is never given out, so that ending its transaction ends nothing.
pub(super) const NOBODY: i64 = i64::MAX;
/// A topic's number among the kinds of resources that have settings (`ConfigResource.Type`).
const TOPIC: i8 = 2;
/// For a controller that only validates.
const VALIDATION: Duration = Duration::from_secs(15);
/// Topics in one request.
const TOPICS_MAX: usize = 1_000;

/// Learns what is allowed on the cluster and on topics, whether they exist or not.
///
/// # Errors
/// [`Error::Unsupported`] below Kafka 2.3; else whatever a connection can meet.
pub async fn learn_masks(
    connection: &Connection,
    topics: &[String],
    allowed: &mut Allowed,
) -> Result<(), Error> {
    let api = Api::Metadata;
    let version = connection.version_within(api, WITH_MASKS)?;
    // Without topics the cluster's mask alone is asked for.
    let alone: Option<&[String]> = topics.is_empty().then_some(&[]);
    for chunk in topics.chunks(TOPICS_MAX).chain(alone) {
        let named = |name: &String| MetadataRequestTopic::default().with_name(Some(wire_text(name).into()));
        let request = MetadataRequest::default()
            .with_topics(Some(chunk.iter().map(named).collect()))
            .with_allow_auto_topic_creation(false)
            .with_include_cluster_authorized_operations(true)
            .with_include_topic_authorized_operations(true);
        let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
        match answer.cluster_authorized_operations {
            NO_MASK => {}
            // Whoever may not DESCRIBE the cluster is told nothing of it (`KafkaApis.handleTopicMetadataRequest`).
            0 => {
                allowed.learn(Resource::Cluster, Operation::Describe, false);
                allowed.learn(Resource::Cluster, Operation::Alter, false);
            }
            mask => allowed.learn_mask(&Resource::Cluster, mask.cast_unsigned()),
        }
        for topic in answer.topics {
            let Some(name) = topic.name else { continue };
            let resource = Resource::Topic(name.to_string());
            if topic.topic_authorized_operations != NO_MASK {
                allowed.learn_mask(&resource, topic.topic_authorized_operations.cast_unsigned());
            }
            if ErrorCode::from_wire(topic.error_code) == Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED) {
                // A hidden topic has no mask. Whoever may do one of these may see it too (`AclAuthorizer`, Kafka's rule).
                use Operation::{Alter, Delete, Describe, Read, Write};
                for operation in [Alter, Delete, Describe, Read, Write] {
                    allowed.learn(resource.clone(), operation, false);
                }
            }
        }
    }
    Ok(())
}

/// Learns DESCRIBE_CONFIGS on the cluster, for those who are given no mask of it.
///
/// # Errors
/// Whatever a connection can meet.
pub async fn learn_cluster_configs(cluster: &Cluster, allowed: &mut Allowed) -> Result<(), Error> {
    let Some(node) = cluster.metadata().brokers.keys().next().copied() else { return Ok(()) };
    for (_, answer) in describe_configs(cluster, &[ConfigTarget::Broker(node)]).await? {
        let denied = matches!(answer, Err((ErrorCode::CLUSTER_AUTHORIZATION_FAILED, _)));
        allowed.learn(Resource::Cluster, Operation::DescribeConfigs, !denied);
    }
    Ok(())
}

/// Learns DESCRIBE_CONFIGS on topics that hide, which have no mask.
///
/// # Errors
/// Whatever a connection can meet.
pub async fn learn_describe_configs(
    cluster: &Cluster,
    topics: &[String],
    allowed: &mut Allowed,
) -> Result<(), Error> {
    if topics.is_empty() {
        return Ok(());
    }
    let targets: Vec<_> = topics.iter().cloned().map(ConfigTarget::Topic).collect();
    for (target, answer) in describe_configs(cluster, &targets).await? {
        let ConfigTarget::Topic(name) = target else { continue };
        let denied = matches!(answer, Err((ErrorCode::TOPIC_AUTHORIZATION_FAILED, _)));
        allowed.learn(Resource::Topic(name), Operation::DescribeConfigs, !denied);
    }
    Ok(())
}

/// Learns CREATE and ALTER_CONFIGS on topics that hide: by requests that only validate. Needs Kafka 2.4.
///
/// # Errors
/// Whatever a connection can meet.
pub async fn learn_create_and_alter_configs(
    cluster: &Cluster,
    topics: &[String],
    allowed: &mut Allowed,
) -> Result<(), Error> {
    if topics.is_empty() {
        return Ok(());
    }
    let denied = |code: ErrorCode| code == ErrorCode::TOPIC_AUTHORIZATION_FAILED;
    let new: Vec<_> = topics
        .iter()
        .map(|name| NewTopic {
            name: name.clone(),
            partitions: 1,
            replication_factor: -1,
            configs: Vec::new(),
        })
        .collect();
    for (name, answer) in create_topics(cluster, &new, VALIDATION, true).await? {
        let refused = answer.is_err_and(|(code, _)| denied(code));
        allowed.learn(Resource::Topic(name), Operation::Create, !refused);
    }

    let api = Api::IncrementalAlterConfigs;
    let resource = |name: &String| {
        AlterConfigsResource::default().with_resource_type(TOPIC).with_resource_name(wire_text(name))
    };
    let request = IncrementalAlterConfigsRequest::default()
        .with_resources(topics.iter().map(resource).collect())
        .with_validate_only(true);
    let connection = cluster.any().await?;
    let version = connection.version(api)?;
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    for result in answer.responses {
        let refused = ErrorCode::from_wire(result.error_code).is_some_and(denied);
        let name = result.resource_name.to_string();
        allowed.learn(Resource::Topic(name), Operation::AlterConfigs, !refused);
    }
    Ok(())
}

/// Learns DESCRIBE and WRITE on a transactional id; nobody's transaction is touched.
///
/// # Errors
/// [`Error::Unsupported`] below Kafka 3.0; else whatever a connection can meet.
pub async fn learn_transactional_id(
    connection: &Connection,
    id: &str,
    allowed: &mut Allowed,
) -> Result<(), Error> {
    let denied = Some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED);
    let resource = Resource::TransactionalId(id.to_owned());

    let api = Api::DescribeTransactions;
    let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![wire_text(id).into()]);
    let version = connection.version(api)?;
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    let codes: Vec<_> =
        answer.transaction_states.iter().map(|state| ErrorCode::from_wire(state.error_code)).collect();
    allowed.learn(resource.clone(), Operation::Describe, !codes.contains(&denied));

    let api = Api::EndTxn;
    let request = EndTxnRequest::default()
        .with_transactional_id(wire_text(id).into())
        .with_producer_id(ProducerId(NOBODY))
        .with_producer_epoch(0)
        .with_committed(false);
    let version = connection.version(api)?;
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    allowed.learn(resource, Operation::Write, ErrorCode::from_wire(answer.error_code) != denied);
    Ok(())
}

/// Learns READ on a group by the heartbeat of a member that it does not have.
///
/// # Errors
/// Whatever a connection can meet.
pub async fn learn_group_read(
    connection: &Connection,
    group: &str,
    allowed: &mut Allowed,
) -> Result<(), Error> {
    let api = Api::Heartbeat;
    let version = connection.version(api)?;
    let request = HeartbeatRequest::default()
        .with_group_id(GroupId(wire_text(group)))
        .with_generation_id(0)
        .with_member_id(wire_text("lockstep-check"));
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    let denied = ErrorCode::from_wire(answer.error_code) == Some(ErrorCode::GROUP_AUTHORIZATION_FAILED);
    allowed.learn(Resource::Group(group.to_owned()), Operation::Read, !denied);
    Ok(())
}

/// Learns DESCRIBE on groups.
///
/// # Errors
/// Whatever a connection can meet.
pub async fn learn_groups_describe(
    connection: &Connection,
    groups: &[&str],
    allowed: &mut Allowed,
) -> Result<(), Error> {
    for (group, answer) in offset_fetch(connection, groups, Unstable::Before).await? {
        let denied = answer.err() == Some(ErrorCode::GROUP_AUTHORIZATION_FAILED);
        allowed.learn(Resource::Group(group), Operation::Describe, !denied);
    }
    Ok(())
}
