//! Shapes between the themes: a source that deletes records while the mirror cannot look, a partition that holds
//! nothing but its start, holes too wide or records too large for repeats, transactions over a change of leader.

use std::thread;
use std::time::Duration;

use lockstep_testkit::client::{Admin, Codec, Isolation, Record, Seed, Transactor, read_all, watermarks};
use lockstep_testkit::{Exit, Kafka, Signal, pair, unique, wait_until_true};

use super::assert_exact;
use super::raw::size_bytes;
use super::starts::start_late;
use super::transactions::records;
use crate::mirror::shapes::now_ms;
use crate::mirror::{Ends, PATIENCE, said, stop, wait_for};

#[test]
fn records_that_expire_while_the_mirror_stands_still_are_lost_with_their_range() {
    let ends = Ends::shared();
    let topic = unique("exact-lost-live");
    ends.create(&topic, 2, &[]);
    let seeder = Seed::to(&ends.from).open().unwrap();
    seeder.write(&topic, records("copied", 200, 2)).unwrap();
    let mut mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 2);
    mirror.signal(Signal::Stop).unwrap();
    // A fetch may still wait at the broker: what is written now would be its answer, and not lost.
    thread::sleep(Duration::from_secs(3));
    seeder.write(&topic, records("lost and behind", 2_000, 2)).unwrap();
    Admin::of(&ends.from).unwrap().delete_records(&topic, 0, 900).unwrap();
    mirror.signal(Signal::Continue).unwrap();
    let lost = wait_for(&mirror, "lost", |_| true);
    let range = (&lost["partition"], &lost["from_offset"], &lost["to_offset"]);
    assert_eq!(range, (&0.into(), &100.into(), &900.into()), "{lost}");
    ends.wait_until_equal(&topic, 2);
    // Told to leave it does, and says by its exit code that something is missing.
    let finished = stop(mirror, 5);
    assert_eq!(said(&finished.stdout, "end")[0]["lost_records"], 800, "{}", finished.stdout);
    let of =
        |bootstrap: &str| read_all(bootstrap, &topic, 0, 900..1_100, Isolation::ReadUncommitted).unwrap();
    assert_eq!(of(&ends.from), of(&ends.to));
    assert_eq!(ends.held(&topic, 0), 1_100);
}

#[test]
fn a_partition_that_holds_nothing_but_its_start() {
    let ends = Ends::shared();
    let topic = unique("exact-hollow");
    ends.create(&topic, 1, &[]);
    start_late(&ends.from, &topic, 700_000);
    let mirror = ends.mirror(&topic);
    ends.wait_until_equal(&topic, 1);
    // It goes on with the first record, and with a start that moves on meanwhile.
    Seed::to(&ends.from).write(&topic, records("first", 10, 1)).unwrap();
    ends.wait_until_equal(&topic, 1);
    stop(mirror, 0);
    ends.mirror_all(&topic);
    assert_eq!(assert_exact(&ends, &topic, 1).records, 10);
    assert_eq!(watermarks(&ends.to, &topic, 0).unwrap(), 700_000..700_010);
}

#[test]
fn wide_holes_and_large_records_of_a_compacted_topic() {
    let ends = Ends::shared();
    let topic = unique("exact-wide-hole");
    let eager = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "5000"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "600000"),
    ];
    ends.create(&topic, 1, &eager);
    let start = now_ms() - 1_000_000;
    let seeder = Seed::to(&ends.from).codec(Codec::Lz4).batch_records(1_000).open().unwrap();
    let hot =
        |count: i32, at: i64| (0..count).map(move |n| Record::new(format!("hot {n}")).key("hot").at(at));
    seeder.write(&topic, [Record::new("first").key("first").at(start)]).unwrap();
    seeder.write(&topic, hot(60_000, start)).unwrap();
    // Behind the hole a record too large to be repeated; then holes behind small ones.
    seeder.write(&topic, [Record::new(vec![b'x'; 40_000]).key("large").at(start + 10)]).unwrap();
    seeder.write(&topic, hot(60_000, start + 20)).unwrap();
    seeder.write(&topic, [Record::new("small").key("small").at(start + 30)]).unwrap();
    seeder.write(&topic, hot(5_000, start + 40)).unwrap();
    let before = size_bytes(&ends.from, &topic);
    for n in 1..4 {
        seeder.write(&topic, hot(100, start + n * 10_000)).unwrap();
    }
    wait_until_true("the source to be cleaned", PATIENCE, || size_bytes(&ends.from, &topic) < before / 2);
    ends.mirror_all(&topic);
    let visible = |bootstrap: &str| {
        let range = watermarks(bootstrap, &topic, 0).unwrap();
        read_all(bootstrap, &topic, 0, range, Isolation::ReadCommitted).unwrap()
    };
    let (ours, theirs) = (visible(&ends.from), visible(&ends.to));
    assert!(ours.len() < 10_000, "the cleaner has left holes: {} records", ours.len());
    for record in &ours {
        let found = theirs.iter().find(|each| each.offset == record.offset);
        assert_eq!(found, Some(record));
    }
    for key in ["first", "hot", "large", "small"] {
        let last = |all: &[lockstep_testkit::client::Seen]| {
            all.iter().rev().find(|seen| seen.key.as_deref() == Some(key.as_bytes())).cloned()
        };
        assert_eq!(last(&ours), last(&theirs), "{key}");
    }
    assert_eq!(watermarks(&ends.from, &topic, 0).unwrap(), watermarks(&ends.to, &topic, 0).unwrap());
}

#[test]
fn m19_tombstones_cleaned_away_before_they_were_read_are_said() {
    let ends = Ends::shared();
    let topic = unique("exact-tombstones");
    let eager = [
        ("cleanup.policy", "compact"),
        ("segment.ms", "5000"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "1000"),
    ];
    ends.create(&topic, 1, &eager);
    let start = now_ms() - 1_000_000;
    let seeder = Seed::to(&ends.from).batch_records(10).open().unwrap();
    let keyed = |at: i64| (0..20).map(move |n| Record::new(format!("{at} {n}")).key(n.to_string()).at(at));
    seeder.write(&topic, keyed(start)).unwrap();
    ends.mirror_all(&topic);
    // The mirror is down; keys are deleted, and their tombstones too.
    seeder.write(&topic, (0..10).map(|n| Record::null().key(n.to_string()).at(start + 10_000))).unwrap();
    let gone = |range: std::ops::Range<i64>| {
        let left = read_all(&ends.from, &topic, 0, range, Isolation::ReadCommitted).unwrap();
        !left.iter().any(|seen| seen.value.is_none())
    };
    let mut at = start + 20_000;
    wait_until_true("the tombstones to be cleaned away", PATIENCE, || {
        seeder.write(&topic, (0..5).map(|n| Record::new("dirt").key(format!("d{n}")).at(at))).unwrap();
        at += 10_000;
        thread::sleep(Duration::from_millis(800));
        gone(watermarks(&ends.from, &topic, 0).unwrap())
    });
    let finished = ends.mirror_to_the_end(&topic, &[]);
    assert_eq!(finished.exit, Exit::Code(0), "{}", finished.stdout);
    let risk = said(&finished.stdout, "tombstones_at_risk");
    assert_eq!((risk.len(), &risk[0]["partition"]), (1, &0.into()), "{}", finished.stdout);
}

#[test]
fn transactions_over_a_change_of_leader() {
    let source = Kafka::builder("leaders").brokers(2).start().unwrap();
    let ends = Ends::of(&source, &pair().destination);
    let topic = unique("exact-leaders");
    Admin::of(&ends.from).unwrap().create_replicated(&topic, 4, 2, &[]).unwrap();
    let admin = Admin::of(&ends.from).unwrap();
    wait_until_true("both replicas in sync", PATIENCE, || {
        (0..4).all(|n| admin.in_sync(&topic, n).is_ok_and(|found| found.len() == 2))
    });
    let open = |name: &str| Transactor::open(&ends.from, &unique(name), Codec::Lz4).unwrap();
    let (aborted, committed) = (open("tx"), open("tx"));
    for each in [&aborted, &committed] {
        each.begin().unwrap();
        each.write(&topic, records("before", 400, 4)).unwrap();
    }
    let mirror = ends.mirror(&topic);
    // Node 1 is the controller: the other one goes, and its partitions move.
    source.terminate(2).unwrap();
    for each in [&aborted, &committed] {
        each.write(&topic, records("after", 400, 4)).unwrap();
    }
    aborted.abort().unwrap();
    committed.commit().unwrap();
    source.restart(2).unwrap();
    Seed::to(&ends.from).write(&topic, records("plain", 40, 4)).unwrap();
    ends.wait_until_equal(&topic, 4);
    stop(mirror, 0);
    assert_eq!(assert_exact(&ends, &topic, 4).records, 840);
}
