//! Many links of one agent between the same two clusters: what they cost while nobody writes, and how old the records of
//! the others are while one of them has its hands full.

use std::fmt::Write as _;
use std::thread;
use std::time::{Duration, Instant};

use lockstep_testkit::client::{Admin, Codec, Record, Seed, Seeder};

use super::age::quantiles;
use super::{Found, MIB, samples};
use crate::ends::Ends;
use crate::figure::{Figure, Samples, Unit};
use crate::meter::Metered;
use crate::reader::{Reader, stamped};
use crate::site::Site;
use crate::watch::Watch;
use crate::{Result, Settings};

const LINKS: usize = 24;
const TOPICS_EACH: usize = 40;
const PARTITIONS: i32 = 6;
const LIMIT: Duration = Duration::from_secs(600);
const WINDOW: Duration = Duration::from_secs(20);
const SETTLE: Duration = Duration::from_secs(10);

const CPU_PERCENT_MAX: f64 = 5.0;
const RESIDENT_MIB_MAX: f64 = 200.0;
const AGE_P99_MS_MAX: f64 = 50.0;

/// Of the link whose records' age is taken.
const RATE: u64 = 200;
const SECONDS: u64 = 6;
/// Not counted: brokers and clients meet the topic for the first time.
const WARM_UP_SECONDS: u64 = 2;
const RECORD_BYTES: usize = 1_000;
/// Of the busy link, meanwhile, in records of 1 kB: what two brokers carry that share two cores with producers, readers and
/// the mirror, and more than that. The last is a third of what saturates the machine.
const BUSY_RATES: [u64; 3] = [1_000, 5_000, 20_000];
/// Without it the producer would keep a slow link's records until the end.
const BUSY_LINGER_MS: &str = "20";
const BUSY_SECONDS: u64 = WARM_UP_SECONDS + SECONDS + 4;
/// A busy producer that sleeps before each record would itself be the load.
const AHEAD: Duration = Duration::from_millis(2);

/// p99 of the ages of one round, in ms.
struct Age {
    standby: f64,
    direct: f64,
}

pub(super) fn run(site: &Site, settings: &Settings) -> Result<Found> {
    eprintln!("  creating {} topics", LINKS * TOPICS_EACH);
    let topics = fill(site)?;
    let file = site.scratch.path().join("links.yaml");
    std::fs::write(&file, agent_file(site))?;
    let path = file.display().to_string();
    let mut agent =
        Metered::start(&site.program, &["agent", "--config", &path], site.scratch.path(), "links")?;
    let ends = Ends::of(&site.dest.bootstrap())?;
    let records = topics.len() as u64 * PARTITIONS.unsigned_abs() as u64;
    let complete = ends.wait(&topics, records, LIMIT, || agent.must_run())?;
    let took = complete.saturating_duration_since(agent.started()).as_secs_f64();
    drop(ends);
    thread::sleep(SETTLE);
    let windows = (0..settings.rounds.div_ceil(2)).map(|_| window(&agent)).collect::<Result<Vec<_>>>()?;
    // Not counted: brokers that have carried next to nothing yet run code that nobody has compiled.
    let [_, warm_up, _] = BUSY_RATES;
    beside_a_busy_one(site, warm_up, "warm-up")?;
    let mut beside = Vec::new();
    for rate in BUSY_RATES {
        let ages = (0..settings.rounds).map(|number| beside_a_busy_one(site, rate, &number.to_string()));
        beside.extend(figures_beside(rate, &ages.collect::<Result<Vec<_>>>()?)?);
    }
    agent.interrupt()?;
    let usage = agent.finish(LIMIT)?;
    let once = |value: f64| Samples::new([value]).ok_or("not a number");
    let mut figures = vec![
        Figure::new(
            "links_idle_cpu_percent".to_owned(),
            format!("{LINKS} links, idle: CPU"),
            Unit::PercentOfCore,
            samples(&windows, |window| window.0)?,
        )
        .at_most(CPU_PERCENT_MAX),
        Figure::new(
            "links_idle_resident_mib".to_owned(),
            format!("{LINKS} links, idle: resident memory"),
            Unit::MiB,
            samples(&windows, |window| window.1)?,
        )
        .at_most(RESIDENT_MIB_MAX),
        Figure::new(
            "links_peak_resident_mib".to_owned(),
            format!("{LINKS} links: peak of resident memory, start and the busy one included"),
            Unit::MiB,
            once(usage.peak_resident_bytes as f64 / MIB)?,
        ),
        Figure::new(
            "links_start_s".to_owned(),
            format!("{LINKS} links: process start to all copied"),
            Unit::Seconds,
            once(took)?,
        ),
    ];
    figures.extend(beside);
    let facts = format!(
        "One agent, {LINKS} links between the same clusters, {TOPICS_EACH} topics of {PARTITIONS} partitions each, a record \
         in every partition. Age: {RATE} records/s of {RECORD_BYTES} bytes on one link, {SECONDS} s per round after \
         {WARM_UP_SECONDS} s that are not counted, while another one is busy; one round before them is not counted either."
    );
    Ok(Found { facts, figures })
}

fn topic(link: usize, number: usize) -> String {
    format!("bench-links-{link:02}-{number}")
}

fn agent_file(site: &Site) -> String {
    let (from, to) = (site.source.bootstrap(), site.dest.bootstrap());
    let mut file = format!(
        "site: bench\nlisten: off\nclusters:\n  a: {{ bootstrap: \"{from}\" }}\n  b: {{ bootstrap: \"{to}\" }}\nlinks:\n"
    );
    for link in 0..LINKS {
        // Writing into a text does not fail.
        let _ = writeln!(file, "  link-{link:02}: {{ from: a, to: b, topics: 'bench-links-{link:02}-.*' }}");
    }
    file
}

fn fill(site: &Site) -> Result<Vec<String>> {
    let admin = Admin::of(&site.source.bootstrap())?;
    let seeder = Seed::to(&site.source.bootstrap()).config("linger.ms", "5").open()?;
    let mut topics = Vec::new();
    for link in 0..LINKS {
        for number in 0..TOPICS_EACH {
            let topic = topic(link, number);
            admin.create(&topic, PARTITIONS, &[])?;
            seeder.write(&topic, (0..PARTITIONS).map(|each| Record::new("one").partition(each)))?;
            topics.push(topic);
        }
    }
    Ok(topics)
}

/// CPU in percent of a core, resident MiB.
fn window(agent: &Metered) -> Result<(f64, f64)> {
    let before = agent.so_far()?;
    thread::sleep(WINDOW);
    let after = agent.so_far()?;
    let seconds = after.at.saturating_duration_since(before.at).as_secs_f64();
    let cpu = 100.0 * (after.cpu_seconds - before.cpu_seconds) / seconds;
    let resident = after.resident_bytes as f64 / MIB;
    eprintln!("  idle: {cpu:.1} % of a core, {resident:.1} MiB");
    Ok((cpu, resident))
}

fn figures_beside(rate: u64, rounds: &[Age]) -> Result<Vec<Figure>> {
    let direct = samples(rounds, |age| age.direct)?;
    let age = Figure::new(
        format!("links_age_p99_beside_{rate}_ms"),
        format!("another link's records beside {rate}/s on one: p99 of the age at the standby"),
        Unit::Milliseconds,
        samples(rounds, |age| age.standby)?,
    )
    .beside("direct consumer", direct)
    .at_most(AGE_P99_MS_MAX);
    let over = Figure::new(
        format!("links_age_p99_over_direct_beside_{rate}_ms"),
        format!("another link's records beside {rate}/s on one: p99 over the direct consumer's p99"),
        Unit::Milliseconds,
        samples(rounds, |age| age.standby - age.direct)?,
    );
    Ok(vec![age, over])
}

/// One round beside so many records per second.
fn beside_a_busy_one(site: &Site, busy_rate: u64, round: &str) -> Result<Age> {
    let admin = Admin::of(&site.source.bootstrap())?;
    let busy = format!("bench-links-00-busy-{busy_rate}-{round}");
    let watched = format!("bench-links-01-age-{busy_rate}-{round}");
    let watch = Watch::begin(&site.dest.bootstrap(), &watched)?;
    for topic in [&busy, &watched] {
        admin.create(topic, PARTITIONS, &[])?;
    }
    let seeder = Seed::to(&site.source.bootstrap())
        .config("linger.ms", "0")
        .config("socket.nagle.disable", "true")
        .open()?;
    seeder.write(&watched, [Record::new("first").partition(0)])?;
    watch.seen()?;
    let bootstrap = site.source.bootstrap();
    let load = thread::spawn(move || -> std::result::Result<u64, lockstep_testkit::Error> {
        let start = Instant::now();
        let record = |n: u64| {
            let due = start + Duration::from_nanos(n * 1_000_000_000 / busy_rate);
            let early = due.saturating_duration_since(Instant::now());
            if early >= AHEAD {
                thread::sleep(early);
            }
            // Less than PARTITIONS.
            let partition = (n % PARTITIONS as u64) as i32;
            Record::new(format!("{n} {}", "some words that lz4 makes short, again; ".repeat(24)))
                .partition(partition)
        };
        Seed::to(&bootstrap)
            .codec(Codec::Lz4)
            .config("linger.ms", BUSY_LINGER_MS)
            .write(&busy, (0..busy_rate * BUSY_SECONDS).map(record))
    });
    let ages = ages(site, &seeder, &watched);
    load.join().map_err(|_| "the busy link's producer died")??;
    let age = ages?;
    eprintln!("  beside {busy_rate} records/s: p99 {:.1} ms, direct {:.1} ms", age.standby, age.direct);
    Ok(age)
}

fn ages(site: &Site, seeder: &Seeder, topic: &str) -> Result<Age> {
    let count = RATE * (WARM_UP_SECONDS + SECONDS);
    let expected = usize::try_from(count)?;
    let epoch = Instant::now();
    let direct = Reader::begin(&site.source.bootstrap(), topic, expected, epoch)?;
    let standby = Reader::begin(&site.dest.bootstrap(), topic, expected, epoch)?;
    let start = Instant::now();
    let stream = (0..count).map(|number| {
        let due = start + Duration::from_nanos(number * 1_000_000_000 / RATE);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        // Less than PARTITIONS.
        Record::new(stamped(number, epoch, RECORD_BYTES)).partition((number % PARTITIONS as u64) as i32)
    });
    seeder.write(topic, stream)?;
    let warm_up = usize::try_from(RATE * WARM_UP_SECONDS)?;
    let p99 = |ages: Vec<Duration>| -> Result<f64> {
        Ok(quantiles(ages[warm_up..].iter().map(|age| age.as_secs_f64() * 1_000.0).collect())?.p99)
    };
    Ok(Age { standby: p99(standby.ages()?)?, direct: p99(direct.ages()?)? })
}
