//! A mirror that runs, and topics that appear at the source: when can their first record be read at the destination?
//! The reference is the same client at the source, in the same moment. Each topic comes at a random moment, so that no
//! interval of the mirror's is hit always at its end.

use std::thread;
use std::time::{Duration, Instant};

use lockstep_testkit::client::{Admin, Record, Seed, Seeder};

use super::{Found, samples};
use crate::figure::{Figure, Unit};
use crate::mirror::{self, Leave};
use crate::site::Site;
use crate::watch::Watch;
use crate::{Result, Settings};

const TOPICS: &str = "bench-new-.*";
const LINK: &str = "new-topic";
const PARTITIONS: i32 = 8;
/// Topics per round: they cost little, and the largest of five says little.
const TOPICS_PER_ROUND: u32 = 4;
/// The random wait before each topic; longer than any interval at which the mirror looks.
const PAUSE_MAX_MS: u64 = 2_500;
const LIMIT: Duration = Duration::from_secs(60);

/// Counted from the call that creates the topic.
struct Appeared {
    acknowledged: Duration,
    readable_at_source: Duration,
    readable_at_dest: Duration,
}

pub(super) fn run(site: &Site, settings: &Settings) -> Result<Found> {
    let admin = Admin::of(&site.source.bootstrap())?;
    // One connected producer for all: its start is no part of the figure.
    let seeder = Seed::to(&site.source.bootstrap()).open()?;
    // A mirror does not start for nothing: the first topic is there before it.
    let watch = Watch::begin(&site.dest.bootstrap(), &name(0))?;
    admin.create(&name(0), PARTITIONS, &[])?;
    seeder.write(&name(0), [Record::new("first")])?;
    let mut running = mirror::start(site, TOPICS, LINK, Leave::WhenTold)?;
    watch.seen()?;

    let count = settings.rounds * TOPICS_PER_ROUND;
    let mut rounds = Vec::new();
    for number in 1..=count {
        thread::sleep(Duration::from_millis(fastrand::u64(..=PAUSE_MAX_MS)));
        running.must_run()?;
        let appeared = appear(site, &admin, &seeder, &name(number))?;
        eprintln!(
            "  topic {number} of {count}: readable after {:.3} s, at the source after {:.3} s",
            appeared.readable_at_dest.as_secs_f64(),
            appeared.readable_at_source.as_secs_f64(),
        );
        rounds.push(appeared);
    }
    running.interrupt()?;
    running.finish(LIMIT)?;
    let facts = format!(
        "{count} topics of {PARTITIONS} partitions, one after the other at random moments, one record each, written as \
         soon as the topic has leaders."
    );
    Ok(Found { facts, figures: figures(&rounds)? })
}

fn name(number: u32) -> String {
    format!("bench-new-{number}")
}

fn appear(site: &Site, admin: &Admin, seeder: &Seeder, topic: &str) -> Result<Appeared> {
    let at_source = Watch::begin(&site.source.bootstrap(), topic)?;
    let at_dest = Watch::begin(&site.dest.bootstrap(), topic)?;
    let start = Instant::now();
    admin.create(topic, PARTITIONS, &[])?;
    seeder.write(topic, [Record::new("first")])?;
    let acknowledged = start.elapsed();
    Ok(Appeared {
        acknowledged,
        readable_at_source: at_source.seen()?.duration_since(start),
        readable_at_dest: at_dest.seen()?.duration_since(start),
    })
}

fn figures(rounds: &[Appeared]) -> Result<Vec<Figure>> {
    Ok(vec![
        Figure::new(
            "first_record_of_new_topic_s",
            "creation of the topic to its first record readable",
            Unit::Seconds,
            samples(rounds, |each| each.readable_at_dest.as_secs_f64())?,
        )
        .beside("same client at the source", samples(rounds, |each| each.readable_at_source.as_secs_f64())?)
        .at_most(1.0),
        Figure::new(
            "first_record_of_new_topic_after_acknowledged_s",
            "acknowledgement of that record to readable",
            Unit::Seconds,
            samples(rounds, |each| each.readable_at_dest.saturating_sub(each.acknowledged).as_secs_f64())?,
        ),
    ])
}
