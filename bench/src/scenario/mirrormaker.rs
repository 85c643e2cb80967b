//! The same topic copied by Lockstep and by MirrorMaker 2, tuned and as it comes, one after the other in every round.
//! One yardstick for all: CPU and memory from `/proc` when the first record can be read at the destination and when
//! the last one is there; then the process is killed, so that nobody's manner of leaving counts.

use std::time::Duration;

use super::{Found, GB, MB, MIB, samples};
use crate::ends::Ends;
use crate::figure::{Figure, Unit};
use crate::load::{self, Load};
use crate::meter::Metered;
use crate::mirror::{self, Leave};
use crate::mirrormaker::{self, Tuning};
use crate::site::Site;
use crate::watch::Watch;
use crate::{Result, Settings};

/// MirrorMaker as it comes may take a minute per GB.
const LIMIT: Duration = Duration::from_secs(600);

/// What one copy took.
struct Copied {
    cpu_seconds: f64,
    cpu_seconds_after_first: f64,
    seconds_to_first: f64,
    seconds_after_first: f64,
    peak_resident_bytes: f64,
}

struct Round {
    lockstep: Copied,
    tuned: Copied,
    untuned: Copied,
}

/// The copies take long: half of the rounds, rounded up.
fn rounds(settings: &Settings) -> u32 {
    settings.rounds.div_ceil(2)
}

pub(super) fn run(site: &Site, settings: &Settings) -> Result<Found> {
    let load = load::backlog(site, settings)?;
    let count = rounds(settings);
    let mut measured = Vec::new();
    for number in 1..=count {
        measured.push(one_round(site, load, number, count)?);
    }
    let facts = format!(
        "{:.0} MB on the wire, as in backlog; {count} rounds. MirrorMaker tuned: two tasks, fetches up to 50 MB, lz4 \
         batches of 1 MB, linger 20 ms; both with the 2 GB heap of Kafka's start script. Killed when the last record \
         was there.",
        load.wire_bytes as f64 / MB,
    );
    let mut figures = beside(&measured, load, "tuned", "MirrorMaker 2 tuned", |round| &round.tuned)?;
    figures.extend(beside(&measured, load, "default", "MirrorMaker 2 default", |round| &round.untuned)?);
    Ok(Found { facts, figures })
}

fn one_round(site: &Site, load: &Load, number: u32, count: u32) -> Result<Round> {
    let say = |who: &str, copied: &Copied| {
        eprintln!(
            "  round {number} of {count}, {who}: {:.2} CPU s ({:.2} after the first record), first record {:.2} s, \
             the rest {:.2} s, peak {:.0} MiB",
            copied.cpu_seconds,
            copied.cpu_seconds_after_first,
            copied.seconds_to_first,
            copied.seconds_after_first,
            copied.peak_resident_bytes / MIB,
        );
    };
    site.clear_dest(load.topic)?;
    let link = format!("beside-{number}");
    let lockstep =
        copied(site, load, load.topic, || mirror::start(site, load.topic, &link, Leave::WhenTold))?;
    say("Lockstep", &lockstep);
    let mut others = Vec::new();
    for (name, tuning) in [("tuned", Tuning::Tuned), ("default", Tuning::Untuned)] {
        let run = format!("mm2{name}{number}");
        let topic = mirrormaker::copy_of(load.topic, &run);
        let other = copied(site, load, &topic, || mirrormaker::start(site, load.topic, &run, tuning))?;
        say(&format!("MirrorMaker 2 {name}"), &other);
        mirrormaker::clean(site, load.topic, &run)?;
        others.push(other);
    }
    match <[Copied; 2]>::try_from(others) {
        Ok([tuned, untuned]) => Ok(Round { lockstep, tuned, untuned }),
        Err(_) => Err("a copy is missing".into()),
    }
}

fn copied(site: &Site, load: &Load, copy: &str, start: impl FnOnce() -> Result<Metered>) -> Result<Copied> {
    let ends = Ends::of(&site.dest.bootstrap())?;
    let watch = Watch::begin(&site.dest.bootstrap(), copy)?;
    let running = start()?;
    let seen = watch.seen()?;
    let first = running.so_far()?;
    let complete = ends.wait(&[copy.to_owned()], load.records, LIMIT, || running.must_run())?;
    let last = running.so_far()?;
    Ok(Copied {
        cpu_seconds: last.cpu_seconds,
        cpu_seconds_after_first: last.cpu_seconds - first.cpu_seconds,
        seconds_to_first: seen.saturating_duration_since(running.started()).as_secs_f64(),
        seconds_after_first: complete.saturating_duration_since(seen).as_secs_f64(),
        peak_resident_bytes: last.peak_resident_bytes as f64,
    })
}

/// Ours beside one of theirs.
fn beside(
    rounds: &[Round],
    load: &Load,
    id: &str,
    name: &'static str,
    theirs: fn(&Round) -> &Copied,
) -> Result<Vec<Figure>> {
    let gb = load.wire_bytes as f64 / GB;
    let mb = load.wire_bytes as f64 / MB;
    let figure =
        |what: &str, words: &'static str, unit: Unit, value: &dyn Fn(&Copied) -> f64| -> Result<Figure> {
            let ours = samples(rounds, |round| value(&round.lockstep))?;
            let beside = samples(rounds, |round| value(theirs(round)))?;
            Ok(Figure::new(format!("{what}_beside_mm2_{id}"), words, unit, ours).beside(name, beside))
        };
    Ok(vec![
        figure("cpu_s_per_gb", "CPU, start-up included", Unit::CpuSecondsPerGb, &|copied| {
            copied.cpu_seconds / gb
        })?,
        figure("cpu_after_first_s_per_gb", "CPU after the first record", Unit::CpuSecondsPerGb, &|copied| {
            copied.cpu_seconds_after_first / gb
        })?,
        figure("rate_after_first_mb_per_s", "rate, first record to last", Unit::MbPerSecond, &|copied| {
            mb / copied.seconds_after_first
        })?,
        figure("peak_resident_mib", "peak resident memory", Unit::MiB, &|copied| {
            copied.peak_resident_bytes / MIB
        })?,
        figure("first_record_s", "process start to the first record readable", Unit::Seconds, &|copied| {
            copied.seconds_to_first
        })?,
    ])
}
