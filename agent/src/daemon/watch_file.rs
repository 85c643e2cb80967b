//! Notices that a file has another content, by looking: once a second at its time and size, and only then into it.
//! A file that is just being replaced, or gone, is as it was until it is there again.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::time::{Interval, MissedTickBehavior, interval};

const INTERVAL: Duration = Duration::from_secs(1);

pub(super) struct WatchFile {
    path: PathBuf,
    /// Kept from look to look: whoever waits for several things drops our future again and again.
    next: Interval,
    seen: Option<(SystemTime, u64)>,
    content: Option<Vec<u8>>,
}

impl WatchFile {
    pub(super) async fn new(path: PathBuf) -> Self {
        let content = tokio::fs::read(&path).await.ok();
        let mut next = interval(INTERVAL);
        next.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut watch = Self { path, next, seen: None, content };
        watch.seen = watch.stamp().await;
        watch
    }

    /// Waits until the content is another one.
    pub(super) async fn changed(&mut self) {
        loop {
            self.next.tick().await;
            let stamp = self.stamp().await;
            if stamp.is_none() || stamp == self.seen {
                continue;
            }
            let Ok(content) = tokio::fs::read(&self.path).await else { continue };
            self.seen = stamp;
            if self.content.as_ref() != Some(&content) {
                self.content = Some(content);
                return;
            }
        }
    }

    async fn stamp(&self) -> Option<(SystemTime, u64)> {
        let data = tokio::fs::metadata(&self.path).await.ok()?;
        Some((data.modified().ok()?, data.len()))
    }
}
