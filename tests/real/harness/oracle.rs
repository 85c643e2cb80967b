//! The independent client writes exactly what it is told, and the comparison finds every planted difference.

use lockstep_testkit::client::{
    Admin, Codec, Difference, Isolation, Record, Seed, Seen, assert_identical, compare, read_all, watermarks,
};
use lockstep_testkit::{Pair, pair, stored, unique};

/// A topic of this test, on both clusters.
fn topic_on_both(name: &str) -> (&'static Pair, String) {
    let (pair, topic) = (pair(), unique(name));
    for kafka in [&pair.source, &pair.destination] {
        Admin::of(&kafka.bootstrap()).unwrap().create(&topic, 1, &[]).unwrap();
    }
    (pair, topic)
}

fn plain() -> Record {
    Record::new("v").key("k").header("a", "1").header("a", "2").null_header("n").at(1_700_000_000_000)
}

/// The first difference between a source with two plain records and a destination with `second` in place of the second.
fn difference(second: Option<Record>) -> Difference {
    let (pair, topic) = topic_on_both("planted");
    let (source, destination) = (pair.source.bootstrap(), pair.destination.bootstrap());
    Seed::to(&source).write(&topic, [plain(), plain()]).unwrap();
    Seed::to(&destination).write(&topic, [plain()].into_iter().chain(second)).unwrap();
    compare(&source, &destination, &topic, 0, Isolation::ReadCommitted).unwrap().unwrap_err()
}

#[test]
fn equal_partitions_are_identical() {
    let (pair, topic) = topic_on_both("equal");
    let (source, destination) = (pair.source.bootstrap(), pair.destination.bootstrap());
    // Packed differently and compressed differently: what a reader sees is the same.
    let records = || (0..500).map(|n| plain().key(n.to_string()));
    Seed::to(&source).codec(Codec::Lz4).write(&topic, records()).unwrap();
    Seed::to(&destination).codec(Codec::Zstd).batch_records(7).write(&topic, records()).unwrap();
    let compared = assert_identical(&source, &destination, &topic, 1);
    assert_eq!(compared.records, 500);
}

#[test]
fn every_planted_difference_is_found_and_named() {
    let at = 1_700_000_000_000;
    let base = || Record::new("v").key("k");
    let headers = |record: Record| record.header("a", "1").header("a", "2").null_header("n").at(at);
    for (planted, words) in [
        (plain().at(at + 1), "offset 1: timestamp is 1700000000000 on the source, 1700000000001"),
        (headers(Record::new("v").key("")), "offset 1: key is \"k\" on the source, empty"),
        (headers(Record::new("v")), "offset 1: key is \"k\" on the source, null"),
        (headers(Record::new("").key("k")), "offset 1: value is \"v\" on the source, empty"),
        (headers(Record::null().key("k")), "offset 1: value is \"v\" on the source, null"),
        (base().header("a", "2").header("a", "1").null_header("n").at(at), "offset 1: header 0 is a=\"1\""),
        (base().header("a", "1").header("a", "2").header("n", "").at(at), "offset 1: header 2 is n=null"),
        (base().header("a", "1").header("a", "2").at(at), "offset 1: number of headers is 3"),
    ] {
        let found = difference(Some(planted));
        assert!(found.what.starts_with(words), "{found}");
    }
    assert_eq!(difference(None).what, "ends at 2 on the source, at 1 on the destination");
}

#[test]
fn a_log_that_starts_later_is_not_identical() {
    let (pair, topic) = topic_on_both("trimmed");
    let (source, destination) = (pair.source.bootstrap(), pair.destination.bootstrap());
    for bootstrap in [&source, &destination] {
        Seed::to(bootstrap).write(&topic, [plain(), plain()]).unwrap();
    }
    Admin::of(&source).unwrap().delete_records(&topic, 0, 1).unwrap();
    let found = compare(&source, &destination, &topic, 0, Isolation::ReadCommitted).unwrap().unwrap_err();
    assert_eq!(found.what, "starts at 1 on the source, at 0 on the destination");
}

#[test]
#[should_panic(expected = "not identical: ")]
fn assert_identical_panics_on_a_difference() {
    let (pair, topic) = topic_on_both("panics");
    Seed::to(&pair.source.bootstrap()).write(&topic, [plain()]).unwrap();
    assert_identical(&pair.source.bootstrap(), &pair.destination.bootstrap(), &topic, 1);
}

#[test]
fn nulls_empties_and_repeated_headers_survive_writing_and_reading() {
    let (pair, topic) = topic_on_both("exact");
    let bootstrap = pair.source.bootstrap();
    let written = [
        Record::null().at(5),
        Record::new("").key("").header("", "").at(4),
        Record::new("v").null_header("x").header("x", "1").null_header("x").at(3),
    ];
    Seed::to(&bootstrap).write(&topic, written).unwrap();
    let some = |bytes: &[u8]| Some(bytes.to_vec());
    let header = |name: &str, value| (name.to_owned(), value);
    let expected = [
        Seen { offset: 0, timestamp: 5, key: None, value: None, headers: vec![] },
        Seen {
            offset: 1,
            timestamp: 4,
            key: some(b""),
            value: some(b""),
            headers: vec![header("", some(b""))],
        },
        Seen {
            offset: 2,
            timestamp: 3,
            key: None,
            value: some(b"v"),
            headers: vec![header("x", None), header("x", some(b"1")), header("x", None)],
        },
    ];
    assert_eq!(read_all(&bootstrap, &topic, 0, 0..3, Isolation::ReadUncommitted).unwrap(), expected);
    let middle = read_all(&bootstrap, &topic, 0, 1..2, Isolation::ReadCommitted).unwrap();
    assert_eq!(middle, expected[1..2]);
}

#[test]
fn batches_are_as_large_and_as_compressed_as_asked() {
    let (pair, topic) = topic_on_both("shapes");
    let bootstrap = pair.source.bootstrap();
    let records = |count| (0..count).map(|_| Record::new("twenty bytes of text"));
    Seed::to(&bootstrap).batch_records(1).write(&topic, records(5)).unwrap();
    for codec in Codec::ALL {
        Seed::to(&bootstrap).codec(codec).batch_records(10_000).write(&topic, records(20_000)).unwrap();
    }
    let log = pair.source.log_folder(1, &topic, 0).unwrap();
    let shapes: Vec<_> =
        stored::batches(&log).unwrap().iter().map(|batch| (batch.records, batch.attributes & 7)).collect();
    let ones = [(1, 0); 5];
    let large = (0..5).flat_map(|codec| [(10_000, codec); 2]);
    assert_eq!(shapes, ones.into_iter().chain(large).collect::<Vec<_>>());
    assert_eq!(watermarks(&bootstrap, &topic, 0).unwrap(), 0..100_005);
}

#[test]
fn five_megabyte_records_pass() {
    let (pair, topic) = topic_on_both("large");
    let large = vec![b'x'; 5 << 20];
    for kafka in [&pair.source, &pair.destination] {
        Seed::to(&kafka.bootstrap())
            .write(&topic, [Record::new(&large).at(1), Record::new("small").at(2)])
            .unwrap();
    }
    assert_identical(&pair.source.bootstrap(), &pair.destination.bootstrap(), &topic, 1);
}
