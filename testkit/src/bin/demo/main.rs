//! `./dev demo`: the main promise shown on this machine. Two real Kafka clusters, live traffic, three coordinators and two
//! agents; the agent that copies and the coordinator that leads are killed in the middle; a proof by an independent client
//! (librdkafka) that every offset, timestamp, key, value and header is equal on both sides; then the source is killed, and
//! `lockstep status` says what is known and how old that is. Ends with 1 at the first thing that is not as promised.

mod site;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lockstep_testkit::broker::{Kafka, start_all};
use lockstep_testkit::client::{Admin, Codec, Isolation, Record, Seed, compare, watermarks};
use lockstep_testkit::{Error, Exit, Lockstep};
use site::System;

/// (topic, partitions, codec): what an insurer's cluster might carry.
const TOPICS: &[(&str, i32, Codec)] = &[
    ("claims.events", 8, Codec::Lz4),
    ("claims.documents", 4, Codec::Zstd),
    ("claims.payments", 4, Codec::None),
];
/// Records per topic before the mirror starts, enough to kill it on the way; and how fast traffic goes on.
const BACKLOG: u64 = 100_000;
const LIVE_CHUNK: u64 = 200;
const LIVE_PAUSE: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    match story() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nthe demo failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn story() -> Result<(), Error> {
    let began = Instant::now();
    let say = |text: &str| println!("{:6.1} s  {text}", began.elapsed().as_secs_f64());

    let [east, west] = start_all([Kafka::builder("east"), Kafka::builder("west")])?;
    let (from, to) = (east.bootstrap(), west.bootstrap());
    say(&format!("two Kafka {} clusters: east at {from}, west at {to}", east.version()));

    let admin = Admin::of(&from)?;
    for (topic, partitions, codec) in TOPICS {
        admin.create(topic, *partitions, &[])?;
        let records = (0..BACKLOG).map(|n| record(n, *partitions));
        Seed::to(&from).codec(*codec).batch_records(500).write(topic, records)?;
    }
    say(&format!("east holds {} topics, {} records each", TOPICS.len(), thousands(BACKLOG)));

    let traffic = Traffic::start(&from);
    say("producers go on writing while everything below happens");

    let mut system = System::start(&from, &to)?;
    say("$ lockstep coordinator init --dev …: three coordinators agree, an agent runs in each site");
    let applied = system.apply()?;
    say("$ lockstep apply -f dr.yaml");
    print!("{}", indented(applied.lines().last().unwrap_or_default()));
    let (topic, last, _) = TOPICS[0];
    until("the first records in west", || {
        Ok(watermarks(&to, topic, last - 1).is_ok_and(|held| held.end > 0))
    })?;
    let leader = system.leader()?;
    system.kill("a-west")?;
    system.kill(leader)?;
    let (at_death, backlog) = (held(&to)?, BACKLOG * TOPICS.len() as u64);
    say(&format!(
        "kill -9: the agent that copies dies, and {leader}, which led; west holds {} of {} and more",
        thousands(at_death),
        thousands(backlog)
    ));

    system.start_agent("a-west")?;
    say("the agent is started again: no checkpoint file, west's own log says where to go on");
    thread::sleep(Duration::from_secs(3));
    let written = traffic.stop()?;
    say(&format!("producers stop after {} more records", thousands(written)));
    let total = BACKLOG * TOPICS.len() as u64 + written;
    until("west to hold everything", || Ok(held(&to)? >= total))?;

    prove(&from, &to, &say)?;
    let verify =
        Lockstep::run(&["verify", "--from", &from, "--to", &to, "--topics", "claims\\..*"], PATIENCE)?;
    say("$ lockstep verify --from east --to west --topics 'claims\\..*'");
    print!("{}", indented(&verify.stdout));
    if verify.exit != Exit::Code(0) {
        return Err(Error::Refused(format!("verify ended with {:?}: {}", verify.exit, verify.stderr)));
    }
    say(&format!(
        "identical: {} records at their own offsets, nothing twice, nothing lost",
        thousands(total)
    ));
    disaster(&east, &system, &say)
}

/// The source is killed: what is shown from then on is what was known, with its age, and never a zero that nobody knows.
fn disaster(source: &Kafka, system: &System, say: &dyn Fn(&str)) -> Result<(), Error> {
    until("the link to be well", || Ok(!system.ask(&["status"])?.contains("UNKNOWN")))?;
    say("$ lockstep status");
    print!("{}", indented(&system.ask(&["status"])?));
    for node in source.node_ids() {
        source.kill(node)?;
    }
    say("kill -9: east is gone");
    until("the posture to say so", || Ok(system.ask(&["status"])?.contains("UNKNOWN")))?;
    say("$ lockstep status");
    print!("{}", indented(&system.ask(&["status"])?));
    say("$ lockstep audit verify");
    print!("{}", indented(&system.ask(&["audit", "verify"])?));
    Ok(())
}

/// The independent client reads both sides and compares.
fn prove(from: &str, to: &str, say: &dyn Fn(&str)) -> Result<(), Error> {
    say("the proof, by librdkafka with check.crcs: offset, timestamp, key, value, headers");
    for (topic, partitions, codec) in TOPICS {
        let (mut records, mut bytes) = (0, 0);
        for partition in 0..*partitions {
            match compare(from, to, topic, partition, Isolation::ReadCommitted)? {
                Ok(equal) => {
                    records += equal.records;
                    bytes += equal.bytes;
                }
                Err(difference) => return Err(Error::Refused(format!("NOT identical: {difference}"))),
            }
        }
        let (records, mb) = (thousands(records), bytes / 1_000_000);
        say(&format!(
            "  {topic:<17} {partitions} partitions  {:<5} {records:>9} records  {mb:>3} MB  equal",
            codec.name()
        ));
    }
    Ok(())
}

/// Records that the destination holds of all topics (its log ends: identical offsets make them counts).
fn held(bootstrap: &str) -> Result<u64, Error> {
    let mut sum = 0;
    for (topic, partitions, _) in TOPICS {
        for partition in 0..*partitions {
            // Not created yet: nothing held.
            let Ok(range) = watermarks(bootstrap, topic, partition) else { continue };
            sum += range.end.unsigned_abs();
        }
    }
    Ok(sum)
}

fn until(what: &str, mut look: impl FnMut() -> Result<bool, Error>) -> Result<(), Error> {
    let deadline = Instant::now() + PATIENCE;
    while !look()? {
        if Instant::now() > deadline {
            return Err(Error::Refused(format!("waited {} s in vain for {what}", PATIENCE.as_secs())));
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Writers that keep going until told to stop, one per topic.
struct Traffic {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
    writers: Vec<JoinHandle<Result<(), Error>>>,
}

impl Traffic {
    fn start(bootstrap: &str) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writers = TOPICS.iter().map(|(topic, partitions, codec)| {
            let (stop, written, bootstrap) = (Arc::clone(&stop), Arc::clone(&written), bootstrap.to_owned());
            thread::spawn(move || {
                let seeder = Seed::to(&bootstrap).codec(*codec).batch_records(50).open()?;
                let mut next = BACKLOG;
                while !stop.load(Ordering::Relaxed) {
                    seeder.write(topic, (next..next + LIVE_CHUNK).map(|n| record(n, *partitions)))?;
                    next += LIVE_CHUNK;
                    written.fetch_add(LIVE_CHUNK, Ordering::Relaxed);
                    thread::sleep(LIVE_PAUSE);
                }
                Ok(())
            })
        });
        let writers = writers.collect();
        Self { stop, written, writers }
    }

    /// Everything written is acknowledged when this returns.
    fn stop(self) -> Result<u64, Error> {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers {
            writer.join().map_err(|_| Error::Refused("a producer died".to_owned()))??;
        }
        Ok(self.written.load(Ordering::Relaxed))
    }
}

/// A record with everything that is easily lost on the way: headers twice, null values, null keys, tombstones.
fn record(n: u64, partitions: i32) -> Record {
    let partition = i32::try_from(n % u64::from(partitions.unsigned_abs())).unwrap_or(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis());
    let at = i64::try_from(now).unwrap_or(0) - i64::try_from(n % 1_000).unwrap_or(0);
    let value = format!(
        "{{\"claim\":{n},\"state\":\"open\",\"amount\":\"{}.00 CZK\",\"note\":\"{}\"}}",
        n * 37 % 90_000,
        "x".repeat(600)
    );
    let record = if n.is_multiple_of(97) { Record::null() } else { Record::new(value) };
    let record = if n.is_multiple_of(11) { record } else { record.key(format!("claim-{n}")) };
    record
        .partition(partition)
        .at(at)
        .header("trace", n.to_string())
        .header("trace", "again")
        .null_header("empty")
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("          {line}\n")).collect()
}
