//! CreatePartitions: gives a topic more partitions. Goes to the controller, again after a refresh when that moved (41).

use kafka_protocol::messages::CreatePartitionsRequest;
use kafka_protocol::messages::create_partitions_request::CreatePartitionsTopic;

use super::patience::Patience;
use super::{ANSWER_GRACE, milliseconds};
use crate::cluster::Cluster;
use crate::code::ErrorCode;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// Brings a topic to `total` partitions, more than it has. Within one request timeout.
///
/// # Errors
/// [`Error::Refused`]: 37 when it has as many or more already. Else whatever a connection can meet.
pub async fn create_partitions(cluster: &Cluster, name: &str, total: i32) -> Result<(), Error> {
    let api = Api::CreatePartitions;
    let timeout = cluster.settings().request_timeout;
    // `None` lets the controller place the replicas; the library's default, an empty list, would place none.
    let topic = CreatePartitionsTopic::default()
        .with_name(wire_text(name).into())
        .with_count(total)
        .with_assignments(None);
    let request =
        CreatePartitionsRequest::default().with_topics(vec![topic]).with_timeout_ms(milliseconds(timeout));
    let mut patience = Patience::new(cluster);
    loop {
        let connection = cluster.controller().await?;
        let version = connection.version(api)?;
        let answer = connection.call(api, version, &request, timeout + ANSWER_GRACE).await?;
        let result = answer.results.into_iter().find(|result| **result.name == *name);
        let result =
            result.ok_or_else(|| connection.protocol(api, format!("the answer leaves out {name}")))?;
        let Some(code) = ErrorCode::from_wire(result.error_code) else {
            return Ok(());
        };
        if !(code == ErrorCode::NOT_CONTROLLER && patience.another_try().await) {
            let detail = result.error_message.map(|text| text.to_string());
            return Err(Error::Refused { api, code, detail, about: name.to_owned() });
        }
        cluster.refresh().await?;
    }
}
