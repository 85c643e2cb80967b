//! One link of the daemon from its first start to its last stop. Whatever keeps it from working it says, waits and tries
//! again; it ends only when told to.

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::dr::denied::{Denied, Side};
use lockstep_core::spec::agent::ClusterSpec;
use tokio::sync::watch;
use tokio::time::Instant;

use super::clusters::Clusters;
use crate::link::LinkSettings;
use crate::link::prepare::{StartError, prepare};
use crate::link::running::Running;
use crate::link::watched::Ends;
use crate::pipeline::engine::Ended;
use crate::pipeline::report::LinkReport;
use crate::status;

/// The pause after a start that failed; it doubles up to the longest.
const PAUSE_SHORTEST: Duration = Duration::from_secs(1);
const PAUSE_LONGEST: Duration = Duration::from_secs(30);
/// A link that ran for so long has not failed at the start.
const SETTLED: Duration = Duration::from_secs(60);

/// What a link is doing, for everybody to see.
#[derive(Clone, Debug)]
pub(super) enum LinkState {
    /// Connecting, looking at both clusters, planning its topics.
    Starting,
    /// Copying; the report is a few times a second younger.
    Running(watch::Receiver<Arc<LinkReport>>),
    /// It could not start, or ended by a defect. Tried again at `again_at`.
    Waiting(Trouble),
    /// Its configuration says so.
    Paused,
    /// Told to stop; what is in flight is being finished.
    Stopping,
}

impl LinkState {
    /// As a status calls it.
    pub(super) fn word(&self) -> status::LinkState {
        match self {
            Self::Starting => status::LinkState::Starting,
            Self::Running(_) => status::LinkState::Running,
            Self::Waiting(_) => status::LinkState::Waiting,
            Self::Paused => status::LinkState::Paused,
            Self::Stopping => status::LinkState::Stopping,
        }
    }
}

/// Why a link does not run.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) why: String,
    /// What a cluster refuses, if that is the cause.
    pub(super) denied: Option<Denied>,
}

/// Everything a link needs to live.
pub(super) struct Life {
    pub(super) settings: LinkSettings,
    pub(super) clusters: Clusters,
    /// Source and destination, with their names in the file.
    pub(super) from: (String, ClusterSpec),
    pub(super) to: (String, ClusterSpec),
    pub(super) state: watch::Sender<LinkState>,
    /// Turns true once.
    pub(super) stop: watch::Receiver<bool>,
}

/// What a failed start says.
struct Failed {
    why: String,
    denied: Option<Denied>,
}

impl Life {
    pub(super) async fn run(mut self) {
        let mut failures = 0;
        loop {
            let started = Instant::now();
            let failed = match self.once().await {
                None => return,
                Some(failed) => failed,
            };
            if started.elapsed() >= SETTLED {
                failures = 0;
            }
            let pause = pause(failures);
            failures += 1;
            tracing::warn!(again_in_seconds = pause.as_secs(), "does not run: {}", failed.why);
            let Failed { why, denied } = failed;
            self.state.send_replace(LinkState::Waiting(Trouble { why, denied }));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = told(&mut self.stop) => return,
            }
        }
    }

    /// `None`: told to stop, and stopped.
    async fn once(&mut self) -> Option<Failed> {
        // While it fails again and again, its reason stays to be read.
        if !matches!(*self.state.borrow(), LinkState::Waiting(_)) {
            self.state.send_replace(LinkState::Starting);
        }
        let (start, mut stop) =
            (start(&self.settings, &self.clusters, &self.from, &self.to), self.stop.clone());
        let mut running = tokio::select! {
            started = start => match started {
                Ok(running) => running,
                Err(failed) => return Some(failed),
            },
            () = told(&mut stop) => return None,
        };
        tracing::info!("running: {} ▶ {}", self.from.0, self.to.0);
        self.state.send_replace(LinkState::Running(running.report.clone()));
        tokio::select! {
            ended = running.died() => {
                Some(Failed { why: format!("the link ended by itself, which is a defect: {ended:?}"), denied: None })
            }
            () = told(&mut stop) => {
                self.state.send_replace(LinkState::Stopping);
                match running.stop().await {
                    Ended::Drained => tracing::info!("stopped: everything in flight was answered"),
                    ended => tracing::warn!("stopped: {ended:?}; the destination knows, the next start asks it"),
                }
                None
            }
        }
    }
}

async fn start(
    settings: &LinkSettings,
    clusters: &Clusters,
    from: &(String, ClusterSpec),
    to: &(String, ClusterSpec),
) -> Result<Running, Failed> {
    let (source, dest) =
        tokio::join!(clusters.get(Side::Source, &from.0, &from.1), clusters.get(Side::Dest, &to.0, &to.1));
    let unreachable = |error: super::clusters::Unreachable| Failed { why: error.why, denied: error.denied };
    let ends = Ends { source: source.map_err(unreachable)?, dest: dest.map_err(unreachable)? };
    let (source, dest) = (ends.source.cluster.clone(), ends.dest.cluster.clone());
    let failed = |error: StartError| Failed {
        why: error.to_string(),
        denied: error.denied(source.settings(), dest.settings()),
    };
    prepare(ends, settings.clone()).await.map_err(failed)?.start().await.map_err(failed)
}

/// Resolves once the word to stop has come, also when whoever could say it is gone.
async fn told(stop: &mut watch::Receiver<bool>) {
    // An error: the supervisor is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

fn pause(failures: u32) -> Duration {
    PAUSE_SHORTEST.saturating_mul(1 << failures.min(10)).min(PAUSE_LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_stay_bounded() {
        assert_eq!(pause(0), Duration::from_secs(1));
        assert_eq!(pause(3), Duration::from_secs(8));
        assert_eq!(pause(40), PAUSE_LONGEST);
    }
}
