//! Twenty transactional producers, 30 % of their transactions rolled back, and a mirror beside them: how much longer the
//! mirror needs than they do. After each round the log ends are equal; after the last, committed records are compared.

use std::thread;
use std::time::{Duration, Instant};

use lockstep_testkit::client::{Admin, Codec, Isolation, Record, Transactor, compare, watermarks};

use super::{Found, samples};
use crate::ends::Ends;
use crate::figure::{Figure, Unit};
use crate::mirror::{self, Leave};
use crate::site::Site;
use crate::{Result, Settings};

const PRODUCERS: u64 = 20;
const PARTITIONS: i32 = 12;
const TRANSACTIONS: u64 = 60;
/// Of one transaction, over all partitions in turn.
const RECORDS: u64 = 120;
const VALUE_BYTES: usize = 200;
const ABORTED_PERCENT: u8 = 30;
const LIMIT: Duration = Duration::from_secs(300);

struct Round {
    /// Offsets at the source: records, rolled-back records, markers.
    offsets: u64,
    written: Duration,
    mirrored: Duration,
    mirror_cpu_seconds: f64,
}

const ACKNOWLEDGED: u64 = PRODUCERS * TRANSACTIONS * RECORDS;

pub(super) fn run(site: &Site, settings: &Settings) -> Result<Found> {
    let mut rounds = Vec::new();
    for number in 1..=settings.rounds {
        let topic = format!("bench-transactions-{number}");
        let round = one_round(site, &topic)?;
        eprintln!(
            "  round {number} of {}: {:.0} records/s acknowledged, {:.0} mirrored, share {:.2}, {} offsets",
            settings.rounds,
            rate(round.written),
            rate(round.mirrored),
            share(&round),
            round.offsets,
        );
        if number == settings.rounds {
            records_are_equal(site, &topic)?;
        }
        rounds.push(round);
    }
    let facts = format!(
        "{PRODUCERS} transactional producers, {TRANSACTIONS} transactions each of {RECORDS} records of {VALUE_BYTES} B over \
         {PARTITIONS} partitions, {ABORTED_PERCENT} % rolled back; {} rounds; log ends equal after each, committed records \
         compared after the last.",
        settings.rounds,
    );
    Ok(Found { facts, figures: figures(&rounds)? })
}

fn one_round(site: &Site, topic: &str) -> Result<Round> {
    let (source, dest) = (site.source.bootstrap(), site.dest.bootstrap());
    Admin::of(&source)?.create(topic, PARTITIONS, &[])?;
    let mut running = mirror::start(site, topic, topic, Leave::WhenTold)?;
    let ends = Ends::of(&dest)?;
    // It stands ready once its topic is there.
    ends.wait(&[topic.to_owned()], 0, LIMIT, || Ok(()))?;
    let before = running.so_far()?;
    let start = Instant::now();
    let producers: Vec<_> = (0..PRODUCERS)
        .map(|producer| {
            let (source, topic) = (source.clone(), topic.to_owned());
            thread::spawn(move || produce(&source, &topic, producer))
        })
        .collect();
    for producer in producers {
        producer.join().map_err(|_| "a producer died")??;
    }
    let written = start.elapsed();
    let mut offsets = 0;
    for partition in 0..PARTITIONS {
        offsets += watermarks(&source, topic, partition)?.end.unsigned_abs();
    }
    let complete = ends.wait(&[topic.to_owned()], offsets, LIMIT, || Ok(()))?;
    let after = running.so_far()?;
    running.interrupt()?;
    running.finish(LIMIT)?;
    Ok(Round {
        offsets,
        written,
        mirrored: complete.saturating_duration_since(start),
        mirror_cpu_seconds: after.cpu_seconds - before.cpu_seconds,
    })
}

fn produce(source: &str, topic: &str, producer: u64) -> Result<()> {
    let mut random = fastrand::Rng::with_seed(producer);
    let transactor = Transactor::open(source, &format!("{topic}-{producer}"), Codec::None)?;
    for _ in 0..TRANSACTIONS {
        let first = random.i32(0..PARTITIONS);
        let records = (0..RECORDS).map(|n| {
            let partition = (first + i32::try_from(n).unwrap_or(0)) % PARTITIONS;
            Record::new("v".repeat(VALUE_BYTES)).partition(partition)
        });
        transactor.begin()?;
        transactor.write(topic, records)?;
        if random.u8(..100) < ABORTED_PERCENT { transactor.abort()? } else { transactor.commit()? }
    }
    Ok(())
}

fn records_are_equal(site: &Site, topic: &str) -> Result<()> {
    for partition in 0..PARTITIONS {
        let (source, dest) = (site.source.bootstrap(), site.dest.bootstrap());
        if let Err(difference) = compare(&source, &dest, topic, partition, Isolation::ReadCommitted)? {
            return Err(format!("the copy is not equal: {difference}").into());
        }
    }
    Ok(())
}

fn rate(time: Duration) -> f64 {
    ACKNOWLEDGED as f64 / time.as_secs_f64()
}

/// Of the producers' own rate.
fn share(round: &Round) -> f64 {
    round.written.as_secs_f64() / round.mirrored.as_secs_f64()
}

fn figures(rounds: &[Round]) -> Result<Vec<Figure>> {
    Ok(vec![
        Figure::new(
            "transactions_records_per_s",
            "records mirrored, from the first transaction to equal log ends",
            Unit::RecordsPerSecond,
            samples(rounds, |round| rate(round.mirrored))?,
        )
        .beside("acknowledged to the producers", samples(rounds, |round| rate(round.written))?),
        Figure::new(
            "transactions_share",
            "that rate over the producers'",
            Unit::Share,
            samples(rounds, share)?,
        )
        .at_least(0.8),
        Figure::new(
            "transactions_cpu_s",
            "CPU of the mirror for it",
            Unit::Seconds,
            samples(rounds, |round| round.mirror_cpu_seconds)?,
        ),
    ])
}
