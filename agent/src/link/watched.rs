//! A cluster that is kept an eye on: one metadata watcher for all links that share it, and one shared control connection
//! for each of its brokers. Links of one process between the same clusters cost their own traffic and no more.
//! The watcher ends with its last user.

use std::sync::Arc;
use std::time::Duration;

use lockstep_kafka::{Cluster, Dial, Error, Metadata, Settings};
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tracing::Instrument;

/// Metadata are asked for this often, and sooner when something looks stale: a new topic is noticed within it.
const METADATA_INTERVAL: Duration = Duration::from_millis(400);
/// On large clusters an answer is work: at most this part of the time goes into asking.
const METADATA_SHARE: u32 = 200;
/// But at least this often: one answer that took seconds must not keep new topics unnoticed for minutes, nor a topic that we
/// may no longer see.
const METADATA_INTERVAL_MAX: Duration = Duration::from_secs(2);
/// And never more often than this.
const METADATA_PAUSE: Duration = Duration::from_millis(100);

/// See the module's description. Cheap to clone.
#[derive(Clone)]
pub struct WatchedCluster {
    pub cluster: Cluster,
    /// Wakes the watcher before its time.
    pub stale: Arc<Notify>,
    /// Every answer, also when nothing has changed: then it is the same `Arc`.
    pub metadata: watch::Receiver<Arc<Metadata>>,
    /// Dropped, and so ended, with the last user.
    _watcher: Arc<JoinSet<()>>,
}

impl WatchedCluster {
    /// # Errors
    /// As [`Cluster::connect`].
    pub async fn connect(dial: Arc<dyn Dial>, settings: Settings) -> Result<Self, Error> {
        Ok(Self::watch(Cluster::connect(dial, settings).await?))
    }

    fn watch(cluster: Cluster) -> Self {
        let stale = Arc::new(Notify::new());
        let (news, metadata) = watch::channel(cluster.metadata());
        let mut watcher = JoinSet::new();
        watcher.spawn(refresh(cluster.clone(), Arc::clone(&stale), news).in_current_span());
        Self { cluster, stale, metadata, _watcher: Arc::new(watcher) }
    }
}

/// Both clusters of a link.
#[derive(Clone)]
pub struct Ends {
    pub source: WatchedCluster,
    pub dest: WatchedCluster,
}

async fn refresh(cluster: Cluster, stale: Arc<Notify>, news: watch::Sender<Arc<Metadata>>) {
    let mut interval = METADATA_INTERVAL;
    loop {
        tokio::select! {
            () = stale.notified() => tokio::time::sleep(METADATA_PAUSE).await,
            () = tokio::time::sleep(interval) => {}
        }
        let asked = tokio::time::Instant::now();
        match cluster.refresh().await {
            Ok(metadata) => {
                interval = pause_after(asked.elapsed());
                news.send_replace(metadata);
            }
            Err(error) => tracing::debug!(%error, "metadata cannot be refreshed"),
        }
    }
}

/// How long to wait after an answer that took so long, the wait for others' answers included.
fn pause_after(took: Duration) -> Duration {
    (took * METADATA_SHARE).clamp(METADATA_INTERVAL, METADATA_INTERVAL_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Twenty-four links that create their topics at once ask for metadata in turn: the watcher's answer took seconds, and
    /// a topic that came then was not noticed for a minute.
    #[test]
    fn a_slow_answer_does_not_put_the_watcher_to_sleep() {
        assert_eq!(pause_after(Duration::from_millis(1)), METADATA_INTERVAL);
        assert_eq!(pause_after(Duration::from_millis(5)), Duration::from_secs(1));
        assert_eq!(pause_after(Duration::from_secs(3)), METADATA_INTERVAL_MAX);
    }
}
