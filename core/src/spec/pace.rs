//! How fast a link may copy, and which topics go first when it cannot copy everything at once.

use std::num::NonZeroU64;

use super::select::Patterns;

/// A link's pace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pace {
    /// Bytes per second fetched from the source, as they are on the wire; `None`: as fast as it goes.
    pub bytes_per_second_max: Option<NonZeroU64>,
    pub priorities: Priorities,
}

/// Topics by urgency. A name in both lists is [`Priority::High`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Priorities {
    pub high: Patterns,
    pub low: Patterns,
}

/// Which topics go first; none is ever starved by another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    High,
    #[default]
    Normal,
    Low,
}

impl Priorities {
    /// `topic`: as the source calls it.
    pub fn of(&self, topic: &str) -> Priority {
        if self.high.matches(topic) {
            Priority::High
        } else if self.low.matches(topic) {
            Priority::Low
        } else {
            Priority::Normal
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_named_twice_is_urgent() {
        let patterns = |p| Patterns::new([p]).unwrap();
        let priorities = Priorities { high: patterns("payments.*"), low: patterns(".*log|payments-log") };
        assert_eq!(priorities.of("payments-log"), Priority::High);
        assert_eq!(priorities.of("audit-log"), Priority::Low);
        assert_eq!(priorities.of("orders"), Priority::Normal);
        assert!(Priority::High < Priority::Low);
    }
}
