//! What a topic is called on the destination. Offsets do not depend on it: they stay identical.
//! Promises: a name that Kafka would refuse is found before anything is created.

use std::borrow::Cow;

use regex::Regex;
use thiserror::Error;

/// The longest name of a topic (Kafka: `Topic.MAX_NAME_LENGTH`).
const NAME_BYTES_MAX: usize = 249;

/// How a link names its topics on the destination.
#[derive(Clone, Debug, Default)]
pub enum Rename {
    /// As at the source.
    #[default]
    Keep,
    /// The source's name behind this text: `east.` makes `orders` `east.orders`.
    Prefix(String),
    /// Names that `from` matches as a whole become `to`, in which `$1` … are its groups; all others stay.
    Pattern { from: Regex, to: String },
}

/// Patterns as written.
impl PartialEq for Rename {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Keep, Self::Keep) => true,
            (Self::Prefix(a), Self::Prefix(b)) => a == b,
            (Self::Pattern { from, to }, Self::Pattern { from: other_from, to: other_to }) => {
                from.as_str() == other_from.as_str() && to == other_to
            }
            _ => false,
        }
    }
}

/// A rule that cannot be meant.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{given:?}: {why}")]
pub struct BadRename {
    pub given: String,
    pub why: String,
}

impl Rename {
    /// A prefix (`east.`), or `PATTERN=>NAME` (`(.*)=>east.$1`).
    ///
    /// # Errors
    /// [`BadRename`] for what no topic can be called, and for a pattern that does not parse.
    pub fn parse(given: &str) -> Result<Self, BadRename> {
        match given.split_once("=>") {
            None => Self::prefix(given),
            Some((from, to)) => Self::pattern(from.trim(), to.trim()),
        }
    }

    /// # Errors
    /// [`BadRename`] for a prefix with a character that no topic's name has.
    pub fn prefix(prefix: &str) -> Result<Self, BadRename> {
        match prefix.chars().find(|c| !is_legal(*c)) {
            _ if prefix.is_empty() => Err(bad(prefix, "the prefix is empty")),
            Some(c) => Err(bad(prefix, format!("no topic's name has the character {c:?}"))),
            None => Ok(Self::Prefix(prefix.to_owned())),
        }
    }

    /// # Errors
    /// [`BadRename`] for a pattern that does not parse, and for a name with a group that it does not have.
    pub fn pattern(from: &str, to: &str) -> Result<Self, BadRename> {
        let parsed = super::select::Patterns::new([from]);
        parsed.map_err(|e| bad(from, format!("is not a regular expression: {}", e.reason)))?;
        if to.is_empty() {
            return Err(bad(to, "the new name is empty: write PATTERN=>NAME, as in '(.*)=>east.$1'"));
        }
        let from = Regex::new(&format!("^(?:{from})$")).map_err(|e| bad(from, e.to_string()))?;
        Ok(Self::Pattern { from, to: to.to_owned() })
    }

    /// What a topic of the source is called on the destination.
    pub fn dest_name<'a>(&self, source: &'a str) -> Cow<'a, str> {
        match self {
            Self::Keep => Cow::Borrowed(source),
            Self::Prefix(prefix) => Cow::Owned(format!("{prefix}{source}")),
            Self::Pattern { from, to } => from.replace(source, to.as_str()),
        }
    }
}

/// Whether Kafka would take it as a topic's name (`Topic.validate`).
pub fn is_topic_name(name: &str) -> bool {
    !name.is_empty()
        && name != "."
        && name != ".."
        && name.len() <= NAME_BYTES_MAX
        && name.chars().all(is_legal)
}

fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || "._-".contains(c)
}

fn bad(given: &str, why: impl Into<String>) -> BadRename {
    BadRename { given: given.to_owned(), why: why.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_goes_before_every_name() {
        let rename = Rename::parse("east.").unwrap();
        assert_eq!(rename.dest_name("orders"), "east.orders");
        assert!(Rename::parse("ea st").is_err() && Rename::parse("").is_err());
    }

    #[test]
    fn a_pattern_is_anchored_and_names_what_it_does_not_match_stay() {
        let rename = Rename::parse("orders\\.(.*) => east-$1.orders").unwrap();
        assert_eq!(rename.dest_name("orders.new"), "east-new.orders");
        assert_eq!(rename.dest_name("my-orders.new"), "my-orders.new");
        assert!(Rename::parse("orders( => x").is_err() && Rename::parse("orders => ").is_err());
    }

    #[test]
    fn names_that_kafka_refuses_are_known() {
        assert!(is_topic_name("a.b_c-1") && is_topic_name(&"a".repeat(249)));
        for name in ["", ".", "..", "a b", "a/b", &"a".repeat(250)] {
            assert!(!is_topic_name(name), "{name}");
        }
    }
}
