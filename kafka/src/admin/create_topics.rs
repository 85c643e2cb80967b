//! CreateTopics. Goes to the controller, again after a refresh when that moved (41).

use std::time::Duration;

use kafka_protocol::messages::CreateTopicsRequest;
use kafka_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use kafka_protocol::messages::create_topics_response::CreateTopicsResponse;
use lockstep_core::ids::TopicId;

use super::patience::Patience;
use super::{ANSWER_GRACE, PerName, milliseconds, words};
use crate::cluster::Cluster;
use crate::code::ErrorCode;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::{Api, Versions};

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    /// At least 1; −1 leaves it to the broker (from Kafka 2.4).
    pub partitions: i32,
    /// At least 1; −1 leaves it to the broker (from Kafka 2.4).
    pub replication_factor: i16,
    pub configs: Vec<(String, String)>,
}

/// The broker's defaults can be asked for from this version on.
const FIRST_WITH_DEFAULTS: i16 = 4;

/// Creates topics, each by itself: some may fail. With `validate_only` nothing is created. `timeout` is the
/// controller's; the answer may take five seconds more. The id is [`TopicId::ZERO`] below v7, and means nothing
/// with `validate_only`.
///
/// # Errors
/// Per topic its code and the broker's words; else whatever a connection can meet, after which topics may exist.
pub async fn create_topics(
    cluster: &Cluster,
    topics: &[NewTopic],
    timeout: Duration,
    validate_only: bool,
) -> Result<PerName<TopicId>, Error> {
    let api = Api::CreateTopics;
    let leaves_to_broker = topics.iter().any(|topic| topic.replication_factor < 0 || topic.partitions < 0);
    let needs = Versions::new(if leaves_to_broker { FIRST_WITH_DEFAULTS } else { 0 }, api.ours().max);
    let request = CreateTopicsRequest::default()
        .with_topics(topics.iter().map(on_the_wire).collect())
        .with_timeout_ms(milliseconds(timeout))
        .with_validate_only(validate_only);
    let mut patience = Patience::within(cluster, timeout);
    loop {
        let connection = cluster.controller().await?;
        let version = connection.version_within(api, needs)?;
        let answer = connection.call(api, version, &request, timeout + ANSWER_GRACE).await?;
        let results = read(&answer, topics).map_err(|why| connection.protocol(api, why))?;
        let moved = results
            .iter()
            .any(|(_, result)| result.as_ref().is_err_and(|(code, _)| *code == ErrorCode::NOT_CONTROLLER));
        if !(moved && patience.another_try().await) {
            return Ok(results);
        }
        cluster.refresh().await?;
    }
}

fn on_the_wire(topic: &NewTopic) -> CreatableTopic {
    let configs = topic.configs.iter().map(|(name, value)| {
        CreatableTopicConfig::default().with_name(wire_text(name)).with_value(Some(wire_text(value)))
    });
    CreatableTopic::default()
        .with_name(wire_text(&topic.name).into())
        .with_num_partitions(topic.partitions)
        .with_replication_factor(topic.replication_factor)
        .with_configs(configs.collect())
}

fn read(answer: &CreateTopicsResponse, asked: &[NewTopic]) -> Result<PerName<TopicId>, String> {
    asked
        .iter()
        .map(|topic| {
            let found = answer.topics.iter().find(|found| **found.name == *topic.name);
            let found = found.ok_or_else(|| format!("the answer leaves out {}", topic.name))?;
            let result = match ErrorCode::from_wire(found.error_code) {
                None => Ok(TopicId(*found.topic_id.as_bytes())),
                Some(code) => Err((code, words(code, found.error_message.as_ref()))),
            };
            Ok((topic.name.clone(), result))
        })
        .collect()
}
