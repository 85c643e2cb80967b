//! FindCoordinator: which broker keeps a transactional id or a group. Creates the broker's internal topic if need be,
//! which is why it comes before everything else about an id (M1); a new cluster answers 14 or 15 for a while.

use kafka_protocol::messages::FindCoordinatorRequest;
use lockstep_core::ids::NodeId;

use super::patience::Patience;
use crate::cluster::Cluster;
use crate::code::ErrorCode;
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// What is coordinated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorKind {
    /// A consumer group.
    Group,
    /// A transactional id.
    Txn,
}

/// From this version on, keys and coordinators come in lists.
const FIRST_WITH_LISTS: i16 = 4;

/// Asks any broker; repeats while the coordinator is loading or not there yet (14, 15), for one request timeout.
///
/// # Errors
/// [`Error::Refused`] with the last code, or whatever a connection can meet.
pub async fn find_coordinator(cluster: &Cluster, kind: CoordinatorKind, key: &str) -> Result<NodeId, Error> {
    let mut patience = Patience::new(cluster);
    loop {
        let (code, detail) = match ask(&cluster.any().await?, kind, key).await? {
            Ok(node) => return Ok(node),
            Err(refused) => refused,
        };
        let transient =
            [ErrorCode::COORDINATOR_LOAD_IN_PROGRESS, ErrorCode::COORDINATOR_NOT_AVAILABLE].contains(&code);
        if !(transient && patience.another_try().await) {
            return Err(Error::Refused { api: Api::FindCoordinator, code, detail, about: key.to_owned() });
        }
    }
}

type Refused = (ErrorCode, Option<String>);

async fn ask(
    connection: &Connection,
    kind: CoordinatorKind,
    key: &str,
) -> Result<Result<NodeId, Refused>, Error> {
    let api = Api::FindCoordinator;
    let version = connection.version(api)?;
    let request = FindCoordinatorRequest::default().with_key_type(match kind {
        CoordinatorKind::Group => 0,
        CoordinatorKind::Txn => 1,
    });
    let request = if version >= FIRST_WITH_LISTS {
        request.with_coordinator_keys(vec![wire_text(key)])
    } else {
        request.with_key(wire_text(key))
    };
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    let (error_code, message, node) = if version >= FIRST_WITH_LISTS {
        let found = answer.coordinators.into_iter().find(|found| *found.key == *key);
        let found = found.ok_or_else(|| connection.protocol(api, format!("the answer leaves out {key}")))?;
        (found.error_code, found.error_message, found.node_id)
    } else {
        (answer.error_code, answer.error_message, answer.node_id)
    };
    let detail = message.map(|text| text.to_string()).filter(|text| !text.is_empty());
    Ok(match ErrorCode::from_wire(error_code) {
        None => Ok(NodeId(node.0)),
        Some(code) => Err((code, detail)),
    })
}
