//! How often, and until when, a transient refusal is asked again: growing pauses inside one deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::cluster::{Cluster, pause};
use crate::settings::Settings;

pub(super) struct Patience {
    settings: Settings,
    deadline: Instant,
    failures: u32,
}

impl Patience {
    /// As long as one request may take.
    pub(super) fn new(cluster: &Cluster) -> Self {
        Self::within(cluster, cluster.settings().request_timeout)
    }

    pub(super) fn within(cluster: &Cluster, time: Duration) -> Self {
        Self { settings: cluster.settings().clone(), deadline: Instant::now() + time, failures: 0 }
    }

    /// As long as one request may take, beginning with shorter pauses: what is waited for takes milliseconds.
    pub(super) fn brisk(cluster: &Cluster, first: Duration) -> Self {
        let mut patience = Self::new(cluster);
        patience.settings.backoff_min = first.min(patience.settings.backoff_min);
        patience
    }

    /// Waits before the next attempt; `false`, at once, when the deadline would pass meanwhile.
    pub(super) async fn another_try(&mut self) -> bool {
        self.failures = self.failures.saturating_add(1);
        let at = Instant::now() + pause(&self.settings, self.failures);
        if at >= self.deadline {
            return false;
        }
        sleep_until(at).await;
        true
    }
}
