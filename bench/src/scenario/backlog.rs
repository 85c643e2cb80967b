//! A topic full of data, mirrored afresh in every round by a process that starts, copies and leaves: CPU, rate, memory,
//! and the time to the first record. Beside it, in each round, the relay, the blast and a direct read.
//! After each round both ends must be equal; after the last every record is compared by an independent client.

use std::time::Duration;

use lockstep_testkit::client::{Isolation, compare, watermarks};

use super::{Found, GB, MB, MIB, samples};
use crate::ends::Ends;
use crate::figure::{Figure, Unit};
use crate::load::{self, Load};
use crate::meter::Usage;
use crate::mirror::{self, Leave};
use crate::site::Site;
use crate::watch::{Watch, cold_read};
use crate::{Result, Settings, blast, relay};

const LIMIT: Duration = Duration::from_secs(600);

/// What one round measured.
struct Round {
    direct_first_record: Duration,
    relay: Usage,
    blast: Duration,
    mirror: Usage,
    mirror_first_record: Duration,
    /// From the first record that can be read to the last one being there.
    mirror_after_first: Duration,
}

pub(super) fn run(site: &Site, settings: &Settings) -> Result<Found> {
    let load = load::backlog(site, settings)?;
    let gb = load.wire_bytes as f64 / GB;
    // Not counted: a destination that has just started is slow, and would make a mirror's share look large.
    blast::measure(site, load, "bench-blast-0")?;
    let mut rounds = Vec::new();
    for number in 1..=settings.rounds {
        let round = one_round(site, load, number)?;
        eprintln!(
            "  round {number} of {}: mirror {:.2} CPU s/GB, {:.0} MB/s, {:.1} MiB, first record {:.3} s; \
             relay {:.2} CPU s/GB, {:.0} MB/s; blast {:.0} MB/s, share {:.2}",
            settings.rounds,
            round.mirror.cpu_seconds / gb,
            gb * 1_000.0 / round.mirror.wall.as_secs_f64(),
            round.mirror.peak_resident_bytes as f64 / MIB,
            round.mirror_first_record.as_secs_f64(),
            round.relay.cpu_seconds / gb,
            gb * 1_000.0 / round.relay.wall.as_secs_f64(),
            gb * 1_000.0 / round.blast.as_secs_f64(),
            share(&round),
        );
        rounds.push(round);
    }
    eprintln!("  comparing both sides, record by record");
    records_are_equal(site, load)?;
    let facts = format!(
        "{:.0} MB on the wire ({:.2} GB raw: {} records), lz4, batches of 1 MB before compression, {} \
         partitions; {} rounds, each with a new link into a new topic; after the last every record was compared.",
        load.wire_bytes as f64 / MB,
        load.raw_bytes as f64 / GB,
        load.records,
        load.partitions,
        settings.rounds,
    );
    Ok(Found { facts, figures: figures(&rounds, load.wire_bytes as f64)? })
}

fn one_round(site: &Site, load: &Load, number: u32) -> Result<Round> {
    let dest = site.dest.bootstrap();
    site.clear_dest(load.topic)?;
    let direct_first_record = cold_read(&site.source.bootstrap(), load.topic)?;
    let relay = relay::measure(site, load, &format!("relay-{number}"))?;
    let blast = blast::measure(site, load, &format!("bench-blast-{number}"))?;
    let ends = Ends::of(&dest)?;
    let watch = Watch::begin(&dest, load.topic)?;
    let running = mirror::start(site, load.topic, &format!("backlog-{number}"), Leave::CaughtUp)?;
    let started = running.started();
    // It may well have left before we see its last record: only a limit ends this.
    let complete = ends.wait(&[load.topic.to_owned()], load.records, LIMIT, || Ok(()))?;
    let mirror = running.finish(LIMIT)?;
    let seen = watch.seen()?;
    ends_are_equal(site, load)?;
    Ok(Round {
        direct_first_record,
        relay,
        blast,
        mirror,
        mirror_first_record: seen.duration_since(started),
        mirror_after_first: complete.saturating_duration_since(seen),
    })
}

fn ends_are_equal(site: &Site, load: &Load) -> Result<()> {
    for partition in 0..load.partitions {
        let at_source = watermarks(&site.source.bootstrap(), load.topic, partition)?;
        let at_dest = watermarks(&site.dest.bootstrap(), load.topic, partition)?;
        if at_source != at_dest {
            let topic = load.topic;
            return Err(
                format!("{topic}:{partition} is {at_source:?} at the source, {at_dest:?} mirrored").into()
            );
        }
    }
    Ok(())
}

/// As an independent client sees them; slow, so outside the clock and only once.
fn records_are_equal(site: &Site, load: &Load) -> Result<()> {
    let (source, dest) = (site.source.bootstrap(), site.dest.bootstrap());
    for partition in 0..load.partitions {
        if let Err(difference) = compare(&source, &dest, load.topic, partition, Isolation::ReadCommitted)? {
            return Err(format!("the copy is not equal: {difference}").into());
        }
    }
    Ok(())
}

/// Of the destination's own limit.
fn share(round: &Round) -> f64 {
    round.blast.as_secs_f64() / round.mirror_after_first.as_secs_f64()
}

fn figures(rounds: &[Round], wire_bytes: f64) -> Result<Vec<Figure>> {
    let cpu = |usage: &Usage| usage.cpu_seconds / (wire_bytes / GB);
    let rate = |usage: &Usage| wire_bytes / MB / usage.wall.as_secs_f64();
    let after_first = |round: &Round| wire_bytes / MB / round.mirror_after_first.as_secs_f64();
    let blast = |round: &Round| wire_bytes / MB / round.blast.as_secs_f64();
    Ok(vec![
        Figure::new(
            "cpu_s_per_gb",
            "CPU of the mirror, user and system, start to exit",
            Unit::CpuSecondsPerGb,
            samples(rounds, |round| cpu(&round.mirror))?,
        )
        .beside("relay of the same bytes", samples(rounds, |round| cpu(&round.relay))?)
        .at_most(1.0),
        Figure::new(
            "rate_mb_per_s",
            "rate, process start to exit",
            Unit::MbPerSecond,
            samples(rounds, |round| rate(&round.mirror))?,
        )
        .beside("relay of the same bytes", samples(rounds, |round| rate(&round.relay))?),
        Figure::new(
            "rate_after_first_record_mb_per_s",
            "rate, first record readable to the last one there",
            Unit::MbPerSecond,
            samples(rounds, after_first)?,
        )
        .beside("blast: the same batches from memory", samples(rounds, blast)?),
        Figure::new(
            "share_of_blast",
            "that rate over the blast's, of the same round",
            Unit::Share,
            samples(rounds, share)?,
        )
        .at_least(0.7),
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
