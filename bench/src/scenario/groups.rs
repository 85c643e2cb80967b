//! How long offsets of consumer groups take to the standby: a thousand groups commit on ten partitions each, beside a running
//! mirror. The clock starts when the source has acknowledged the last commit and stops when every offset stands at the
//! standby, asked of its coordinator. Reference: the same commits made at the standby itself, by the same client.

use std::time::{Duration, Instant};

use lockstep_core::ids::{LeaderEpoch, TopicPartition};
use lockstep_kafka::Cluster;
use lockstep_kafka::admin::{
    Committed, CoordinatorKind, Unstable, find_coordinators, offset_fetch, submit_offset_commit,
};
use lockstep_testkit::client::{Admin, Record, Seed};

use super::{Found, MIB, samples};
use crate::figure::{Figure, Samples, Unit};
use crate::meter::Metered;
use crate::mirror::{self, Leave};
use crate::site::Site;
use crate::watch::{connect, runtime};
use crate::{Result, Settings};

const TOPIC: &str = "bench-groups";
const GROUPS: usize = 1_000;
const PARTITIONS: i32 = 10;
/// In each partition: as far as rounds can commit.
const RECORDS: i64 = 2_000;
const LIMIT: Duration = Duration::from_secs(60);
/// Commits on their way at once.
const AT_ONCE: usize = 100;
/// Groups asked about while nothing has come; all of them at once would be load for the standby.
const ASKED_FIRST: usize = 20;
const PAUSE: Duration = Duration::from_millis(5);
/// A mirror looks at the groups every now and then: rounds begin at any moment between two looks.
const BETWEEN_MAX: Duration = Duration::from_millis(1_500);

const SETTLE: Duration = Duration::from_secs(5);
const WINDOW: Duration = Duration::from_secs(20);

const FOLLOWED_SECONDS_MAX: f64 = 1.0;

/// Seconds.
struct Round {
    followed: f64,
    committing: f64,
    direct: f64,
}

pub(super) fn run(site: &Site, settings: &Settings) -> Result<Found> {
    Admin::of(&site.source.bootstrap())?.create(TOPIC, PARTITIONS, &[])?;
    let records = (0..RECORDS).flat_map(|n| (0..PARTITIONS).map(move |p| (n, p)));
    let records = records.map(|(n, partition)| Record::new(format!("{n}")).partition(partition));
    Seed::to(&site.source.bootstrap()).write(TOPIC, records)?;
    let copied: Vec<_> = (0..GROUPS).map(|n| format!("{TOPIC}-copied-{n}")).collect();
    let direct: Vec<_> = (0..GROUPS).map(|n| format!("{TOPIC}-direct-{n}")).collect();
    let runtime = runtime()?;
    let source = runtime.block_on(connect(&site.source.bootstrap()))?;
    let dest = runtime.block_on(connect(&site.dest.bootstrap()))?;
    let first = 10;
    runtime.block_on(commit_all(&source, &copied, first))?;
    let (link, groups) = ("bench-groups", format!("{TOPIC}-copied-.*"));
    let mut running = mirror::start_with(site, TOPIC, link, Leave::WhenTold, &["--groups", &groups])?;
    runtime.block_on(standing(&dest, &copied, first, || running.must_run()))?;
    std::thread::sleep(SETTLE);
    let idle = idle(&running)?;
    eprintln!("  nobody commits: {idle:.1} % of a core");
    let mut rounds = Vec::new();
    for number in 1..=settings.rounds {
        let offset = first + i64::from(number);
        std::thread::sleep(Duration::from_millis(fastrand::u64(..BETWEEN_MAX.as_millis() as u64)));
        let began = Instant::now();
        runtime.block_on(commit_all(&source, &copied, offset))?;
        let committed = Instant::now();
        let there = runtime.block_on(standing(&dest, &copied, offset, || running.must_run()))?;
        let again = Instant::now();
        runtime.block_on(commit_all(&dest, &direct, offset))?;
        let round = Round {
            followed: there.saturating_duration_since(committed).as_secs_f64(),
            committing: committed.saturating_duration_since(began).as_secs_f64(),
            direct: again.elapsed().as_secs_f64(),
        };
        eprintln!(
            "  round {number} of {}: committed in {:.2} s, all there {:.2} s later; committed at the standby in {:.2} s",
            settings.rounds, round.committing, round.followed, round.direct
        );
        rounds.push(round);
    }
    let usage = running.so_far()?;
    running.interrupt()?;
    running.finish(LIMIT)?;
    let figures = figures(&rounds, idle, usage.resident_bytes as f64 / MIB)?;
    let facts = format!(
        "{GROUPS} groups, {PARTITIONS} partitions each, {} offsets changed at once, at random moments between two looks of \
         the mirror; {} rounds.",
        GROUPS * PARTITIONS.unsigned_abs() as usize,
        settings.rounds
    );
    Ok(Found { facts, figures })
}

fn figures(rounds: &[Round], idle: f64, resident_mib: f64) -> Result<Vec<Figure>> {
    let of = |value: fn(&Round) -> f64| samples(rounds, value);
    Ok(vec![
        Figure::new(
            "groups_followed_s".to_owned(),
            "last commit acknowledged at the source to every offset standing at the standby".to_owned(),
            Unit::Seconds,
            of(|round| round.followed)?,
        )
        .beside("the same commits made at the standby", of(|round| round.direct)?)
        .at_most(FOLLOWED_SECONDS_MAX),
        Figure::new(
            "groups_committing_s".to_owned(),
            "committing them at the source, beside the mirror".to_owned(),
            Unit::Seconds,
            of(|round| round.committing)?,
        ),
        Figure::new(
            "groups_idle_cpu_percent".to_owned(),
            "nobody commits: CPU of the mirror".to_owned(),
            Unit::PercentOfCore,
            Samples::new([idle]).ok_or("not a number")?,
        ),
        Figure::new(
            "groups_resident_mib".to_owned(),
            "resident memory".to_owned(),
            Unit::MiB,
            Samples::new([resident_mib]).ok_or("not a number")?,
        ),
    ])
}

/// In percent of a core.
fn idle(running: &Metered) -> Result<f64> {
    let before = running.so_far()?;
    std::thread::sleep(WINDOW);
    let after = running.so_far()?;
    let seconds = after.at.saturating_duration_since(before.at).as_secs_f64();
    Ok(100.0 * (after.cpu_seconds - before.cpu_seconds) / seconds)
}

/// Commits this offset everywhere; returns when all are acknowledged.
async fn commit_all(cluster: &Cluster, groups: &[String], offset: i64) -> Result<()> {
    let names: Vec<&str> = groups.iter().map(String::as_str).collect();
    let committed = || Committed { offset, leader_epoch: LeaderEpoch::UNKNOWN, metadata: String::new() };
    let offsets: Vec<_> =
        (0..PARTITIONS).map(|partition| (TopicPartition::new(TOPIC, partition), committed())).collect();
    let coordinators = find_coordinators(cluster, CoordinatorKind::Group, &names).await?;
    for chunk in coordinators.chunks(AT_ONCE) {
        let mut pending = Vec::with_capacity(chunk.len());
        for (group, node) in chunk {
            let node = node
                .as_ref()
                .map_err(|(code, words)| format!("no coordinator of {group}: {code}, {words}"))?;
            let connection = cluster.connection(*node).await?;
            pending.push(submit_offset_commit(&connection, group, &offsets).await?);
        }
        for commit in pending {
            for (tp, answer) in commit.answer().await? {
                answer.map_err(|code| format!("an offset of {tp} was not committed: {code}"))?;
            }
        }
    }
    Ok(())
}

/// Waits until every group stands at this offset everywhere, and says when that was seen.
async fn standing(
    cluster: &Cluster,
    groups: &[String],
    offset: i64,
    mirror_must_run: impl Fn() -> Result<()>,
) -> Result<Instant> {
    let deadline = Instant::now() + LIMIT;
    let connection = cluster.any().await?;
    let mut missing: Vec<&str> = groups.iter().map(String::as_str).collect();
    let (mut asked, mut last) = (ASKED_FIRST, String::new());
    while !missing.is_empty() {
        if Instant::now() > deadline {
            let count = missing.len();
            return Err(format!("{count} groups do not stand at {offset} after {LIMIT:?}: {last}").into());
        }
        mirror_must_run()?;
        let some = &missing[..asked.min(missing.len())];
        let answers = offset_fetch(&connection, some, Unstable::Before).await?;
        let mut there = Vec::with_capacity(answers.len());
        for (group, offsets) in answers {
            let offsets = offsets.map_err(|code| format!("the offsets of {group} cannot be read: {code}"))?;
            let stand = offsets.iter().filter(|(_, each)| each.as_ref().is_ok_and(|c| c.offset == offset));
            let stands = stand.count() == PARTITIONS.unsigned_abs() as usize;
            if !stands {
                last = format!("{group}: {offsets:?}");
            }
            there.push(stands);
        }
        let mut there = there.into_iter();
        let before = missing.len();
        // Nothing is said of those that were not asked about: they stay.
        missing.retain(|_| !there.next().unwrap_or(false));
        match before - missing.len() {
            0 => tokio::time::sleep(PAUSE).await,
            _ => asked = (asked * 2).min(groups.len()),
        }
    }
    Ok(Instant::now())
}
