//! Keeps the settings of standby topics right while a link runs (M20, M21): what the source changes is followed within
//! seconds, what the mirror depends on is put back, what somebody set by hand is reported and left alone.
//! Promises: nothing follows from one look (a broker may tell the past), the source is only read, and once the link has
//! another owner nothing is written any more (M26). One topic's trouble is its own; all are asked in few requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::ids::{ProducerIdentity, TopicId};
use lockstep_core::plan::configs::{
    Act, Base, Change, Comparison, Drift, Own, Rules, SourceSettings, Views, compare, kept,
};
use lockstep_core::plan::owners::{Owner, TopicSettingsPolicy};
use lockstep_core::plan::topics::{Compaction, SourceCompaction, compaction};
use lockstep_kafka::admin::{alter_topic_configs, describe_transactions};
use lockstep_kafka::{Api, Cluster, Error, ErrorCode};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::described::{ask_many, own, refusal, source_settings};
use super::fields::Names;
use super::identity::transactional_id;
use super::topics::Topics;
use crate::pipeline::event::Event;
use crate::pipeline::owned::Owned;

/// A change at the source is noticed within this time, and acted on after a second look: looking at many topics is work,
/// so each makes it a moment longer.
const ROUND_INTERVAL: Duration = Duration::from_secs(5);
const ROUND_INTERVAL_EACH: Duration = Duration::from_millis(100);
/// The second look, after one that found something new.
const SOON: Duration = Duration::from_secs(1);
/// On large links a round is work: at most this part of the time goes into it.
const ROUND_SHARE: u32 = 20;
const ROUND_INTERVAL_MAX: Duration = Duration::from_secs(60);
/// After so many rounds it is asked anew which settings there are: brokers are upgraded.
const ROUNDS_PER_NAMES: u32 = 100;
/// After so many rounds in which both clusters said the same and nothing was to do, the same answers are not read again.
const QUIET_ROUNDS: u32 = 2;
/// What the destination refused is tried again after this long, or when the value changes.
const REFUSED_INTERVAL: Duration = Duration::from_secs(60);

/// By the source's topics: their own values of the settings that a standby needs otherwise (M20), for a promotion. A
/// setting that is missing is not set there. The source is read again at a promotion if it can be; else this counts.
pub type KeptSettings = BTreeMap<Arc<str>, Own>;

/// What the keeper is told.
#[derive(Debug)]
pub enum News {
    Ready { topic: Arc<str>, watched: Known },
    Retired(Arc<str>),
}

/// A topic that stands ready.
#[derive(Debug)]
pub struct Known {
    /// What the destination calls it.
    pub dest_topic: Arc<str>,
    pub source_id: TopicId,
    /// What stands there as it should.
    pub base: Base,
}

/// What a round is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    /// Or why the source does not tell.
    source: Result<SourceSettings, String>,
    standby: Result<Own, String>,
}

#[derive(Debug)]
struct Refused {
    value: Option<String>,
    why: String,
    again_at: Instant,
}

/// One standby topic.
#[derive(Debug)]
struct Watched {
    dest_topic: Arc<str>,
    source_id: TopicId,
    base: Base,
    last: Option<Look>,
    /// By setting: what stood there when it was last put back, to what, and how often.
    put_back: BTreeMap<String, (Option<String>, Option<String>, u64)>,
    refused: BTreeMap<String, Refused>,
    told: Option<(Compaction, Option<i64>)>,
    drift: Vec<Drift>,
}

/// Changes of one topic on the destination.
type Wanted = (Arc<str>, Vec<Change>);

/// The same once they were asked for, and why not.
type Altered = (Arc<str>, Vec<Change>, Option<(ErrorCode, String)>);

/// See the module's description.
#[derive(Debug)]
pub struct Keeper {
    source: Cluster,
    dest: Cluster,
    transactional_id: String,
    ours: Option<ProducerIdentity>,
    policy: TopicSettingsPolicy,
    /// Only the link's caretaker writes and reports drift: the others look, for what the engine has to know.
    owned: watch::Receiver<Owned>,
    topics: BTreeMap<Arc<str>, Watched>,
    names: Option<Names>,
    events: mpsc::Sender<Event>,
    drift: Arc<[Drift]>,
    kept: watch::Sender<Arc<KeptSettings>>,
    /// Rounds in a row that heard this and had nothing to do.
    quiet: (u32, Heard),
}

/// What a round heard, by the answers' fingerprints, and in which role.
#[derive(Debug, Default, PartialEq, Eq)]
struct Heard {
    /// Of the source, and of the standby.
    told: [Vec<u64>; 2],
    is_caretaker: bool,
}

/// How a round ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    Quiet,
    /// Something was new, or was changed: worth a second look.
    News,
    /// Somebody else owns the link.
    Over,
}

impl Keeper {
    /// A keeper without topics, and where it shows what a promotion will need.
    pub fn new(
        topics: &Topics,
        link: &str,
        owned: watch::Receiver<Owned>,
        events: mpsc::Sender<Event>,
    ) -> (Self, watch::Receiver<Arc<KeptSettings>>) {
        let (kept, shown) = watch::channel(Arc::default());
        let keeper = Self {
            source: topics.source.clone(),
            dest: topics.dest.clone(),
            transactional_id: transactional_id(link),
            ours: topics.identity,
            policy: topics.policy.clone(),
            owned,
            topics: BTreeMap::new(),
            names: None,
            events,
            drift: Arc::default(),
            kept,
            quiet: (0, Heard::default()),
        };
        (keeper, shown)
    }

    /// From now on this topic's settings are kept. `topic`: as the source calls it.
    pub fn watch(&mut self, topic: Arc<str>, known: Known) {
        let Known { dest_topic, source_id, base } = known;
        let watched = Watched {
            dest_topic,
            source_id,
            base,
            last: None,
            put_back: BTreeMap::new(),
            refused: BTreeMap::new(),
            told: None,
            drift: Vec::new(),
        };
        // A topic that grew is the one it was.
        if self.topics.get(&topic).is_none_or(|known| known.source_id != source_id) {
            self.topics.insert(topic, watched);
            self.quiet.0 = 0;
        }
    }

    /// Runs until the engine is gone or the link has another owner.
    pub async fn keep(mut self, mut news: mpsc::Receiver<News>) {
        let mut rounds = 0u32;
        while !self.events.is_closed() {
            let started = Instant::now();
            if rounds.is_multiple_of(ROUNDS_PER_NAMES) {
                (self.names, self.quiet.0) = (None, 0);
            }
            rounds = rounds.wrapping_add(1);
            let ended = match self.round().await {
                Ok(ended) => ended,
                Err(error) => {
                    tracing::debug!(%error, "the topics' settings cannot be read");
                    Round::Quiet
                }
            };
            let pause = match ended {
                Round::Over => {
                    tracing::warn!("the link has another owner: settings are left as they are");
                    let _ = self.events.send(Event::Drift(Arc::default())).await;
                    return;
                }
                Round::News => SOON,
                Round::Quiet => ROUND_INTERVAL + ROUND_INTERVAL_EACH * self.topics.len() as u32,
            };
            let until = Instant::now() + pause.max(started.elapsed() * ROUND_SHARE).min(ROUND_INTERVAL_MAX);
            while let Ok(Some(told)) = tokio::time::timeout_at(until, news.recv()).await {
                match told {
                    News::Ready { topic, watched } => self.watch(topic, watched),
                    News::Retired(topic) => drop(self.topics.remove(&topic)),
                }
            }
            // A closed channel answers at once: the follower has ended, and the link with it.
            tokio::time::sleep_until(until).await;
        }
    }

    /// One look at every topic, and what follows from it.
    async fn round(&mut self) -> Result<Round, Error> {
        let metadata = self.source.metadata();
        let is_there = |topic: &Arc<str>, watched: &Watched| {
            let found = metadata.topics.get(topic);
            found.is_some_and(|found| !watched.source_id.is_known() || found.id == watched.source_id)
        };
        for (_, gone) in self.topics.iter_mut().filter(|(t, w)| !is_there(t, w)) {
            (gone.last, gone.told) = (None, None);
            gone.drift.clear();
        }
        let there: Vec<Arc<str>> =
            self.topics.iter().filter(|(t, w)| is_there(t, w)).map(|(t, _)| Arc::clone(t)).collect();
        let Some(first) = there.first() else { return Ok(Round::Quiet) };
        if self.names.is_none() {
            let first = (&**first, &*self.dest_topic(first));
            self.names = Names::learn(&self.source, &self.dest, first, &self.policy).await?;
        }
        let Some(names) = &self.names else { return Ok(Round::News) };
        let asked: Vec<&str> = there.iter().map(|topic| &**topic).collect();
        let sources = ask_many(&self.source, &asked, Some(&names.ask_source)).await?;
        let there_names: Vec<Arc<str>> = there.iter().map(|topic| self.dest_topic(topic)).collect();
        let asked: Vec<&str> = there_names.iter().map(|topic| &**topic).collect();
        let standbys = ask_many(&self.dest, &asked, Some(&names.ask_dest)).await?;
        let heard = Heard {
            told: [sources.fingerprints(), standbys.fingerprints()],
            is_caretaker: self.owned.borrow().is_caretaker(),
        };
        if self.quiet.0 >= QUIET_ROUNDS && self.quiet.1 == heard {
            return Ok(Round::Quiet);
        }
        let (sources, standbys) = (sources.read(&self.source)?, standbys.read(&self.dest)?);
        let mut ended = Round::Quiet;
        let mut wanted: Vec<Wanted> = Vec::new();
        for (topic, (source, standby)) in there.into_iter().zip(sources.into_iter().zip(standbys)) {
            let look = Look {
                source: source.map(|entries| source_settings(&entries)),
                standby: standby.map(|entries| own(&entries)),
            };
            let Some(watched) = self.topics.get_mut(&topic) else { continue };
            if watched.last.as_ref() != Some(&look) {
                // Nothing follows from one look.
                watched.last = Some(look);
                ended = Round::News;
                continue;
            }
            let rules = Rules { policy: &self.policy, standby: &names.needed, known: &names.known };
            let changes = watched.judge(&topic, &look, rules);
            if let Some(state) = watched.compaction_news(&look) {
                let (state, delete_retention_ms) = state;
                let told = Event::Compaction { topic: Arc::clone(&topic), state, delete_retention_ms };
                // A closed channel: the engine has ended and no longer wants to know.
                let _ = self.events.send(told).await;
            }
            if !changes.is_empty() && self.owned.borrow().is_caretaker() {
                wanted.push((topic, changes));
            }
        }
        if !wanted.is_empty() {
            if !self.is_owner().await? {
                return Ok(Round::Over);
            }
            ended = Round::News;
            self.write(wanted).await?;
        }
        self.show().await;
        self.note(ended, heard);
        Ok(ended)
    }

    /// What was refused is waiting to be tried again, and needs no news for it.
    fn note(&mut self, ended: Round, heard: Heard) {
        let is_quiet = ended == Round::Quiet && self.topics.values().all(|w| w.refused.is_empty());
        let before = if self.quiet.1 == heard { self.quiet.0 } else { 0 };
        self.quiet = (if is_quiet { before + 1 } else { 0 }, heard);
    }

    fn dest_topic(&self, topic: &Arc<str>) -> Arc<str> {
        let watched = self.topics.get(topic);
        watched.map_or_else(|| Arc::clone(topic), |watched| Arc::clone(&watched.dest_topic))
    }

    /// After a promotion the topics are no longer a standby's, and their settings not ours (M26).
    async fn is_owner(&self) -> Result<bool, Error> {
        let registered = describe_transactions(&self.dest, &self.transactional_id).await?;
        // An id that the destination has forgotten has no newer owner (M2).
        Ok(registered.is_none_or(|found| Some(found.producer) == self.ours))
    }

    /// All changes of a topic at once; where they are refused together, one by one.
    async fn write(&mut self, wanted: Vec<Wanted>) -> Result<(), Error> {
        let mut singly: Vec<Wanted> = Vec::new();
        for (topic, changes, refused) in self.alter(wanted).await? {
            match refused {
                Some((code, _)) if changes.len() > 1 && !code.is_missing_permission() => {
                    singly.push((topic, changes));
                }
                refused => self.written(&topic, changes, refused),
            }
        }
        while !singly.is_empty() {
            let next =
                singly.iter_mut().filter_map(|(t, changes)| Some((Arc::clone(t), vec![changes.pop()?])));
            let next = next.collect();
            for (topic, changes, refused) in self.alter(next).await? {
                self.written(&topic, changes, refused);
            }
            singly.retain(|(_, changes)| !changes.is_empty());
        }
        Ok(())
    }

    /// What became of each topic's changes.
    async fn alter(&self, wanted: Vec<Wanted>) -> Result<Vec<Altered>, Error> {
        let there: Vec<Arc<str>> = wanted.iter().map(|(topic, _)| self.dest_topic(topic)).collect();
        let request: Vec<_> = there
            .iter()
            .zip(&wanted)
            .map(|(topic, (_, changes))| {
                let changes = changes.iter().map(|change| (change.field.as_str(), change.value.as_deref()));
                (&**topic, changes.collect())
            })
            .collect();
        let answers = alter_topic_configs(&self.dest, &request).await?;
        let altered = wanted.into_iter().zip(answers);
        Ok(altered.map(|((topic, changes), (_, done))| (topic, changes, done.err())).collect())
    }

    fn written(&mut self, topic: &Arc<str>, changes: Vec<Change>, refused: Option<(ErrorCode, String)>) {
        let why = refused
            .map(|(code, words)| refusal(&self.dest, Api::IncrementalAlterConfigs, code, &words, topic));
        let Some(watched) = self.topics.get_mut(topic) else { return };
        for change in changes {
            watched.written(topic, change, why.clone());
        }
    }

    /// Tells what is new of drift and of what is kept for a promotion.
    async fn show(&mut self) {
        let ours = self.owned.borrow().is_caretaker();
        let shown = self.topics.values().filter(|_| ours);
        let drift: Vec<Drift> = shown.flat_map(|watched| watched.drift.iter().cloned()).collect();
        if *drift != *self.drift {
            self.drift = drift.into();
            // A closed channel: the engine has ended and no longer wants to know.
            let _ = self.events.send(Event::Drift(Arc::clone(&self.drift))).await;
        }
        let before = Arc::clone(&self.kept.borrow());
        let nothing = Own::new();
        let keeps = self.topics.iter().filter_map(|(topic, watched)| {
            let before = before.get(topic);
            let now = match &watched.last.as_ref()?.source {
                Ok(source) => kept(&source.own, before.unwrap_or(&nothing)),
                Err(_) => before?.clone(),
            };
            Some((Arc::clone(topic), now))
        });
        let now: KeptSettings = keeps.collect();
        if now != *before {
            self.kept.send_replace(Arc::new(now));
        }
    }
}

impl Watched {
    /// What is to be written, and what is drift.
    fn judge(&mut self, topic: &Arc<str>, look: &Look, rules: Rules<'_>) -> Vec<Change> {
        self.drift.clear();
        for (side, unread) in
            [("source", look.source.as_ref().err()), ("destination", look.standby.as_ref().err())]
        {
            let why = unread.map(|why| format!("on the {side}: {why}"));
            self.drift
                .extend(why.map(|why| drift(topic, "*", None, None, Owner::Local, Act::Unread { why })));
        }
        let Ok(standby) = &look.standby else { return Vec::new() };
        let views = Views { source: look.source.as_ref().ok(), standby, base: &self.base };
        let Comparison { changes, drift: drifted, base } = compare(views, rules);
        self.base = base;
        for (field, of) in drifted {
            self.drift.push(drift(topic, &field, of.wanted, of.standby, of.owner, of.act));
        }
        for (field, (found, value, times)) in &self.put_back {
            let act = Act::PutBack { times: *times };
            self.drift.push(drift(topic, field, value.clone(), found.clone(), Owner::Standby, act));
        }
        self.refused.retain(|field, refused| {
            changes.iter().any(|change| change.field == *field && change.value == refused.value)
        });
        let now = Instant::now();
        let mut due = Vec::new();
        for change in changes {
            match self.refused.get(&change.field) {
                Some(refused) if refused.again_at > now => {
                    let act = Act::Refused { why: refused.why.clone() };
                    let Change { field, value, found, owner } = change;
                    self.drift.push(drift(topic, &field, value, found, owner, act));
                }
                _ => due.push(change),
            }
        }
        self.drift.sort_by(|a, b| a.field.cmp(&b.field));
        due
    }

    fn written(&mut self, topic: &Arc<str>, change: Change, refused: Option<String>) {
        let Change { field, value, found, owner } = change;
        if let Some(why) = refused {
            tracing::warn!(%topic, field, ?value, "the destination does not take a setting: {why}");
            self.refused.insert(field, Refused { value, why, again_at: Instant::now() + REFUSED_INTERVAL });
            return;
        }
        self.refused.remove(&field);
        if owner == Owner::Standby {
            tracing::warn!(%topic, field, ?found, ?value, "a setting that the mirror depends on was put back");
            let times = self.put_back.get(&field).map_or(0, |(_, _, times)| *times);
            self.put_back.insert(field, (found, value, times + 1));
        } else {
            tracing::info!(%topic, field, was = ?found, is = ?value, owner = owner.name(), "setting changed on the destination");
            self.base.insert(field, value);
        }
    }

    /// What the engine has to know of the topic's cleaning (M21), if it is not what it was told last.
    fn compaction_news(&mut self, look: &Look) -> Option<(Compaction, Option<i64>)> {
        let (Ok(source), Ok(standby)) = (&look.source, &look.standby) else { return None };
        let policy = standby.get("cleanup.policy").map_or("", String::as_str);
        let delete_retention_ms = match source.compaction {
            SourceCompaction::On { delete_retention_ms } => Some(delete_retention_ms),
            SourceCompaction::Off => None,
        };
        let now = (compaction(source.compaction, Some(policy)), delete_retention_ms);
        (self.told.replace(now) != Some(now)).then_some(now)
    }
}

fn drift(
    topic: &Arc<str>,
    field: &str,
    wanted: Option<String>,
    standby: Option<String>,
    owner: Owner,
    act: Act,
) -> Drift {
    Drift { topic: Arc::clone(topic), field: field.to_owned(), wanted, standby, owner, act }
}
