//! A topic full of data, mirrored afresh in every round by a process that starts, copies and leaves: CPU, rate, memory,
//! and the time to the first record. Beside it, in each round, the relay and a direct read.
//! After each round both ends must be equal; after the last every record is compared by an independent client.

use std::time::Duration;

use lockstep_testkit::client::{Admin, Isolation, compare, watermarks};

use super::{Found, samples};
use crate::figure::{Figure, Unit};
use crate::load::{self, Load};
use crate::meter::Usage;
use crate::mirror::{self, Leave};
use crate::site::Site;
use crate::watch::{Watch, cold_read};
use crate::{Result, Settings, relay};

const TOPIC: &str = "bench-backlog";
const PARTITIONS: i32 = 8;
const LIMIT: Duration = Duration::from_secs(600);

const GB: f64 = 1e9;
const MB: f64 = 1e6;
const MIB: f64 = 1024.0 * 1024.0;

/// What one round measured.
struct Round {
    direct_first_record: Duration,
    relay: Usage,
    mirror: Usage,
    mirror_first_record: Duration,
}

pub(super) fn run(site: &Site, settings: &Settings) -> Result<Found> {
    eprintln!("  writing {} MB to the source", settings.size_mb);
    let load = load::seed(site, TOPIC, PARTITIONS, settings.size_mb * 1_000_000)?;
    let gb = load.wire_bytes as f64 / GB;
    let mut rounds = Vec::new();
    for number in 1..=settings.rounds {
        let round = one_round(site, &load, number)?;
        eprintln!(
            "  round {number} of {}: mirror {:.2} CPU s/GB, {:.0} MB/s, {:.1} MiB, first record {:.3} s; \
             relay {:.2} CPU s/GB, {:.0} MB/s",
            settings.rounds,
            round.mirror.cpu_seconds / gb,
            gb * 1_000.0 / round.mirror.wall.as_secs_f64(),
            round.mirror.peak_resident_bytes as f64 / MIB,
            round.mirror_first_record.as_secs_f64(),
            round.relay.cpu_seconds / gb,
            gb * 1_000.0 / round.relay.wall.as_secs_f64(),
        );
        rounds.push(round);
    }
    eprintln!("  comparing both sides, record by record");
    records_are_equal(site)?;
    let facts = format!(
        "{:.0} MB on the wire ({:.2} GB raw: {} records), lz4, batches of 1 MB before compression, {PARTITIONS} \
         partitions; {} rounds, each with a new link into a new topic; after the last every record was compared.",
        load.wire_bytes as f64 / MB,
        load.raw_bytes as f64 / GB,
        load.records,
        settings.rounds,
    );
    Ok(Found { facts, figures: figures(&rounds, load.wire_bytes as f64)? })
}

fn one_round(site: &Site, load: &Load, number: u32) -> Result<Round> {
    let dest = site.dest.bootstrap();
    if number > 1 {
        Admin::of(&dest)?.delete(TOPIC)?;
    }
    let direct_first_record = cold_read(&site.source.bootstrap(), TOPIC)?;
    let relay = relay::measure(site, &load.segments, &format!("relay-{number}"))?;
    let watch = Watch::begin(&dest, TOPIC)?;
    let running = mirror::start(site, TOPIC, &format!("backlog-{number}"), Leave::CaughtUp)?;
    let started = running.started();
    let mirror = running.finish(LIMIT)?;
    let mirror_first_record = watch.seen()?.duration_since(started);
    ends_are_equal(site)?;
    Ok(Round { direct_first_record, relay, mirror, mirror_first_record })
}

fn ends_are_equal(site: &Site) -> Result<()> {
    for partition in 0..PARTITIONS {
        let at_source = watermarks(&site.source.bootstrap(), TOPIC, partition)?;
        let at_dest = watermarks(&site.dest.bootstrap(), TOPIC, partition)?;
        if at_source != at_dest {
            return Err(
                format!("{TOPIC}:{partition} is {at_source:?} at the source, {at_dest:?} mirrored").into()
            );
        }
    }
    Ok(())
}

/// As an independent client sees them; slow, so outside the clock and only once.
fn records_are_equal(site: &Site) -> Result<()> {
    let (source, dest) = (site.source.bootstrap(), site.dest.bootstrap());
    for partition in 0..PARTITIONS {
        if let Err(difference) = compare(&source, &dest, TOPIC, partition, Isolation::ReadCommitted)? {
            return Err(format!("the copy is not equal: {difference}").into());
        }
    }
    Ok(())
}

fn figures(rounds: &[Round], wire_bytes: f64) -> Result<Vec<Figure>> {
    let cpu = |usage: &Usage| usage.cpu_seconds / (wire_bytes / GB);
    let rate = |usage: &Usage| wire_bytes / MB / usage.wall.as_secs_f64();
    let after_first = |round: &Round| {
        wire_bytes / MB / round.mirror.wall.saturating_sub(round.mirror_first_record).as_secs_f64()
    };
    Ok(vec![
        Figure::new(
            "cpu_s_per_gb",
            "CPU of the mirror, user and system, start to exit",
            Unit::CpuSecondsPerGb,
            samples(rounds, |round| cpu(&round.mirror))?,
        )
        .beside("relay of the same bytes", samples(rounds, |round| cpu(&round.relay))?)
        .at_most(1.5),
        Figure::new(
            "rate_mb_per_s",
            "rate, process start to exit",
            Unit::MbPerSecond,
            samples(rounds, |round| rate(&round.mirror))?,
        )
        .beside("relay of the same bytes", samples(rounds, |round| rate(&round.relay))?),
        Figure::new(
            "rate_after_first_record_mb_per_s",
            "rate, first record to exit",
            Unit::MbPerSecond,
            samples(rounds, after_first)?,
        )
        .beside("relay of the same bytes", samples(rounds, |round| rate(&round.relay))?),
        Figure::new(
            "peak_resident_mib",
            "peak resident memory",
            Unit::MiB,
            samples(rounds, |round| round.mirror.peak_resident_bytes as f64 / MIB)?,
        )
        .beside("relay", samples(rounds, |round| round.relay.peak_resident_bytes as f64 / MIB)?)
        .at_most(96.0),
        Figure::new(
            "first_record_after_start_s",
            "process start to the first record readable",
            Unit::Seconds,
            samples(rounds, |round| round.mirror_first_record.as_secs_f64())?,
        )
        .beside(
            "the same client, new, at the source",
            samples(rounds, |round| round.direct_first_record.as_secs_f64())?,
        )
        .at_most(1.0),
    ])
}
