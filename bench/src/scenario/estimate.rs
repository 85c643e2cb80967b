//! A source that is killed under traffic: how far the estimate of what is lost is from what is really missing, and that what was
//! called seen is never more than that.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lockstep_testkit::client::{Admin, Record, Seed, watermarks};
use lockstep_testkit::{Kafka, ports};
use serde_json::Value;

use super::{Found, samples};
use crate::figure::{Figure, Unit};
use crate::http::get;
use crate::meter::Metered;
use crate::site::Site;
use crate::{Result, Settings};

const TOPIC: &str = "bench-dying";
const RECORD_BYTES: usize = 4_000;
/// Each waits for its acknowledgement, a tenth of a second or so.
const BATCH: u64 = 200;
const PAUSE: Duration = Duration::from_millis(10);
/// Less than what is written, so that something waits to be copied.
const THROTTLE: &str = "2MiB/s";
const LIMIT: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(50);
/// An end that stays for so long stands still.
const STILL: Duration = Duration::from_secs(1);
/// Traffic before the end: so long at least, and up to as long again.
const ALIVE: Duration = Duration::from_secs(3);

struct Death {
    missing: f64,
    seen: f64,
    error: f64,
    /// As so much traffic.
    error_seconds: f64,
    /// How old what was known of the source was.
    datum_seconds: f64,
}

pub(super) fn run(site: &Site, settings: &Settings) -> Result<Found> {
    let source = Kafka::builder("bench-dying").jvm_as_shipped().start()?;
    Admin::of(&source.bootstrap())?.create(TOPIC, 1, &[])?;
    let status = format!("127.0.0.1:{}", ports::free()?);
    let (from, to) = (source.bootstrap(), site.dest.bootstrap());
    let file = site.scratch.path().join("estimate.yaml");
    let text = format!(
        "site: bench\nlisten: {status}\nclusters:\n  a: {{ bootstrap: \"{from}\" }}\n  b: {{ bootstrap: \"{to}\" }}\nlinks:\n  \
         dying: {{ from: a, to: b, topics: {TOPIC}, throttle: {THROTTLE} }}\n"
    );
    std::fs::write(&file, text)?;
    let path = file.display().to_string();
    let mut agent =
        Metered::start(&site.program, &["agent", "--config", &path], site.scratch.path(), "estimate")?;
    let deaths = (1..=settings.rounds).map(|number| {
        let death = dies(&source, &to, &status)?;
        eprintln!(
            "  round {number} of {}: missing {}, seen {}, the estimate off by {} ({:.2} s of traffic), the datum {:.1} s old",
            settings.rounds, death.missing, death.seen, death.error, death.error_seconds, death.datum_seconds
        );
        Ok(death)
    });
    let deaths = deaths.collect::<Result<Vec<_>>>()?;
    agent.interrupt()?;
    agent.finish(LIMIT)?;
    site.clear_dest(TOPIC)?;
    let figure = |id: &'static str, what: &'static str, unit, value: fn(&Death) -> f64| {
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Figure::new(
            id,
            what,
            unit,
            samples(&deaths, value)?,
        ))
    };
    let figures = vec![
        figure("estimate_missing_records", "really missing at the standby", Unit::Records, |d| d.missing)?,
        figure("estimate_seen_records", "of these seen: never more than missing", Unit::Records, |d| d.seen)?,
        figure(
            "estimate_error_records",
            "the estimate's error, too much or too little",
            Unit::Records,
            |d| d.error,
        )?,
        figure("estimate_error_s", "the same as so much traffic", Unit::Seconds, |d| d.error_seconds)?,
        figure("estimate_datum_s", "age of what was known of the source", Unit::Seconds, |d| {
            d.datum_seconds
        })?,
    ];
    let facts = format!(
        "Batches of {BATCH} records of {RECORD_BYTES} bytes, one after the other is acknowledged and {} ms passed, into one partition, by a link \
         that carries {THROTTLE}. The source's broker is killed (SIGKILL) after {} to {} s. When the link is called UNKNOWN and \
         the standby's end stands still, its seen and estimated records are taken; then the source is started again and says \
         what it had.",
        PAUSE.as_millis(),
        ALIVE.as_secs(),
        2 * ALIVE.as_secs(),
    );
    Ok(Found { facts, figures })
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> Result<T> {
    let deadline = Instant::now() + LIMIT;
    loop {
        if let Some(found) = look() {
            return Ok(found);
        }
        if Instant::now() > deadline {
            return Err(format!("waited {LIMIT:?} for {what}").into());
        }
        thread::sleep(LOOK);
    }
}

fn end(bootstrap: &str) -> Option<i64> {
    watermarks(bootstrap, TOPIC, 0).ok().map(|range| range.end)
}

/// The link as the agent tells it.
fn link(status: &str) -> Option<Value> {
    let told: Value = serde_json::from_str(&get(status, "/status").ok()?).ok()?;
    told["links"].get(0).cloned()
}

/// Records per second that were acknowledged.
fn write_until(gone: &AtomicBool, bootstrap: &str) -> Result<f64> {
    let (mut acknowledged, mut seconds) = (0, 0.0);
    while !gone.load(Ordering::Acquire) {
        let seeder = Seed::to(bootstrap).config("linger.ms", "0").patience(Duration::from_secs(2)).open()?;
        let batch = || (0..BATCH).map(|_| Record::new("x".repeat(RECORD_BYTES)));
        // One that fails is not known to be there, or not to be: after it a new producer begins.
        let began = Instant::now();
        while !gone.load(Ordering::Acquire) && seeder.write(TOPIC, batch()).is_ok() {
            acknowledged += BATCH;
            seconds = began.elapsed().as_secs_f64();
            thread::sleep(PAUSE);
        }
        if acknowledged > 0 {
            break;
        }
    }
    if seconds > 0.0 { Ok(acknowledged as f64 / seconds) } else { Err("nothing was written".into()) }
}

fn dies(source: &Kafka, standby: &str, status: &str) -> Result<Death> {
    let (from, before, gone) = (source.bootstrap(), end(standby), AtomicBool::new(false));
    let rate = thread::scope(|scope| {
        let writer = scope.spawn(|| write_until(&gone, &from));
        let copied = until("records to be copied", || (end(standby) > before).then_some(()));
        let fresh = copied.and_then(|()| {
            until("figures of now", || link(status).filter(|link| link["exposure"]["is_fresh"] == true))
        });
        thread::sleep(ALIVE + ALIVE.mul_f64(fastrand::f64()));
        let killed = source.kill(1);
        gone.store(true, Ordering::Release);
        let rate = writer.join().map_err(|_| "the writer panicked")??;
        killed?;
        fresh?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(rate)
    })?;
    let told = until("the link to be unknown", || {
        link(status).filter(|link| link["posture"] == "UNKNOWN" && link["exposure"]["is_fresh"] == false)
    })?;
    let held = until("the standby's end to stand still", || {
        let held = end(standby)?;
        thread::sleep(STILL);
        (end(standby) == Some(held)).then_some(held)
    })?;
    let told = link(status).unwrap_or(told);
    let records = |key: &str| told["exposure"][key].as_i64().ok_or_else(|| format!("no {key}: {told}"));
    let (seen, estimated) = (records("seen_records")?, records("estimated_records")?);
    source.restart(1)?;
    let missing = until("the source to tell its end", || end(&from))? - held;
    if seen > missing {
        return Err(format!("{seen} records were called seen, {missing} are missing").into());
    }
    let error = (estimated - missing) as f64;
    Ok(Death {
        missing: missing as f64,
        seen: seen as f64,
        error,
        error_seconds: error / rate,
        datum_seconds: told["exposure"]["datum_age_seconds"].as_f64().ok_or("no age of the datum")?,
    })
}
