//! What must not happen around a promotion: a zombie that writes on, a mirror that starts the wrong way, a tail that is
//! taken for agreed, a promotion of a standby that lacks something.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use lockstep_agent::driver::{DriverError, MirrorDriver};
use lockstep_agent::link::prepare::{StartError, prepare};
use lockstep_core::mirror::partition::Phase;
use lockstep_core::mirror::verdict::Verdict;
use lockstep_core::spec::rename::Rename;
use lockstep_core::spec::select::Patterns;
use lockstep_kafka::admin::{describe_transactions, incremental_alter_configs};
use lockstep_kafka::{ErrorCode, Tcp};
use lockstep_testkit::client::{Admin, Record, Seed, watermarks};
use lockstep_testkit::{pair, unique, wait_until_async};

use crate::facts::batches::Batch;
use crate::facts::log::{Log, connect, stranger};

use super::{PATIENCE, SETTLE, caught_up, drain, driver, link, mirror, plain};

/// M26: a mirror of the old direction that nobody stopped is refused by the broker, and one that starts anew by the
/// passport. What the old primary has taken meanwhile is a tail: the way back is refused, and says where.
#[tokio::test]
async fn a_zombie_of_the_old_direction_is_refused() {
    let (from, to) = (pair().source.bootstrap(), pair().destination.bootstrap());
    let topic = unique("zombie");
    Admin::of(&from).unwrap().create(&topic, 1, &[]).unwrap();
    Seed::to(&from).write(&topic, (0..100).map(|n| Record::new(format!("record {n}")))).unwrap();
    let way = link(&topic, plain(&from), plain(&to)).await;
    let (zombie, stopped) = (mirror(&way).await, mirror(&way).await);
    caught_up(&zombie).await;
    caught_up(&stopped).await;
    let driver = driver(&way);
    let settled = driver.settle(SETTLE).await.unwrap();
    drain(&driver, &settled, stopped).await;
    driver.promote(&settled).await.unwrap();
    assert!(matches!(driver.reverse().await, Err(DriverError::WrongRole { .. })), "not before it is open");
    driver.open().await.unwrap();

    // Somebody opens the old primary by hand, and it takes a record.
    let cluster = lockstep_kafka::Cluster::connect(Arc::new(Tcp::default()), plain(&from)).await.unwrap();
    incremental_alter_configs(&cluster, &topic, &[("max.message.bytes", None)]).await.unwrap();
    wait_until_async("the old primary to take a record", PATIENCE, async || {
        Seed::to(&from).write(&topic, [Record::new("a tail")]).ok()
    })
    .await;
    let report = zombie.report.clone();
    let verdict = wait_until_async("the zombie to be fenced", PATIENCE, async || {
        match &report.borrow().partitions[0].phase {
            Phase::Stopped(verdict) => Some(verdict.clone()),
            _ => None,
        }
    })
    .await;
    assert!(matches!(verdict, Verdict::Fenced { .. }), "{verdict}");
    assert_eq!(watermarks(&to, &topic, 0).unwrap().end, 101, "100 records and the promotion's marker");
    zombie.stop().await;

    let again = prepare(way.ends, way.settings).await.err().expect("it is a primary now");
    assert!(matches!(again, StartError::WrongWay(_)), "{again}");
    let tail = driver.reverse().await.expect_err("there is a tail");
    assert!(matches!(tail, DriverError::Tail { cut: 100, end: 101, .. }), "{tail}");
}

/// M24, M26: a standby that does not hold everything is not promoted, and nothing has changed.
#[tokio::test]
async fn a_standby_that_lacks_something_is_not_promoted() {
    let (from, to) = (pair().source.bootstrap(), pair().destination.bootstrap());
    let topic = unique("lacking");
    Admin::of(&from).unwrap().create(&topic, 1, &[]).unwrap();
    Seed::to(&from).write(&topic, [Record::new("copied")]).unwrap();
    let way = link(&topic, plain(&from), plain(&to)).await;
    let running = mirror(&way).await;
    caught_up(&running).await;
    running.stop().await;
    Seed::to(&from).write(&topic, [Record::new("not copied")]).unwrap();
    let driver = driver(&way);
    assert_eq!(driver.exposure().await.unwrap().records, 1);
    let settled = driver.settle(SETTLE).await.unwrap();
    let refused = driver.promote(&settled).await.unwrap_err();
    assert!(matches!(refused, DriverError::NotDrained { end: 2, held: 1, .. }), "{refused}");
    assert_eq!(driver.state().await.unwrap().standby.role(), None);
    driver.unfreeze().await.unwrap();
    let running = mirror(&way).await;
    caught_up(&running).await;
    running.stop().await;
    assert_eq!(driver.exposure().await.unwrap().records, 0);
}

/// M27: a former primary is adopted because the passports say so, and only then: under another link's name its records
/// are strangers'.
#[tokio::test]
async fn records_of_strangers_are_still_refused() {
    let (from, to) = (pair().source.bootstrap(), pair().destination.bootstrap());
    let topic = unique("strangers");
    Admin::of(&from).unwrap().create(&topic, 1, &[]).unwrap();
    Seed::to(&from).write(&topic, [Record::new("a client's")]).unwrap();
    let way = link(&topic, plain(&from), plain(&to)).await;
    let running = mirror(&way).await;
    caught_up(&running).await;
    running.stop().await;
    let back = super::Ends { source: way.ends.dest.clone(), dest: way.ends.source.clone() };
    let refused = prepare(back, way.settings).await.err().expect("nobody was promoted");
    assert!(matches!(refused, StartError::Refused { .. }), "{refused}");
}

/// M2, M26: the standby's cluster has forgotten the link's transactional id, so that there is no epoch to compare and
/// swap. The markers alone refuse what the old direction wrote as, and the way forward has a producer of its own.
#[tokio::test]
async fn a_forgotten_identity_is_refused_by_markers_alone() {
    let (from, to) = (pair().source.bootstrap(), pair().destination.bootstrap());
    let standby = Log::create(&to, "forgotten").await;
    let topic = standby.tp.topic.to_string();
    Admin::of(&from).unwrap().create(&topic, 1, &[]).unwrap();
    let primary = Log { cluster: connect(&from).await, tp: standby.tp.clone() };
    // What a mirror left behind whose id nobody knows any more.
    let (forgotten, batch) = (stranger(3), Batch::of_nobody(5));
    let copy = Batch { producer: forgotten, sequence: 0, ..batch.clone() };
    wait_until_async("the primary's topic", PATIENCE, async || primary.append(&batch).await.ok()).await;
    assert_eq!(standby.append(&copy).await, Ok(0));

    let way = link(&topic, plain(&from), plain(&to)).await;
    let driver = driver(&way);
    let settled = driver.settle(SETTLE).await.unwrap();
    let promoted = driver.promote(&settled).await.unwrap();
    assert_eq!(promoted.refused, forgotten);
    let late = Batch { producer: forgotten, sequence: 5, ..batch };
    assert_eq!(standby.append(&late).await, Err(ErrorCode::INVALID_PRODUCER_EPOCH));
    let state = describe_transactions(&standby.cluster, &format!("lockstep.{topic}")).await.unwrap().unwrap();
    assert_ne!(state.producer.id, forgotten.id);

    // And the way back, and forth again: nothing but markers to copy.
    driver.open().await.unwrap();
    let back = driver.reverse().await.unwrap().reverse;
    let running = mirror(&back).await;
    assert_eq!(caught_up(&running).await.copied_records, 0);
    let returning = super::driver(&back);
    let settled = returning.settle(SETTLE).await.unwrap();
    drain(&returning, &settled, running).await;
    returning.promote(&settled).await.unwrap();
    returning.open().await.unwrap();
    let forth = returning.reverse().await.unwrap().reverse;
    Seed::to(&from).write(&topic, [Record::new("more")]).unwrap();
    let running = mirror(&forth).await;
    wait_until_async("the record", PATIENCE, async || {
        (watermarks(&to, &topic, 0).unwrap().end == 8).then_some(())
    })
    .await;
    running.stop().await;
}

/// M27: a promotion that was interrupted at any of its writes is finished by the next call, without a second marker.
#[tokio::test]
async fn an_interrupted_promotion_is_finished_by_the_next_call() {
    let (from, to) = (pair().source.bootstrap(), pair().destination.bootstrap());
    let topic = unique("interrupted");
    Admin::of(&from).unwrap().create(&topic, 4, &[]).unwrap();
    Seed::to(&from)
        .write(&topic, (0..40).map(|n| Record::new(format!("record {n}")).partition(n % 4)))
        .unwrap();
    let way = link(&topic, plain(&from), plain(&to)).await;
    let running = mirror(&way).await;
    caught_up(&running).await;
    let settled = driver(&way).settle(SETTLE).await.unwrap();
    drain(&driver(&way), &settled, running).await;
    for milliseconds in [5, 20, 40, 60, 80, 110, 150] {
        let driver = driver(&way);
        let cut_off = tokio::time::timeout(Duration::from_millis(milliseconds), driver.promote(&settled));
        let _ = cut_off.await;
    }
    let promoted = driver(&way).promote(&settled).await.unwrap();
    assert_eq!((promoted.generation, &promoted.cuts), (1, &settled.ends));
    for partition in 0..4 {
        let end = settled.ends.iter().find(|(tp, _)| tp.partition == partition).unwrap().1;
        assert_eq!(watermarks(&to, &topic, partition).unwrap().end, end + 1, "one marker");
    }
}

/// Story: a renamed link was fenced and promoted, and only then was there no way back.
#[tokio::test]
async fn a_link_that_renames_is_refused_before_anything_is_fenced() {
    let (from, to) = (pair().source.bootstrap(), pair().destination.bootstrap());
    let topic = unique("renamed");
    Admin::of(&from).unwrap().create(&topic, 1, &[]).unwrap();
    Seed::to(&from).write(&topic, [Record::new("before")]).unwrap();
    let mut way = link(&topic, plain(&from), plain(&to)).await;
    way.settings.rename = Rename::prefix("east.").unwrap();
    let running = mirror(&way).await;
    caught_up(&running).await;
    let driver = driver(&way);
    for refused in [driver.freeze().await.err(), driver.settle(SETTLE).await.err()] {
        let refused = refused.expect("there is no way back");
        assert!(
            matches!(refused, DriverError::Renamed) && refused.to_string().contains("remedy"),
            "{refused}"
        );
    }
    let state = driver.state().await.unwrap();
    assert_eq!((state.primary.changes.settings.len(), state.standby.role()), (0, None));
    Seed::to(&from).write(&topic, [Record::new("nobody is fenced")]).unwrap();
    wait_until_async("the record", PATIENCE, async || {
        (watermarks(&to, &format!("east.{topic}"), 0).unwrap().end == 2).then_some(())
    })
    .await;
    running.stop().await;
}

/// Story: the driver went by the patterns alone, and fenced and promoted copies that the link itself leaves alone.
#[tokio::test]
async fn a_copy_of_the_standby_s_own_topic_is_neither_fenced_nor_counted() {
    let (from, to) = (pair().source.bootstrap(), pair().destination.bootstrap());
    let own = unique("copies");
    let theirs = format!("{own}-theirs");
    Admin::of(&from).unwrap().create(&own, 2, &[]).unwrap();
    Admin::of(&to).unwrap().create(&theirs, 1, &[]).unwrap();
    Seed::to(&to).write(&theirs, [Record::new("before")]).unwrap();
    // The other link: west's own topic, copied here as `west.…`.
    let mut other = link(&theirs, plain(&to), plain(&from)).await;
    other.settings.rename = Rename::prefix("west.").unwrap();
    let copying = mirror(&other).await;
    caught_up(&copying).await;
    let copy = format!("west.{theirs}");
    assert_eq!(watermarks(&from, &copy, 0).unwrap().end, 1);

    let mut way = link(&own, plain(&from), plain(&to)).await;
    let pattern = format!("(west\\.)?{own}.*");
    way.settings.selection.include = Patterns::new([pattern.as_str()]).unwrap();
    let driver = driver(&way);
    assert_eq!(driver.exposure().await.unwrap().partitions, 2);
    let frozen = driver.freeze().await.unwrap();
    let fenced: BTreeSet<_> = frozen.refusing.keys().map(|tp| tp.topic.to_string()).collect();
    assert_eq!(fenced, BTreeSet::from([own.clone()]));
    let settled = driver.settle(SETTLE).await.unwrap();
    assert!(settled.ends.keys().all(|tp| *tp.topic == *own), "{settled:?}");
    Seed::to(&to).write(&theirs, [Record::new("goes on")]).unwrap();
    wait_until_async("the copy to go on", PATIENCE, async || {
        (watermarks(&from, &copy, 0).unwrap().end == 2).then_some(())
    })
    .await;
    copying.stop().await;
    driver.unfreeze().await.unwrap();
}
