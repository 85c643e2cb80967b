//! DescribeConfigs and IncrementalAlterConfigs: settings of topics and brokers, read and changed one by one or, for
//! many topics, in one request (M20, M25).
//! Sensitive values never come back: the broker leaves them out.

use std::collections::HashMap;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::describe_configs_response::DescribeConfigsResourceResult;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{
    DescribeConfigsRequest, DescribeConfigsResponse, IncrementalAlterConfigsRequest,
};
use lockstep_core::ids::NodeId;

use super::patience::Patience;
use super::{PerName, words};
use crate::cluster::Cluster;
use crate::code::ErrorCode;
use crate::connection::{Connection, Unread};
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// Whose settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ConfigTarget {
    Topic(String),
    /// Asked of that broker itself: only it knows its static settings.
    Broker(NodeId),
}

/// One setting and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: String,
    /// `None` for sensitive ones, and for those without a value.
    pub value: Option<String>,
    pub source: ConfigSource,
    pub sensitive: bool,
}

/// Where a setting's value comes from (KIP-226).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSource {
    /// Set on the topic itself: the only ones that are the topic's own will.
    DynamicTopic,
    DynamicBroker,
    DynamicDefaultBroker,
    StaticBroker,
    Default,
    DynamicBrokerLogger,
    /// One this build does not know.
    Other(i8),
}

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const SET: i8 = 0;
const DELETE: i8 = 1;

impl ConfigSource {
    fn from_wire(source: i8) -> Self {
        match source {
            1 => Self::DynamicTopic,
            2 => Self::DynamicBroker,
            3 => Self::DynamicDefaultBroker,
            4 => Self::StaticBroker,
            5 => Self::Default,
            6 => Self::DynamicBrokerLogger,
            other => Self::Other(other),
        }
    }
}

impl ConfigTarget {
    fn on_the_wire(&self) -> (i8, String) {
        match self {
            Self::Topic(name) => (TOPIC, name.clone()),
            Self::Broker(node) => (BROKER, node.to_string()),
        }
    }
}

/// All settings of a target, or why they cannot be read.
type Described = Result<Vec<ConfigEntry>, (ErrorCode, String)>;

/// All settings of each target, in the order asked. Topics are asked of any broker, brokers of themselves.
///
/// # Errors
/// Per target its code and the broker's words; else whatever a connection can meet.
pub async fn describe_configs(
    cluster: &Cluster,
    targets: &[ConfigTarget],
) -> Result<Vec<(ConfigTarget, Described)>, Error> {
    let topics: Vec<_> = targets.iter().filter(|target| matches!(target, ConfigTarget::Topic(_))).collect();
    let mut described = Vec::with_capacity(targets.len());
    if !topics.is_empty() {
        described.extend(describe(&cluster.any().await?, &topics).await?);
    }
    for target in targets {
        if let ConfigTarget::Broker(node) = target {
            described.extend(describe(&cluster.connection(*node).await?, &[target]).await?);
        }
    }
    described.sort_by_key(|(target, _)| targets.iter().position(|asked| asked == target));
    Ok(described)
}

async fn describe(
    connection: &Connection,
    targets: &[&ConfigTarget],
) -> Result<Vec<(ConfigTarget, Described)>, Error> {
    let api = Api::DescribeConfigs;
    let version = connection.version(api)?;
    let resources = targets.iter().map(|target| {
        let (kind, name) = target.on_the_wire();
        // `None` means all settings; the library's default, an empty list, would mean none.
        DescribeConfigsResource::default()
            .with_resource_type(kind)
            .with_resource_name(wire_text(&name))
            .with_configuration_keys(None)
    });
    let request = DescribeConfigsRequest::default().with_resources(resources.collect());
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    let mut described = Vec::with_capacity(targets.len());
    for target in targets {
        let (kind, name) = target.on_the_wire();
        let found = answer
            .results
            .iter()
            .find(|found| found.resource_type == kind && *found.resource_name == *name)
            .ok_or_else(|| connection.protocol(api, format!("the answer leaves out {name}")))?;
        let outcome = match ErrorCode::from_wire(found.error_code) {
            None => Ok(found.configs.iter().map(entry).collect()),
            Some(code) => Err((code, words(code, found.error_message.as_ref()))),
        };
        described.push(((*target).clone(), outcome));
    }
    Ok(described)
}

/// Settings of many topics in one request, each topic in the order asked. `names`: these settings alone, as far as the
/// cluster's topics have them; `None`: all. Asked of any broker.
///
/// # Errors
/// Per topic its code and the broker's words; else whatever a connection can meet.
pub async fn describe_topic_configs(
    cluster: &Cluster,
    topics: &[&str],
    names: Option<&[String]>,
) -> Result<PerName<Vec<ConfigEntry>>, Error> {
    ask_topic_configs(cluster, topics, names).await?.read()
}

/// The answer to [`ask_topic_configs`], not looked into yet.
#[derive(Debug)]
pub struct TopicConfigs {
    topics: Vec<String>,
    answer: Unread,
}

/// The question of [`describe_topic_configs`]. Who asks again and again, and mostly hears the same, need not read all of it.
///
/// # Errors
/// Whatever a connection can meet.
pub async fn ask_topic_configs(
    cluster: &Cluster,
    topics: &[&str],
    names: Option<&[String]>,
) -> Result<TopicConfigs, Error> {
    let api = Api::DescribeConfigs;
    let connection = cluster.any().await?;
    let version = connection.version(api)?;
    let keys = names.map(|names| names.iter().map(|name| wire_text(name)).collect::<Vec<_>>());
    let resources = topics.iter().map(|topic| {
        DescribeConfigsResource::default()
            .with_resource_type(TOPIC)
            .with_resource_name(wire_text(topic))
            .with_configuration_keys(keys.clone())
    });
    let request = DescribeConfigsRequest::default().with_resources(resources.collect());
    let body = connection.encode(api, version, &request)?;
    let pending = connection.submit(api, version, vec![body], connection.request_timeout()).await?;
    let topics = topics.iter().map(|&topic| topic.to_owned()).collect();
    Ok(TopicConfigs { topics, answer: pending.unread().await? })
}

impl TopicConfigs {
    /// The same for an answer that says the same in the same words, within one process.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.answer.fingerprint()
    }

    /// Each topic's settings, in the order asked.
    ///
    /// # Errors
    /// As [`describe_topic_configs`].
    pub fn read(self) -> Result<PerName<Vec<ConfigEntry>>, Error> {
        let answer: DescribeConfigsResponse = self.answer.decoded()?;
        let mut found: HashMap<String, _> =
            answer.results.into_iter().map(|result| (result.resource_name.to_string(), result)).collect();
        let mut described = Vec::with_capacity(self.topics.len());
        for topic in self.topics {
            let result = found.remove(&topic).ok_or_else(|| {
                let why = format!("the answer leaves out {topic}");
                self.answer.connection().protocol(Api::DescribeConfigs, why)
            })?;
            let outcome = match ErrorCode::from_wire(result.error_code) {
                None => Ok(result.configs.iter().map(entry).collect()),
                Some(code) => Err((code, words(code, result.error_message.as_ref()))),
            };
            described.push((topic, outcome));
        }
        Ok(described)
    }
}

fn entry(config: &DescribeConfigsResourceResult) -> ConfigEntry {
    ConfigEntry {
        name: config.name.to_string(),
        value: config.value.as_ref().map(|value| value.to_string()).filter(|_| !config.is_sensitive),
        source: ConfigSource::from_wire(config.config_source),
        sensitive: config.is_sensitive,
    }
}

/// Sets (`Some`) or unsets (`None`) settings of a topic, all or none of them; others stay as they are.
/// Goes to the controller, again after a refresh when that moved (41). Needs Kafka 2.3.
///
/// # Errors
/// [`Error::Refused`] with the broker's words; else whatever a connection can meet, after which it may have happened.
pub async fn incremental_alter_configs(
    cluster: &Cluster,
    topic: &str,
    changes: &[(&str, Option<&str>)],
) -> Result<(), Error> {
    let api = Api::IncrementalAlterConfigs;
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![altered(topic, changes)]);
    let mut patience = Patience::new(cluster);
    loop {
        let connection = cluster.controller().await?;
        let version = connection.version(api)?;
        let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
        let result = answer.responses.into_iter().find(|result| *result.resource_name == *topic);
        let result =
            result.ok_or_else(|| connection.protocol(api, format!("the answer leaves out {topic}")))?;
        let Some(code) = ErrorCode::from_wire(result.error_code) else {
            return Ok(());
        };
        if !(code == ErrorCode::NOT_CONTROLLER && patience.another_try().await) {
            let detail = result.error_message.map(|text| text.to_string());
            return Err(Error::Refused { api, code, detail, about: topic.to_owned() });
        }
        cluster.refresh().await?;
    }
}

/// Changes of one topic: a setting's name, and its value or (`None`) that it is to be unset.
pub type TopicChanges<'a> = (&'a str, Vec<(&'a str, Option<&'a str>)>);

/// The same for many topics in one request: each gets all of its changes or none, whatever becomes of the others.
///
/// # Errors
/// Per topic its code and the broker's words; else whatever a connection can meet, after which some may have happened.
pub async fn alter_topic_configs(
    cluster: &Cluster,
    changes: &[TopicChanges<'_>],
) -> Result<PerName<()>, Error> {
    let api = Api::IncrementalAlterConfigs;
    let resources = changes.iter().map(|(topic, changes)| altered(topic, changes)).collect();
    let request = IncrementalAlterConfigsRequest::default().with_resources(resources);
    let mut patience = Patience::new(cluster);
    loop {
        let connection = cluster.controller().await?;
        let version = connection.version(api)?;
        let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
        let moved = ErrorCode::NOT_CONTROLLER;
        let has_moved = answer.responses.iter().any(|r| ErrorCode::from_wire(r.error_code) == Some(moved));
        if has_moved && patience.another_try().await {
            cluster.refresh().await?;
            continue;
        }
        let found: HashMap<&str, _> = answer.responses.iter().map(|r| (&*r.resource_name, r)).collect();
        let mut altered = Vec::with_capacity(changes.len());
        for (topic, _) in changes {
            let result = found
                .get(topic)
                .ok_or_else(|| connection.protocol(api, format!("the answer leaves out {topic}")))?;
            let outcome = match ErrorCode::from_wire(result.error_code) {
                None => Ok(()),
                Some(code) => Err((code, words(code, result.error_message.as_ref()))),
            };
            altered.push(((*topic).to_owned(), outcome));
        }
        return Ok(altered);
    }
}

fn altered(topic: &str, changes: &[(&str, Option<&str>)]) -> AlterConfigsResource {
    let configs = changes.iter().map(|(name, value)| {
        AlterableConfig::default()
            .with_name(wire_text(name))
            .with_config_operation(if value.is_some() { SET } else { DELETE })
            .with_value(value.map(wire_text))
    });
    AlterConfigsResource::default()
        .with_resource_type(TOPIC)
        .with_resource_name(wire_text(topic))
        .with_configs(configs.collect())
}
