//! What sort of group it is, from Kafka's words (`GroupType`, the protocol type), and whether somebody is in it.
//! Promises: what is not known to keep its position in committed offsets alone is not copied, and the reason is said.

use std::fmt;

/// What sort of group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupKind {
    /// Classic, KIP-848, or one that only keeps offsets: its committed offsets are all there is to it.
    Consumer,
    /// KIP-932: which records are acknowledged is kept in `__share_group_state`, not in committed offsets.
    Share,
    /// KIP-1071.
    Streams,
    /// Another protocol: the workers of Connect, schema registries.
    Other(String),
}

impl GroupKind {
    /// `protocol`: `consumer`, `connect`, empty for none. `kind`: `Classic`, `Consumer`, …; `None` from older brokers.
    pub fn of(protocol: &str, kind: Option<&str>) -> Self {
        match kind.map(str::to_ascii_lowercase).as_deref() {
            Some("share") => Self::Share,
            Some("streams") => Self::Streams,
            Some("consumer") => Self::Consumer,
            // An older listing of a newer broker still names the protocol.
            _ => match protocol {
                "consumer" | "" => Self::Consumer,
                "share" => Self::Share,
                "streams" => Self::Streams,
                other => Self::Other(other.to_owned()),
            },
        }
    }

    /// Why it is not copied; `None` if it is.
    pub fn not_copied(&self) -> Option<String> {
        Some(match self {
            Self::Consumer => return None,
            Self::Share => "a share group: what it has acknowledged lies in __share_group_state, which is \
                            not copied; on the standby it starts by its share.auto.offset.reset"
                .to_owned(),
            Self::Streams => "a streams group (KIP-1071): its offsets belong to tasks whose state is not \
                              copied"
                .to_owned(),
            Self::Other(protocol) => format!("not a group of consumers ({protocol})"),
        })
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Consumer => f.write_str("consumer"),
            Self::Share => f.write_str("share"),
            Self::Streams => f.write_str("streams"),
            Self::Other(protocol) => f.write_str(protocol),
        }
    }
}

/// Whether a group has members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Membership {
    /// None, or there is no such group.
    Nobody,
    Members,
}

impl Membership {
    /// From a listed state: `Empty` and `Dead` have none. An unknown state is taken for members: nothing is written.
    pub fn of(state: &str) -> Self {
        match state {
            "Empty" | "Dead" => Self::Nobody,
            _ => Self::Members,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_of_consumers_are_copied() {
        for (protocol, kind) in [("consumer", Some("Classic")), ("", Some("Classic")), ("consumer", None)] {
            assert_eq!(GroupKind::of(protocol, kind).not_copied(), None);
        }
        assert_eq!(GroupKind::of("consumer", Some("Consumer")), GroupKind::Consumer);
        assert_eq!(GroupKind::of("share", Some("Share")), GroupKind::Share);
        assert_eq!(GroupKind::of("streams", None), GroupKind::Streams);
        let connect = GroupKind::of("connect", Some("Classic")).not_copied().unwrap();
        assert!(connect.contains("connect"), "{connect}");
        assert!(GroupKind::Share.not_copied().unwrap().contains("__share_group_state"));
    }

    #[test]
    fn a_state_nobody_knows_counts_as_members() {
        assert_eq!(Membership::of("Empty"), Membership::Nobody);
        assert_eq!(Membership::of("Stable"), Membership::Members);
        assert_eq!(Membership::of("SomethingNew"), Membership::Members);
    }
}
