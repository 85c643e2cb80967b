//! What only this product's own client can do to a partition of the destination: markers in the link's name, as a
//! mirror that has died or a second writer sends them; and questions about settings and sizes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::ids::{ProducerIdentity, TopicPartition};
use lockstep_kafka::admin::{
    ConfigTarget, MarkerEntry, MarkerKind, describe_configs, describe_log_dirs, describe_producers,
    submit_write_txn_markers,
};
use lockstep_kafka::{Cluster, Settings, Tcp};

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a future to its end on a runtime of its own; its connections go with it.
pub(super) fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

pub(super) async fn connect(bootstrap: &str) -> Cluster {
    Cluster::connect(Arc::new(Tcp::default()), Settings::new(bootstrap).unwrap()).await.unwrap()
}

/// The coordinator epoch of the producer's last marker on a partition; −1 for none.
fn last_marker(bootstrap: &str, tp: &TopicPartition, producer: ProducerIdentity) -> i32 {
    run(async {
        let cluster = connect(bootstrap).await;
        let node = cluster.metadata().leader(tp).unwrap().0;
        let connection = cluster.connection(node).await.unwrap();
        let all = describe_producers(&connection, std::slice::from_ref(tp)).await.unwrap().remove(0).1;
        let known = all.unwrap().into_iter().find(|state| state.producer_id == producer.id);
        known.map_or(-1, |state| state.coordinator_epoch)
    })
}

/// Who waits for the answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    Awaited,
    /// The connection ends as soon as everything is on the wire.
    Abandoned,
}

/// Requests of markers in this producer's name, `counts` of them in each, with growing coordinator epochs that begin
/// `above` the last one.
pub(super) fn write_markers(
    bootstrap: &str,
    tp: &TopicPartition,
    producer: ProducerIdentity,
    counts: &[i32],
    above: i32,
    answers: Answers,
) {
    let mut epoch = last_marker(bootstrap, tp, producer) + above;
    run(async {
        let cluster = connect(bootstrap).await;
        let node = cluster.metadata().leader(tp).unwrap().0;
        let connection = cluster.dedicated(node).await.unwrap();
        let mut pending = Vec::new();
        for count in counts {
            let entry = |coordinator_epoch| MarkerEntry { coordinator_epoch, partitions: vec![tp.clone()] };
            let entries: Vec<_> = (epoch..epoch + count).map(entry).collect();
            epoch += count;
            let kind = MarkerKind::Abort;
            pending.push(
                submit_write_txn_markers(&connection, producer, kind, &entries, PATIENCE).await.unwrap(),
            );
        }
        match answers {
            Answers::Awaited => {
                for each in pending {
                    assert!(each.answer().await.unwrap().iter().all(|(_, outcome)| outcome.is_ok()));
                }
            }
            // What is queued leaves with the next turns of the runtime.
            Answers::Abandoned => tokio::time::sleep(Duration::from_millis(30)).await,
        }
    });
}

/// A topic's own settings.
pub(super) fn settings(bootstrap: &str, topic: &str) -> BTreeMap<String, String> {
    let all = run(async {
        describe_configs(&connect(bootstrap).await, &[ConfigTarget::Topic(topic.to_owned())]).await.unwrap()
    });
    let entries = all.into_iter().next().unwrap().1.unwrap();
    entries.into_iter().filter_map(|entry| Some((entry.name, entry.value?))).collect()
}

/// Bytes of a partition on the disks of a cluster with one broker.
pub(super) fn size_bytes(bootstrap: &str, topic: &str) -> i64 {
    let tp = TopicPartition::new(topic, 0);
    run(async {
        let cluster = connect(bootstrap).await;
        let node = cluster.metadata().leader(&tp).unwrap().0;
        let connection = cluster.connection(node).await.unwrap();
        describe_log_dirs(&connection, std::slice::from_ref(&tp)).await.unwrap()[0].1
    })
}
