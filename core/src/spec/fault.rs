//! A fault in what a user wrote: line, key, value and remedy. All faults of a file are collected, never only the first.

use std::fmt;

/// One thing to be put right in a file of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The dotted path: `security.sasl.mechanism`.
    pub key: String,
    /// What is wrong, with the value unless it may be a secret; then what would be right.
    pub what: String,
    /// Of the key in its file, or of what it is missing in; from 1. `None` where nobody counted.
    pub line: Option<u32>,
}

impl Fault {
    pub fn new(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into(), line: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        write!(f, "{}: {}", self.key, self.what)
    }
}

/// Something that may be meant but should be looked at: it keeps nothing from being done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// What it is about: `links.claims.groups`.
    pub key: String,
    /// What may happen, and what would avoid it.
    pub what: String,
}

impl Warning {
    pub fn new(key: impl Into<String>, what: impl Into<String>) -> Self {
        Self { key: key.into(), what: what.into() }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.what)
    }
}
