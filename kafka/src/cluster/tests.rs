//! A cluster against scripted brokers: bootstrapping, shared attempts, pauses, foreign clusters.

use std::sync::atomic::AtomicUsize;

use kafka_protocol::messages::metadata_response::MetadataResponseBroker;
use kafka_protocol::messages::{MetadataRequest, MetadataResponse};
use kafka_protocol::protocol::{Decodable, StrBytes};

use super::*;
use crate::dial::Tcp;
use crate::fake::{Fake, Peer, settings};
use crate::versions::Api;

/// Node 1 at `address`.
fn answer(cluster_id: &'static str, address: &HostPort) -> MetadataResponse {
    let broker = MetadataResponseBroker::default()
        .with_node_id(1.into())
        .with_host(StrBytes::from_string(address.host.to_string()))
        .with_port(i32::from(address.port));
    MetadataResponse::default()
        .with_cluster_id(Some(StrBytes::from_static_str(cluster_id)))
        .with_controller_id(1.into())
        .with_brokers(vec![broker])
}

/// A broker that answers metadata requests for itself; counts them, and takes `delay` for each.
async fn broker(cluster_id: &'static str, delay: Duration) -> (Fake, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&count);
    let fake = Fake::start(move |mut peer, _| {
        let counter = Arc::clone(&counter);
        async move {
            let local = peer.stream.local_addr().unwrap();
            let address = HostPort::new(local.ip().to_string(), local.port());
            peer.greet().await;
            while let Some(asked) = peer.read().await {
                assert_eq!(asked.key, Api::Metadata.key());
                let request = MetadataRequest::decode(&mut asked.body.clone(), asked.version).unwrap();
                assert!(request.topics.is_none() && !request.allow_auto_topic_creation);
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(delay).await;
                peer.answer(&asked, &answer(cluster_id, &address)).await;
            }
        }
    })
    .await;
    (fake, count)
}

async fn connect(settings: Settings) -> Result<Cluster, Error> {
    Cluster::connect(Arc::new(Tcp::default()), settings).await
}

#[tokio::test]
async fn every_address_tried_is_named_with_its_cause() {
    let silent = Fake::start(|mut peer: Peer, _| async move { while peer.read().await.is_some() {} }).await;
    let error = connect(settings(&format!("127.0.0.1:1,{}", silent.address))).await.unwrap_err();
    let Error::NoBroker { tried } = &error else { panic!("{error}") };
    assert_eq!(tried.len(), 2);
    let text = error.to_string();
    assert!(text.contains("127.0.0.1:1: connection refused") && text.contains("did not answer"), "{text}");
}

#[tokio::test]
async fn a_dead_bootstrap_address_does_not_matter_beside_a_live_one() {
    let (fake, _) = broker("c", Duration::ZERO).await;
    let cluster = connect(settings(&format!("127.0.0.1:1,{}", fake.address))).await.unwrap();
    assert_eq!(cluster.cluster_id(), "c");
    assert_eq!(cluster.metadata().brokers[&NodeId(1)].address(), fake.address);
}

#[tokio::test]
async fn concurrent_refreshes_share_a_request() {
    let (fake, count) = broker("c", Duration::from_millis(50)).await;
    let cluster = connect(fake.settings()).await.unwrap();
    let before = count.load(Ordering::SeqCst);
    let all = futures_util::future::join_all((0..20).map(|_| cluster.refresh())).await;
    assert!(all.iter().all(Result::is_ok));
    // The first asks; the others arrive while it is under way and share the next one.
    assert_eq!(count.load(Ordering::SeqCst) - before, 2);
}

#[tokio::test]
async fn metadata_is_asked_again_when_it_is_old() {
    let (fake, count) = broker("c", Duration::ZERO).await;
    let mut settings = fake.settings();
    settings.metadata_max_age = Duration::from_millis(50);
    let cluster = connect(settings).await.unwrap();
    let before = count.load(Ordering::SeqCst);
    cluster.fresh_metadata().await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), before);
    tokio::time::sleep(Duration::from_millis(80)).await;
    cluster.fresh_metadata().await.unwrap();
    assert_eq!(count.load(Ordering::SeqCst), before + 1);
}

#[tokio::test]
async fn the_control_connection_is_shared_and_a_dedicated_one_is_not() {
    let (fake, _) = broker("c", Duration::ZERO).await;
    let cluster = connect(fake.settings()).await.unwrap();
    let before = fake.dials.load(Ordering::SeqCst);
    let all = futures_util::future::join_all((0..10).map(|_| cluster.connection(NodeId(1)))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(fake.dials.load(Ordering::SeqCst) - before, 1);
    let own = cluster.dedicated(NodeId(1)).await.unwrap();
    assert!(own.is_open());
    assert_eq!(fake.dials.load(Ordering::SeqCst) - before, 2);
    assert!(cluster.any().await.is_ok() && cluster.controller().await.is_ok());
    assert_eq!(fake.dials.load(Ordering::SeqCst) - before, 2);
}

#[tokio::test]
async fn a_lost_connection_is_dialled_anew() {
    let (fake, _) = broker("c", Duration::ZERO).await;
    let cluster = connect(fake.settings()).await.unwrap();
    let first = cluster.connection(NodeId(1)).await.unwrap();
    first.close();
    let second = cluster.connection(NodeId(1)).await.unwrap();
    assert!(!first.is_open() && second.is_open());
}

#[tokio::test]
async fn callers_share_a_failed_attempt_and_the_next_one_waits_its_turn() {
    let (fake, _) = broker("c", Duration::ZERO).await;
    let refuse = Fake::start(|peer, _| async move { drop(peer) }).await;
    let cluster = connect(fake.settings()).await.unwrap();
    let mut metadata = (*cluster.metadata()).clone();
    let elsewhere = Broker { host: Arc::clone(&refuse.address.host), port: refuse.address.port, rack: None };
    metadata.brokers.insert(NodeId(2), elsewhere);
    cluster.learn(Arc::new(metadata));
    let all = futures_util::future::join_all((0..10).map(|_| cluster.connection(NodeId(2)))).await;
    assert!(all.iter().all(Result::is_err));
    // One attempt: v3, and v0 on a second dial because the first was hung up on.
    assert_eq!(refuse.dials.load(Ordering::SeqCst), 2);
    let start = Instant::now();
    for _ in 0..3 {
        cluster.connection(NodeId(2)).await.unwrap_err();
    }
    // Pauses of at least 5, 10 and 20 ms (half of 10, 20, 40).
    assert!(start.elapsed() >= Duration::from_millis(35), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_broker_nobody_knows_is_an_error_after_asking_anew() {
    let (fake, count) = broker("c", Duration::ZERO).await;
    let cluster = connect(fake.settings()).await.unwrap();
    let before = count.load(Ordering::SeqCst);
    let error = cluster.connection(NodeId(9)).await.unwrap_err();
    assert!(matches!(error, Error::UnknownBroker { node: NodeId(9) }), "{error}");
    assert_eq!(count.load(Ordering::SeqCst), before + 1);
}

#[tokio::test]
async fn another_cluster_under_the_same_address_is_refused() {
    let (fake, _) = broker("c", Duration::ZERO).await;
    let (other, _) = broker("d", Duration::ZERO).await;
    let cluster = connect(fake.settings()).await.unwrap();
    let mut metadata = (*cluster.metadata()).clone();
    let moved = Broker { host: Arc::clone(&other.address.host), port: other.address.port, rack: None };
    metadata.brokers.insert(NodeId(1), moved);
    cluster.learn(Arc::new(metadata));
    // The known broker is now another cluster's; the bootstrap address still leads home.
    let metadata = cluster.refresh().await.unwrap();
    assert_eq!(metadata.brokers[&NodeId(1)].address(), fake.address);
}

#[test]
fn pauses_double_with_jitter_up_to_the_maximum() {
    let settings = settings("a:1");
    for (failures, least, most) in
        [(1, 5, 10), (2, 10, 20), (3, 20, 40), (4, 20, 40), (4_000_000_000, 20, 40)]
    {
        for _ in 0..50 {
            let pause = pause(&settings, failures).as_micros();
            assert!((least * 1_000..=most * 1_000).contains(&pause), "{failures}: {pause} µs");
        }
    }
}
