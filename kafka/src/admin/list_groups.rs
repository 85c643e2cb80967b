//! ListGroups: which groups there are. Every broker knows those it coordinates, so all are asked.
//! Without DESCRIBE on the cluster a broker leaves out the groups without DESCRIBE on themselves, and says nothing.

use kafka_protocol::messages::ListGroupsRequest;

use crate::cluster::Cluster;
use crate::code::ErrorCode;
use crate::error::Error;
use crate::versions::Api;

/// A group as its coordinator lists it, in Kafka's words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ListedGroup {
    pub group: String,
    /// `consumer`, `connect`, …; empty for one that only keeps offsets.
    pub protocol_type: String,
    /// `Empty`, `Stable`, `PreparingRebalance`, …; `None` before Kafka 2.6 (KIP-518).
    pub state: Option<String>,
    /// `classic`, `consumer`, `share`, `streams`; `None` before Kafka 3.8 (KIP-848).
    pub kind: Option<String>,
}

/// From these versions on a group has its state, and its type.
const FIRST_WITH_STATES: i16 = 4;
const FIRST_WITH_TYPES: i16 = 5;

/// All groups that may be seen, sorted.
///
/// # Errors
/// [`Error::Refused`] when a coordinator is still loading (14) or refuses; else whatever a connection can meet. All
/// brokers have to answer: a group that one of them keeps must not be taken for removed.
pub async fn list_groups(cluster: &Cluster) -> Result<Vec<ListedGroup>, Error> {
    let api = Api::ListGroups;
    let nodes: Vec<_> = cluster.metadata().brokers.keys().copied().collect();
    let mut groups = Vec::new();
    for node in nodes {
        let connection = cluster.connection(node).await?;
        let version = connection.version(api)?;
        let request = ListGroupsRequest::default();
        let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
        if let Some(code) = ErrorCode::from_wire(answer.error_code) {
            return Err(Error::Refused { api, code, detail: None, about: format!("broker {node}") });
        }
        groups.extend(answer.groups.into_iter().map(|found| ListedGroup {
            group: found.group_id.to_string(),
            protocol_type: found.protocol_type.to_string(),
            state: (version >= FIRST_WITH_STATES).then(|| found.group_state.to_string()),
            kind: (version >= FIRST_WITH_TYPES).then(|| found.group_type.to_string()),
        }));
    }
    groups.sort();
    // One that is moving from broker to broker may be listed by both.
    groups.dedup_by(|a, b| a.group == b.group);
    Ok(groups)
}
