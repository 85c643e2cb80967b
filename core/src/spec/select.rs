//! Which topics and groups a link takes: anchored regular expressions, include less exclude.
//! Kafka's internal topics and Lockstep's own (`__lockstep*`, `lockstep.*`) are never matched, nor its groups (`lockstep.*`).

use regex::Regex;
use thiserror::Error;

/// Names by anchored regular expressions: one that matches is enough; no expression takes no name.
#[derive(Clone, Debug, Default)]
pub struct Patterns(Vec<Pattern>);

/// A spec may name thousands of topics one by one, and a compiled expression has some 10 KB: where it can take one name only,
/// that name does.
#[derive(Clone, Debug)]
enum Pattern {
    Name { written: Box<str>, name: Box<str> },
    Expression(Regex),
}

/// As written: two spellings of one set of names differ.
impl PartialEq for Patterns {
    fn eq(&self, other: &Self) -> bool {
        self.written().eq(other.written())
    }
}

/// A pattern that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "{pattern:?} is not a regular expression: {reason}\n  remedy  patterns are anchored regular expressions, e.g. 'orders\\..*' or 'orders|payments'; '.*' takes every name"
)]
pub struct BadPattern {
    pub pattern: String,
    pub reason: String,
}

impl Patterns {
    /// Each pattern must match the whole name.
    ///
    /// # Errors
    /// [`BadPattern`] for the first expression that does not parse or is empty.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Result<Self, BadPattern> {
        Ok(Self(patterns.into_iter().map(anchored).collect::<Result<_, _>>()?))
    }

    pub fn matches(&self, name: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            Pattern::Name { name: only, .. } => **only == *name,
            Pattern::Expression(expression) => expression.is_match(name),
        })
    }

    /// The expressions as their user wrote them.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|pattern| match pattern {
            Pattern::Name { written, .. } => written,
            Pattern::Expression(expression) => {
                let text = expression.as_str();
                text.strip_prefix("^(?:").and_then(|text| text.strip_suffix(")$")).unwrap_or(text)
            }
        })
    }
}

/// A selection of topics by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicSelection {
    pub include: Patterns,
    pub exclude: Patterns,
}

impl TopicSelection {
    /// Whether the link takes this topic. `internal`: as the cluster's metadata say.
    pub fn takes(&self, topic: &str, internal: bool) -> bool {
        !internal && !is_own(topic) && self.include.matches(topic) && !self.exclude.matches(topic)
    }
}

/// A selection of consumer groups by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GroupSelection {
    pub include: Patterns,
    pub exclude: Patterns,
}

impl GroupSelection {
    /// Whether the link copies this group's offsets.
    pub fn takes(&self, group: &str) -> bool {
        !is_own(group) && self.include.matches(group) && !self.exclude.matches(group)
    }
}

/// Lockstep's own topics and groups.
pub fn is_own(name: &str) -> bool {
    name.starts_with("__lockstep") || name.starts_with("lockstep.")
}

fn anchored(pattern: &str) -> Result<Pattern, BadPattern> {
    let bad = |reason: String| BadPattern { pattern: pattern.to_owned(), reason };
    if pattern.is_empty() {
        return Err(bad("it is empty".to_owned()));
    }
    if let Some(name) = only_name(pattern) {
        return Ok(Pattern::Name { written: pattern.into(), name: name.into() });
    }
    // The user's own text is compiled first: an error then points into it, not into our wrapping.
    Regex::new(pattern).map_err(|e| bad(last_line(&e.to_string())))?;
    let expression = Regex::new(&format!("^(?:{pattern})$"));
    expression.map(Pattern::Expression).map_err(|e| bad(last_line(&e.to_string())))
}

/// The one name that an expression takes, if it says so in plain letters. A bare dot takes any character.
fn only_name(pattern: &str) -> Option<String> {
    let mut name = String::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => name.push(chars.next().filter(|c| matches!(c, '.' | '-'))?),
            c if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') => name.push(c),
            _ => return None,
        }
    }
    Some(name)
}

/// The regex crate draws the expression over several lines; the cause is in the last one.
fn last_line(text: &str) -> String {
    let last = text.lines().last().unwrap_or(text).trim();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topics(include: &[&str], exclude: &[&str]) -> TopicSelection {
        let patterns = |list: &[&str]| Patterns::new(list.iter().copied()).unwrap();
        TopicSelection { include: patterns(include), exclude: patterns(exclude) }
    }

    #[test]
    fn patterns_are_anchored_even_with_alternatives() {
        let s = topics(&["orders|pay.*", "bills"], &[]);
        assert!(s.takes("orders", false) && s.takes("payments", false) && s.takes("bills", false));
        assert!(!s.takes("orders2", false) && !s.takes("my-orders", false));
    }

    /// Whatever is kept of them, they take what the expression takes and read as they were written.
    #[test]
    fn plain_names_take_what_their_expression_takes() {
        for pattern in
            ["orders", "or-ders_2", "orders\\.eu", "a\\-b", "orders.eu", "a\\d", "a\\\\", "x|y", "A"]
        {
            let expression = Regex::new(&format!("^(?:{pattern})$")).unwrap();
            let patterns = Patterns::new([pattern]).unwrap();
            for name in [
                "orders",
                "or-ders_2",
                "orders.eu",
                "ordersxeu",
                "a-b",
                "a1",
                "a\\",
                "x",
                "y",
                "a",
                "A",
                "orders\n",
                "",
            ] {
                assert_eq!(patterns.matches(name), expression.is_match(name), "{pattern:?} on {name:?}");
            }
            assert_eq!(patterns.written().collect::<Vec<_>>(), [pattern]);
        }
    }

    #[test]
    fn exclude_wins_and_internal_topics_are_never_taken() {
        let s = topics(&[".*"], &[".*\\.tmp"]);
        assert!(s.takes("a", false));
        assert!(!s.takes("a.tmp", false));
        assert!(!s.takes("__consumer_offsets", true));
        assert!(!s.takes("__lockstep", false) && !s.takes("lockstep.map.x", false));
        assert!(s.takes("_schemas", false));
        assert!(!TopicSelection::default().takes("a", false), "nothing named, nothing taken");
    }

    #[test]
    fn lockstep_s_own_groups_are_never_taken() {
        let groups = GroupSelection { include: Patterns::new([".*"]).unwrap(), exclude: Patterns::default() };
        assert!(groups.takes("claims-reader") && !groups.takes("lockstep.claims"));
    }

    #[test]
    fn a_bad_pattern_is_named_with_the_remedy() {
        let e = Patterns::new(["fine", "orders("]).unwrap_err();
        let text = e.to_string();
        assert!(text.contains("orders(") && text.contains("remedy"), "{text}");
        assert!(Patterns::new([""]).is_err());
    }
}
