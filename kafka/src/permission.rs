//! A missing ACL, exactly: who needs which operation on what, and the command that grants it.
//! Which API needs what is Kafka's own table (`KafkaApis`, and "Operations and Resources" of its documentation).
//! What the principal is called is the brokers' choice: shown is who we present ourselves as.

use std::fmt;

use lockstep_core::code::Code;
pub use lockstep_core::plan::permissions::Resource;

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
        Some(Self::to(settings, operation(api, &resource), resource))
    }

    /// A right that is known to be missing. `operation`: as `kafka-acls` spells it.
    #[must_use]
    pub fn to(settings: &Settings, operation: &'static str, resource: Resource) -> Self {
        Self {
            principal: settings.security.principal(),
            operation,
            resource,
            bootstrap: settings.bootstrap.first().map_or_else(String::new, ToString::to_string),
        }
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
        (Api::DeleteTopics | Api::DeleteRecords | Api::DeleteGroups, _) => "Delete",
        (Api::OffsetDelete, Resource::Group(_)) => "Delete",
        (Api::OffsetFetch | Api::ListGroups | Api::FindCoordinator, Resource::Group(_)) => "Describe",
        (Api::OffsetCommit | Api::OffsetDelete, _) => "Read",
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
        Self::new(settings, api, code, name).map_or_else(String::new, |missing| missing.as_aside())
    }

    /// The same for a right that is known to be missing.
    #[must_use]
    pub fn as_aside(&self) -> String {
        format!(" ({}: needs {}; grant {})", Code::PermissionMissing, self.needs(), self.grant())
    }
}

impl MissingPermission {
    /// `Topic orders`, and the option by which `kafka-acls` names it.
    fn named(&self) -> (String, String) {
        let option = match &self.resource {
            Resource::Cluster => "--cluster".to_owned(),
            Resource::Topic(name) => format!("--topic '{name}'"),
            Resource::Group(name) => format!("--group '{name}'"),
            Resource::TransactionalId(name) => format!("--transactional-id '{name}'"),
        };
        (self.resource.to_string(), option)
    }

    /// `Read on Topic orders for User:lockstep`.
    #[must_use]
    pub fn needs(&self) -> String {
        format!("{} on {} for {}", self.operation, self.named().0, self.principal)
    }

    /// The command that grants it, without the administrator's `--command-config`.
    #[must_use]
    pub fn grant(&self) -> String {
        let Self { principal, operation, bootstrap, .. } = self;
        format!(
            "kafka-acls --bootstrap-server {bootstrap} --add --allow-principal '{principal}' --operation {operation} {}",
            self.named().1
        )
    }
}

impl fmt::Display for MissingPermission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "needs   {}\n  grant   {}", self.needs(), self.grant())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_on_groups_are_those_that_kafka_asks_for() {
        let settings = Settings::new("kafka-pr:9093").unwrap();
        let named = |api, code| MissingPermission::new(&settings, api, code, "claims").unwrap().operation;
        let (group, topic) = (ErrorCode::GROUP_AUTHORIZATION_FAILED, ErrorCode::TOPIC_AUTHORIZATION_FAILED);
        for (api, operation) in [
            (Api::OffsetFetch, "Describe"),
            (Api::FindCoordinator, "Describe"),
            (Api::OffsetCommit, "Read"),
            (Api::DeleteGroups, "Delete"),
            (Api::OffsetDelete, "Delete"),
            (Api::AddOffsetsToTxn, "Read"),
        ] {
            assert_eq!(named(api, group), operation, "{api}");
        }
        assert_eq!((named(Api::OffsetCommit, topic), named(Api::OffsetDelete, topic)), ("Read", "Read"));
    }

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
