//! A topic of single-record batches, as writers without batching leave it, mirrored by a process that is behind: records
//! a second and CPU. Beside it, in each round, the blast: the same batches, as small as they are, from memory.
//! After the last round every record is compared by an independent client.

use std::time::Duration;

use lockstep_testkit::client::{Isolation, compare};

use super::{Found, GB, MB, MIB, samples};
use crate::ends::Ends;
use crate::figure::{Figure, Unit};
use crate::load::{self, Load};
use crate::meter::Usage;
use crate::mirror::{self, Leave};
use crate::site::Site;
use crate::watch::Watch;
use crate::{Result, Settings, blast};

const LIMIT: Duration = Duration::from_secs(300);

struct Round {
    blast: Duration,
    mirror: Usage,
    /// From the first record that can be read to the last one being there.
    after_first: Duration,
}

pub(super) fn run(site: &Site, settings: &Settings) -> Result<Found> {
    let load = load::singles(site)?;
    blast::measure(site, &load, "bench-small-blast-0")?;
    let mut rounds = Vec::new();
    for number in 1..=settings.rounds {
        let round = one_round(site, &load, number)?;
        eprintln!(
            "  round {number} of {}: mirror {:.0} records/s, {:.2} CPU s/GB, {:.1} MiB; blast {:.0} records/s",
            settings.rounds,
            load.records as f64 / round.after_first.as_secs_f64(),
            round.mirror.cpu_seconds / (load.wire_bytes as f64 / GB),
            round.mirror.peak_resident_bytes as f64 / MIB,
            load.records as f64 / round.blast.as_secs_f64(),
        );
        rounds.push(round);
    }
    eprintln!("  comparing both sides, record by record");
    let (source, dest) = (site.source.bootstrap(), site.dest.bootstrap());
    for partition in 0..load.partitions {
        if let Err(difference) = compare(&source, &dest, load.topic, partition, Isolation::ReadCommitted)? {
            return Err(format!("the copy is not equal: {difference}").into());
        }
    }
    let facts = format!(
        "{:.0} MB on the wire: {} batches of one record of 1 kB, not compressed, {} partitions; {} rounds, each with a \
         new link into a new topic; after the last every record was compared.",
        load.wire_bytes as f64 / MB,
        load.records,
        load.partitions,
        settings.rounds,
    );
    Ok(Found { facts, figures: figures(&rounds, &load)? })
}

fn one_round(site: &Site, load: &Load, number: u32) -> Result<Round> {
    let dest = site.dest.bootstrap();
    site.clear_dest(load.topic)?;
    let blast = blast::measure(site, load, &format!("bench-small-blast-{number}"))?;
    let ends = Ends::of(&dest)?;
    let watch = Watch::begin(&dest, load.topic)?;
    let running = mirror::start(site, load.topic, &format!("small-{number}"), Leave::CaughtUp)?;
    let complete = ends.wait(&[load.topic.to_owned()], load.records, LIMIT, || Ok(()))?;
    let mirror = running.finish(LIMIT)?;
    Ok(Round { blast, mirror, after_first: complete.saturating_duration_since(watch.seen()?) })
}

fn figures(rounds: &[Round], load: &Load) -> Result<Vec<Figure>> {
    let records = load.records as f64;
    Ok(vec![
        Figure::new(
            "small_records_per_s",
            "single-record batches of 1 kB, first record readable to the last one there",
            Unit::RecordsPerSecond,
            samples(rounds, |round| records / round.after_first.as_secs_f64())?,
        )
        .beside(
            "blast: the same batches from memory",
            samples(rounds, |round| records / round.blast.as_secs_f64())?,
        )
        .at_least(80_000.0),
        Figure::new(
            "small_cpu_s_per_gb",
            "CPU of the mirror, user and system, start to exit",
            Unit::CpuSecondsPerGb,
            samples(rounds, |round| round.mirror.cpu_seconds / (load.wire_bytes as f64 / GB))?,
        )
        .at_most(2.0),
        Figure::new(
            "small_peak_resident_mib",
            "peak resident memory",
            Unit::MiB,
            samples(rounds, |round| round.mirror.peak_resident_bytes as f64 / MIB)?,
        )
        .at_most(96.0),
    ])
}
