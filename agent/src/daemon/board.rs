//! What everybody may know of the daemon: the state of every link, and how the last reload went. Written by the
//! supervisor, read by whoever asks over HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use lockstep_core::dr::posture::{Role, WriteProtection};
use lockstep_core::mirror::{Millis, Now, WallMillis};
use lockstep_core::spec::agent::LinkSpec;
use lockstep_core::status::HistoryStatus;
use tokio::sync::watch;
use tokio::time::Instant;

use super::life::LinkState;
use crate::control::{Control, Figures, Links};
use crate::metrics::{LinkNow, Metrics, PartitionSeries};
use crate::pipeline::report::LinkReport;
use crate::status::{
    About, AgentStatus, ConfigStatus, GroupsStatus, LinkStatus, groups_status, link_status, not_running,
};
use crate::store::Store;
use crate::store::history::History;

/// A whole status of every link is work: history needs it a few times a step.
const HISTORY_INTERVAL: Duration = Duration::from_secs(20);

/// Cheap to clone.
#[derive(Clone)]
pub(super) struct Board {
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    site: String,
    started: Moment,
    beat: Instant,
    metrics: Metrics,
    config: ConfigState,
    links: BTreeMap<String, LinkDesk>,
    history: History,
    /// `None`: the file says which links there are.
    control: Option<Control>,
    /// When the links' history was written last.
    noted: Option<Instant>,
}

/// The file that the daemon works by.
#[derive(Clone, Debug)]
pub(super) struct ConfigState {
    /// When what is in force was read.
    pub(super) loaded_at: SystemTime,
    /// Why a newer version of the file is not in force; it stays so until a version that can be used.
    pub(super) refused: Option<String>,
    /// What a newer version says that takes effect only when the daemon is started again.
    pub(super) waits_for_start: Vec<&'static str>,
}

/// When the daemon started, by both clocks.
#[derive(Clone, Copy)]
struct Moment {
    mono: Instant,
    wall_seconds: f64,
}

/// A link, as configured and as it is.
#[derive(Clone)]
pub(super) struct LinkDesk {
    pub(super) spec: Arc<LinkSpec>,
    pub(super) state: watch::Receiver<LinkState>,
}

impl Board {
    pub(super) fn new(site: String, store: Arc<dyn Store>) -> Self {
        let config = ConfigState { loaded_at: SystemTime::now(), refused: None, waits_for_start: Vec::new() };
        let started = Moment { mono: Instant::now(), wall_seconds: seconds(SystemTime::now()) };
        let inner = Inner {
            site,
            started,
            beat: Instant::now(),
            metrics: Metrics::new(PartitionSeries::Off, started.wall_seconds),
            config,
            links: BTreeMap::new(),
            history: History::new(store),
            control: None,
            noted: None,
        };
        Self { inner: Arc::new(Mutex::new(inner)) }
    }

    pub(super) fn site(&self) -> String {
        self.lock().site.clone()
    }

    /// The supervisor's loop has come round.
    pub(super) fn beat(&self) {
        self.lock().beat = Instant::now();
    }

    pub(super) fn last_beat(&self) -> Instant {
        self.lock().beat
    }

    pub(super) fn config(&self) -> ConfigState {
        self.lock().config.clone()
    }

    pub(super) fn edit_config(&self, edit: impl FnOnce(&mut ConfigState)) {
        edit(&mut self.lock().config);
    }

    /// The coordinators say which links there are.
    pub(super) fn controlled_by(&self, control: Control) {
        self.lock().control = Some(control);
    }

    pub(super) fn links(&self) -> BTreeMap<String, LinkDesk> {
        self.lock().links.clone()
    }

    pub(super) fn put(&self, name: &str, desk: LinkDesk) {
        self.lock().links.insert(name.to_owned(), desk);
    }

    pub(super) fn remove(&self, name: &str) {
        let mut inner = self.lock();
        inner.links.remove(name);
        inner.metrics.forget(name);
    }

    /// How everything stands now.
    pub(super) fn status(&self) -> AgentStatus {
        let inner = self.lock();
        let links = inner.links.iter().map(|(name, desk)| desk.status(name)).collect();
        inner.about(links)
    }

    /// The groups of a link that runs.
    pub(super) fn groups(&self, link: &str) -> Option<GroupsStatus> {
        let state = self.lock().links.get(link)?.state.clone();
        let LinkState::Running(report) = &*state.borrow() else { return None };
        let groups = Arc::clone(&report.borrow().groups);
        Some(groups_status(&groups.groups))
    }

    /// A day of a link, and what was said of it last.
    pub(super) fn history(&self, link: &str) -> Option<HistoryStatus> {
        let inner = self.lock();
        inner.links.contains_key(link).then(|| inner.history.of(link))
    }

    /// Writes down how every link stands, every now and then.
    pub(super) fn note_history(&self) {
        let mut inner = self.lock();
        if inner.noted.is_some_and(|at| at.elapsed() < HISTORY_INTERVAL) {
            return;
        }
        inner.noted = Some(Instant::now());
        let Inner { links, history, .. } = &mut *inner;
        let now = seconds(SystemTime::now());
        for (name, desk) in links {
            history.look(&desk.status(name), now);
        }
    }

    /// Counts on: what is counted by time needs a look every now and then.
    pub(super) fn observe(&self) {
        let mut inner = self.lock();
        let mono = u64::try_from(inner.started.mono.elapsed().as_millis()).unwrap_or(u64::MAX);
        let now = Now { mono: Millis(mono), wall: wall_millis() };
        let Inner { links, metrics, .. } = &mut *inner;
        for (name, desk) in links {
            metrics.observe(name, desk.report().as_deref(), desk.rpo_ms(), now);
        }
    }

    /// # Errors
    /// In words: the metrics cannot be written, which is a defect.
    pub(super) fn metrics(&self) -> Result<String, String> {
        self.observe();
        let inner = self.lock();
        let now = |(name, desk): (&String, &LinkDesk)| LinkNow {
            status: desk.status(name),
            groups: desk.report().map(|report| Arc::clone(&report.groups)).unwrap_or_default(),
        };
        let links: Vec<_> = inner.links.iter().map(now).collect();
        let lease_ends = inner.control.as_ref().and_then(Control::lease_ends).map(seconds);
        inner.metrics.render(&links, lease_ends).map_err(|error| error.to_string())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while holding it.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn about(&self, links: Vec<LinkStatus>) -> AgentStatus {
        AgentStatus {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            site: self.site.clone(),
            started_timestamp_seconds: self.started.wall_seconds,
            as_of_timestamp_seconds: seconds(SystemTime::now()),
            config: ConfigStatus {
                loaded_timestamp_seconds: seconds(self.config.loaded_at),
                refused: self.config.refused.clone(),
                waits_for_start: self.config.waits_for_start.iter().map(ToString::to_string).collect(),
            },
            coordinators: self.control.as_ref().map(Control::status),
            links,
        }
    }
}

/// For the conversation with the coordinators.
impl Links for Board {
    fn figures(&self, link: &str) -> Option<Figures> {
        let at = self.lock().links.get(link)?.report()?.at?;
        Some(Figures(at.mono))
    }

    fn status(&self, link: &str) -> Option<LinkStatus> {
        let desk = self.lock().links.get(link)?.clone();
        Some(desk.status(link))
    }

    fn settled(&self, link: &str) -> Option<u64> {
        self.lock().links.get(link)?.report()?.settled_epoch
    }

    fn has(&self, link: &str) -> bool {
        self.lock().links.contains_key(link)
    }

    fn detail(&self, link: &str) -> Option<AgentStatus> {
        let status = Links::status(self, link)?;
        Some(self.lock().about(vec![status]))
    }

    fn groups(&self, link: &str) -> Option<GroupsStatus> {
        Self::groups(self, link)
    }

    fn history(&self, link: &str) -> Option<HistoryStatus> {
        Self::history(self, link)
    }
}

impl LinkDesk {
    /// While the link runs.
    fn report(&self) -> Option<Arc<LinkReport>> {
        match &*self.state.borrow() {
            LinkState::Running(report) => Some(Arc::clone(&report.borrow())),
            _ => None,
        }
    }

    fn rpo_ms(&self) -> u64 {
        u64::try_from(self.spec.rpo.as_millis()).unwrap_or(u64::MAX)
    }

    fn status(&self, name: &str) -> LinkStatus {
        let mut about = About {
            link: name.to_owned(),
            from: self.spec.from.clone(),
            to: self.spec.to.clone(),
            rpo_ms: self.rpo_ms(),
            role: Role::Standby,
            write_protection: WriteProtection::NotLooked,
            groups: None,
            drift: None,
        };
        let state = self.state.borrow();
        let (why, denied) = match &*state {
            LinkState::Running(report) => {
                let report = Arc::clone(&report.borrow());
                about.drift = Some(report.open_drift().count() as u64);
                about.groups = self.spec.groups.is_some().then(|| report.groups.summary());
                return link_status(&about, &report, wall_millis());
            }
            LinkState::Starting => ("is starting", None),
            LinkState::Stopping => ("is stopping", None),
            LinkState::Paused => ("is paused by the configuration", None),
            LinkState::Waiting(trouble) => (trouble.why.as_str(), trouble.denied.clone()),
        };
        not_running(&about, state.word(), why, denied.into_iter().collect())
    }
}

fn wall_millis() -> WallMillis {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    WallMillis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn seconds(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}
