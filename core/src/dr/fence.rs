//! What stops clients from writing to a link's topics, decided: which denials an ACL fence needs (M23), how a topic's
//! `max.message.bytes` is closed in two steps (M25), and what lifting takes. Pure: others read, write and confirm.
//! Never takes a fence's own value for the one that was there before. Super users pass every denial; nothing here can
//! tell who they are.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::acl::{AclBinding, EVERYBODY, Permission};

/// Who must stay able to write: the mirrors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Exempt {
    /// They go by ACLs as everybody does: these principals are never denied, and nothing is denied to everybody.
    Principals(BTreeSet<String>),
    /// They are super users, whom no denial concerns: even everybody may be denied.
    SuperUsers,
}

impl Exempt {
    fn spares(&self, principal: &str) -> bool {
        match self {
            Self::Principals(ours) => ours.contains(principal) || principal == EVERYBODY,
            Self::SuperUsers => false,
        }
    }

    fn is_ours(&self, principal: &str) -> bool {
        matches!(self, Self::Principals(ours) if ours.contains(principal))
    }
}

/// What an ACL fence over some topics takes, given the entries that stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AclFence {
    /// To be added: one per topic and principal that may write to it.
    pub missing: Vec<AclBinding>,
    /// Permissions given to everybody: no denial can take them back without denying the mirror too.
    pub unstoppable: Vec<AclBinding>,
}

impl AclFence {
    /// Every principal that an entry names is denied. (Super users need no entry.)
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.unstoppable.is_empty()
    }
}

/// Which denials keep everybody who may write to these topics from doing so. Literal, prefixed and wildcard permissions
/// count; a denial that stands already, whoever gave it, is not given again.
pub fn acl_fence(standing: &[AclBinding], topics: &BTreeSet<String>, exempt: &Exempt) -> AclFence {
    let mut fence = AclFence::default();
    let (mut missing, mut unstoppable) = (BTreeSet::new(), BTreeSet::new());
    for topic in topics {
        let here: Vec<_> =
            standing.iter().filter(|entry| entry.is_about_topic(topic) && entry.is_about_writing()).collect();
        let allowed = here.iter().filter(|entry| entry.permission == Permission::Allow);
        for entry in allowed {
            if exempt.is_ours(&entry.principal) {
                continue;
            }
            let denial = AclBinding::deny_write(&entry.principal, topic);
            let is_denied = here.iter().any(|other| {
                other.permission == Permission::Deny
                    && other.host == denial.host
                    && (other.principal == denial.principal || other.principal == EVERYBODY)
            });
            if is_denied {
                continue;
            }
            if exempt.spares(&entry.principal) {
                unstoppable.insert((*entry).clone());
            } else {
                missing.insert(denial);
            }
        }
    }
    fence.missing.extend(missing);
    fence.unstoppable.extend(unstoppable);
    fence
}

/// The setting that closes a topic.
pub const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

/// How far a topic is closed (M25).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TopicStage {
    /// Transaction markers pass, which are 78 bytes long, and batches of at most that size: one record of ten bytes.
    MarkersOnly,
    /// Nothing passes. With a transaction open its marker would be dropped for good.
    Closed,
}

impl TopicStage {
    /// The value of [`MAX_MESSAGE_BYTES`].
    pub fn value(self) -> &'static str {
        match self {
            Self::MarkersOnly => "78",
            Self::Closed => "0",
        }
    }

    /// The stage that a topic's own value means; `None` for one that is no fence.
    pub fn of_value(value: Option<&str>) -> Option<Self> {
        [Self::MarkersOnly, Self::Closed].into_iter().find(|stage| value == Some(stage.value()))
    }
}

/// What a setting was before it was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Previous {
    /// The topic had no value of its own: lifting removes ours, and the broker's default holds again.
    Unset,
    Set(String),
}

impl Previous {
    /// What to put back; `None`: remove the topic's own value.
    pub fn restored(&self) -> Option<&str> {
        match self {
            Self::Unset => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// What to note as a topic's previous value. `now`: its own value at the moment; `noted`: by an earlier, perhaps
/// interrupted, fence, which wins: what stands now may be its doing. A fence's value that nobody noted is nobody's will:
/// lifting it falls back to the broker's default.
pub fn previous(now: Option<&str>, noted: Option<&Previous>) -> Previous {
    match (noted, now) {
        (Some(noted), _) => noted.clone(),
        (None, Some(value)) if TopicStage::of_value(now).is_none() => Previous::Set(value.to_owned()),
        (None, _) => Previous::Unset,
    }
}

/// What is known before a topic is closed fully.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Openness {
    /// Transactions that are open or about to be ended, on any partition of the link.
    pub open_transactions: usize,
    /// Producers on the link's partitions that have used transactions.
    pub transactional_producers: usize,
    /// Every principal that may write is denied it, as far as entries tell.
    pub acl_fence: AclFenceState,
}

/// Whether denials keep clients from beginning transactions on the link's topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AclFenceState {
    /// Every leading broker goes by all of them.
    Confirmed,
    /// No authorizer, or somebody who cannot be denied.
    Incomplete,
}

/// How far a settled topic may be closed (M25). A client that goes on trying begins a transaction, is refused the data,
/// and aborts: that marker must pass, too. So nothing is closed fully while somebody could still begin one.
pub fn stage_allowed(openness: Openness) -> TopicStage {
    let nobody_begins_one =
        openness.acl_fence == AclFenceState::Confirmed || openness.transactional_producers == 0;
    if openness.open_transactions == 0 && nobody_begins_one {
        TopicStage::Closed
    } else {
        TopicStage::MarkersOnly
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dr::acl::{Operations, PatternKind};
    use crate::plan::permissions::Operation;

    fn allow(principal: &str, topic: &str) -> AclBinding {
        AclBinding { permission: Permission::Allow, ..AclBinding::deny_write(principal, topic) }
    }

    fn topics(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn mirror() -> Exempt {
        Exempt::Principals(topics(&["User:mirror"]))
    }

    #[test]
    fn every_principal_that_may_write_gets_a_denial_of_its_own() {
        let standing = [
            allow("User:literal", "orders"),
            AclBinding { pattern: PatternKind::Prefixed, ..allow("User:prefix", "ord") },
            AclBinding { operation: Operations::All, ..allow("User:wild", "*") },
            AclBinding { operation: Operations::One(Operation::Read), ..allow("User:reader", "orders") },
            allow("User:elsewhere", "bills"),
            allow("User:mirror", "*"),
        ];
        let fence = acl_fence(&standing, &topics(&["orders"]), &mirror());
        let denied: Vec<_> = fence.missing.iter().map(|entry| entry.principal.as_str()).collect();
        assert_eq!(denied, ["User:literal", "User:prefix", "User:wild"]);
        assert!(
            fence.missing.iter().all(|entry| *entry == AclBinding::deny_write(&entry.principal, "orders"))
        );
        assert!(fence.unstoppable.is_empty());
        let both = acl_fence(&standing, &topics(&["orders", "bills"]), &mirror());
        assert_eq!(both.missing.len(), 5, "wild twice, the others once");
    }

    #[test]
    fn what_is_denied_already_is_not_denied_again() {
        let mut standing = vec![allow("User:a", "orders"), allow("User:b", "orders")];
        let first = acl_fence(&standing, &topics(&["orders"]), &mirror());
        standing.extend(first.missing);
        assert!(acl_fence(&standing, &topics(&["orders"]), &mirror()).is_complete());
        let from_one_host =
            AclBinding { host: "10.0.0.1".to_owned(), ..AclBinding::deny_write("User:c", "orders") };
        standing.extend([allow("User:c", "orders"), from_one_host]);
        let again = acl_fence(&standing, &topics(&["orders"]), &mirror());
        assert_eq!(again.missing, [AclBinding::deny_write("User:c", "orders")]);
        let everything = AclBinding {
            operation: Operations::All,
            pattern: PatternKind::Prefixed,
            ..AclBinding::deny_write("User:c", "or")
        };
        standing.push(everything);
        assert!(acl_fence(&standing, &topics(&["orders"]), &mirror()).is_complete());
    }

    #[test]
    fn a_permission_for_everybody_can_be_denied_by_a_super_user_only() {
        let standing = [allow(EVERYBODY, "orders")];
        let ordinary = acl_fence(&standing, &topics(&["orders"]), &mirror());
        assert_eq!((ordinary.missing.len(), ordinary.unstoppable.as_slice()), (0, &standing[..]));
        assert!(!ordinary.is_complete());
        let above = acl_fence(&standing, &topics(&["orders"]), &Exempt::SuperUsers);
        assert_eq!(above.missing, [AclBinding::deny_write(EVERYBODY, "orders")]);
    }

    #[test]
    fn a_fences_own_value_is_never_taken_for_the_previous_one() {
        assert_eq!(previous(None, None), Previous::Unset);
        assert_eq!(previous(Some("2000000"), None), Previous::Set("2000000".to_owned()));
        assert_eq!(previous(Some("78"), None), Previous::Unset);
        let noted = Previous::Set("2000000".to_owned());
        assert_eq!(previous(Some("0"), Some(&noted)), noted);
        assert_eq!(previous(Some("78"), Some(&Previous::Unset)), Previous::Unset);
        assert_eq!((Previous::Unset.restored(), noted.restored()), (None, Some("2000000")));
    }

    #[test]
    fn nothing_is_closed_fully_while_somebody_could_begin_a_transaction() {
        let free = Openness {
            open_transactions: 0,
            transactional_producers: 3,
            acl_fence: AclFenceState::Confirmed,
        };
        assert_eq!(stage_allowed(free), TopicStage::Closed);
        assert_eq!(stage_allowed(Openness { open_transactions: 1, ..free }), TopicStage::MarkersOnly);
        let without = Openness { acl_fence: AclFenceState::Incomplete, ..free };
        assert_eq!(stage_allowed(without), TopicStage::MarkersOnly);
        assert_eq!(stage_allowed(Openness { transactional_producers: 0, ..without }), TopicStage::Closed);
    }
}
