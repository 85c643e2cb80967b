//! Messages in formats v0 and v1, as brokers older than 0.11 wrote them: they lie on the source's disk still, are
//! carried record for record, and a v0 message has no timestamp on either side (M17).

use std::fs;

use lockstep_testkit::client::{Codec, Isolation, Record, Seed};
use lockstep_testkit::{Kafka, pair, unique, wait_until_true};

use super::assert_verified;
use crate::mirror::{Ends, PATIENCE};

const GZIP: u8 = 1;

/// A format of messages before record batches (`LegacyRecord` in Apache Kafka).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    V0,
    V1,
}

/// CRC-32 as in zlib, over messages and gzip members.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg()))
    })
}

fn put(out: &mut Vec<u8>, field: Option<&[u8]>) {
    let length = field.map_or(-1, |bytes| i32::try_from(bytes.len()).unwrap());
    out.extend(length.to_be_bytes());
    out.extend(field.unwrap_or_default());
}

/// One entry of a log: offset, size, and the message under its checksum.
fn entry(
    offset: i64,
    format: Format,
    attributes: u8,
    timestamp: i64,
    [key, value]: [Option<&[u8]>; 2],
) -> Vec<u8> {
    let mut body = vec![u8::from(format == Format::V1), attributes];
    if format == Format::V1 {
        body.extend(timestamp.to_be_bytes());
    }
    put(&mut body, key);
    put(&mut body, value);
    let mut entry = offset.to_be_bytes().to_vec();
    entry.extend(i32::try_from(body.len() + 4).unwrap().to_be_bytes());
    entry.extend(crc32(&body).to_be_bytes());
    entry.extend(body);
    entry
}

/// The smallest gzip there is: one stored block.
fn gzip(plain: &[u8]) -> Vec<u8> {
    let length = u16::try_from(plain.len()).unwrap();
    let mut out = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255, 1];
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(plain);
    out.extend(crc32(plain).to_le_bytes());
    out.extend(u32::from(length).to_le_bytes());
    out
}

/// Messages from `from` on: single ones, null keys and values, and compressed sets, whose inner offsets are absolute in
/// v0 and relative in v1.
fn messages(from: i64, format: Format, at: i64) -> (Vec<u8>, i64) {
    let mut log = Vec::new();
    let mut next = from;
    for n in 0..30 {
        let (key, value) = (format!("key {n}"), format!("{format:?} value {n}"));
        let fields = match n % 3 {
            0 => [Some(key.as_bytes()), Some(value.as_bytes())],
            1 => [None, Some(value.as_bytes())],
            _ => [Some(key.as_bytes()), None],
        };
        log.extend(entry(next, format, 0, at + n, fields));
        next += 1;
        let mut set = Vec::new();
        for inner in 0..10 {
            let offset = if format == Format::V0 { next + inner } else { inner };
            let value = format!("{format:?} packed {n} {inner}");
            set.extend(entry(offset, format, 0, at + n + inner, [None, Some(value.as_bytes())]));
        }
        next += 10;
        log.extend(entry(next - 1, format, GZIP, at + n + 9, [None, Some(&gzip(&set))]));
    }
    (log, next)
}

#[test]
fn messages_in_formats_v0_and_v1_are_carried() {
    const AT: i64 = 1_500_000_000_000;
    let old = Kafka::builder("old-formats").start().unwrap();
    let ends = Ends::of(&old, &pair().destination);
    let topic = unique("exact-old");
    ends.create(&topic, 1, &[]);
    old.kill(1).unwrap();
    let (mut log, next) = messages(0, Format::V0, AT);
    let (more, end) = messages(next, Format::V1, AT);
    log.extend(more);
    let folder = old.log_folder(1, &topic, 0).unwrap();
    fs::write(folder.join("00000000000000000000.log"), log).unwrap();
    for index in ["index", "timeindex"] {
        let _ = fs::remove_file(folder.join(format!("00000000000000000000.{index}")));
    }
    old.restart(1).unwrap();
    wait_until_true("the broker to find what lies there", PATIENCE, || ends.written(&topic, 0) == end);
    // And what a broker of today writes behind it.
    Seed::to(&ends.from)
        .codec(Codec::Zstd)
        .write(&topic, (0..50).map(|n| Record::new(n.to_string())))
        .unwrap();
    ends.mirror_all(&topic);
    // librdkafka takes the lengths in old messages for varints since Fetch v12: Kafka's own consumer looks.
    let printed = |kafka: &Kafka| kafka.console_consumer(&topic, Isolation::ReadCommitted).unwrap();
    let (ours, theirs) = (printed(&old), printed(&pair().destination));
    assert_eq!(ours.len(), 2 * 330 + 50);
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(theirs.len(), ours.len());
    assert_eq!(ours[0].timestamp, -1, "format v0 knows no timestamps");
    assert_eq!((ours[330].timestamp, ours[330].text.as_str()), (AT, "NO_HEADERS\tkey 0\tV1 value 0"));
    assert_eq!(ends.held(&topic, 0), ends.written(&topic, 0));
    assert_verified(&ends, &topic);
}
