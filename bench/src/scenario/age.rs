//! Record age: a steady stream of 1 kB records, and how old each is when a client reads it at the standby, beside a
//! client of the same kind at the source. Both read the same records in the same run and are compared one by one.

use std::thread;
use std::time::{Duration, Instant};

use lockstep_testkit::client::{Admin, Record, Seed, Seeder};

use super::{Found, samples};
use crate::figure::{Figure, Unit};
use crate::meter::{Metered, SoFar};
use crate::mirror::{self, Leave};
use crate::reader::{Reader, stamped};
use crate::site::Site;
use crate::watch::Watch;
use crate::{Result, Settings};

const TOPICS: &str = "bench-age-.*";
const LINK: &str = "age";
const PARTITIONS: u64 = 8;
const RECORD_BYTES: usize = 1_000;
const SECONDS: u64 = 5;
/// Not counted: brokers and clients meet the topic for the first time.
const WARM_UP_SECONDS: u64 = 1;
const LIMIT: Duration = Duration::from_secs(60);

/// Records per second, and what is expected of the p99 over the direct consumer's, in ms.
const RATES: [(u64, Option<f64>); 2] = [(1_000, Some(10.0)), (20_000, None)];

/// Milliseconds.
struct Ages {
    direct: Quantiles,
    standby: Quantiles,
    /// How much later the same record was read at the standby.
    later: Quantiles,
    mirror: Share,
}

/// What the mirror did meanwhile, in percent of the time.
struct Share {
    ran: f64,
    /// Ready to run, and no core was free.
    waited: f64,
}

pub(super) struct Quantiles {
    pub(super) p50: f64,
    pub(super) p99: f64,
}

pub(super) fn run(site: &Site, settings: &Settings) -> Result<Found> {
    let source = Admin::of(&site.source.bootstrap())?;
    // Every record goes out at once.
    let seeder = Seed::to(&site.source.bootstrap())
        .config("linger.ms", "0")
        .config("socket.nagle.disable", "true")
        .open()?;
    let mut running = None;
    let (mut figures, mut topics) = (Vec::new(), Vec::new());
    for (rate, expected) in RATES {
        let mut rounds = Vec::new();
        for number in 1..=settings.rounds {
            let topic = format!("bench-age-{rate}-{number}");
            let watch = Watch::begin(&site.dest.bootstrap(), &topic)?;
            source.create(&topic, PARTITIONS as i32, &[])?;
            seeder.write(&topic, [Record::new("first").partition(0)])?;
            // A mirror does not start for nothing: the first topic is there before it.
            let running = match &mut running {
                Some(running) => running,
                none => none.insert(mirror::start(site, TOPICS, LINK, Leave::WhenTold)?),
            };
            watch.seen()?;
            let ages = one_round(site, &seeder, running, &topic, rate)?;
            eprintln!(
                "  {rate} records/s, round {number} of {}: p50 {:.2} ms, p99 {:.2} ms; direct {:.2} ms, {:.2} ms; \
                 mirror on a core {:.1} % of the time, waiting for one {:.1} %",
                settings.rounds,
                ages.standby.p50,
                ages.standby.p99,
                ages.direct.p50,
                ages.direct.p99,
                ages.mirror.ran,
                ages.mirror.waited,
            );
            rounds.push(ages);
            topics.push(topic);
        }
        figures.extend(figures_of(rate, expected, &rounds)?);
    }
    if let Some(mut running) = running {
        running.interrupt()?;
        running.finish(LIMIT)?;
    }
    for topic in &topics {
        source.delete(topic)?;
        site.clear_dest(topic)?;
    }
    let facts = format!(
        "Records of {RECORD_BYTES} bytes, not compressed, one by one into {PARTITIONS} partitions, without linger; \
         {SECONDS} s per round after {WARM_UP_SECONDS} s that is not counted, {} rounds. Age: from the call of the \
         producer to the record in the client's hands, on one clock.",
        settings.rounds,
    );
    Ok(Found { facts, figures })
}

fn one_round(site: &Site, seeder: &Seeder, mirror: &Metered, topic: &str, rate: u64) -> Result<Ages> {
    let count = rate * (SECONDS + WARM_UP_SECONDS);
    let expected = usize::try_from(count)?;
    let epoch = Instant::now();
    let direct = Reader::begin(&site.source.bootstrap(), topic, expected, epoch)?;
    let standby = Reader::begin(&site.dest.bootstrap(), topic, expected, epoch)?;
    let before = mirror.so_far()?;
    let start = Instant::now();
    let stream = (0..count).map(|number| {
        let due = start + Duration::from_nanos(number * 1_000_000_000 / rate);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // Less than PARTITIONS.
        Record::new(stamped(number, epoch, RECORD_BYTES)).partition((number % PARTITIONS) as i32)
    });
    seeder.write(topic, stream)?;
    let warm_up = usize::try_from(rate * WARM_UP_SECONDS)?;
    let milliseconds = |ages: Vec<Duration>| -> Vec<f64> {
        ages[warm_up..].iter().map(|age| age.as_secs_f64() * 1_000.0).collect()
    };
    let (direct, standby) = (milliseconds(direct.ages()?), milliseconds(standby.ages()?));
    let share = share(&before, &mirror.so_far()?);
    let later = standby.iter().zip(&direct).map(|(standby, direct)| standby - direct).collect();
    Ok(Ages {
        later: quantiles(later)?,
        direct: quantiles(direct)?,
        standby: quantiles(standby)?,
        mirror: share,
    })
}

fn share(before: &SoFar, after: &SoFar) -> Share {
    let percent = 100.0 / after.at.saturating_duration_since(before.at).as_secs_f64();
    Share {
        ran: percent * (after.cpu_seconds - before.cpu_seconds),
        waited: percent * (after.waited_seconds - before.waited_seconds),
    }
}

/// Nearest rank.
pub(super) fn quantiles(mut values: Vec<f64>) -> Result<Quantiles> {
    values.sort_by(f64::total_cmp);
    let at = |hundredths: usize| {
        let rank = (values.len() * hundredths).div_ceil(100).max(1);
        values.get(rank - 1).copied().ok_or("a round without records")
    };
    Ok(Quantiles { p50: at(50)?, p99: at(99)? })
}

fn figures_of(rate: u64, expected: Option<f64>, rounds: &[Ages]) -> Result<Vec<Figure>> {
    let of = |value: fn(&Ages) -> f64| samples(rounds, value);
    let new = |id: &str, what: &str, value: fn(&Ages) -> f64| -> Result<Figure> {
        let (id, what) = (format!("{id}_at_{rate}_ms"), format!("{rate} records/s: {what}"));
        Ok(Figure::new(id, what, Unit::Milliseconds, of(value)?))
    };
    let over = new("age_p99_over_direct", "p99 of the age over the direct consumer's p99", |ages| {
        ages.standby.p99 - ages.direct.p99
    })?;
    Ok(vec![
        new("age_p50", "median age at the standby", |ages| ages.standby.p50)?
            .beside("direct consumer", of(|ages| ages.direct.p50)?),
        new("age_p99", "p99 of the age at the standby", |ages| ages.standby.p99)?
            .beside("direct consumer", of(|ages| ages.direct.p99)?),
        match expected {
            Some(limit) => over.at_most(limit),
            None => over,
        },
        new("later_p50", "the same record, later than direct: median", |ages| ages.later.p50)?,
        new("later_p99", "the same record, later than direct: p99", |ages| ages.later.p99)?,
        Figure::new(
            format!("age_mirror_ran_at_{rate}"),
            format!("{rate} records/s: CPU of the mirror"),
            Unit::PercentOfCore,
            of(|ages| ages.mirror.ran)?,
        ),
        Figure::new(
            format!("age_mirror_waited_at_{rate}"),
            format!("{rate} records/s: the mirror ready to run, and no core free"),
            Unit::PercentOfTime,
            of(|ages| ages.mirror.waited)?,
        ),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let found = quantiles((1..=200).rev().map(f64::from).collect()).unwrap();
        assert_eq!((found.p50, found.p99), (100.0, 198.0));
        let one = quantiles(vec![7.0]).unwrap();
        assert_eq!((one.p50, one.p99), (7.0, 7.0));
        assert!(quantiles(Vec::new()).is_err());
    }
}
