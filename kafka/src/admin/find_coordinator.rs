//! FindCoordinator: which broker keeps a transactional id or a group. Creates the broker's internal topic if need be,
//! which is why it comes before everything else about an id (M1); a new cluster answers 14 or 15 for a while.

use std::collections::HashMap;

use futures_util::future::try_join_all;
use kafka_protocol::messages::FindCoordinatorRequest;
use kafka_protocol::protocol::Request;
use lockstep_core::ids::NodeId;

use super::patience::Patience;
use super::{PerName, words};
use crate::cluster::Cluster;
use crate::code::ErrorCode;
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::{Api, Versions};

/// What is coordinated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoordinatorKind {
    /// A consumer group.
    Group,
    /// A transactional id.
    Txn,
}

impl CoordinatorKind {
    fn on_the_wire(self) -> i8 {
        match self {
            Self::Group => 0,
            Self::Txn => 1,
        }
    }
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

/// The coordinators of many keys, in the order asked: one request where the broker takes lists (Kafka 3.0), else one
/// for each key, all on their way at once. Asks once: a code stays with its key (14, 15 while one is loading).
///
/// # Errors
/// Whatever a connection can meet.
pub async fn find_coordinators(
    cluster: &Cluster,
    kind: CoordinatorKind,
    keys: &[&str],
) -> Result<PerName<NodeId>, Error> {
    let connection = cluster.any().await?;
    let api = Api::FindCoordinator;
    let version = connection.version(api)?;
    if version < FIRST_WITH_LISTS {
        let asked = keys.iter().map(|key| ask(&connection, kind, key));
        let answers = try_join_all(asked).await?;
        let in_words = |(code, detail): Refused| (code, detail.unwrap_or_else(|| code.name()));
        let named = keys.iter().zip(answers);
        return Ok(named.map(|(key, answer)| ((*key).to_owned(), answer.map_err(in_words))).collect());
    }
    let request = FindCoordinatorRequest::default()
        .with_key_type(kind.on_the_wire())
        .with_coordinator_keys(keys.iter().map(|key| wire_text(key)).collect());
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    let found: HashMap<_, _> = answer.coordinators.into_iter().map(|c| (c.key.to_string(), c)).collect();
    let result = |key: &&str| {
        let found = found.get(*key);
        let found = found.ok_or_else(|| connection.protocol(api, format!("the answer leaves out {key}")))?;
        let result = match ErrorCode::from_wire(found.error_code) {
            None => Ok(NodeId(found.node_id.0)),
            Some(code) => Err((code, words(code, found.error_message.as_ref()))),
        };
        Ok(((*key).to_owned(), result))
    };
    keys.iter().map(result).collect()
}

type Refused = (ErrorCode, Option<String>);

async fn ask(
    connection: &Connection,
    kind: CoordinatorKind,
    key: &str,
) -> Result<Result<NodeId, Refused>, Error> {
    let api = Api::FindCoordinator;
    let version = connection.version(api)?;
    let request = FindCoordinatorRequest::default().with_key_type(kind.on_the_wire());
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

/// Asks a transactional id's coordinator until it has taken the request or refuses it for good: repeats while it is
/// loading, moving or finishing a transaction (14, 15, 16, 51), for one request timeout.
pub(super) async fn ask_transaction_coordinator<R: Request>(
    cluster: &Cluster,
    transactional_id: &str,
    api: Api,
    versions: Versions,
    request: &R,
    code_of: fn(&R::Response) -> i16,
) -> Result<R::Response, Error> {
    let mut patience = Patience::new(cluster);
    loop {
        let node = find_coordinator(cluster, CoordinatorKind::Txn, transactional_id).await?;
        let connection = cluster.connection(node).await?;
        let version = connection.version_within(api, versions)?;
        let answer = connection.call(api, version, request, connection.request_timeout()).await?;
        let Some(code) = ErrorCode::from_wire(code_of(&answer)) else { return Ok(answer) };
        let transient = [
            ErrorCode::COORDINATOR_LOAD_IN_PROGRESS,
            ErrorCode::COORDINATOR_NOT_AVAILABLE,
            ErrorCode::NOT_COORDINATOR,
            ErrorCode::CONCURRENT_TRANSACTIONS,
        ];
        if !(transient.contains(&code) && patience.another_try().await) {
            return Err(Error::Refused { api, code, detail: None, about: transactional_id.to_owned() });
        }
    }
}
