//! Batches for tests: an encoder of its own, written from the format's description and not from the decoder.
//! Only compiled for this crate's tests. Panics on misuse.

use std::io::Write;

use bytes::Bytes;
use proptest::prelude::*;

use crate::header::Codec;
use crate::records::{Header, Record};

pub(crate) const ALL_CODECS: [Codec; 5] = [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd];

/// A batch to be. Public fields: a test sets what it is about.
#[derive(Clone, Debug)]
pub(crate) struct TestBatch {
    pub(crate) base_offset: i64,
    pub(crate) leader_epoch: i32,
    pub(crate) codec: Codec,
    /// All but the codec bits.
    pub(crate) attributes: i16,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: i64,
    pub(crate) producer_id: i64,
    pub(crate) producer_epoch: i16,
    pub(crate) base_sequence: i32,
    /// Computed from the records where `None`.
    pub(crate) last_offset_delta: Option<i32>,
    /// Offsets and timestamps are those the record shall have.
    pub(crate) records: Vec<Record>,
}

impl TestBatch {
    pub(crate) fn new(base_offset: i64, codec: Codec, records: Vec<Record>) -> Self {
        Self {
            base_offset,
            leader_epoch: 4,
            codec,
            attributes: 0,
            base_timestamp: records.first().map_or(-1, |record| record.timestamp),
            max_timestamp: records.iter().map(|record| record.timestamp).max().unwrap_or(-1),
            producer_id: 4711,
            producer_epoch: 2,
            base_sequence: 17,
            last_offset_delta: None,
            records,
        }
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        for record in &self.records {
            put_record(&mut plain, record, self.base_offset, self.base_timestamp);
        }
        if plain.is_empty() { plain } else { compress(self.codec, &plain) }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        self.encode_with(self.records.len() as i32, &self.payload())
    }

    pub(crate) fn encode_with(&self, count: i32, payload: &[u8]) -> Vec<u8> {
        let last = self.records.last().map_or(0, |record| (record.offset - self.base_offset) as i32);
        let mut covered = Vec::new();
        covered.extend((self.attributes | code(self.codec)).to_be_bytes());
        covered.extend(self.last_offset_delta.unwrap_or(last).to_be_bytes());
        covered.extend(self.base_timestamp.to_be_bytes());
        covered.extend(self.max_timestamp.to_be_bytes());
        covered.extend(self.producer_id.to_be_bytes());
        covered.extend(self.producer_epoch.to_be_bytes());
        covered.extend(self.base_sequence.to_be_bytes());
        covered.extend(count.to_be_bytes());
        covered.extend(payload);
        let mut batch = Vec::new();
        batch.extend(self.base_offset.to_be_bytes());
        batch.extend((covered.len() as i32 + 9).to_be_bytes());
        batch.extend(self.leader_epoch.to_be_bytes());
        batch.push(2);
        batch.extend(crc32c::crc32c(&covered).to_be_bytes());
        batch.extend(covered);
        batch
    }
}

/// A few records with ordinary content, offsets dense from `base_offset`.
pub(crate) fn some_records(base_offset: i64, count: usize) -> Vec<Record> {
    (0..count)
        .map(|i| Record {
            offset: base_offset + i as i64,
            timestamp: 1_700_000_000_000 + i as i64 * 13,
            key: Some(Bytes::from(format!("key-{i}"))),
            value: Some(Bytes::from(format!("{{\"order\":{i},\"note\":\"the quick brown fox\"}}"))),
            headers: vec![Header {
                key: Bytes::from_static(b"trace"),
                value: Some(Bytes::from(format!("{i:032x}"))),
            }],
        })
        .collect()
}

fn code(codec: Codec) -> i16 {
    match codec {
        Codec::None => 0,
        Codec::Gzip => 1,
        Codec::Snappy => 2,
        Codec::Lz4 => 3,
        Codec::Zstd => 4,
    }
}

fn put_record(out: &mut Vec<u8>, record: &Record, base_offset: i64, base_timestamp: i64) {
    let mut body = vec![0];
    put_varlong(&mut body, record.timestamp.wrapping_sub(base_timestamp));
    put_varint(&mut body, (record.offset - base_offset) as i32);
    put_nullable(&mut body, record.key.as_deref());
    put_nullable(&mut body, record.value.as_deref());
    put_varint(&mut body, record.headers.len() as i32);
    for header in &record.headers {
        put_nullable(&mut body, Some(&header.key));
        put_nullable(&mut body, header.value.as_deref());
    }
    put_varint(out, body.len() as i32);
    out.extend(body);
}

fn put_varint(out: &mut Vec<u8>, number: i32) {
    put_varlong(out, i64::from(number));
}

fn put_varlong(out: &mut Vec<u8>, number: i64) {
    let mut rest = ((number << 1) ^ (number >> 63)) as u64;
    while rest > 0x7f {
        out.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_varint(out, bytes.map_or(-1, |bytes| bytes.len() as i32));
    out.extend(bytes.unwrap_or_default());
}

/// As Kafka's Java clients do: snappy in Xerial's framing, blocks of 32 KiB.
pub(crate) fn compress(codec: Codec, plain: &[u8]) -> Vec<u8> {
    match codec {
        Codec::None => plain.to_vec(),
        Codec::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Codec::Snappy => {
            let mut out = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01".to_vec();
            for block in plain.chunks(32 << 10) {
                let packed = compress_snappy_bare(block);
                out.extend((packed.len() as i32).to_be_bytes());
                out.extend(packed);
            }
            out
        }
        Codec::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        Codec::Zstd => zstd::stream::encode_all(plain, 1).unwrap(),
    }
}

/// As librdkafka does.
pub(crate) fn compress_snappy_bare(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).unwrap()
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn any_nullable() -> impl Strategy<Value = Option<Bytes>> {
    prop::option::weighted(0.8, any_bytes())
}

fn any_header() -> impl Strategy<Value = Header> {
    // Few different keys: repeated ones must stay apart and in order.
    let key = prop_oneof![Just(Bytes::from_static(b"k")), Just(Bytes::new()), any_bytes()];
    (key, any_nullable()).prop_map(|(key, value)| Header { key, value })
}

/// A batch with any content, dense or with gaps, any timestamps, any codec.
pub(crate) fn any_batch() -> impl Strategy<Value = TestBatch> {
    let record = (
        prop_oneof![9 => Just(1), 1 => 2..50i64],
        any::<i64>(),
        any_nullable(),
        any_nullable(),
        prop::collection::vec(any_header(), 0..4),
    );
    (
        0..i64::MAX / 2,
        prop::sample::select(&ALL_CODECS[..]),
        prop::collection::vec(record, 1..20),
        any::<(i64, i16, i32, i32)>(),
    )
        .prop_map(
            |(base_offset, codec, records, (producer_id, producer_epoch, base_sequence, leader_epoch))| {
                let mut offset = base_offset - 1;
                let records = records
                    .into_iter()
                    .map(|(step, timestamp, key, value, headers)| {
                        offset += step;
                        Record { offset, timestamp, key, value, headers }
                    })
                    .collect();
                let batch = TestBatch::new(base_offset, codec, records);
                TestBatch { producer_id, producer_epoch, base_sequence, leader_epoch, ..batch }
            },
        )
}

/// Batches written by Apache Kafka 4.3.1 itself (its MemoryRecordsBuilder), as hexadecimal digits: the same three
/// records at 4242 with every codec, leader epoch 6, producer 77, epoch 3, base sequence 11.
pub(crate) const KAFKA_BATCHES: [(Codec, &str); 5] = [
    (
        Codec::None,
        "0000000000001092000000780000000602abbe88200000000000020000018bcfe568000000018bcf\
         e569f4000000000000004d00030000000b000000036c000000066b65794676616c75652076616c75\
         652076616c75652076616c75652076616c75652076616c756506026202310261010262000e00cf0f\
         020100000e00e80704000100",
    ),
    (
        Codec::Gzip,
        "00000000000010920000006f000000060281d401cf0001000000020000018bcfe568000000018bcf\
         e569f4000000000000004d00030000000b000000031f8b08000000000000ffcb61606060cb4ead74\
         2b4bcc294d55c04bb231253119322532322531f0319ce767626400d22fd859181819009bb8ce0b47\
         000000",
    ),
    (
        Codec::Snappy,
        "000000000000109200000075000000060274f3dab50002000000020000018bcfe568000000018bcf\
         e569f4000000000000004d00030000000b0000000382534e41505059000000000100000001000000\
         3047386c000000066b65794676616c7565207206006806026202310261010262000e00cf0f020100\
         000e00e80704000100",
    ),
    (
        Codec::Lz4,
        "0000000000001092000000710000000602e6fbf8a80003000000020000018bcfe568000000018bcf\
         e569f4000000000000004d00030000000b0000000304224d1860408231000000ff006c000000066b\
         65794676616c75652006000af00c06026202310261010262000e00cf0f020100000e00e807040001\
         0000000000",
    ),
    (
        Codec::Zstd,
        "00000000000010920000006e000000060263940de30004000000020000018bcfe568000000018bcf\
         e569f4000000000000004d00030000000b0000000328b52ffd00588c0100a4026c000000066b6579\
         4676616c75652006026202310261010262000e00cf0f020100000e00e807040001000100b94b1d01\
         0000",
    ),
];

/// Likewise: one tombstone of 1,700,000,000,000 ms at 4242 with the delete horizon 1,800,000,000,000 ms.
pub(crate) const KAFKA_DELETE_HORIZON: &str = "0000000000001092000000400000000602b487c5a1004000000000000001a3185c50000000018bcf\
     e56800ffffffffffffffffffffffffffff000000011c00ff9fb787e90500066b65790100";

/// The same three records in message formats 0 and 1, written by Apache Kafka 3.9.1 itself (its
/// MemoryRecordsBuilder), as hexadecimal digits. With compression: one wrapper. Format 1 both with the
/// producer's time and with the broker's (1,800,000,000,000 ms).
pub(crate) struct KafkaOld {
    pub(crate) magic: i8,
    pub(crate) codec: Codec,
    pub(crate) broker_time: bool,
    pub(crate) digits: &'static str,
}

pub(crate) const KAFKA_OLD: [KafkaOld; 12] = [
    KafkaOld {
        magic: 0,
        codec: Codec::None,
        broker_time: false,
        digits: "00000000000010920000003405daccdb0000000000036b65790000002376616c75652076616c75652076616c7565\
         2076616c75652076616c75652076616c756500000000000010930000000e795748e00000ffffffff000000000000\
         0000000010940000000e3d314895000000000000ffffffff",
    },
    KafkaOld {
        magic: 0,
        codec: Codec::Gzip,
        broker_time: false,
        digits: "00000000000010940000005c84ee07a70001ffffffff0000004e1f8b08000000000000ff63600001814940c284f5\
         d699db602e73766a2590522e4bcc294d55c04b3240f44f06127c95e11e0f1818fe0301031c084c01c9d81a7a4c85\
         f041b200369391fa74000000",
    },
    KafkaOld {
        magic: 0,
        codec: Codec::Snappy,
        broker_time: false,
        digits: "000000000000109400000073e1adcbd40002ffffffff0000006582534e4150505900000000010000000100000051\
         74000005012810920000003405daccdb00010134036b65790000002376616c756520720600012f48000010930000\
         000e795748e00000ffffffff001501041094011a343d314895000000000000ffffffff",
    },
    KafkaOld {
        magic: 0,
        codec: Codec::Lz4,
        broker_time: false,
        digits: "00000000000010940000006f379091010003ffffffff0000006104224d1860401a5200000011000100a110920000\
         003405daccdb0f00ef036b65790000002376616c75652006000a013000f2020010930000000e795748e00000ffff\
         ffff16000002002010941a00e03d314895000000000000ffffffff00000000",
    },
    KafkaOld {
        magic: 1,
        codec: Codec::None,
        broker_time: false,
        digits: "00000000000010920000003cfafa26b801000000018bcfe56800000000036b65790000002376616c75652076616c\
         75652076616c75652076616c75652076616c75652076616c7565000000000000109300000016737e2e1f01000000\
         018bcfe56418ffffffff000000000000000000001094000000161ee4d72501000000018bcfe569f400000000ffff\
         ffff",
    },
    KafkaOld {
        magic: 1,
        codec: Codec::None,
        broker_time: true,
        digits: "00000000000010920000003c29ee63450108000001a3185c5000000000036b65790000002376616c75652076616c\
         75652076616c75652076616c75652076616c75652076616c756500000000000010930000001606f1a75701080000\
         01a3185c5000ffffffff000000000000000000001094000000164297a7220108000001a3185c500000000000ffff\
         ffff",
    },
    KafkaOld {
        magic: 1,
        codec: Codec::Gzip,
        broker_time: false,
        digits: "00000000000010940000006d61281cd501010000018bcfe569f4ffffffff000000571f8b08000000000000ff6360\
         80039b5fbfd4763002198cdde79f66804498b3532b81947259624e69aa025e126a0648bb58719d9e3ccc9c1489ff\
         4080b0848109a442eec97555988acc2f2061902a00bf837d0a8c000000",
    },
    KafkaOld {
        magic: 1,
        codec: Codec::Gzip,
        broker_time: true,
        digits: "000000000000109400000069389a747d0109000001a3185c5000ffffffff000000531f8b08000000000000ff6360\
         80031bcd77c9ae8c1c0c0c8c8b2562024022ccd9a995404ab92c31a73455012f0935831188c5d83e2e0f4798f31f\
         08109630308154384d5fae846213581500e35b9ab18c000000",
    },
    KafkaOld {
        magic: 1,
        codec: Codec::Snappy,
        broker_time: false,
        digits: "00000000000010940000008524ac1cd901020000018bcfe569f4ffffffff0000006f82534e415050590000000001\
         000000010000005b8c0100001901343cfafa26b801000000018bcfe568011834036b65790000002376616c756520\
         720600012f013b1c00000016737e2e1f01090148146418ffffffff011b0d01000201220c1ee4d72511222469f400\
         000000ffffffff",
    },
    KafkaOld {
        magic: 1,
        codec: Codec::Snappy,
        broker_time: true,
        digits: "00000000000010940000008374916c7e010a000001a3185c5000ffffffff0000006d82534e415050590000000001\
         00000001000000598c0100001901343c29ee63450108000001a3185c50011834036b65790000002376616c756520\
         720600012f30000000010000001606f1a7570115480cffffffff011b0d0100020122104297a7220115221c000000\
         00ffffffff",
    },
    KafkaOld {
        magic: 1,
        codec: Codec::Lz4,
        broker_time: false,
        digits: "00000000000010940000007f317c927401030000018bcfe569f4ffffffff0000006904224d186040825a00000016\
         000100e03cfafa26b801000000018bcfe5681800ef036b65790000002376616c75652006000a002f00003b008400\
         000016737e2e1f4800616418ffffffff1c0002020010022200441ee4d7252200a069f400000000ffffffff000000\
         00",
    },
    KafkaOld {
        magic: 1,
        codec: Codec::Lz4,
        broker_time: true,
        digits: "00000000000010940000007c980029ad010b000001a3185c5000ffffffff0000006604224d186040825700000016\
         000100e03c29ee63450108000001a3185c501800ef036b65790000002376616c75652006000a002f00c600000001\
         0000001606f1a757480041ffffffff1c0002020010022200464297a72222008000000000ffffffff00000000",
    },
];

/// The bytes of one of the above.
pub(crate) fn from_hex(digits: &str) -> Vec<u8> {
    let digits: Vec<u32> = digits.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect()
}
