//! All three coordinators end and come back with a full log: how soon one of them leads and answers, and what is resident.
//! The log is cut with each snapshot, after 10,000 entries of which 1,000 stay. So a snapshot is asked for first, of each, and
//! just less than 10,000 entries are added: as much as a log ever holds.

use std::iter::StepBy;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::super::{MIB, samples};
use super::{LINKS, NAMED_EACH};
use crate::council::{Council, Operator, SITES, link};
use crate::figure::{Figure, Unit};
use crate::{Result, Settings};

/// Stay behind a snapshot.
const KEPT: usize = 1_000;
/// Added behind it; one of 10,000 would make the next.
const ADDED: usize = 9_500;
const AT_ONCE: usize = 64;
const SETTLE: Duration = Duration::from_secs(3);

const ANSWERS_SECONDS_MAX: f64 = 3.0;
const RESIDENT_MIB_MAX: f64 = 128.0;

struct Round {
    seconds: f64,
    /// Of the largest.
    resident_mib: f64,
    peak_mib: f64,
}

pub(super) fn facts() -> String {
    format!(
        "Restart: at least {} entries in each log, {ADDED} of them younger than the snapshot, and {LINKS} links over {SITES} \
         sites in the state whose spec names {} topics; all three are stopped and started at once; the clock starts when \
         the last was told to start, and ends when the status of a link was answered by whoever leads.",
        KEPT + ADDED,
        LINKS * NAMED_EACH,
    )
}

pub(super) fn measure(council: &mut Council, settings: &Settings) -> Result<Vec<Figure>> {
    fill(council)?;
    let mut rounds = Vec::new();
    for number in 1..=settings.rounds {
        council.stop_all()?;
        let started = council.start_all()?;
        let seconds = answered(council, started)?.as_secs_f64();
        thread::sleep(SETTLE);
        let taken = council.all_so_far()?;
        let largest = |bytes: fn(&crate::meter::SoFar) -> u64| {
            taken.iter().map(bytes).max().unwrap_or_default() as f64 / MIB
        };
        let round = Round {
            seconds,
            resident_mib: largest(|taken| taken.resident_bytes),
            peak_mib: largest(|taken| taken.peak_resident_bytes),
        };
        eprintln!(
            "  restart {number} of {}: answered after {seconds:.2} s; {:.1} MiB, peak {:.1}",
            settings.rounds, round.resident_mib, round.peak_mib
        );
        rounds.push(round);
    }
    Ok(vec![
        Figure::new(
            "coordinators_restart_s",
            "all three started to a status answered by their leader",
            Unit::Seconds,
            samples(&rounds, |round| round.seconds)?,
        )
        .at_most(ANSWERS_SECONDS_MAX),
        Figure::new(
            "coordinators_resident_mib",
            "resident memory after it, of the largest",
            Unit::MiB,
            samples(&rounds, |round| round.resident_mib)?,
        )
        .at_most(RESIDENT_MIB_MAX),
        Figure::new(
            "coordinators_peak_resident_mib",
            "its peak, reading the log included",
            Unit::MiB,
            samples(&rounds, |round| round.peak_mib)?,
        ),
    ])
}

fn answered(council: &Council, started: Instant) -> Result<Duration> {
    loop {
        let leader = council.leader()?;
        // It may not lead any more, or not yet for all: then whoever does is asked again.
        let asked = council.wait(async { council.operator(leader).await?.status(&link(0)).await });
        match asked {
            Ok(_) => return Ok(started.elapsed()),
            Err(why) if started.elapsed() > Duration::from_secs(60) => return Err(why),
            Err(_) => {}
        }
    }
}

fn fill(council: &Council) -> Result<()> {
    eprintln!("  {} entries", KEPT + ADDED);
    let leader = council.leader()?;
    let began = Instant::now();
    council.wait(async {
        let operator = council.operator(leader).await?;
        propose(&operator, KEPT).await?;
        for number in 0..council.count() {
            council.operator(number).await?.snapshot().await?;
        }
        propose(&operator, ADDED).await
    })?;
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("  {} entries in {seconds:.1} s, {AT_ONCE} calls at once", KEPT + ADDED);
    Ok(())
}

async fn propose(operator: &Operator, entries: usize) -> Result<()> {
    let mut calls = JoinSet::new();
    for part in 0..AT_ONCE {
        calls.spawn(one_after_the_other(operator.clone(), (part..entries).step_by(AT_ONCE)));
    }
    while let Some(ended) = calls.join_next().await {
        ended??;
    }
    Ok(())
}

async fn one_after_the_other(mut operator: Operator, numbers: StepBy<Range<usize>>) -> Result<()> {
    for number in numbers {
        operator.propose(&format!("nobody-{number:05}")).await?;
    }
    Ok(())
}
