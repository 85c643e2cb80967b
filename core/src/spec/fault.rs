//! A fault in what a user wrote: key, value and remedy. All faults of a file are collected, never only the first.

use std::fmt;

/// One thing to be put right in a file of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The dotted path: `security.sasl.mechanism`.
    pub key: String,
    /// What is wrong, with the value unless it may be a secret; then what would be right.
    pub what: String,
}

impl Fault {
    pub fn new(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}
