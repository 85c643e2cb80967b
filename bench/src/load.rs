//! The records that are mirrored: JSON of about 1 kB each, about half of it random text, so that lz4 takes it to a little
//! over half. The same on every machine and in every run (fixed seed).

use std::fs;
use std::path::PathBuf;

use lockstep_testkit::client::{Admin, Codec, Record, Seed};

use crate::site::Site;
use crate::{Result, Settings};

/// librdkafka fills batches up to this before it compresses them.
const BATCH_BYTES: u32 = 1_000_000;
/// Bounds the seeding client's memory: a few batches per partition, in kB.
const QUEUE_KB: &str = "65536";
const RANDOM_CHARACTERS: usize = 520;
const SEED: u64 = 0x10c5;

/// What lies in the source's topic.
pub(crate) struct Load {
    pub(crate) topic: &'static str,
    pub(crate) partitions: i32,
    pub(crate) records: u64,
    pub(crate) raw_bytes: u64,
    /// Batches as stored and sent, headers included.
    pub(crate) wire_bytes: u64,
    /// The log segments that hold them.
    pub(crate) segments: Vec<Segment>,
}

/// A log segment of a partition.
pub(crate) struct Segment {
    pub(crate) partition: i32,
    pub(crate) path: PathBuf,
}

const TOPIC: &str = "bench-backlog";
const PARTITIONS: i32 = 8;

const SINGLES_TOPIC: &str = "bench-small";
const SINGLES_BYTES: u64 = 200_000_000;

/// The topic that whole scenarios copy: written when first asked for, the same for all of them.
pub(crate) fn backlog<'a>(site: &'a Site, settings: &Settings) -> Result<&'a Load> {
    if let Some(load) = site.backlog.get() {
        return Ok(load);
    }
    eprintln!("  writing {} MB to the source", settings.size_mb);
    let load = seed(site, TOPIC, PARTITIONS, settings.size_mb * 1_000_000, Shape::LargeLz4)?;
    Ok(site.backlog.get_or_init(|| load))
}

/// 200 MB in batches of one record each, not compressed, as writers without batching leave them.
pub(crate) fn singles(site: &Site) -> Result<Load> {
    eprintln!("  writing {} MB of single-record batches to the source", SINGLES_BYTES / 1_000_000);
    seed(site, SINGLES_TOPIC, PARTITIONS, SINGLES_BYTES, Shape::Singles)
}

/// How records are batched.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Up to 1 MB before compression.
    LargeLz4,
    /// One record each, not compressed.
    Singles,
}

/// Creates a topic at the source and fills it evenly.
fn seed(site: &Site, topic: &'static str, partitions: i32, raw_bytes_min: u64, shape: Shape) -> Result<Load> {
    let bootstrap = site.source.bootstrap();
    Admin::of(&bootstrap)?.create(topic, partitions, &[])?;
    let mut random = fastrand::Rng::with_seed(SEED);
    let (mut records, mut raw_bytes) = (0, 0);
    let stream = std::iter::from_fn(|| {
        if raw_bytes >= raw_bytes_min {
            return None;
        }
        let value = claim(records, &mut random);
        // Less than `partitions`, which is an i32.
        let partition = i32::try_from(records % u64::from(partitions.unsigned_abs())).unwrap_or(0);
        records += 1;
        raw_bytes += value.len() as u64;
        Some(Record::new(value).partition(partition))
    });
    Seed::to(&bootstrap)
        .codec(match shape {
            Shape::LargeLz4 => Codec::Lz4,
            Shape::Singles => Codec::None,
        })
        .batch_bytes(BATCH_BYTES)
        .batch_records(match shape {
            Shape::LargeLz4 => 1_000_000,
            Shape::Singles => 1,
        })
        .config("queue.buffering.max.kbytes", QUEUE_KB)
        .write(topic, stream)?;
    let segments = segments(site, topic, partitions)?;
    let mut wire_bytes = 0;
    for segment in &segments {
        wire_bytes += fs::metadata(&segment.path)?.len();
    }
    Ok(Load { topic, partitions, records, raw_bytes, wire_bytes, segments })
}

fn claim(number: u64, random: &mut fastrand::Rng) -> String {
    let text: String = std::iter::repeat_with(|| random.alphanumeric()).take(RANDOM_CHARACTERS).collect();
    let customer = random.u32(..1_000_000);
    let cents = random.u32(..9_000_000);
    format!(
        "{{\"claim\":\"CL-{number:012}\",\"state\":\"under-assessment\",\"customer\":\"CU-{customer:08}\",\
         \"amount\":\"{}.{:02}\",\"currency\":\"CZK\",\"product\":\"motor-third-party-liability\",\
         \"channel\":\"branch-office\",\"country\":\"CZ\",\"insured-event\":\"collision-with-parked-vehicle\",\
         \"documents\":[{{\"type\":\"photo\",\"format\":\"image/jpeg\",\"state\":\"received\"}},\
         {{\"type\":\"police-report\",\"format\":\"application/pdf\",\"state\":\"requested\"}}],\
         \"assessor\":{{\"team\":\"motor-claims-assessment\",\"office\":\"Praha 4\",\"level\":\"senior\"}},\
         \"history\":[\"reported\",\"registered\",\"documents-requested\",\"assigned\"],\
         \"note\":\"{text}\"}}",
        cents / 100,
        cents % 100,
    )
}

fn segments(site: &Site, topic: &str, partitions: i32) -> Result<Vec<Segment>> {
    let mut found = Vec::new();
    for partition in 0..partitions {
        for entry in fs::read_dir(site.source.log_folder(1, topic, partition)?)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "log") {
                found.push(Segment { partition, path });
            }
        }
    }
    // Named by their first offset, with leading zeros.
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_json_and_the_same_in_every_run() {
        let records = |seed: u64| {
            let mut random = fastrand::Rng::with_seed(seed);
            [claim(0, &mut random), claim(1, &mut random)]
        };
        let [first, second] = records(1);
        assert_eq!(records(1), [first.clone(), second.clone()]);
        assert_ne!(first, second);
        let parsed: serde_json::Value = serde_json::from_str(&first).unwrap();
        assert_eq!(parsed["claim"], "CL-000000000000");
        assert!((900..1_200).contains(&first.len()), "{}", first.len());
    }
}
