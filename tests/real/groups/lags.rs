//! Groups that lag by 0, 1, 100, 1,000, 5,000 and 15,000 records go on at the standby with exactly the next unread one, on
//! topics of every kind. Looked at by real consumers that join there, and by `lockstep verify --groups`.

use std::time::Duration;

use lockstep_testkit::client::{
    Codec, Isolation, Member, Protocol, Seed, Seen, Transactor, commit_offsets, read_all,
};
use lockstep_testkit::{Exit, unique, wait_until_true};

use super::{carry, numbered, shown, there, verified};
use crate::mirror::{Ends, PATIENCE};

const LAGS: [usize; 6] = [0, 1, 100, 1_000, 5_000, 15_000];
const RECORDS: usize = 20_000;

/// Groups with every lag, committed so that this many visible records are unread; then mirrored, and each goes on.
fn every_lag_resumes(ends: &Ends, topic: &str) {
    let visible =
        |bootstrap: &str, end| read_all(bootstrap, topic, 0, 0..end, Isolation::ReadCommitted).unwrap();
    let end = ends.written(topic, 0);
    let records = visible(&ends.from, end);
    assert!(records.len() > 15_000, "{} records are too few", records.len());
    let name = |lag: usize| format!("{topic}-lag-{lag}");
    for lag in LAGS {
        // Behind the last one read, as a consumer commits: a marker or a hole may follow.
        let read = records.len() - lag;
        commit_offsets(&ends.from, &name(lag), &[(topic, 0, records[read - 1].offset + 1)], "").unwrap();
    }
    carry(ends, topic, &format!("{topic}-lag-.*"));
    let checked = verified(ends, topic, &format!("{topic}-lag-.*"));
    assert_eq!(checked.exit, Exit::Code(0), "{}{}", checked.stdout, checked.stderr);
    for lag in LAGS {
        let group = name(lag);
        let unread = &records[records.len() - lag..];
        let shown = shown(ends, topic, &group);
        assert_eq!((&shown["state"], &shown["repeats_records"]), (&"in step".into(), &0.into()), "{shown}");
        goes_on(ends, topic, &group, unread);
    }
}

/// A real consumer joins on the standby: it gets the unread records and no other.
fn goes_on(ends: &Ends, topic: &str, group: &str, unread: &[Seen]) {
    let member = Member::join(&ends.to, group, topic, Protocol::Classic).unwrap();
    let mut got = member.read(unread.len()).unwrap();
    // Nothing more: one that resumed too early would have had more, too.
    if unread.is_empty() {
        got.extend(member.read_for(Duration::from_secs(2)).unwrap());
    }
    let seen: Vec<_> = got.iter().map(|got| (got.offset, got.value.clone())).collect();
    let wanted: Vec<_> = unread.iter().map(|seen| (seen.offset, seen.value.clone())).collect();
    assert!(seen == wanted, "{group}: from {:?}, not from {:?}", seen.first(), wanted.first());
}

#[test]
fn m30_every_lag_on_a_plain_topic() {
    let (ends, topic) = (Ends::shared(), unique("groups-plain"));
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).codec(Codec::Lz4).batch_records(700).write(&topic, numbered(0, RECORDS)).unwrap();
    every_lag_resumes(&ends, &topic);
}

#[test]
fn m30_every_lag_on_a_transactional_topic() {
    let (ends, topic) = (Ends::shared(), unique("groups-transactional"));
    ends.create(&topic, 1, &[]);
    let transactor = Transactor::open(&ends.from, &unique("groups-tx"), Codec::None).unwrap();
    for round in 0..50 {
        transactor.begin().unwrap();
        transactor.write(&topic, numbered(round * 500, 500)).unwrap();
        if round % 7 == 3 { transactor.abort().unwrap() } else { transactor.commit().unwrap() }
    }
    every_lag_resumes(&ends, &topic);
}

#[test]
fn m30_every_lag_on_a_compacted_topic() {
    let (ends, topic) = (Ends::shared(), unique("groups-compacted"));
    let eager = [
        ("cleanup.policy", "compact"),
        ("segment.bytes", "1048576"),
        ("min.cleanable.dirty.ratio", "0.01"),
        ("delete.retention.ms", "1000"),
    ];
    ends.create(&topic, 1, &eager);
    // Every key twice, the older in the same order: what survives has holes before and between.
    let keyed = |round: &'static str| {
        (0..RECORDS).map(move |n| {
            let record = lockstep_testkit::client::Record::new(format!("{round} {n} {}", "x".repeat(60)));
            record.key(format!("key {n}"))
        })
    };
    let seed = || Seed::to(&ends.from).batch_records(500);
    seed().write(&topic, keyed("old").step_by(3)).unwrap();
    seed().write(&topic, keyed("new")).unwrap();
    let survivors = || {
        let end = ends.written(&topic, 0);
        read_all(&ends.from, &topic, 0, 0..end, Isolation::ReadCommitted).unwrap().len()
    };
    wait_until_true("the source's cleaner", PATIENCE, || survivors() < RECORDS + 3_000);
    every_lag_resumes(&ends, &topic);
}

#[test]
fn metadata_travels_and_a_change_follows_while_the_mirror_runs() {
    let (ends, topic) = (Ends::shared(), unique("groups-live"));
    ends.create(&topic, 1, &[]);
    Seed::to(&ends.from).write(&topic, numbered(0, 100)).unwrap();
    let group = format!("{topic}-g");
    commit_offsets(&ends.from, &group, &[(&topic, 0, 10)], "the consumer's own words").unwrap();
    let mirror = ends.mirror_with(&topic, &["--groups", &group]);
    wait_until_true("the first offset", PATIENCE, || there(&ends, &group, &topic) == Some(10));
    assert_eq!(metadata(&ends.to, &group, &topic), "the consumer's own words");
    commit_offsets(&ends.from, &group, &[(&topic, 0, 60)], "later").unwrap();
    wait_until_true("the change", PATIENCE, || there(&ends, &group, &topic) == Some(60));
    assert_eq!(metadata(&ends.to, &group, &topic), "later");
    // A reset at the source is followed as well: the standby's offset is ours.
    commit_offsets(&ends.from, &group, &[(&topic, 0, 20)], "").unwrap();
    wait_until_true("the reset", PATIENCE, || there(&ends, &group, &topic) == Some(20));
    crate::mirror::stop(mirror, 0);
}

fn metadata(bootstrap: &str, group: &str, topic: &str) -> String {
    use rdkafka::consumer::Consumer;
    let consumer = lockstep_testkit::client::consumer(bootstrap, &[("group.id", group)]).unwrap();
    let mut list = rdkafka::TopicPartitionList::new();
    list.add_partition(topic, 0);
    let answer = consumer.committed_offsets(list, PATIENCE).unwrap();
    answer.elements()[0].metadata().to_owned()
}
