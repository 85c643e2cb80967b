//! Notices that a file has another content, by looking: once a second at its time and size, and only then into it.
//! A file that is just being replaced, or gone, is as it was until it is there again. A task of its own: as one branch
//! among others it would be dropped in the middle of a look, again and again.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

const INTERVAL: Duration = Duration::from_secs(1);

/// Says through `changed` that the content is another one than before, from now on, until nobody listens.
pub(super) async fn watch_file(path: PathBuf, changed: mpsc::Sender<()>) {
    let mut content = tokio::fs::read(&path).await.ok();
    let mut seen = stamp(&path).await;
    while !changed.is_closed() {
        tokio::time::sleep(INTERVAL).await;
        let now = stamp(&path).await;
        if now.is_none() || now == seen {
            continue;
        }
        let Ok(new) = tokio::fs::read(&path).await else { continue };
        seen = now;
        if content.as_ref() != Some(&new) {
            content = Some(new);
            // Closed: the daemon is stopping.
            let _ = changed.send(()).await;
        }
    }
}

async fn stamp(path: &PathBuf) -> Option<(SystemTime, u64)> {
    let data = tokio::fs::metadata(path).await.ok()?;
    Some((data.modified().ok()?, data.len()))
}
