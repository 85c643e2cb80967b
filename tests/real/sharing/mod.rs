//! Several agents share one link on real Kafka: each copies its own partitions, hands over what it loses under traffic,
//! and writes what the broker does not guard only while nobody else can be at it. Identical afterwards, nothing twice.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lockstep_agent::control::division::LinkDivision;
use lockstep_agent::link::LinkSettings;
use lockstep_agent::link::prepare::prepare;
use lockstep_agent::link::running::Running;
use lockstep_agent::link::watched::Ends as Watched;
use lockstep_agent::pipeline::engine::Ended;
use lockstep_agent::pipeline::owned::Owned;
use lockstep_agent::pipeline::report::LinkReport;
use lockstep_core::dr::lease::{Former, Lease, Left, LinkWork, Moment, Shares};
use lockstep_core::mirror::partition::Phase;
use lockstep_kafka::{Settings, Tcp};
use lockstep_testkit::client::{Codec, Record, Seed, assert_identical};
use lockstep_testkit::{rounds, unique, wait_until_async};
use tokio::sync::watch;

use crate::driver::settings_of;
use crate::mirror::{Ends, PATIENCE};

const PARTITIONS: i32 = 12;

fn shares(agents: &[&str]) -> Shares {
    agents.iter().map(|agent| ((*agent).to_owned(), 1)).collect()
}

/// One agent's part of the link.
struct Agent {
    division: watch::Sender<Owned>,
    running: Running,
    name: &'static str,
    link: String,
}

impl Agent {
    async fn start(ends: &Ends, link: &str, name: &'static str, epoch: u64, agents: &[&str]) -> Self {
        let (division, owned) = watch::channel(Owned::Shared(Arc::new(first(link, name, epoch, agents))));
        let settings = |bootstrap: &str| Settings::new(bootstrap).unwrap();
        let tcp = Arc::new(Tcp::default());
        let watched = Watched::connect(tcp, settings(&ends.from), settings(&ends.to)).await.unwrap();
        let prepared = prepare(watched, LinkSettings { owned, ..settings_of(link) }).await.unwrap();
        let running = prepared.start().await.unwrap();
        Self { division, running, name, link: link.to_owned() }
    }

    fn tell(&self, division: LinkDivision) {
        self.division.send_replace(Owned::Shared(Arc::new(division)));
    }

    fn division(&self, epoch: u64, agents: &[&str]) -> LinkDivision {
        first(&self.link, self.name, epoch, agents)
    }

    fn report(&self) -> Arc<LinkReport> {
        Arc::clone(&self.running.report.borrow())
    }

    fn has(&self) -> BTreeSet<i32> {
        self.report().partitions.iter().map(|p| p.tp.partition).collect()
    }

    async fn settled(&self, epoch: u64) {
        let what = format!("{} to have settled epoch {epoch}", self.name);
        wait_until_async(&what, PATIENCE, async || {
            (self.report().settled_epoch == Some(epoch)).then_some(())
        })
        .await;
    }

    /// Waits until each of its partitions copies.
    async fn copies(&self, topic: &str) {
        let what = format!("{} to copy its partitions of {topic}", self.name);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let report = self.report();
            let idle: Vec<_> = report
                .partitions
                .iter()
                .filter(|p| !matches!(p.phase, Phase::Copying | Phase::CaughtUp))
                .map(|p| (&p.tp, &p.phase, &p.trouble))
                .collect();
            if idle.is_empty() {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "waited for {what}: {idle:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn stop(self) {
        assert_eq!(self.running.stop().await, Ended::Drained);
    }
}

fn first(link: &str, agent: &str, epoch: u64, agents: &[&str]) -> LinkDivision {
    let work = LinkWork {
        link: link.to_owned(),
        agent: agent.to_owned(),
        epoch,
        shares: shares(agents),
        formers: Vec::new(),
        told: Moment(0),
    };
    LinkDivision { work, lease: Lease::Held, now: Moment(0) }
}

/// While somebody of the epoch before may still be at it.
fn after(division: LinkDivision, formers: &[Former]) -> LinkDivision {
    LinkDivision { work: LinkWork { formers: formers.to_vec(), ..division.work }, ..division }
}

fn former(agent: &str, epoch: u64, agents: &[&str]) -> Former {
    Former { agent: agent.to_owned(), epoch, shares: shares(agents), left: Left::Ms(12_000) }
}

fn record(n: i32) -> Record {
    Record::new(format!("record {n} {}", "r".repeat(200))).partition(n % PARTITIONS)
}

/// Of old data nothing is guarded (M6).
fn old_record(n: i32) -> Record {
    record(n).at(crate::mirror::shapes::now_ms() - 3 * 86_400_000)
}

fn topic(ends: &Ends, name: &str) -> String {
    let topic = unique(name);
    ends.create(&topic, PARTITIONS, &[]);
    topic
}

async fn equal(ends: &Ends, topic: &str) {
    let (ends, topic) = (ends.clone(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        ends.wait_until_equal(&topic, PARTITIONS);
        assert_identical(&ends.from, &ends.to, &topic, PARTITIONS);
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn each_agent_copies_its_own_partitions_and_together_they_are_the_link() {
    let ends = Ends::shared();
    let topic = topic(&ends, "sharing");
    Seed::to(&ends.from).codec(Codec::Lz4).write(&topic, (0..6_000).map(record)).unwrap();
    let both = ["anna", "bert"];
    let (anna, bert) = tokio::join!(
        Agent::start(&ends, &topic, "anna", 1, &both),
        Agent::start(&ends, &topic, "bert", 1, &both)
    );
    equal(&ends, &topic).await;
    let (hers, his) = (anna.has(), bert.has());
    assert!(hers.is_disjoint(&his) && !hers.is_empty() && !his.is_empty(), "{hers:?} {his:?}");
    assert_eq!(hers.union(&his).copied().collect::<Vec<_>>(), (0..PARTITIONS).collect::<Vec<_>>());
    let (a, b) = (anna.report(), bert.report());
    assert_eq!((a.elsewhere, b.elsewhere), (his.len() as u64, hers.len() as u64));
    assert_eq!((a.settled_epoch, b.settled_epoch), (Some(1), Some(1)));
    assert_eq!(a.copied_records + b.copied_records, 6_000, "nothing was copied by both");
    anna.stop().await;
    bert.stop().await;
}

#[tokio::test]
async fn partitions_change_hands_under_traffic_and_nothing_is_lost_or_twice() {
    let ends = Ends::shared();
    let topic = topic(&ends, "handover");
    let going_on = Arc::new(AtomicBool::new(true));
    let writer = {
        let (going_on, from, topic) = (Arc::clone(&going_on), ends.from.clone(), topic.clone());
        thread::spawn(move || {
            let seeder = Seed::to(&from).codec(Codec::Lz4).batch_records(20).open().unwrap();
            let mut next = 0;
            while going_on.load(Ordering::Acquire) {
                seeder.write(&topic, (next..next + 240).map(record)).unwrap();
                next += 240;
                thread::sleep(Duration::from_millis(30));
            }
            next
        })
    };
    let anna = Agent::start(&ends, &topic, "anna", 1, &["anna"]).await;
    let bert = Agent::start(&ends, &topic, "bert", 1, &["anna"]).await;
    let mut epoch = 1;
    let mut before = vec!["anna"];
    for now in std::iter::repeat_n(
        [&["anna", "bert"][..], &["bert"], &["bert", "anna"], &["anna"]],
        rounds(2, 20) as usize,
    )
    .flatten()
    {
        epoch += 1;
        let formers: Vec<_> = before.iter().map(|agent| former(agent, epoch - 1, &before)).collect();
        // Both hear of it at once, and what is guarded is taken at once.
        for agent in [&anna, &bert] {
            agent.tell(after(agent.division(epoch, now), &formers));
        }
        for agent in [&anna, &bert] {
            agent.settled(epoch).await;
        }
        // Both have let go: the formers' time is over.
        for agent in [&anna, &bert] {
            agent.tell(agent.division(epoch, now));
        }
        // Whoever has something copies: nobody waits for a lease that is over.
        for agent in [&anna, &bert] {
            agent.copies(&topic).await;
        }
        before = now.to_vec();
    }
    going_on.store(false, Ordering::Release);
    let written = tokio::task::spawn_blocking(|| writer.join().unwrap()).await.unwrap();
    equal(&ends, &topic).await;
    let copied = [&anna, &bert].map(|agent| agent.report().copied_records);
    assert!(written > 2_000, "{written} records were written meanwhile");
    assert!(copied.iter().all(|copied| *copied > 0), "both took part: {copied:?}");
    assert!(bert.has().is_empty() && anna.has().len() == PARTITIONS as usize);
    for agent in [&anna, &bert] {
        assert_eq!(agent.report().stopped().map(|p| &p.phase).collect::<Vec<_>>(), [] as [&Phase; 0]);
    }
    anna.stop().await;
    bert.stop().await;
}

#[tokio::test]
async fn what_is_not_guarded_waits_until_the_formers_time_is_over() {
    let ends = Ends::shared();
    let topic = topic(&ends, "unguarded");
    Seed::to(&ends.from).write(&topic, (0..1_200).map(old_record)).unwrap();
    let anna = Agent::start(&ends, &topic, "anna", 1, &["anna"]).await;
    equal(&ends, &topic).await;
    anna.stop().await;
    Seed::to(&ends.from).write(&topic, (1_200..2_400).map(old_record)).unwrap();
    let bert = Agent::start(&ends, &topic, "bert", 1, &["anna"]).await;
    bert.tell(after(bert.division(2, &["bert"]), &[former("anna", 1, &["anna"])]));
    bert.settled(2).await;
    wait_until_async("bert to say what it waits for", PATIENCE, async || {
        let report = bert.report();
        let waits = |p: &&lockstep_agent::pipeline::report::PartitionReport| {
            p.trouble.as_ref().is_some_and(|why| why.contains("until its lease is over"))
        };
        (report.partitions.iter().filter(waits).count() == PARTITIONS as usize).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(bert.report().copied_records, 0, "an end that stands still proves nothing before its time");
    bert.tell(bert.division(2, &["bert"]));
    equal(&ends, &topic).await;
    assert_eq!(bert.report().copied_records, 1_200);
    bert.stop().await;
}
