//! Agents that report all their links every second: what that costs the leader, and how long the status of a link takes then.

use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::super::age::{Quantiles, quantiles};
use super::super::{MIB, samples};
use super::{LINKS, TOLD_EACH};
use crate::council::{Council, SITES, link};
use crate::figure::{Figure, Samples, Unit};
use crate::{Result, Settings};

const LIMIT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(500);
const SETTLE: Duration = Duration::from_secs(10);
const WINDOW: Duration = Duration::from_secs(20);
const MINUTE_SECONDS: f64 = 60.0;
/// In each round.
const CALLS: usize = 200;
const RUNS: usize = 40;

const STATUS_MS_MAX: f64 = 100.0;
/// Each link every second, less what one window's edges cut off.
const REPORTS_MIN: f64 = 0.95 * LINKS as f64;
const REPORTS: &str = "lockstep_coordinator_reports_total";

pub(super) fn facts() -> String {
    format!(
        "Load: {SITES} agents, each in a site of its own, with {LINKS} links in all and {TOLD_EACH} topics on each, report each \
         link every second as agents do, without engines behind them; windows of {} s. Status of one link meanwhile: {CALLS} calls \
         on one connection, and {RUNS} runs of the binary, start and TLS included, per round.",
        WINDOW.as_secs()
    )
}

/// As much of a status as is looked at.
#[derive(Deserialize)]
struct System {
    links: Vec<Link>,
}

#[derive(Deserialize)]
struct Link {
    state: String,
}

struct Window {
    cpu_seconds: f64,
    resident_mib: f64,
    reports_each_second: f64,
}

/// In ms.
struct Asked {
    called: Quantiles,
    run: Quantiles,
}

pub(super) fn measure(council: &Council, settings: &Settings) -> Result<Vec<Figure>> {
    eprintln!("  {SITES} agents with {LINKS} links");
    let leader = council.leader()?;
    let began = Instant::now();
    let _herd = council.herd(TOLD_EACH)?;
    reported(council, leader)?;
    let arriving = began.elapsed().as_secs_f64();
    eprintln!("  every link is reported after {arriving:.1} s");
    thread::sleep(SETTLE);
    let windows =
        (0..settings.rounds.div_ceil(2)).map(|_| window(council, leader)).collect::<Result<Vec<_>>>()?;
    let asked = (0..settings.rounds).map(|_| ask(council, leader)).collect::<Result<Vec<_>>>()?;
    if council.leader()? != leader {
        return Err("another coordinator leads than when the load began".into());
    }
    let of = |value: fn(&Asked) -> f64| samples(&asked, value);
    let status = |id: &'static str, what: &'static str, value: fn(&Asked) -> f64| -> Result<Figure> {
        Ok(Figure::new(id, what, Unit::Milliseconds, of(value)?).at_most(STATUS_MS_MAX))
    };
    Ok(vec![
        Figure::new(
            "coordinators_leader_cpu_s",
            "CPU of the leader in a minute",
            Unit::Seconds,
            samples(&windows, |window| window.cpu_seconds)?,
        ),
        Figure::new(
            "coordinators_reports_each_second",
            "reports of links that the leader took",
            Unit::PerSecond,
            samples(&windows, |window| window.reports_each_second)?,
        )
        .at_least(REPORTS_MIN),
        Figure::new(
            "coordinators_leader_resident_mib",
            "resident memory of the leader",
            Unit::MiB,
            samples(&windows, |window| window.resident_mib)?,
        ),
        Figure::new(
            "coordinators_first_reports_s",
            "agents started to every link shared out and reported",
            Unit::Seconds,
            Samples::new([arriving]).ok_or("not a number")?,
        ),
        status("coordinators_status_call_p50_ms", "status of one link, call: median", |a| a.called.p50)?,
        status("coordinators_status_call_p99_ms", "status of one link, call: p99", |a| a.called.p99)?,
        status("coordinators_status_run_p50_ms", "lockstep status LINK, process: median", |a| a.run.p50)?,
        status("coordinators_status_run_p99_ms", "lockstep status LINK, process: p99", |a| a.run.p99)?,
    ])
}

/// Waits until every link was reported on by whoever works on it.
fn reported(council: &Council, leader: usize) -> Result<()> {
    let mut operator = council.wait(council.operator(leader))?;
    let deadline = Instant::now() + LIMIT;
    loop {
        let system: System = serde_json::from_str(&council.wait(operator.status(""))?)?;
        let running = system.links.iter().filter(|link| link.state == "running").count();
        if running == LINKS {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("{running} of {LINKS} links are reported after {LIMIT:?}").into());
        }
        thread::sleep(PAUSE);
    }
}

fn window(council: &Council, leader: usize) -> Result<Window> {
    let (before, reports_before) = (council.so_far(leader)?, council.told(leader, REPORTS)?);
    thread::sleep(WINDOW);
    let (after, reports_after) = (council.so_far(leader)?, council.told(leader, REPORTS)?);
    let seconds = after.at.saturating_duration_since(before.at).as_secs_f64();
    let cpu_seconds = MINUTE_SECONDS * (after.cpu_seconds - before.cpu_seconds) / seconds;
    let resident_mib = after.resident_bytes as f64 / MIB;
    let reports_each_second = (reports_after - reports_before) / seconds;
    eprintln!(
        "  leader: {cpu_seconds:.2} CPU s in a minute, {resident_mib:.1} MiB, {reports_each_second:.0} reports/s taken"
    );
    Ok(Window { cpu_seconds, resident_mib, reports_each_second })
}

fn ask(council: &Council, leader: usize) -> Result<Asked> {
    let called = council.wait(call(council, leader))?;
    let run = (0..RUNS).map(|number| {
        let took = council.ask(&["status", &link(number % LINKS), "-o", "json"])?;
        Ok(took.as_secs_f64() * 1_000.0)
    });
    let asked = Asked { called: quantiles(called)?, run: quantiles(run.collect::<Result<_>>()?)? };
    eprintln!(
        "  status of a link: call {:.1} ms (p99 {:.1}), process {:.1} ms (p99 {:.1})",
        asked.called.p50, asked.called.p99, asked.run.p50, asked.run.p99
    );
    Ok(asked)
}

async fn call(council: &Council, leader: usize) -> Result<Vec<f64>> {
    let mut operator = council.operator(leader).await?;
    let mut took = Vec::with_capacity(CALLS);
    for number in 0..CALLS {
        let began = Instant::now();
        operator.status(&link(number % LINKS)).await?;
        took.push(began.elapsed().as_secs_f64() * 1_000.0);
    }
    Ok(took)
}
