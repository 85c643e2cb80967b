//! A missing ACL, exactly: who needs which operation on what, and the command that grants it.
//! Which API needs what is Kafka's own table (`KafkaApis`, and "Operations and Resources" of its documentation).
//! What the principal is called is the brokers' choice: shown is who we present ourselves as.

use std::fmt;

use lockstep_core::code::Code;

use crate::code::ErrorCode;
use crate::error::Error;
use crate::settings::Settings;
use crate::versions::Api;

/// A right that an authorizer denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingPermission {
    pub principal: String,
    pub operation: &'static str,
    pub resource: Resource,
    /// Where the grant is to be given.
    pub bootstrap: String,
}

/// What an ACL is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resource {
    Cluster,
    Topic(String),
    Group(String),
    TransactionalId(String),
}

impl MissingPermission {
    /// What `code` in an answer to `api` about `name` means; `None` for codes that are about something else.
    #[must_use]
    pub fn new(settings: &Settings, api: Api, code: ErrorCode, name: &str) -> Option<Self> {
        let resource = match code {
            ErrorCode::TOPIC_AUTHORIZATION_FAILED => Resource::Topic(name.to_owned()),
            ErrorCode::GROUP_AUTHORIZATION_FAILED => Resource::Group(name.to_owned()),
            ErrorCode::CLUSTER_AUTHORIZATION_FAILED => Resource::Cluster,
            ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED => Resource::TransactionalId(name.to_owned()),
            _ => return None,
        };
        Some(Self {
            principal: settings.security.principal(),
            operation: operation(api, &resource),
            resource,
            bootstrap: settings.bootstrap.first().map_or_else(String::new, ToString::to_string),
        })
    }

    /// The same for a refusal as a whole.
    #[must_use]
    pub fn of(settings: &Settings, error: &Error) -> Option<Self> {
        match error {
            Error::Refused { api, code, about, .. } => Self::new(settings, *api, *code, about),
            Error::NoBroker { tried } => tried.iter().find_map(|error| Self::of(settings, error)),
            _ => None,
        }
    }
}

/// As `kafka-acls` spells it.
fn operation(api: Api, resource: &Resource) -> &'static str {
    match (api, resource) {
        (Api::CreateTopics, _) => "Create",
        (Api::DeleteTopics | Api::DeleteRecords, _) => "Delete",
        (Api::CreateAcls | Api::DeleteAcls, _) => "Alter",
        (Api::CreatePartitions, _) | (Api::WriteTxnMarkers, Resource::Cluster) => "Alter",
        (Api::IncrementalAlterConfigs, _) => "AlterConfigs",
        (Api::DescribeConfigs, _) => "DescribeConfigs",
        (Api::Produce, Resource::Cluster) | (Api::InitProducerId, Resource::Cluster) => "IdempotentWrite",
        (Api::Fetch | Api::DescribeProducers, Resource::Cluster) => "ClusterAction",
        (Api::Fetch | Api::DescribeProducers, _) | (_, Resource::Group(_)) => "Read",
        (Api::Produce | Api::InitProducerId, _) => "Write",
        (Api::AddPartitionsToTxn | Api::AddOffsetsToTxn | Api::EndTxn, _) => "Write",
        _ => "Describe",
    }
}

impl MissingPermission {
    /// What to put behind the words of a refusal, on the same line; empty for codes about something else.
    #[must_use]
    pub fn aside(settings: &Settings, api: Api, code: ErrorCode, name: &str) -> String {
        Self::new(settings, api, code, name).map_or_else(String::new, |missing| {
            let words = missing.to_string().replace("\n  ", "; ");
            let words = words.split_whitespace().collect::<Vec<_>>().join(" ");
            format!(" ({}: {words})", Code::PermissionMissing)
        })
    }
}

impl fmt::Display for MissingPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { principal, operation, resource, bootstrap } = self;
        let (on, option) = match resource {
            Resource::Cluster => ("Cluster".to_owned(), "--cluster".to_owned()),
            Resource::Topic(name) => (format!("Topic {name}"), format!("--topic '{name}'")),
            Resource::Group(name) => (format!("Group {name}"), format!("--group '{name}'")),
            Resource::TransactionalId(name) => {
                (format!("TransactionalId {name}"), format!("--transactional-id '{name}'"))
            }
        };
        write!(
            f,
            "needs   {operation} on {on} for {principal}\n  grant   kafka-acls --bootstrap-server {bootstrap} --add \
             --allow-principal '{principal}' --operation {operation} {option}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_named_with_the_command_that_grants_it() {
        let settings = Settings::new("kafka-pr:9093,other:1").unwrap();
        let error = Error::Refused {
            api: Api::CreateTopics,
            code: ErrorCode::TOPIC_AUTHORIZATION_FAILED,
            detail: None,
            about: "orders".to_owned(),
        };
        let missing = MissingPermission::of(&settings, &error).unwrap();
        assert_eq!(
            missing.to_string(),
            "needs   Create on Topic orders for User:ANONYMOUS\n  grant   kafka-acls --bootstrap-server kafka-pr:9093 \
             --add --allow-principal 'User:ANONYMOUS' --operation Create --topic 'orders'"
        );
        let other = MissingPermission::new(&settings, Api::Fetch, ErrorCode::CORRUPT_MESSAGE, "orders");
        assert_eq!(other, None);
        let aside =
            MissingPermission::aside(&settings, Api::Fetch, ErrorCode::TOPIC_AUTHORIZATION_FAILED, "orders");
        assert!(
            aside.starts_with(" (L-103: needs Read on Topic orders for User:ANONYMOUS; grant kafka-acls "),
            "{aside}"
        );
    }
}
