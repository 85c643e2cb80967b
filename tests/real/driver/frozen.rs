//! A fence on a primary whose clients go on: it stops everybody, lets transactions end, and is lifted without a trace.

use std::time::Duration;

use lockstep_agent::driver::{AclReport, Closure, MirrorDriver};
use lockstep_core::dr::fence::TopicStage;
use lockstep_kafka::admin::{ConfigSource, ConfigTarget, describe_configs, incremental_alter_configs};
use lockstep_kafka::{Cluster, Tcp};
use lockstep_testkit::client::{Admin, Codec, Record, Seed, Transactor};
use lockstep_testkit::{pair, unique, wait_until_true};

use super::clients::Clients;
use super::{PATIENCE, SETTLE, driver, link, plain};

async fn own_limit(cluster: &Cluster, topic: &str) -> Option<String> {
    let described = describe_configs(cluster, &[ConfigTarget::Topic(topic.to_owned())]).await.unwrap();
    let entries = described.into_iter().next().unwrap().1.unwrap();
    let own = entries
        .into_iter()
        .find(|entry| entry.name == "max.message.bytes" && entry.source == ConfigSource::DynamicTopic);
    own.and_then(|entry| entry.value)
}

/// M24, M25: with transactions open and producers alive that never stop trying. One transaction is committed by its owner
/// under the fence, one is left hanging and aborted; those that keep beginning new ones are not wedged.
#[tokio::test]
async fn a_fence_stops_everybody_and_wedges_nobody() {
    let (from, to) = (pair().source.bootstrap(), pair().destination.bootstrap());
    let topic = unique("frozen");
    Admin::of(&from).unwrap().create(&topic, 2, &[]).unwrap();
    let link = link(&topic, plain(&from), plain(&to)).await;
    let driver = driver(&link);
    let clients = Clients::start(&from, &topic, 2, 2, &[]);
    wait_until_true("the clients to have begun", PATIENCE, || clients.acknowledged().len() == 2);
    let (mine, lost) = (unique("mine"), unique("lost"));
    let owner = Transactor::open(&from, &mine, Codec::None).unwrap();
    let hanging = Transactor::open(&from, &lost, Codec::None).unwrap();
    for open in [&owner, &hanging] {
        open.begin().unwrap();
        open.write(&topic, [Record::new("begun before the fence")]).unwrap();
    }

    let frozen = driver.freeze().await.unwrap();
    assert_eq!(frozen.acls, AclReport::NoAuthorizer);
    assert!(frozen.refusing.len() == 2 && frozen.refusing.values().all(|s| *s == TopicStage::MarkersOnly));
    let committing = std::thread::spawn(move || owner.commit());
    let settled = driver.settle(SETTLE).await.unwrap();
    committing.join().unwrap().expect("a transaction that is open may end");
    assert!(settled.aborted.contains(&lost), "{:?}", settled.aborted);
    assert!(
        matches!(settled.closure, Closure::MarkersOnly { transactional_producers } if transactional_producers >= 2),
        "somebody may begin another one: {:?}",
        settled.closure
    );

    tokio::time::sleep(Duration::from_secs(2)).await;
    let again = driver.settle(SETTLE).await.unwrap();
    for (partition, highest) in clients.acknowledged() {
        let (tp, end) = settled.ends.iter().find(|(tp, _)| tp.partition == partition).unwrap();
        assert!(highest < *end, "{tp}: acknowledged at {highest}, fenced at {end}");
        // Only the markers of transactions whose data were refused.
        assert!(again.ends[tp] >= *end);
    }

    driver.unfreeze().await.unwrap();
    let fresh = Cluster::connect(std::sync::Arc::new(Tcp::default()), plain(&from)).await.unwrap();
    assert_eq!(own_limit(&fresh, &topic).await, None, "it was unset");
    // Nobody is wedged: every transactional id commits again.
    let before: Vec<_> = clients.acknowledged().into_values().collect();
    wait_until_true("the clients to go on", PATIENCE, || {
        clients.acknowledged().into_values().zip(&before).all(|(now, before)| now > *before + 5)
    });
    let committed = clients.stop();
    assert!(committed.iter().all(|count| *count > 0), "{committed:?}");
    for id in [format!("{topic}-0"), format!("{topic}-1"), mine, lost] {
        let client = Transactor::open(&from, &id, Codec::None).unwrap();
        client.begin().unwrap();
        client.write(&topic, [Record::new("after the fence")]).unwrap();
        client.commit().unwrap();
    }
}

/// M25, M27: a topic that never saw a transaction is closed fully, and a value of its own comes back.
#[tokio::test]
async fn a_value_of_its_own_comes_back() {
    let (from, to) = (pair().source.bootstrap(), pair().destination.bootstrap());
    let topic = unique("value");
    Admin::of(&from).unwrap().create(&topic, 1, &[("max.message.bytes", "2000000")]).unwrap();
    Seed::to(&from).write(&topic, [Record::new("one")]).unwrap();
    let driver = driver(&link(&topic, plain(&from), plain(&to)).await);
    let settled = driver.settle(SETTLE).await.unwrap();
    assert_eq!((settled.closure, settled.aborted), (Closure::Full, vec![]));
    assert_eq!(settled.ends.into_values().collect::<Vec<_>>(), [1]);
    let tiny = Seed::to(&from).patience(Duration::from_secs(3)).write(&topic, [Record::new("x")]);
    assert!(tiny.is_err(), "not even the smallest");
    // Somebody else's tool puts the value back: the next look fences anew, and the previous value is not forgotten.
    let cluster = Cluster::connect(std::sync::Arc::new(Tcp::default()), plain(&from)).await.unwrap();
    incremental_alter_configs(&cluster, &topic, &[("max.message.bytes", Some("1500000"))]).await.unwrap();
    driver.freeze().await.unwrap();
    assert_eq!(own_limit(&cluster, &topic).await.as_deref(), Some("78"));
    driver.unfreeze().await.unwrap();
    assert_eq!(own_limit(&cluster, &topic).await.as_deref(), Some("2000000"));
    driver.unfreeze().await.unwrap();
    Seed::to(&from).write(&topic, [Record::new("two")]).unwrap();
}
