//! DescribeAcls, CreateAcls, DeleteAcls: a cluster's access control list, entry by exact entry (M23, M25).
//! Promises: creating one that stands and deleting one that does not are no errors, so every call may be repeated.
//! A broker answers what *it* goes by: asking every broker tells whether a change has reached them all.
//! Never deletes by pattern. On failure: the broker's code (54 where there is no authorizer).

use kafka_protocol::messages::create_acls_request::AclCreation;
use kafka_protocol::messages::delete_acls_request::DeleteAclsFilter;
use kafka_protocol::messages::{CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest};
use lockstep_core::dr::acl::{AclBinding, Operations, PatternKind, Permission, ResourceKind};
use lockstep_core::plan::permissions::Operation;

use super::patience::Patience;
use crate::cluster::Cluster;
use crate::code::ErrorCode;
use crate::connection::Connection;
use crate::error::Error;
use crate::names::wire_text;
use crate::versions::Api;

/// Kafka's "any" of every filter.
const ANY: i8 = 1;

/// Every entry about resources of a kind, as this broker goes by it, sorted. Needs DESCRIBE on the cluster.
///
/// # Errors
/// [`Error::Refused`] with 54 (SECURITY_DISABLED) where no authorizer works, 31 without the right; else whatever a
/// connection can meet.
pub async fn describe_acls(connection: &Connection, kind: ResourceKind) -> Result<Vec<AclBinding>, Error> {
    let api = Api::DescribeAcls;
    let version = connection.version(api)?;
    let request = DescribeAclsRequest::default()
        .with_resource_type_filter(resource_number(kind))
        .with_resource_name_filter(None)
        .with_pattern_type_filter(ANY)
        .with_principal_filter(None)
        .with_host_filter(None)
        .with_operation(ANY)
        .with_permission_type(ANY);
    let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
    if let Some(code) = ErrorCode::from_wire(answer.error_code) {
        let detail = answer.error_message.map(|text| text.to_string());
        return Err(Error::Refused { api, code, detail, about: "the access control list".to_owned() });
    }
    let mut entries = Vec::new();
    for resource in &answer.resources {
        entries.extend(resource.acls.iter().map(|entry| AclBinding {
            resource: resource_kind(resource.resource_type),
            name: resource.resource_name.to_string(),
            pattern: pattern_kind(resource.pattern_type),
            principal: entry.principal.to_string(),
            host: entry.host.to_string(),
            operation: operation(entry.operation),
            permission: permission(entry.permission_type),
        }));
    }
    entries.sort();
    Ok(entries)
}

/// Adds entries; one that stands already stays. Needs ALTER on the cluster. With KRaft brokers apply it slightly later.
///
/// # Errors
/// [`Error::Refused`] with the first refusal; others may have been added. Else whatever a connection can meet.
pub async fn create_acls(cluster: &Cluster, entries: &[AclBinding]) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let api = Api::CreateAcls;
    let creations = entries.iter().map(|entry| {
        AclCreation::default()
            .with_resource_type(resource_number(entry.resource))
            .with_resource_name(wire_text(&entry.name))
            .with_resource_pattern_type(pattern_number(entry.pattern))
            .with_principal(wire_text(&entry.principal))
            .with_host(wire_text(&entry.host))
            .with_operation(operation_number(entry.operation))
            .with_permission_type(permission_number(entry.permission))
    });
    let request = CreateAclsRequest::default().with_creations(creations.collect());
    let mut patience = Patience::new(cluster);
    loop {
        let connection = cluster.controller().await?;
        let version = connection.version(api)?;
        let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
        if answer.results.len() != entries.len() {
            return Err(connection.protocol(api, "not one answer for each entry".to_owned()));
        }
        let refused = answer.results.into_iter().zip(entries).find_map(|(result, entry)| {
            Some((ErrorCode::from_wire(result.error_code)?, result.error_message, entry))
        });
        let Some((code, message, entry)) = refused else { return Ok(()) };
        if !(code == ErrorCode::NOT_CONTROLLER && patience.another_try().await) {
            let detail = message.map(|text| text.to_string());
            let about = format!("{} on {}", entry.principal, entry.name);
            return Err(Error::Refused { api, code, detail, about });
        }
        cluster.refresh().await?;
    }
}

/// Removes exactly these entries; one that does not stand is no error. Needs ALTER on the cluster.
///
/// # Errors
/// [`Error::Refused`] with the first refusal; others may have been removed. Else whatever a connection can meet.
pub async fn delete_acls(cluster: &Cluster, entries: &[AclBinding]) -> Result<(), Error> {
    if entries.is_empty() {
        return Ok(());
    }
    let api = Api::DeleteAcls;
    // Every part is given, so each filter matches one entry at most.
    let filters = entries.iter().map(|entry| {
        DeleteAclsFilter::default()
            .with_resource_type_filter(resource_number(entry.resource))
            .with_resource_name_filter(Some(wire_text(&entry.name)))
            .with_pattern_type_filter(pattern_number(entry.pattern))
            .with_principal_filter(Some(wire_text(&entry.principal)))
            .with_host_filter(Some(wire_text(&entry.host)))
            .with_operation(operation_number(entry.operation))
            .with_permission_type(permission_number(entry.permission))
    });
    let request = DeleteAclsRequest::default().with_filters(filters.collect());
    let mut patience = Patience::new(cluster);
    loop {
        let connection = cluster.controller().await?;
        let version = connection.version(api)?;
        let answer = connection.call(api, version, &request, connection.request_timeout()).await?;
        if answer.filter_results.len() != entries.len() {
            return Err(connection.protocol(api, "not one answer for each entry".to_owned()));
        }
        let refused = answer.filter_results.into_iter().zip(entries).find_map(|(result, entry)| {
            let of_an_entry =
                result.matching_acls.iter().find_map(|acl| ErrorCode::from_wire(acl.error_code));
            Some((ErrorCode::from_wire(result.error_code).or(of_an_entry)?, result.error_message, entry))
        });
        let Some((code, message, entry)) = refused else { return Ok(()) };
        if !(code == ErrorCode::NOT_CONTROLLER && patience.another_try().await) {
            let detail = message.map(|text| text.to_string());
            let about = format!("{} on {}", entry.principal, entry.name);
            return Err(Error::Refused { api, code, detail, about });
        }
        cluster.refresh().await?;
    }
}

fn resource_kind(number: i8) -> ResourceKind {
    match number {
        2 => ResourceKind::Topic,
        3 => ResourceKind::Group,
        4 => ResourceKind::Cluster,
        5 => ResourceKind::TransactionalId,
        other => ResourceKind::Other(other),
    }
}

fn resource_number(kind: ResourceKind) -> i8 {
    match kind {
        ResourceKind::Topic => 2,
        ResourceKind::Group => 3,
        ResourceKind::Cluster => 4,
        ResourceKind::TransactionalId => 5,
        ResourceKind::Other(other) => other,
    }
}

fn pattern_kind(number: i8) -> PatternKind {
    match number {
        3 => PatternKind::Literal,
        4 => PatternKind::Prefixed,
        other => PatternKind::Other(other),
    }
}

fn pattern_number(kind: PatternKind) -> i8 {
    match kind {
        PatternKind::Literal => 3,
        PatternKind::Prefixed => 4,
        PatternKind::Other(other) => other,
    }
}

fn operation(number: i8) -> Operations {
    if number == 2 {
        return Operations::All;
    }
    let known = Operation::ALL.into_iter().find(|operation| *operation as i8 == number);
    known.map_or(Operations::Other(number), Operations::One)
}

fn operation_number(operation: Operations) -> i8 {
    match operation {
        Operations::All => 2,
        Operations::One(operation) => operation as i8,
        Operations::Other(other) => other,
    }
}

fn permission(number: i8) -> Permission {
    match number {
        2 => Permission::Deny,
        3 => Permission::Allow,
        other => Permission::Other(other),
    }
}

fn permission_number(permission: Permission) -> i8 {
    match permission {
        Permission::Deny => 2,
        Permission::Allow => 3,
        Permission::Other(other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back_as_it_was() {
        for number in -1..=20 {
            assert_eq!(resource_number(resource_kind(number)), number);
            assert_eq!(pattern_number(pattern_kind(number)), number);
            assert_eq!(operation_number(operation(number)), number);
            assert_eq!(permission_number(permission(number)), number);
        }
    }
}
