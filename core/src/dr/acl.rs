//! Entries of a cluster's access control list, as Kafka keeps them, and which topics one of them is about.
//! The words of fences (M23, M25): they are read from a cluster, written to it and kept in passports.
//! Kinds that this build does not know keep their number, so that nothing is lost on the way through.

use serde::{Deserialize, Serialize};

use crate::plan::permissions::Operation;

/// One entry. Kafka (`AclBinding`) compares all of its parts: two that differ in anything are two entries.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AclBinding {
    pub resource: ResourceKind,
    /// As the pattern says: a whole name, its beginning, or `*` (literal) for every name.
    pub name: String,
    pub pattern: PatternKind,
    /// As in `User:alice`; `User:*` is everybody.
    pub principal: String,
    /// `*`: from everywhere.
    pub host: String,
    pub operation: Operations,
    pub permission: Permission,
}

/// What an entry is about (Kafka: `ResourceType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResourceKind {
    Topic,
    Group,
    Cluster,
    TransactionalId,
    Other(i8),
}

/// How its name is meant (Kafka: `PatternType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatternKind {
    Literal,
    Prefixed,
    Other(i8),
}

/// What is allowed or denied (Kafka: `AclOperation`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operations {
    All,
    One(Operation),
    Other(i8),
}

/// Allowed or denied. A denial beats every permission (Kafka: `StandardAuthorizer`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Permission {
    Allow,
    Deny,
    Other(i8),
}

/// The name that stands for every name, and the host that stands for every host.
pub const ANY: &str = "*";
/// Everybody.
pub const EVERYBODY: &str = "User:*";

impl AclBinding {
    /// A denial of writing to exactly this topic, from everywhere.
    pub fn deny_write(principal: &str, topic: &str) -> Self {
        Self {
            resource: ResourceKind::Topic,
            name: topic.to_owned(),
            pattern: PatternKind::Literal,
            principal: principal.to_owned(),
            host: ANY.to_owned(),
            operation: Operations::One(Operation::Write),
            permission: Permission::Deny,
        }
    }

    /// Whether it speaks about this topic.
    pub fn is_about_topic(&self, topic: &str) -> bool {
        self.resource == ResourceKind::Topic
            && match self.pattern {
                PatternKind::Literal => self.name == ANY || self.name == topic,
                PatternKind::Prefixed => topic.starts_with(&self.name),
                PatternKind::Other(_) => false,
            }
    }

    /// Whether it is about producing: WRITE, or ALL, which includes it.
    pub fn is_about_writing(&self) -> bool {
        matches!(self.operation, Operations::One(Operation::Write) | Operations::All)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_about_the_topics_its_pattern_names() {
        let entry = |name: &str, pattern| AclBinding {
            pattern,
            permission: Permission::Allow,
            ..AclBinding::deny_write("User:a", name)
        };
        assert!(entry("orders", PatternKind::Literal).is_about_topic("orders"));
        assert!(!entry("orders", PatternKind::Literal).is_about_topic("orders.new"));
        assert!(entry("orders", PatternKind::Prefixed).is_about_topic("orders.new"));
        assert!(!entry("orders.", PatternKind::Prefixed).is_about_topic("orders"));
        assert!(entry("*", PatternKind::Literal).is_about_topic("anything"));
        assert!(!entry("*", PatternKind::Prefixed).is_about_topic("anything"), "a prefix is meant literally");
        let group = AclBinding { resource: ResourceKind::Group, ..entry("*", PatternKind::Literal) };
        assert!(!group.is_about_topic("anything"));
    }
}
