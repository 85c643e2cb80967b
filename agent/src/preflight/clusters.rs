//! One cluster: whether it answers, whether it is new enough for its part, which certificates its connections met.

use std::sync::Arc;

use lockstep_kafka::{Api, Cluster, Dial, Error, Settings};

use super::{CLUSTER_PATIENCE, ClusterFound, Reached};
use crate::config::Config;

/// What a destination has to offer (M1): these came with Kafka 3.0.
const DEST_NEEDS: [Api; 2] = [Api::DescribeProducers, Api::DescribeTransactions];
/// What a source has to offer: `OffsetForLeaderEpoch` v2 came with Kafka 2.1.
const SOURCE_EPOCHS_SINCE: i16 = 2;

/// Dials the cluster.
///
/// # Errors
/// As [`Cluster::connect`]; a cluster that greets and then falls silent is given up after half a minute.
pub(super) async fn reach(dial: Arc<dyn Dial>, settings: Settings) -> Result<Cluster, Error> {
    let first = settings.bootstrap.first().cloned();
    let connected = tokio::time::timeout(CLUSTER_PATIENCE, Cluster::connect(dial, settings)).await;
    match (connected, first) {
        (Ok(connected), _) => connected,
        (Err(_), Some(peer)) => Err(Error::Timeout { api: Api::Metadata, peer, after: CLUSTER_PATIENCE }),
        (Err(_), None) => Err(Error::NoBroker { tried: Arc::from([]) }),
    }
}

/// What is said about a cluster of the file.
pub(super) async fn found(config: &Config, name: &str, outcome: Result<Cluster, Error>) -> ClusterFound {
    let links = || config.spec.links.values();
    let mut unfit = Vec::new();
    let outcome = match outcome {
        Err(error) => Err(error),
        Ok(cluster) => match cluster.any().await {
            Err(error) => Err(error),
            Ok(connection) => {
                let too_new = DEST_NEEDS.iter().find(|api| connection.offers(**api).is_none());
                if let (true, Some(api)) = (links().any(|link| link.to == name), too_new) {
                    unfit
                        .push(format!("a destination has to be Kafka 3.0 or newer: it does not offer {api}"));
                }
                let epochs = connection.offers(Api::OffsetForLeaderEpoch);
                let old = epochs.is_none_or(|versions| versions.max < SOURCE_EPOCHS_SINCE);
                if old && links().any(|link| link.from == name) {
                    unfit.push("a source has to be Kafka 2.1 or newer: it knows no leader epochs".to_owned());
                }
                Ok(Reached {
                    cluster_id: cluster.cluster_id(),
                    brokers: cluster.metadata().brokers.len(),
                    principal: cluster.settings().security.principal(),
                })
            }
        },
    };
    let certificates =
        config.clusters.get(name).map(|settings| settings.security.certificates()).unwrap_or_default();
    ClusterFound { outcome, certificates, unfit }
}
