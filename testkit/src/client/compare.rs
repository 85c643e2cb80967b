//! Compares a partition on two clusters as an independent client sees it: log start, high watermark, and of every
//! record offset, timestamp, key, value and headers in order. Streams both sides; says the first difference in words.
//! Never says equal when a side could not be read: that is an error of its own.

use std::fmt;
use std::ops::Range;

use super::read::{Isolation, Reader, Seen, watermarks};
use crate::Error;

/// Bytes of a key or value that a message shows.
const SHOWN_BYTES: usize = 40;

/// What was found equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    pub records: u64,
    /// Keys, values, header names and values; not their framing.
    pub bytes: u64,
}

/// The first difference, from the log's start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// `topic:partition`.
    pub place: String,
    /// What differs there, both sides named.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.place, self.what)
    }
}

/// Compares one partition on both sides.
///
/// # Errors
/// When a side could not be read.
pub fn compare(
    source: &str,
    destination: &str,
    topic: &str,
    partition: i32,
    isolation: Isolation,
) -> Result<Result<Compared, Difference>, Error> {
    compare_as([(source, isolation), (destination, isolation)], topic, partition)
}

/// As [`compare`], each side (source, destination) with an isolation of its own: rolled-back records are none on a
/// mirror, whoever reads it.
///
/// # Errors
/// When a side could not be read.
pub fn compare_as(
    sides: [(&str, Isolation); 2],
    topic: &str,
    partition: i32,
) -> Result<Result<Compared, Difference>, Error> {
    compare_named(sides, [topic, topic], partition)
}

/// As [`compare_as`], each side with a name of its own for the topic.
///
/// # Errors
/// When a side could not be read.
pub fn compare_named(
    [(source, read_source), (destination, read_destination)]: [(&str, Isolation); 2],
    [topic, topic_there]: [&str; 2],
    partition: i32,
) -> Result<Result<Compared, Difference>, Error> {
    let differs = |what: String| Ok(Err(Difference { place: format!("{topic}:{partition}"), what }));
    let ours = watermarks(source, topic, partition)?;
    let theirs = watermarks(destination, topic_there, partition)?;
    if ours != theirs {
        return differs(watermarks_in_words(&ours, &theirs));
    }
    let mut left = Reader::open(source, topic, partition, ours.clone(), read_source)?;
    let mut right = Reader::open(destination, topic_there, partition, ours, read_destination)?;
    let mut equal = Compared::default();
    loop {
        match (left.next_record()?, right.next_record()?) {
            (None, None) => return Ok(Ok(equal)),
            (Some(ours), Some(theirs)) => {
                if let Some(what) = record_difference(&ours, &theirs) {
                    return differs(what);
                }
                equal.records += 1;
                equal.bytes += bytes(&ours);
            }
            (Some(ours), None) => {
                return differs(format!("offset {}: only the source has a record", ours.offset));
            }
            (None, Some(theirs)) => {
                return differs(format!("offset {}: only the destination has a record", theirs.offset));
            }
        }
    }
}

/// Compares partitions `0..partitions` of a topic, read_committed; returns how much was compared.
///
/// # Panics
/// With the first difference in words, or when a side could not be read.
#[track_caller]
pub fn assert_identical(source: &str, destination: &str, topic: &str, partitions: i32) -> Compared {
    let mut all = Compared::default();
    for partition in 0..partitions {
        match compare(source, destination, topic, partition, Isolation::ReadCommitted) {
            Ok(Ok(equal)) => {
                all.records += equal.records;
                all.bytes += equal.bytes;
            }
            Ok(Err(difference)) => panic!("not identical: {difference}"),
            Err(cause) => panic!("could not compare {topic}:{partition}: {cause}"),
        }
    }
    all
}

fn watermarks_in_words(ours: &Range<i64>, theirs: &Range<i64>) -> String {
    if ours.start == theirs.start {
        format!("ends at {} on the source, at {} on the destination", ours.end, theirs.end)
    } else {
        format!("starts at {} on the source, at {} on the destination", ours.start, theirs.start)
    }
}

fn record_difference(ours: &Seen, theirs: &Seen) -> Option<String> {
    let at = ours.offset;
    if at != theirs.offset {
        let first = at.min(theirs.offset);
        let (here, next) = if first == at { ("source", theirs.offset) } else { ("destination", at) };
        return Some(format!(
            "offset {first}: only the {here} has a record, the other side's next is at {next}"
        ));
    }
    let sides = |field: &str, ours: String, theirs: String| {
        Some(format!("offset {at}: {field} is {ours} on the source, {theirs} on the destination"))
    };
    if ours.timestamp != theirs.timestamp {
        return sides("timestamp", ours.timestamp.to_string(), theirs.timestamp.to_string());
    }
    if ours.key != theirs.key {
        return sides("key", show(ours.key.as_deref()), show(theirs.key.as_deref()));
    }
    if ours.value != theirs.value {
        return sides("value", show(ours.value.as_deref()), show(theirs.value.as_deref()));
    }
    if ours.headers.len() != theirs.headers.len() {
        return sides("number of headers", ours.headers.len().to_string(), theirs.headers.len().to_string());
    }
    let headers = ours.headers.iter().zip(&theirs.headers).enumerate();
    let (index, (ours, theirs)) = headers.into_iter().find(|(_, (ours, theirs))| ours != theirs)?;
    let header = |(name, value): &(String, Option<Vec<u8>>)| format!("{name}={}", show(value.as_deref()));
    sides(&format!("header {index}"), header(ours), header(theirs))
}

fn show(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".to_owned(),
        Some([]) => "empty".to_owned(),
        Some(bytes) if bytes.len() <= SHOWN_BYTES => format!("\"{}\"", bytes.escape_ascii()),
        Some(bytes) => format!("\"{}\"… ({} bytes)", bytes[..SHOWN_BYTES].escape_ascii(), bytes.len()),
    }
}

fn bytes(seen: &Seen) -> u64 {
    let of = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
    let headers: usize = seen.headers.iter().map(|(name, value)| name.len() + of(value)).sum();
    (of(&seen.key) + of(&seen.value) + headers) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        let headers = vec![("a".to_owned(), Some(b"1".to_vec())), ("a".to_owned(), None)];
        Seen { offset: 7, timestamp: 1_000, key: None, value: Some(b"v".to_vec()), headers }
    }

    fn found(change: impl FnOnce(&mut Seen)) -> String {
        let mut theirs = seen();
        change(&mut theirs);
        record_difference(&seen(), &theirs).unwrap_or_else(|| "equal".to_owned())
    }

    #[test]
    fn every_field_counts_and_is_named() {
        assert_eq!(found(|_| ()), "equal");
        assert_eq!(
            found(|seen| seen.offset = 9),
            "offset 7: only the source has a record, the other side's next is at 9"
        );
        assert_eq!(
            found(|seen| seen.offset = 5),
            "offset 5: only the destination has a record, the other side's next is at 7"
        );
        for (difference, change) in [
            ("timestamp is 1000 on the source, 1001", (|s| s.timestamp = 1_001) as fn(&mut Seen)),
            ("key is null on the source, empty", |s| s.key = Some(Vec::new())),
            ("value is \"v\" on the source, null", |s| s.value = None),
            ("number of headers is 2 on the source, 1", |s| s.headers.truncate(1)),
            ("header 0 is a=\"1\" on the source, a=null", |s| s.headers.reverse()),
            ("header 1 is a=null on the source, a=empty", |s| s.headers[1].1 = Some(Vec::new())),
        ] {
            let words = found(change);
            assert!(words.starts_with(&format!("offset 7: {difference}")), "{words}");
        }
        let long = show(Some(&[b'x'; 100]));
        assert!(long.ends_with("… (100 bytes)"), "{long}");
    }
}
