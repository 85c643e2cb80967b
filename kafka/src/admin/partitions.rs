//! Questions about many partitions: grouped by topic on the way out, put back into the asked order on the way in.

use std::collections::HashMap;

use lockstep_core::ids::TopicPartition;

use super::PerPartition;
use crate::code::ErrorCode;
use crate::connection::Connection;
use crate::error::Error;
use crate::versions::Api;

/// Items by topic, topics in the order of first mention.
pub(super) fn by_topic<T>(items: &[T], tp: impl Fn(&T) -> &TopicPartition) -> Vec<(&str, Vec<&T>)> {
    let mut topics: Vec<(&str, Vec<&T>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for item in items {
        let name: &str = &tp(item).topic;
        // Neighbours are mostly of one topic.
        let place = match topics.last() {
            Some((last, _)) if *last == name => topics.len() - 1,
            _ => *places.entry(name).or_insert_with(|| {
                topics.push((name, Vec::new()));
                topics.len() - 1
            }),
        };
        topics[place].1.push(item);
    }
    topics
}

/// Answers by topic and partition, until all are there. Probes ask about thousands every second, and brokers answer mostly in
/// the order asked: a place is looked up only where it is not the next one.
pub(super) struct Answers<'a, T> {
    found: Vec<(&'a str, i32, Result<T, ErrorCode>)>,
}

impl<'a, T: Clone> Answers<'a, T> {
    pub(super) fn new() -> Self {
        Self { found: Vec::new() }
    }

    pub(super) fn add(&mut self, topic: &'a str, partition: i32, error_code: i16, value: T) {
        let outcome = ErrorCode::from_wire(error_code).map_or(Ok(value), Err);
        self.found.push((topic, partition, outcome));
    }

    /// One answer for each partition asked about, in that order.
    pub(super) fn in_order<'b>(
        self,
        api: Api,
        connection: &Connection,
        asked: impl Iterator<Item = &'b TopicPartition>,
    ) -> Result<PerPartition<T>, Error> {
        self.matched(asked).map_err(|tp| connection.protocol(api, format!("the answer leaves out {tp}")))
    }

    /// Or the first partition without an answer.
    fn matched<'b>(
        self,
        asked: impl Iterator<Item = &'b TopicPartition>,
    ) -> Result<PerPartition<T>, &'b TopicPartition> {
        let Self { found } = self;
        let mut places: Option<HashMap<(&str, i32), usize>> = None;
        let mut next = 0;
        let mut matched = Vec::with_capacity(found.len());
        for tp in asked {
            let is_it =
                |(topic, partition, _): &(&str, i32, _)| *partition == tp.partition && *topic == &*tp.topic;
            if !found.get(next).is_some_and(is_it) {
                let places = places.get_or_insert_with(|| {
                    found.iter().enumerate().map(|(at, (topic, n, _))| ((*topic, *n), at)).collect()
                });
                next = *places.get(&(&*tp.topic, tp.partition)).ok_or(tp)?;
            }
            matched.push((tp.clone(), found[next].2.clone()));
            next += 1;
        }
        Ok(matched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matched(found: &[(&str, i32, i64)], asked: &[TopicPartition]) -> Result<Vec<i64>, String> {
        let mut answers = Answers::new();
        for (topic, partition, value) in found {
            answers.add(topic, *partition, 0, *value);
        }
        let matched = answers.matched(asked.iter()).map_err(ToString::to_string)?;
        assert!(matched.iter().zip(asked).all(|((tp, _), asked)| tp == asked));
        Ok(matched.into_iter().map(|(_, value)| value.unwrap()).collect())
    }

    #[test]
    fn answers_come_in_the_order_asked_whatever_order_the_broker_chose() {
        let asked = [("a", 0), ("a", 1), ("b", 0), ("b", 1)].map(|(t, n)| TopicPartition::new(t, n));
        let same = [("a", 0, 1), ("a", 1, 2), ("b", 0, 3), ("b", 1, 4)];
        assert_eq!(matched(&same, &asked).unwrap(), [1, 2, 3, 4]);
        let topics_swapped = [("b", 0, 3), ("b", 1, 4), ("a", 0, 1), ("a", 1, 2)];
        assert_eq!(matched(&topics_swapped, &asked).unwrap(), [1, 2, 3, 4]);
        let reversed = [("b", 1, 4), ("b", 0, 3), ("a", 1, 2), ("a", 0, 1)];
        assert_eq!(matched(&reversed, &asked).unwrap(), [1, 2, 3, 4]);
        let twice = [asked[0].clone(), asked[0].clone()];
        assert_eq!(matched(&same, &twice).unwrap(), [1, 1], "asked twice, answered once");
    }

    #[test]
    fn what_the_answer_leaves_out_is_named() {
        let asked = [TopicPartition::new("a", 0), TopicPartition::new("a", 1)];
        assert_eq!(matched(&[("a", 0, 1)], &asked).unwrap_err(), "a:1");
        assert_eq!(matched(&[("a", 1, 1)], &asked).unwrap_err(), "a:0");
    }

    #[test]
    fn a_code_stays_with_its_partition() {
        let asked = [TopicPartition::new("a", 0), TopicPartition::new("a", 1)];
        let mut answers = Answers::new();
        answers.add("a", 0, 3, 0);
        answers.add("a", 1, 0, 7);
        let matched = answers.matched(asked.iter()).unwrap();
        assert_eq!((matched[0].1, matched[1].1), (Err(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION), Ok(7)));
    }
}
