//! Topics that are called otherwise on the destination: every record at its offset all the same, whatever the topic holds
//! and whatever happens to the mirror. What cannot be meant is refused before anything is changed.

use lockstep_agent::link::origin::circle;
use lockstep_kafka::{Cluster, Settings, Tcp};
use lockstep_testkit::client::{
    Admin, Codec, Compared, Isolation, Record, Seed, Transactor, compare_named, watermarks,
};
use lockstep_testkit::lockstep::Finished;
use lockstep_testkit::{Exit, Lockstep, unique, wait_until_true};
use std::sync::Arc;

use super::rules::{alter_topic, topic_setting};
use super::{Ends, PATIENCE, said, stop};

const PARTITIONS: i32 = 3;

fn records(what: &str, count: i32) -> impl Iterator<Item = Record> {
    (0..count)
        .map(move |n| Record::new(format!("{what} {n}")).key((n % 40).to_string()).partition(n % PARTITIONS))
}

/// A run between these ends; `topics` is a pattern.
fn arguments<'a>(verb: &'a str, ends: &'a Ends, topics: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec![verb, "--from", &ends.from, "--to", &ends.to, "--topics", topics, "-o", "json"];
    all.extend(more);
    all
}

fn there(bootstrap: &str, topic: &str) -> usize {
    Admin::of(bootstrap).unwrap().leaders(topic).unwrap().len()
}

/// What read_committed consumers of the source see is what any consumer of the mirror sees, under its other name.
#[track_caller]
fn assert_exact(ends: &Ends, names: [&str; 2], partitions: i32) -> Compared {
    let mut all = Compared::default();
    for partition in 0..partitions {
        let sides =
            [(ends.from.as_str(), Isolation::ReadCommitted), (ends.to.as_str(), Isolation::ReadUncommitted)];
        match compare_named(sides, names, partition).unwrap() {
            Ok(equal) => all.records += equal.records,
            Err(difference) => panic!("not identical: {difference}"),
        }
    }
    all
}

#[track_caller]
fn assert_held(ends: &Ends, [topic, copy]: [&str; 2], partitions: i32) {
    for partition in 0..partitions {
        wait_until_true(&format!("{copy}:{partition} to hold everything"), PATIENCE, || {
            watermarks(&ends.to, copy, partition)
                .is_ok_and(|range| range.end >= ends.written(topic, partition))
        });
    }
}

#[track_caller]
fn refused(ends: &Ends, topics: &str, more: &[&str]) -> String {
    let mut all = vec!["--until-caught-up"];
    all.extend(more);
    let Finished { exit, stdout, stderr } =
        Lockstep::run(&arguments("mirror", ends, topics, &all), PATIENCE).unwrap();
    assert_eq!(exit, Exit::Code(1), "{stdout}{stderr}");
    assert!(stderr.contains("nothing was changed") && stderr.contains("remedy"), "{stderr}");
    stderr
}

/// Transactions, a compacted topic, growth, SIGKILL in the middle; then the comparison under both names.
#[test]
fn a_prefix_changes_names_and_nothing_else() {
    let ends = Ends::shared();
    let family = unique("renamed");
    let (plain, compacted) = (format!("{family}.plain"), format!("{family}.compacted"));
    let (copy, small) = (format!("east.{plain}"), format!("east.{compacted}"));
    ends.create(&plain, PARTITIONS - 1, &[]);
    ends.create(&compacted, PARTITIONS, &[("cleanup.policy", "compact")]);
    let transactor = Transactor::open(&ends.from, &unique("tx"), Codec::Lz4).unwrap();
    let pattern = format!("{family}\\..*");
    let more = ["--rename", "east.", "--link", &family, "--interval", "300ms"];
    let mut mirror = Lockstep::spawn(&arguments("mirror", &ends, &pattern, &more)).unwrap();
    Admin::of(&ends.from).unwrap().grow(&plain, PARTITIONS).unwrap();
    for round in 0..8 {
        transactor.begin().unwrap();
        transactor.write(&plain, records("in a transaction", 60)).unwrap();
        transactor.write(&compacted, records("in a transaction", 60)).unwrap();
        if round % 2 == 0 {
            transactor.commit().unwrap();
        } else {
            transactor.abort().unwrap();
        }
        Seed::to(&ends.from).write(&compacted, records("plain", 30)).unwrap();
        if round % 3 == 2 {
            mirror.kill().unwrap();
            mirror = Lockstep::spawn(&arguments("mirror", &ends, &pattern, &more)).unwrap();
        }
    }
    assert_held(&ends, [&plain, &copy], PARTITIONS);
    assert_held(&ends, [&compacted, &small], PARTITIONS);
    wait_until_true("the copy to be compacted as well (M21)", PATIENCE, || {
        let policy = topic_setting(&ends.to, &small, "cleanup.policy");
        policy.is_some_and(|policy| policy.contains("compact"))
    });
    let finished = stop(mirror, 0);
    let plan = &said(&finished.stdout, "plan")[0];
    assert_eq!(plan["topics"][0]["dest_topic"], small.as_str(), "{plan}");
    assert_eq!(assert_exact(&ends, [&plain, &copy], PARTITIONS).records, 4 * 60);
    let verified =
        Lockstep::run(&arguments("verify", &ends, &pattern, &["--rename", "east."]), PATIENCE).unwrap();
    assert_eq!(verified.exit, Exit::Code(0), "{}{}", verified.stdout, verified.stderr);
    assert_eq!((there(&ends.to, &plain), there(&ends.to, &compacted)), (0, 0), "nothing under the old names");
}

#[test]
fn a_pattern_renames_what_it_matches_and_deletions_follow_under_the_new_name() {
    let ends = Ends::shared();
    let family = unique("patterned");
    let (first, other) = (format!("{family}-orders"), format!("{family}-other"));
    let copy = format!("east-orders.{family}");
    for topic in [&first, &other] {
        ends.create(topic, PARTITIONS, &[]);
        Seed::to(&ends.from).write(topic, records("plain", 90)).unwrap();
    }
    let (pattern, rule) = (format!("{family}-.*"), format!("({family})-orders=>east-orders.$1"));
    let more = ["--rename", &rule, "--link", &family, "--propagate", "all", "--interval", "300ms"];
    let mirror = Lockstep::spawn(&arguments("mirror", &ends, &pattern, &more)).unwrap();
    assert_held(&ends, [&first, &copy], PARTITIONS);
    assert_held(&ends, [&other, &other], PARTITIONS);
    assert_eq!(assert_exact(&ends, [&first, &copy], PARTITIONS).records, 90);
    // The source's log start, then the topic itself (M20).
    let admin = Admin::of(&ends.from).unwrap();
    admin.delete_records(&first, 0, 7).unwrap();
    wait_until_true("the log start to follow", PATIENCE, || {
        watermarks(&ends.to, &copy, 0).is_ok_and(|range| range.start == 7)
    });
    admin.delete(&first).unwrap();
    wait_until_true("the copy to go", PATIENCE, || there(&ends.to, &copy) == 0);
    stop(mirror, 0);
    assert_eq!(there(&ends.to, &other), PARTITIONS as usize);
}

#[test]
fn names_that_cannot_be_are_refused_before_anything_is_changed() {
    let ends = Ends::shared();
    let family = unique("collide");
    let (a, b) = (format!("{family}-a"), format!("{family}-b"));
    ends.create(&a, 1, &[]);
    ends.create(&b, 1, &[]);
    let pattern = format!("{family}-.*");
    let into_one = format!("{family}-.*=>{family}");
    let text = refused(&ends, &pattern, &["--rename", &into_one]);
    assert!(
        text.contains(&format!("{b} goes as well")) && text.contains(&format!("{a} goes as well")),
        "{text}"
    );
    let long = format!("{}.", "x".repeat(245));
    let text = refused(&ends, &pattern, &["--rename", &long]);
    assert!(text.contains("no name for a topic"), "{text}");
    let text = refused(&ends, &a, &["--rename", &format!("{a}=>__consumer_offsets")]);
    assert!(text.contains("reserved"), "{text}");
    assert_eq!((there(&ends.to, &family), there(&ends.to, &a), there(&ends.to, &b)), (0, 0, 0));
    let typed = Lockstep::run(&arguments("mirror", &ends, &a, &["--rename", "ea st."]), PATIENCE).unwrap();
    assert_eq!(typed.exit, Exit::Code(1));
    assert!(typed.stderr.contains("no topic's name has the character ' '"), "{}", typed.stderr);
}

/// `east.` one way and `west.` the other must not make `west.east.orders`, `east.west.east.orders` …
#[test]
fn a_copy_of_the_destination_s_own_topic_is_not_mirrored_back() {
    let ends = Ends::shared();
    let back = Ends { from: ends.to.clone(), to: ends.from.clone() };
    let (topic, empty) = (unique("circle.full"), unique("circle.empty"));
    ends.create(&topic, 2, &[]);
    ends.create(&empty, 1, &[]);
    Seed::to(&ends.from).write(&topic, (0..10).map(|n| Record::new("v").partition(n % 2))).unwrap();
    let both = format!("{topic}|{empty}");
    let link = unique("there");
    // One link goes by its own name, one by the source's.
    for (topics, name) in [(&topic, Some(&link)), (&empty, None)] {
        let mut more = vec!["--until-caught-up", "--rename", "east."];
        more.extend(name.iter().flat_map(|name| ["--link", name.as_str()]));
        let there = Lockstep::run(&arguments("mirror", &ends, topics, &more), PATIENCE).unwrap();
        assert_eq!(there.exit, Exit::Code(0), "{}{}", there.stdout, there.stderr);
    }
    let (copy, empty_copy) = (format!("east.{topic}"), format!("east.{empty}"));
    let text = refused(&back, &format!("east.({both})"), &["--rename", "west.", "--link", &unique("back")]);
    for copy in [&copy, &empty_copy] {
        assert!(text.contains(&format!("{copy} → west.{copy}: it is itself a copy")), "{text}");
        assert_eq!(there(&back.to, &format!("west.{copy}")), 0);
    }
    assert!(text.contains(&format!("made by link {link}")), "{text}");
    // One that has become an original goes back: here by a write of its own, elsewhere by its settings.
    let chained =
        Lockstep::run(&arguments("mirror", &back, &copy, &["--dry-run", "--rename", "west."]), PATIENCE);
    assert_eq!(chained.unwrap().exit, Exit::Code(1));
    alter_topic(&back.from, &copy, "retention.ms", "86400000");
    let again =
        Lockstep::run(&arguments("mirror", &back, &copy, &["--dry-run", "--rename", "west."]), PATIENCE);
    let again = again.unwrap();
    assert_eq!(again.exit, Exit::Code(0), "{}{}", again.stdout, again.stderr);
}

/// A → B → C is a chain and no circle: only the cluster that a copy came from is refused.
#[tokio::test]
async fn a_copy_may_go_on_to_a_third_cluster() {
    let ends = Ends::shared();
    let (topic, link) = (unique("chain"), unique("chain-link"));
    let (first, named) = (ends.clone(), topic.clone());
    let copied = tokio::task::spawn_blocking({
        let link = link.clone();
        move || {
            first.create(&named, 1, &[]);
            Seed::to(&first.from).write(&named, [Record::new("v")]).unwrap();
            let more = ["--until-caught-up", "--link", &link];
            Lockstep::run(&arguments("mirror", &first, &named, &more), PATIENCE).unwrap().exit
        }
    });
    assert_eq!(copied.await.unwrap(), Exit::Code(0));
    let connect = async |bootstrap: &str| {
        Cluster::connect(Arc::new(Tcp::default()), Settings::new(bootstrap).unwrap()).await.unwrap()
    };
    let (origin, holder) = (connect(&ends.from).await, connect(&ends.to).await);
    assert_eq!(circle(&holder, &origin.cluster_id(), &topic).await.unwrap(), Some(link));
    assert_eq!(circle(&holder, "a-third-cluster", &topic).await.unwrap(), None);
    assert_eq!(circle(&origin, &holder.cluster_id(), &topic).await.unwrap(), None, "the original is no copy");
}
