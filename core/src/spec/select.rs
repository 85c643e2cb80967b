//! Which topics a link takes: anchored regular expressions, include less exclude.
//! Kafka's internal topics and Lockstep's own (`__lockstep*`, `lockstep.*`) are never matched.

use regex::Regex;
use thiserror::Error;

/// A selection of topics by name.
#[derive(Clone, Debug)]
pub struct TopicSelection {
    include: Regex,
    exclude: Option<Regex>,
}

/// A pattern that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{flag} {pattern:?} is not a regular expression: {reason}\n  remedy  patterns are anchored regular expressions, e.g. 'orders\\..*' or 'orders|payments'; '.*' takes every topic"
)]
pub struct BadPattern {
    pub flag: &'static str,
    pub pattern: String,
    pub reason: String,
}

impl TopicSelection {
    /// Patterns must match the whole name.
    ///
    /// # Errors
    /// [`BadPattern`] for an expression that does not parse or is empty.
    pub fn new(include: &str, exclude: Option<&str>) -> Result<Self, BadPattern> {
        Ok(Self {
            include: anchored("--topics", include)?,
            exclude: exclude.map(|pattern| anchored("--exclude", pattern)).transpose()?,
        })
    }

    /// Whether the link takes this topic. `internal`: as the cluster's metadata say.
    pub fn takes(&self, topic: &str, internal: bool) -> bool {
        !internal
            && !is_own(topic)
            && self.include.is_match(topic)
            && !self.exclude.as_ref().is_some_and(|e| e.is_match(topic))
    }
}

/// Lockstep's own topics.
fn is_own(topic: &str) -> bool {
    topic.starts_with("__lockstep") || topic.starts_with("lockstep.")
}

fn anchored(flag: &'static str, pattern: &str) -> Result<Regex, BadPattern> {
    let bad = |reason: String| BadPattern { flag, pattern: pattern.to_owned(), reason };
    if pattern.is_empty() {
        return Err(bad("it is empty".to_owned()));
    }
    // The user's own text is compiled first: an error then points into it, not into our wrapping.
    Regex::new(pattern).map_err(|e| bad(last_line(&e.to_string())))?;
    Regex::new(&format!("^(?:{pattern})$")).map_err(|e| bad(last_line(&e.to_string())))
}

/// The regex crate draws the expression over several lines; the cause is in the last one.
fn last_line(text: &str) -> String {
    let last = text.lines().last().unwrap_or(text).trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_anchored_even_with_alternatives() {
        let s = TopicSelection::new("orders|pay.*", None).unwrap();
        assert!(s.takes("orders", false) && s.takes("payments", false));
        assert!(!s.takes("orders2", false) && !s.takes("my-orders", false));
    }

    #[test]
    fn exclude_wins_and_internal_topics_are_never_taken() {
        let s = TopicSelection::new(".*", Some(".*\\.tmp")).unwrap();
        assert!(s.takes("a", false));
        assert!(!s.takes("a.tmp", false));
        assert!(!s.takes("__consumer_offsets", true));
        assert!(!s.takes("__lockstep", false) && !s.takes("lockstep.map.x", false));
        assert!(s.takes("_schemas", false));
    }

    #[test]
    fn a_bad_pattern_names_the_flag_and_the_remedy() {
        let e = TopicSelection::new("orders(", None).unwrap_err();
        let text = e.to_string();
        assert!(text.contains("--topics") && text.contains("orders(") && text.contains("remedy"), "{text}");
        assert!(TopicSelection::new("", None).is_err());
    }
}
