//! DeleteGroups: removes groups without members, and all their offsets. Goes to the groups' coordinator; repeating it
//! is harmless.

use std::collections::HashMap;

use kafka_protocol::messages::DeleteGroupsRequest;

use super::PerName;
use crate::code::ErrorCode;
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// Removes groups that this broker coordinates, each by itself: some may fail. Needs DELETE on each group.
///
/// # Errors
/// Per group its code: 68 while it has members, 69 when there is none. Else whatever a connection can meet.
pub async fn delete_groups(connection: &Connection, groups: &[&str]) -> Result<PerName<()>, Error> {
    let api = Api::DeleteGroups;
    let version = connection.version(api)?;
    let names = groups.iter().map(|group| wire_text(group).into());
    let request = DeleteGroupsRequest::default().with_groups_names(names.collect());
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    let codes: HashMap<_, _> =
        answer.results.into_iter().map(|result| (result.group_id.to_string(), result.error_code)).collect();
    let result = |group: &&str| {
        let code = codes.get(*group).copied();
        let code = code.ok_or_else(|| connection.protocol(api, format!("the answer leaves out {group}")))?;
        let result = ErrorCode::from_wire(code).map_or(Ok(()), |code| Err((code, code.name())));
        Ok(((*group).to_owned(), result))
    };
    groups.iter().map(result).collect()
}
