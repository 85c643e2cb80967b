//! DeleteTopics, by name. Goes to the controller, again after a refresh when that moved (41).

use kafka_protocol::messages::delete_topics_request::DeleteTopicState;
use kafka_protocol::messages::{DeleteTopicsRequest, TopicName};

use super::patience::Patience;
use super::{ANSWER_GRACE, PerName, milliseconds, words};
use crate::cluster::Cluster;
use crate::code::ErrorCode;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// From this version on, topics come as structures that could also hold an id.
const FIRST_WITH_IDS: i16 = 6;

/// Deletes topics, each by itself: some may fail. Within one request timeout.
///
/// # Errors
/// Per topic its code and the broker's words; else whatever a connection can meet, after which topics may be gone.
pub async fn delete_topics(cluster: &Cluster, names: &[impl AsRef<str>]) -> Result<PerName<()>, Error> {
    let api = Api::DeleteTopics;
    let timeout = cluster.settings().request_timeout;
    let wire: Vec<TopicName> = names.iter().map(|name| wire_text(name.as_ref()).into()).collect();
    let mut patience = Patience::new(cluster);
    loop {
        let connection = cluster.controller().await?;
        let version = connection.version(api)?;
        let request = DeleteTopicsRequest::default().with_timeout_ms(milliseconds(timeout));
        let request = if version >= FIRST_WITH_IDS {
            let topic = |name: &TopicName| DeleteTopicState::default().with_name(Some(name.clone()));
            request.with_topics(wire.iter().map(topic).collect())
        } else {
            request.with_topic_names(wire.clone())
        };
        let answer = connection.call(api, version, &request, timeout + ANSWER_GRACE).await?;
        let mut results = Vec::with_capacity(wire.len());
        let mut moved = false;
        for name in &wire {
            let found = answer.responses.iter().find(|found| found.name.as_ref() == Some(name));
            let found = found.ok_or_else(|| {
                connection.protocol(api, format!("the answer leaves out {}", name.as_str()))
            })?;
            let result = match ErrorCode::from_wire(found.error_code) {
                None => Ok(()),
                Some(code) => Err((code, words(code, found.error_message.as_ref()))),
            };
            moved |= result.as_ref().is_err_and(|(code, _)| *code == ErrorCode::NOT_CONTROLLER);
            results.push((name.to_string(), result));
        }
        if !(moved && patience.another_try().await) {
            return Ok(results);
        }
        cluster.refresh().await?;
    }
}
