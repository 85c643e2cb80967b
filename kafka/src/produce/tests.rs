//! The hand-made produce frame against the library, and answers against what was asked.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::ProduceRequest;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::produce_response::TopicProduceResponse;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::*;

fn batch(size: usize, fill: u8) -> ProduceBatch {
    ProduceBatch { header: Bytes::from(vec![fill; 61]), payload: Bytes::from(vec![fill ^ 0xff; size]) }
}

fn batches() -> Vec<(TopicPartition, ProduceBatch)> {
    let long = "t".repeat(200);
    vec![
        (TopicPartition::new("orders", 3), batch(100, 1)),
        (TopicPartition::new("orders", 0), batch(0, 2)),
        (TopicPartition::new(long.as_str(), 7), batch(70_000, 3)),
        (TopicPartition::new("orders", 1), batch(5, 4)),
    ]
}

fn expected(batches: &[(TopicPartition, ProduceBatch)]) -> ProduceRequest {
    let mut topics: Vec<TopicProduceData> = Vec::new();
    for (tp, batch) in batches {
        let name = StrBytes::from_string(tp.topic.to_string());
        let records = Bytes::from([&batch.header[..], &batch.payload[..]].concat());
        let data = PartitionProduceData::default().with_index(tp.partition).with_records(Some(records));
        match topics.iter_mut().find(|topic| topic.name.0 == name) {
            Some(topic) => topic.partition_data.push(data),
            None => topics
                .push(TopicProduceData::default().with_name(name.into()).with_partition_data(vec![data])),
        }
    }
    ProduceRequest::default().with_acks(-1).with_timeout_ms(12_345).with_topic_data(topics)
}

#[test]
fn the_hand_made_frame_is_the_librarys_frame() {
    let batches = batches();
    let expected = expected(&batches);
    for version in Api::Produce.ours().min..=Api::Produce.ours().max {
        let segments = frame::segments(
            BytesMut::new(),
            version,
            Duration::from_millis(12_345),
            &group(&batches).unwrap(),
        );
        let whole = Bytes::from(segments.concat());
        let mut theirs = BytesMut::new();
        expected.encode(&mut theirs, version).unwrap();
        assert_eq!(whole, theirs.freeze(), "v{version}");
        let mut rest = whole;
        assert_eq!(ProduceRequest::decode(&mut rest, version).unwrap(), expected, "v{version}");
        assert!(rest.is_empty(), "v{version}");
    }
}

#[test]
fn payloads_are_not_copied() {
    let batches = batches();
    let segments = frame::segments(BytesMut::new(), 12, Duration::from_secs(1), &group(&batches).unwrap());
    for (tp, batch) in batches.iter().filter(|(_, batch)| !batch.payload.is_empty()) {
        assert!(
            segments.iter().any(|segment| segment.as_ptr() == batch.payload.as_ptr()),
            "the payload of {tp} was copied"
        );
    }
}

#[test]
fn a_partition_comes_once() {
    let twice = vec![
        (TopicPartition::new("a", 0), batch(1, 1)),
        (TopicPartition::new("b", 0), batch(1, 1)),
        (TopicPartition::new("a", 0), batch(1, 1)),
    ];
    assert!(group(&twice).is_err_and(|why| why.contains("a:0")));
}

fn answer(partitions: &[(&'static str, i32, i64)]) -> ProduceResponse {
    let topics = partitions.iter().map(|(topic, index, offset)| {
        let partition = PartitionProduceResponse::default().with_index(*index).with_base_offset(*offset);
        TopicProduceResponse::default()
            .with_name(StrBytes::from_static_str(topic).into())
            .with_partition_responses(vec![partition])
    });
    ProduceResponse::default().with_responses(topics.collect())
}

#[test]
fn results_come_in_the_order_submitted() {
    let submitted = vec![TopicPartition::new("b", 1), TopicPartition::new("a", 0)];
    let results = match_up(answer(&[("a", 0, 10), ("b", 1, 20)]), submitted.clone()).unwrap();
    let seen: Vec<_> = results.iter().map(|result| (result.tp.clone(), result.base_offset)).collect();
    assert_eq!(seen, [(submitted[0].clone(), 20), (submitted[1].clone(), 10)]);
    assert!(results[0].leader_hint.is_none() && results[0].message.is_none() && results[0].error.is_none());
}

#[test]
fn an_answer_that_does_not_fit_the_request_is_refused() {
    let submitted = vec![TopicPartition::new("a", 0)];
    for (wrong, why) in [
        (answer(&[]), "leaves out a:0"),
        (answer(&[("a", 0, 1), ("a", 0, 2)]), "twice"),
        (answer(&[("a", 0, 1), ("a", 1, 2)]), "a:1, not asked for"),
    ] {
        assert!(match_up(wrong, submitted.clone()).is_err_and(|error| error.contains(why)));
    }
}
