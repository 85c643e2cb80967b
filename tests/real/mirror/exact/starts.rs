//! Logs that do not start where the mirror stands: a late log start on a new mirror (fillers, M14), records that
//! expired before they were copied (a loss, M9), and a hole that costs more than the budget allows.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use lockstep_batch::{Stamp, build, rewrite};
use lockstep_core::ids::TopicPartition;
use lockstep_kafka::produce::{ProduceBatch, submit_produce};
use lockstep_kafka::{Cluster, Settings, Tcp};
use lockstep_testkit::client::{Admin, Record, Seed, watermarks};
use lockstep_testkit::{Exit, rounds, unique, wait_until_true};

use super::transactions::records;
use super::{assert_exact, assert_verified};
use crate::mirror::shapes::now_ms;
use crate::mirror::{Ends, PATIENCE, said};

/// Makes a partition of a compacted or plain topic start at `start`, cheaply: empty records, deleted again.
pub(super) fn start_late(bootstrap: &str, topic: &str, start: i64) {
    const STEP: u32 = build::FILLER_RECORDS_MAX;
    let append = async {
        let dial = Arc::new(Tcp::default());
        let cluster = Cluster::connect(dial, Settings::new(bootstrap).unwrap()).await.unwrap();
        let tp = TopicPartition::new(topic, 0);
        let node = cluster.metadata().leader(&tp).unwrap().0;
        let connection = cluster.connection(node).await.unwrap();
        let mut at = 0;
        while at < start {
            let count = u32::try_from(start - at).unwrap_or(STEP).min(STEP);
            let filler = build::filler(0, count, now_ms()).unwrap();
            let written = rewrite(&filler, Stamp { producer_id: -1, producer_epoch: -1, base_sequence: -1 });
            let batch = ProduceBatch {
                header: Bytes::copy_from_slice(written.header()),
                payload: written.payload().clone(),
            };
            let patience = Duration::from_secs(30);
            let pending = submit_produce(&connection, vec![(tp.clone(), batch)], patience).await.unwrap();
            assert_eq!(pending.answer().await.unwrap()[0].error, None);
            at += i64::from(count);
        }
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(append);
    Admin::of(bootstrap).unwrap().delete_records(topic, 0, start).unwrap();
}

#[test]
fn a_late_log_start_is_aligned_and_the_mirror_starts_there_too() {
    let ends = Ends::shared();
    let topic = unique("exact-late");
    ends.create(&topic, 1, &[]);
    let start = i64::from(rounds(5_000_000, 50_000_000)) + 4_711;
    start_late(&ends.from, &topic, start);
    Seed::to(&ends.from).write(&topic, records("behind", 500, 1)).unwrap();
    // Killed in the middle of the fillers: the next one goes on with fillers.
    let mut mirror = ends.mirror(&topic);
    wait_until_true("the first fillers", PATIENCE, || ends.held(&topic, 0) > 0);
    mirror.kill().unwrap();
    let (first, held) = (mirror.stdout(), ends.held(&topic, 0));
    eprintln!("killed at {held} of {start}");
    let finished = ends.mirror_all(&topic);
    // Whoever had the time to; it is said with a report.
    let both = format!("{first}{}", finished.stdout);
    assert!(!said(&both, "aligning").is_empty(), "{both}");
    assert_eq!(assert_exact(&ends, &topic, 1).records, 500);
    assert_verified(&ends, &topic);
    assert_eq!(watermarks(&ends.to, &topic, 0).unwrap(), start..start + 500);
}

#[test]
fn a_hole_above_the_budget_needs_a_decision_and_nothing_is_written() {
    let ends = Ends::shared();
    let topic = unique("exact-budget");
    ends.create(&topic, 2, &[]);
    start_late(&ends.from, &topic, 3_000_000);
    Seed::to(&ends.from).write(&topic, records("behind", 100, 2)).unwrap();
    let finished = ends.mirror_to_the_end(&topic, &["--alignment-budget", "1MiB"]);
    assert_eq!(finished.exit, Exit::Code(5), "{}", finished.stdout);
    let stopped = said(&finished.stdout, "stopped").remove(0)["partition"].clone();
    assert_eq!(
        (&stopped["verdict"], &stopped["partition"]),
        (&"needs_decision".into(), &0.into()),
        "{stopped}"
    );
    let reason = stopped["reason"].as_str().unwrap();
    assert!(reason.contains("3000000 offsets by fillers, about 3 MB"), "{reason}");
    assert!(stopped["remedy"].as_str().unwrap().contains("--alignment-budget"), "{stopped}");
    assert_eq!((ends.held(&topic, 0), ends.held(&topic, 1)), (0, 50), "the other partition went on");
    ends.mirror_all(&topic);
    assert_exact(&ends, &topic, 2);
}

#[test]
fn a_compacted_topic_with_a_late_start() {
    let ends = Ends::shared();
    let topic = unique("exact-late-compacted");
    ends.create(&topic, 1, &[("cleanup.policy", "compact,delete")]);
    start_late(&ends.from, &topic, 1_200_000);
    let keyed = (0..300).map(|n| Record::new(format!("value {n}")).key((n % 40).to_string()));
    Seed::to(&ends.from).batch_records(50).write(&topic, keyed).unwrap();
    ends.mirror_all(&topic);
    assert_exact(&ends, &topic, 1);
    assert_eq!(watermarks(&ends.to, &topic, 0).unwrap(), 1_200_000..1_200_300);
}

#[test]
fn records_that_expired_before_they_were_copied_are_lost_with_their_range() {
    let ends = Ends::shared();
    let topic = unique("exact-lost");
    ends.create(&topic, 2, &[]);
    Seed::to(&ends.from).write(&topic, records("copied", 200, 2)).unwrap();
    ends.mirror_all(&topic);
    // The mirror is down: records come and go.
    Seed::to(&ends.from).write(&topic, records("lost and behind", 20_000, 2)).unwrap();
    Admin::of(&ends.from).unwrap().delete_records(&topic, 0, 9_000).unwrap();
    let finished = ends.mirror_to_the_end(&topic, &[]);
    assert_eq!(finished.exit, Exit::Code(5), "{}", finished.stdout);
    let lost = said(&finished.stdout, "lost");
    assert_eq!(lost.len(), 1, "{}", finished.stdout);
    let range = (&lost[0]["partition"], &lost[0]["from_offset"], &lost[0]["to_offset"]);
    assert_eq!(range, (&0.into(), &100.into(), &9_000.into()));
    assert_eq!(said(&finished.stdout, "end")[0]["lost_records"], 8_900);
    assert_eq!((ends.held(&topic, 0), ends.held(&topic, 1)), (10_100, 10_100));
    // What is left is at its offsets, and what the mirror had it keeps.
    let from = |bootstrap: &str, range| {
        let isolation = lockstep_testkit::client::Isolation::ReadUncommitted;
        lockstep_testkit::client::read_all(bootstrap, &topic, 0, range, isolation).unwrap()
    };
    assert_eq!(from(&ends.from, 9_000..10_100), from(&ends.to, 100..10_100));
    assert_eq!(from(&ends.to, 0..100).len(), 100);
    // Once said; a later run has nothing to lose.
    ends.mirror_all(&topic);
}
