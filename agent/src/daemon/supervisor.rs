//! Compares what `agent.yaml` wants with what runs, and moves only what differs: a link whose section and clusters are as
//! before does not notice a reload. A file that cannot be used changes nothing; that is said, and stays said.
//! Stops in order: every link drains at the same time, within the deadline.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockstep_core::spec::agent::{AgentSpec, ClusterSpec, LinkSpec, Wanted};
use lockstep_kafka::Dial;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::board::{Board, LinkDesk};
use super::clusters::Clusters;
use super::http::Http;
use super::life::{Life, LinkState};
use super::systemd;
use super::tasks::{End, Task, Tasks};
use super::watch_file::watch_file;
use crate::config;
use crate::control::answering::Asked;
use crate::control::assigned::Assigned;
use crate::control::probing::{self, Seen};
use crate::control::seeking::{self, Seeking};
use crate::control::{Control, Links};
use crate::link::LinkSettings;
use crate::pipeline::budget::Budget;
use crate::pipeline::owned::Owned;
use crate::store::Store;
use crate::{status, store};

/// How often the supervisor comes round when nothing happens.
const BEAT: Duration = Duration::from_secs(1);
/// Beyond the links' own deadline of a stop.
const GRACE: Duration = Duration::from_secs(2);
/// A link whose task has died is started again after this long.
const REVIVAL: Duration = Duration::from_secs(5);

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    Reload,
    Stop,
}

/// How the daemon ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Every link has drained.
    Stopped,
    /// Some link had not within the deadline; the destinations know what became of the rest.
    DeadlinePassed,
    /// In words.
    Failed(String),
}

struct Supervisor {
    path: PathBuf,
    spec: AgentSpec,
    budget: Budget,
    clusters: Clusters,
    board: Board,
    http: Http,
    links: BTreeMap<String, Held>,
    /// Links to be started anew because their task died.
    to_revive: BTreeMap<String, Instant>,
    /// `None`: the file says which links there are.
    control: Option<Control>,
    tasks: Tasks,
}

/// A link that has a task, and what it was started with.
struct Held {
    spec: Arc<LinkSpec>,
    from: ClusterSpec,
    to: ClusterSpec,
    drain: Duration,
    stop: watch::Sender<bool>,
    /// It is stopping; what is wanted now comes after it.
    leaving: bool,
}

/// Runs the daemon until it is told to stop.
pub async fn run(
    path: PathBuf,
    spec: AgentSpec,
    dial: Arc<dyn Dial>,
    mut orders: mpsc::Receiver<Order>,
) -> Ended {
    let store = store::open(spec.data.as_deref());
    let board = Board::new(spec.site.clone(), Arc::clone(&store));
    let mut tasks = Tasks::default();
    let control = match controlled(&spec, store, &dial, &board, &mut tasks) {
        Ok(control) => control,
        Err(unfit) => return Ended::Failed(unfit.to_string()),
    };
    let mut words = control.as_ref().map(Control::words);
    let http = match Http::serve(0, &spec.listen, board.clone(), &mut tasks).await {
        Ok(http) => http,
        Err(why) => return Ended::Failed(why),
    };
    let (changed_in, mut changed) = mpsc::channel(1);
    tasks.spawn(Task::File, watch_file(path.clone(), changed_in));
    let mut supervisor = Supervisor {
        path,
        budget: Budget::new(spec.memory_bytes_max),
        spec,
        clusters: Clusters::new(dial),
        board,
        http,
        links: BTreeMap::new(),
        to_revive: BTreeMap::new(),
        control,
        tasks,
    };
    supervisor.heed();
    // Before anything else is polled: who asks whether every link runs must not hear of none.
    supervisor.reconcile();
    systemd::ready(&supervisor.summary());
    let mut beat = interval(systemd::watchdog_interval().map_or(BEAT, |limit| limit.min(BEAT)));
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Reload) => supervisor.reload().await,
                Some(Order::Stop) | None => return supervisor.stop(&mut orders).await,
            },
            Some(()) = changed.recv() => supervisor.reload().await,
            true = heard(&mut words) => {
                supervisor.heed();
                supervisor.reconcile();
            }
            (task, end) = supervisor.tasks.ended() => {
                if let Some(ended) = supervisor.on_end(task, end) {
                    return ended;
                }
            }
            _ = beat.tick() => supervisor.on_beat(),
        }
    }
}

/// What the coordinators say is followed from here on.
///
/// # Errors
/// The certificate does not name an agent of this site.
fn controlled(
    spec: &AgentSpec,
    store: Arc<dyn Store>,
    dial: &Arc<dyn Dial>,
    board: &Board,
    tasks: &mut Tasks,
) -> Result<Option<Control>, seeking::Unfit> {
    let Some(coordinators) = &spec.coordinators else { return Ok(None) };
    let name = seeking::name(coordinators, &spec.site)?;
    let control = Control::new(name.agent.clone(), spec.security.clone(), store);
    board.controlled_by(control.clone());
    let links: Arc<dyn Links> = Arc::new(board.clone());
    let seen = Seen::default();
    let seeking = Seeking {
        control: control.clone(),
        name,
        spec: coordinators.clone(),
        links: Arc::clone(&links),
        seen: seen.clone(),
        asked: Asked::new(links, Arc::clone(dial), spec.security.clone()),
    };
    tasks.spawn(Task::Control("session"), seeking.run());
    tasks.spawn(Task::Control("divisions"), seeking::look(control.clone()));
    tasks.spawn(Task::Control("probes"), probing::run(control.clone(), Arc::clone(dial), seen));
    Ok(Some(control))
}

/// Waits for the coordinators' next word; for ever where there are none.
async fn heard(words: &mut Option<watch::Receiver<Arc<Assigned>>>) -> bool {
    match words {
        Some(words) => words.changed().await.is_ok(),
        None => std::future::pending().await,
    }
}

impl Supervisor {
    /// What the coordinators assigned takes the place of what a file would say.
    fn heed(&mut self) {
        let Some(control) = &self.control else { return };
        let assigned = control.assigned();
        self.spec.links =
            assigned.links.iter().map(|(name, link)| (name.clone(), link.spec.clone())).collect();
        self.spec.clusters = assigned.clusters.clone();
    }

    /// Reads the file again. What cannot be used changes nothing.
    async fn reload(&mut self) {
        systemd::reloading();
        match config::load_spec(&self.path) {
            Err(unusable) => {
                let words = unusable.to_string();
                tracing::error!("the new configuration is refused, everything goes on as before: {words}");
                self.board.edit_config(|config| config.refused = Some(words));
            }
            Ok(new) => {
                let waits = self.waits_for_start(&new);
                if !waits.is_empty() {
                    tracing::warn!("takes effect when the agent is started again: {}", waits.join(", "));
                }
                if new.listen != self.spec.listen {
                    self.listen_elsewhere(&new).await;
                }
                self.board.edit_config(|config| {
                    config.loaded_at = SystemTime::now();
                    config.refused = None;
                    config.waits_for_start = waits;
                });
                self.spec = new;
                self.heed();
                self.reconcile();
                tracing::info!("configuration reloaded: {}", self.summary());
            }
        }
        systemd::ready(&self.summary());
    }

    fn waits_for_start(&self, new: &AgentSpec) -> Vec<&'static str> {
        let mut waits = Vec::new();
        if new.site != self.board.site() {
            waits.push("site");
        }
        if new.memory_bytes_max != self.budget.capacity_bytes() {
            waits.push("memory");
        }
        if new.data != self.spec.data {
            waits.push("data");
        }
        if new.log != self.spec.log {
            waits.push("log");
        }
        if new.coordinators != self.spec.coordinators {
            waits.push("coordinators");
        }
        if new.security != self.spec.security {
            waits.push("security");
        }
        waits
    }

    async fn listen_elsewhere(&mut self, new: &AgentSpec) {
        let number = self.http.number() + 1;
        match Http::serve(number, &new.listen, self.board.clone(), &mut self.tasks).await {
            // The old one ends when it is dropped.
            Ok(http) => self.http = http,
            Err(why) => tracing::error!("{why}; the old address stays in use"),
        }
    }

    /// Brings what runs to what is wanted. Links that leave are waited for elsewhere.
    fn reconcile(&mut self) {
        for (name, held) in &mut self.links {
            let wanted = self.spec.links.get(name);
            if !held.leaving && !wanted.is_some_and(|link| held.is_as(link, &self.spec)) {
                held.leaving = true;
                // An error: its task has ended already.
                let _ = held.stop.send(true);
            }
        }
        for (name, link) in self.spec.links.clone() {
            if self.links.contains_key(&name) || self.to_revive.contains_key(&name) {
                continue;
            }
            match link.wanted {
                Wanted::Running => self.start(&name, link),
                Wanted::Paused => {
                    let (_, state) = watch::channel(LinkState::Paused);
                    self.board.put(&name, LinkDesk { spec: Arc::new(link), state });
                }
            }
        }
        for name in self.board.links().into_keys() {
            if !self.spec.links.contains_key(&name) && !self.links.contains_key(&name) {
                self.board.remove(&name);
            }
        }
        let used = |name: &str| self.spec.links.values().any(|link| link.from == name || link.to == name);
        self.clusters.keep(used);
    }

    fn start(&mut self, name: &str, link: LinkSpec) {
        let cluster = |name: &String| self.spec.clusters.get(name).cloned();
        // A checked file names clusters that are there.
        let (Some(from), Some(to)) = (cluster(&link.from), cluster(&link.to)) else { return };
        let owned = self.control.as_ref().map_or_else(Owned::alone, |control| control.owned(name));
        let settings =
            LinkSettings { drain: self.spec.drain, ..LinkSettings::of(name, &link, owned, &self.budget) };
        let (stop, stopped) = watch::channel(false);
        let (state, seen) = watch::channel(LinkState::Starting);
        let spec = Arc::new(link);
        let life = Life {
            settings,
            clusters: self.clusters.clone(),
            from: (spec.from.clone(), from.clone()),
            to: (spec.to.clone(), to.clone()),
            state,
            stop: stopped,
        };
        self.tasks.spawn(Task::Link(name.to_owned()), life.run());
        self.board.put(name, LinkDesk { spec: Arc::clone(&spec), state: seen });
        let held = Held { spec, from, to, drain: self.spec.drain, stop, leaving: false };
        self.links.insert(name.to_owned(), held);
    }

    /// `Some`: the daemon cannot go on.
    fn on_end(&mut self, task: Task, end: End) -> Option<Ended> {
        let name = match task {
            Task::Link(name) => name,
            Task::Http(number) if number == self.http.number() => {
                return Some(Ended::Failed(format!("the HTTP listener ended: {end:?}")));
            }
            Task::File => return Some(Ended::Failed(format!("nobody looks at the file any more: {end:?}"))),
            Task::Control(what) => {
                return Some(Ended::Failed(format!("the coordinators' {what} came to an end: {end:?}")));
            }
            // The one before a reload.
            Task::Http(_) => return None,
        };
        self.links.remove(&name);
        if let End::Panicked(words) = end {
            tracing::error!(link = name, "the link died, which is a defect; it is started again: {words}");
            self.to_revive.insert(name, Instant::now() + REVIVAL);
        }
        self.reconcile();
        None
    }

    fn on_beat(&mut self) {
        self.board.beat();
        self.board.observe();
        self.board.note_history();
        systemd::alive();
        let now = Instant::now();
        let before = self.to_revive.len();
        self.to_revive.retain(|_, at| *at > now);
        if self.to_revive.len() < before {
            self.reconcile();
        }
        systemd::status(&self.summary());
    }

    /// One line for `systemctl status`.
    fn summary(&self) -> String {
        let links = self.board.links();
        let count = |state| links.values().filter(|link| link.state.borrow().word() == state).count();
        let mut words = format!("{} of {} links running", count(status::LinkState::Running), links.len());
        for state in status::LinkState::ALL.into_iter().skip(1) {
            let count = count(state);
            if count > 0 {
                words.push_str(&format!(", {count} {}", state.word()));
            }
        }
        if self.board.config().refused.is_some() {
            words.push_str("; the new configuration is refused");
        }
        words
    }

    async fn stop(mut self, orders: &mut mpsc::Receiver<Order>) -> Ended {
        systemd::stopping();
        for held in self.links.values_mut() {
            held.leaving = true;
            // An error: its task has ended already.
            let _ = held.stop.send(true);
        }
        tracing::info!("stopping {} links", self.links.len());
        let deadline = Instant::now() + self.spec.drain + GRACE;
        while !self.links.is_empty() {
            tokio::select! {
                (task, _) = self.tasks.ended() => {
                    if let Task::Link(name) = task {
                        self.links.remove(&name);
                    }
                }
                () = tokio::time::sleep_until(deadline) => break,
                Some(order) = orders.recv() => {
                    if order == Order::Stop {
                        tracing::warn!("told twice: leaving at once; the next start asks the destinations");
                        break;
                    }
                }
            }
        }
        self.tasks.abort_all();
        if self.links.is_empty() { Ended::Stopped } else { Ended::DeadlinePassed }
    }
}

impl Held {
    /// Whether a new start would be made with the same words.
    fn is_as(&self, link: &LinkSpec, spec: &AgentSpec) -> bool {
        *self.spec == *link
            && link.wanted == Wanted::Running
            && spec.clusters.get(&link.from) == Some(&self.from)
            && spec.clusters.get(&link.to) == Some(&self.to)
            && spec.drain == self.drain
    }
}
