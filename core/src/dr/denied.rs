//! A cluster that answers "no": a missing ACL, a login or a certificate that it does not take.
//! It is an answer, not silence: the link is unprotected, and the remedy is known (`docs/errors/`).
//! Carries no secret. Who sees one says so until the same thing works again.

use std::fmt;

use crate::code::Code;

/// One of a link's clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    Source,
    Dest,
}

impl Side {
    /// One stable lower-case word, used in JSON and texts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Dest => "destination",
        }
    }

    pub(crate) fn other(self) -> Self {
        match self {
            Self::Source => Self::Dest,
            Self::Dest => Self::Source,
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a cluster refuses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Denied {
    pub side: Side,
    pub code: Code,
    pub cause: Cause,
}

/// Why.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// An ACL is missing.
    Permission(Permission),
    /// No connection: the login or TLS failed. What the broker or our own check said.
    Connection { words: String },
}

/// A missing ACL, in the words of `kafka-acls`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Permission {
    pub principal: String,
    /// As in `Read`.
    pub operation: &'static str,
    /// As in `Topic orders`, `Cluster`.
    pub resource: String,
    /// The command that grants it.
    pub grant: String,
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on {} for {}", self.operation, self.resource, self.principal)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { side, code, cause } = self;
        match cause {
            Cause::Permission(permission) => {
                write!(f, "{side}: needs {permission} ({code}); grant: {}", permission.grant)
            }
            Cause::Connection { words } => write!(f, "{side}: {words}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_and_the_command_stand_in_one_line() {
        let permission = Permission {
            principal: "User:dr".to_owned(),
            operation: "Read",
            resource: "Topic orders".to_owned(),
            grant: "kafka-acls --add".to_owned(),
        };
        let cause = Cause::Permission(permission);
        let denied = Denied { side: Side::Source, code: Code::PermissionMissing, cause };
        assert_eq!(
            denied.to_string(),
            "source: needs Read on Topic orders for User:dr (L-103); grant: kafka-acls --add"
        );
    }
}
