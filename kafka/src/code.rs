//! Kafka's error codes and the one table that says what each of them means for us.
//! Promises: every code Kafka defines today has a class (a test walks them all); a code from the future is fatal.
//! Never decides what to do: loops match on [`Class`], not on names or texts.

use std::fmt;

use kafka_protocol::ResponseError;

/// An error code from a broker, never 0. Shown as `NOT_LEADER_OR_FOLLOWER (6)`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ErrorCode(pub i16);

/// What a failure asks of the loop that meets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Transient: wait a little and try again, after refreshing the metadata where
    /// [`ErrorCode::refreshes_metadata`] says so. Whoever was writing must still treat the outcome as unknown.
    Retry,
    /// What we believe about the log or its producer is wrong: ask the broker where it stands and go on from there (M5).
    Rewind,
    /// Another owner or a newer generation holds what we thought was ours: stop writing.
    Fence,
    /// Trying again cannot help: a right, a limit, a setting or a version needs a human.
    Fatal,
}

impl ErrorCode {
    pub const UNKNOWN_SERVER_ERROR: Self = Self(-1);
    pub const OFFSET_OUT_OF_RANGE: Self = Self(1);
    pub const CORRUPT_MESSAGE: Self = Self(2);
    pub const UNKNOWN_TOPIC_OR_PARTITION: Self = Self(3);
    pub const LEADER_NOT_AVAILABLE: Self = Self(5);
    pub const NOT_LEADER_OR_FOLLOWER: Self = Self(6);
    pub const REQUEST_TIMED_OUT: Self = Self(7);
    pub const MESSAGE_TOO_LARGE: Self = Self(10);
    pub const COORDINATOR_LOAD_IN_PROGRESS: Self = Self(14);
    pub const COORDINATOR_NOT_AVAILABLE: Self = Self(15);
    pub const NOT_COORDINATOR: Self = Self(16);
    pub const INVALID_TOPIC: Self = Self(17);
    pub const NOT_ENOUGH_REPLICAS: Self = Self(19);
    pub const NOT_ENOUGH_REPLICAS_AFTER_APPEND: Self = Self(20);
    pub const UNKNOWN_MEMBER_ID: Self = Self(25);
    pub const TOPIC_AUTHORIZATION_FAILED: Self = Self(29);
    pub const GROUP_AUTHORIZATION_FAILED: Self = Self(30);
    pub const CLUSTER_AUTHORIZATION_FAILED: Self = Self(31);
    pub const UNSUPPORTED_SASL_MECHANISM: Self = Self(33);
    pub const ILLEGAL_SASL_STATE: Self = Self(34);
    pub const INVALID_TIMESTAMP: Self = Self(32);
    pub const UNSUPPORTED_VERSION: Self = Self(35);
    pub const TOPIC_ALREADY_EXISTS: Self = Self(36);
    pub const INVALID_PARTITIONS: Self = Self(37);
    pub const INVALID_CONFIG: Self = Self(40);
    pub const NOT_CONTROLLER: Self = Self(41);
    pub const POLICY_VIOLATION: Self = Self(44);
    pub const OUT_OF_ORDER_SEQUENCE_NUMBER: Self = Self(45);
    pub const DUPLICATE_SEQUENCE_NUMBER: Self = Self(46);
    pub const INVALID_PRODUCER_EPOCH: Self = Self(47);
    pub const CONCURRENT_TRANSACTIONS: Self = Self(51);
    pub const TRANSACTION_COORDINATOR_FENCED: Self = Self(52);
    pub const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: Self = Self(53);
    pub const SECURITY_DISABLED: Self = Self(54);
    pub const OPERATION_NOT_ATTEMPTED: Self = Self(55);
    pub const KAFKA_STORAGE_ERROR: Self = Self(56);
    pub const SASL_AUTHENTICATION_FAILED: Self = Self(58);
    pub const UNKNOWN_PRODUCER_ID: Self = Self(59);
    pub const NON_EMPTY_GROUP: Self = Self(68);
    pub const GROUP_ID_NOT_FOUND: Self = Self(69);
    pub const FETCH_SESSION_ID_NOT_FOUND: Self = Self(70);
    pub const INVALID_FETCH_SESSION_EPOCH: Self = Self(71);
    pub const FENCED_LEADER_EPOCH: Self = Self(74);
    pub const UNKNOWN_LEADER_EPOCH: Self = Self(75);
    pub const OFFSET_NOT_AVAILABLE: Self = Self(78);
    pub const INVALID_RECORD: Self = Self(87);
    pub const UNSTABLE_OFFSET_COMMIT: Self = Self(88);
    pub const PRODUCER_FENCED: Self = Self(90);
    pub const UNKNOWN_TOPIC_ID: Self = Self(100);
    pub const INCONSISTENT_TOPIC_ID: Self = Self(103);
    pub const TRANSACTIONAL_ID_NOT_FOUND: Self = Self(105);
    pub const FETCH_SESSION_TOPIC_ID_ERROR: Self = Self(106);

    /// `None` for 0, Kafka's "no error".
    #[must_use]
    pub fn from_wire(code: i16) -> Option<Self> {
        (code != 0).then_some(Self(code))
    }

    /// Kafka's own name in capitals, or `UNKNOWN_CODE` for one this build does not know.
    #[must_use]
    pub fn name(self) -> String {
        match ResponseError::try_from_code(self.0) {
            None => "NONE".to_owned(),
            Some(ResponseError::Unknown(_)) => "UNKNOWN_CODE".to_owned(),
            Some(known) => in_capitals(&known.to_string()),
        }
    }

    /// What this code asks of the loop that meets it. Codes this build does not know are fatal:
    /// retrying what nobody understands would hide it.
    #[must_use]
    pub fn class(self) -> Class {
        class_of(self.0).unwrap_or(Class::Fatal)
    }

    /// Whether an ACL is missing: for a topic, a group, the cluster, a transactional id.
    #[must_use]
    pub fn is_missing_permission(self) -> bool {
        matches!(
            self,
            Self::TOPIC_AUTHORIZATION_FAILED
                | Self::GROUP_AUTHORIZATION_FAILED
                | Self::CLUSTER_AUTHORIZATION_FAILED
                | Self::TRANSACTIONAL_ID_AUTHORIZATION_FAILED
        )
    }

    /// Whether the cure includes asking who leads what: the answer came from the wrong broker, or with an old view.
    #[must_use]
    pub fn refreshes_metadata(self) -> bool {
        matches!(
            self.0,
            3 | 5 | 6 | 8 | 9 | 13 | 41 | 56 | 72 | 74 | 75 | 80 | 83 | 100 | 103 | 106 | 108 | 129
        )
    }
}

/// The one table from code to class; `None` for codes Kafka did not define when this was written.
fn class_of(code: i16) -> Option<Class> {
    Some(match code {
        // Leadership, coordinators, controllers and replicas on the move; quotas; disks failing over; sessions.
        -1 | 3 | 5..=9 | 11 | 13..=16 | 19 | 20 | 27 | 41 | 51 | 55 | 56 | 60 => Class::Retry,
        70..=72 | 74 | 75 | 77 | 78 | 80 | 83 | 84 | 88 | 89 | 98 | 100 | 102 | 103 => Class::Retry,
        106..=108 | 122 | 123 | 129 | 133 => Class::Retry,
        // What we believe about the end of the log, its producer or its markers is not so.
        1 | 2 | 45 | 46 | 52 | 59 | 99 | 109 | 120 => Class::Rewind,
        // A newer owner: of a producer id, of a transactional id, of a group's membership.
        22 | 25 | 47 | 49 | 82 | 90 | 110 | 113 | 124 | 132 => Class::Fence,
        // Sizes, topics, acks, groups, rights.
        4 | 10 | 12 | 17 | 18 | 21 | 23 | 24 | 26 | 28..=31 => Class::Fatal,
        // Timestamps, authentication, versions, creation, configuration, policies.
        32..=40 | 42..=44 | 48 | 50 | 53 | 54 | 57 | 58 | 61..=69 | 73 | 76 => Class::Fatal,
        79 | 81 | 85..=87 | 91..=97 | 101 | 104 | 105 | 111 | 112 | 114..=119 => Class::Fatal,
        121 | 125..=128 | 130 | 131 => Class::Fatal,
        _ => return None,
    })
}

/// `NotLeaderOrFollower` → `NOT_LEADER_OR_FOLLOWER`.
fn in_capitals(camel: &str) -> String {
    let mut name = String::with_capacity(camel.len() + 8);
    for letter in camel.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_kafka_defines_has_a_class() {
        let mut known = 0;
        for code in i16::MIN..=i16::MAX {
            match ResponseError::try_from_code(code) {
                None => assert_eq!(code, 0),
                Some(ResponseError::Unknown(_)) => {
                    assert_eq!(class_of(code), None, "code {code} does not exist");
                }
                Some(name) => {
                    known += 1;
                    assert!(class_of(code).is_some(), "{name} ({code}) has no class");
                }
            }
        }
        assert!(known >= 134, "only {known} codes seen");
    }

    #[test]
    fn the_codes_the_mirror_lives_by() {
        for (code, class) in [
            (ErrorCode::OUT_OF_ORDER_SEQUENCE_NUMBER, Class::Rewind),
            (ErrorCode::DUPLICATE_SEQUENCE_NUMBER, Class::Rewind),
            (ErrorCode::UNKNOWN_PRODUCER_ID, Class::Rewind),
            (ErrorCode::CORRUPT_MESSAGE, Class::Rewind),
            (ErrorCode::OFFSET_OUT_OF_RANGE, Class::Rewind),
            (ErrorCode::TRANSACTION_COORDINATOR_FENCED, Class::Rewind),
            (ErrorCode::INVALID_PRODUCER_EPOCH, Class::Fence),
            (ErrorCode::PRODUCER_FENCED, Class::Fence),
            (ErrorCode::FENCED_LEADER_EPOCH, Class::Retry),
            (ErrorCode::NOT_LEADER_OR_FOLLOWER, Class::Retry),
            (ErrorCode::MESSAGE_TOO_LARGE, Class::Fatal),
            (ErrorCode::INVALID_TIMESTAMP, Class::Fatal),
            (ErrorCode::INVALID_RECORD, Class::Fatal),
            (ErrorCode::TOPIC_AUTHORIZATION_FAILED, Class::Fatal),
            (ErrorCode::UNSUPPORTED_VERSION, Class::Fatal),
            (ErrorCode(30_000), Class::Fatal),
        ] {
            assert_eq!(code.class(), class, "{code}");
        }
        assert!(ErrorCode::FENCED_LEADER_EPOCH.refreshes_metadata());
        assert!(!ErrorCode::REQUEST_TIMED_OUT.refreshes_metadata());
    }

    #[test]
    fn what_refreshes_metadata_is_retried() {
        for code in (i16::MIN..=i16::MAX).map(ErrorCode).filter(|code| code.refreshes_metadata()) {
            assert_eq!(code.class(), Class::Retry, "{code}");
        }
    }

    #[test]
    fn a_code_is_shown_by_name_and_number() {
        assert_eq!(ErrorCode(6).to_string(), "NOT_LEADER_OR_FOLLOWER (6)");
        assert_eq!(ErrorCode(-1).to_string(), "UNKNOWN_SERVER_ERROR (-1)");
        assert_eq!(ErrorCode(45).to_string(), "OUT_OF_ORDER_SEQUENCE_NUMBER (45)");
        assert_eq!(ErrorCode(9999).to_string(), "UNKNOWN_CODE (9999)");
        assert_eq!(ErrorCode::from_wire(0), None);
    }
}
