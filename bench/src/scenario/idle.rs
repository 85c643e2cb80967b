//! What a mirror costs that has nothing to do: partitions with one record each, all copied, and nobody writes.
//! CPU share and resident memory over windows of 20 s; the time until all were copied is told beside.

use std::thread;
use std::time::Duration;

use lockstep_testkit::client::{Admin, Record, Seed};

use super::{Found, MIB, samples};
use crate::ends::Ends;
use crate::figure::{Figure, Samples, Unit};
use crate::mirror::{self, Leave};
use crate::site::Site;
use crate::{Result, Settings};

const TOPICS: &str = "bench-idle-.*";
/// One link for both sizes: the topics of the first are the second's, too.
const LINK: &str = "idle";
const LIMIT: Duration = Duration::from_secs(300);
const WINDOW: Duration = Duration::from_secs(20);
/// After the last record: connections, metadata and the last acknowledgements come to rest.
const SETTLE: Duration = Duration::from_secs(5);

/// What is added before a measurement, and what is expected then.
struct Stage {
    name: &'static str,
    topics: i32,
    partitions_each: i32,
    cpu_percent_max: f64,
    resident_mib_max: f64,
}

const STAGES: [Stage; 2] = [
    Stage { name: "1000", topics: 10, partitions_each: 100, cpu_percent_max: 3.0, resident_mib_max: 96.0 },
    Stage { name: "5000", topics: 10, partitions_each: 400, cpu_percent_max: 8.0, resident_mib_max: 160.0 },
];

struct Window {
    cpu_percent: f64,
    resident_mib: f64,
}

pub(super) fn run(site: &Site, settings: &Settings) -> Result<Found> {
    let windows = settings.rounds.div_ceil(2);
    let (mut topics, mut partitions) = (Vec::new(), 0);
    let mut figures = Vec::new();
    for stage in &STAGES {
        eprintln!("  creating partitions until there are {}", stage.name);
        partitions += fill(site, stage, &mut topics)?;
        figures.extend(one_stage(site, stage, &topics, partitions, windows)?);
    }
    let facts = format!(
        "Ten topics of 100 partitions, then ten of 400 beside them; {windows} windows of {} s, the first {} s after \
         the last record was there.",
        WINDOW.as_secs(),
        SETTLE.as_secs(),
    );
    Ok(Found { facts, figures })
}

/// Returns how many partitions, and so records, came in addition.
fn fill(site: &Site, stage: &Stage, topics: &mut Vec<String>) -> Result<u64> {
    let admin = Admin::of(&site.source.bootstrap())?;
    // With the seed's own, long linger some of these flushes took a minute.
    let seeder = Seed::to(&site.source.bootstrap()).config("linger.ms", "5").open()?;
    let mut written = 0;
    for number in 1..=stage.topics {
        let topic = format!("bench-idle-{}-{number}", stage.name);
        admin.create(&topic, stage.partitions_each, &[])?;
        written += seeder
            .write(&topic, (0..stage.partitions_each).map(|each| Record::new("one").partition(each)))?;
        topics.push(topic);
    }
    Ok(written)
}

fn one_stage(
    site: &Site,
    stage: &Stage,
    topics: &[String],
    partitions: u64,
    windows: u32,
) -> Result<Vec<Figure>> {
    eprintln!("  mirroring them");
    let ends = Ends::of(&site.dest.bootstrap())?;
    let mut running = mirror::start(site, TOPICS, LINK, Leave::WhenTold)?;
    let complete = ends.wait(topics, partitions, LIMIT, || running.must_run())?;
    let took = complete.saturating_duration_since(running.started());
    drop(ends);
    thread::sleep(SETTLE);
    let mut measured = Vec::new();
    for number in 1..=windows {
        let before = running.so_far()?;
        thread::sleep(WINDOW);
        let after = running.so_far()?;
        let seconds = after.at.saturating_duration_since(before.at).as_secs_f64();
        let window = Window {
            cpu_percent: 100.0 * (after.cpu_seconds - before.cpu_seconds) / seconds,
            resident_mib: after.resident_bytes as f64 / MIB,
        };
        eprintln!(
            "  {} partitions, window {number} of {windows}: {:.1} % of a core, {:.1} MiB (peak {:.1})",
            stage.name,
            window.cpu_percent,
            window.resident_mib,
            after.peak_resident_bytes as f64 / MIB,
        );
        measured.push(window);
    }
    running.interrupt()?;
    let usage = running.finish(LIMIT)?;
    let once = |value: f64| Samples::new([value]).ok_or("not a number");
    let name = stage.name;
    Ok(vec![
        Figure::new(
            format!("idle_cpu_percent_of_{name}"),
            format!("{name} partitions: CPU"),
            Unit::PercentOfCore,
            samples(&measured, |window| window.cpu_percent)?,
        )
        .at_most(stage.cpu_percent_max),
        Figure::new(
            format!("idle_resident_mib_of_{name}"),
            format!("{name} partitions: resident memory"),
            Unit::MiB,
            samples(&measured, |window| window.resident_mib)?,
        )
        .at_most(stage.resident_mib_max),
        Figure::new(
            format!("idle_peak_resident_mib_of_{name}"),
            format!("{name} partitions: its peak, start and copying included"),
            Unit::MiB,
            once(usage.peak_resident_bytes as f64 / MIB)?,
        ),
        Figure::new(
            format!("idle_start_s_of_{name}"),
            format!("{name} partitions: process start to all copied"),
            Unit::Seconds,
            once(took.as_secs_f64())?,
        ),
    ])
}
