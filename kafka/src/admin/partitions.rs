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
        let place = *places.entry(name).or_insert_with(|| {
            topics.push((name, Vec::new()));
            topics.len() - 1
        });
        topics[place].1.push(item);
    }
    topics
}

/// Answers by topic and partition, until all are there. Probes ask about thousands every second: a name is kept once.
pub(super) struct Answers<T> {
    found: HashMap<String, HashMap<i32, Result<T, ErrorCode>>>,
}

impl<T: Clone> Answers<T> {
    pub(super) fn new() -> Self {
        Self { found: HashMap::new() }
    }

    pub(super) fn add(&mut self, topic: &str, partition: i32, error_code: i16, value: T) {
        let outcome = ErrorCode::from_wire(error_code).map_or(Ok(value), Err);
        match self.found.get_mut(topic) {
            Some(partitions) => drop(partitions.insert(partition, outcome)),
            None => drop(self.found.insert(topic.to_owned(), HashMap::from([(partition, outcome)]))),
        }
    }

    /// One answer for each partition asked about, in that order.
    pub(super) fn in_order<'a>(
        self,
        api: Api,
        connection: &Connection,
        asked: impl Iterator<Item = &'a TopicPartition>,
    ) -> Result<PerPartition<T>, Error> {
        asked
            .map(|tp| match self.found.get(&*tp.topic).and_then(|found| found.get(&tp.partition)) {
                Some(outcome) => Ok((tp.clone(), outcome.clone())),
                None => Err(connection.protocol(api, format!("the answer leaves out {tp}"))),
            })
            .collect()
    }
}
