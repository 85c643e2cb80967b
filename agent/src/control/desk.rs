//! What this agent holds by the coordinators' word, whoever of them is heard at the moment: its links, its lease, and how each
//! link is divided now. Kept on disk: an agent that starts without coordinators goes on with what it was told last, as far as
//! no lease is needed for it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use lockstep_core::dr::lease::{AgentName, HeldLease, Lease, Moment, Terms};
use lockstep_core::ids::TopicPartition;
use lockstep_core::spec::security::SecuritySpec;
use lockstep_core::status::{ControlStatus, Conversation};
use lockstep_proto::agent::{Assignment, Hold, Welcome};
use prost::Message as _;
use tokio::sync::watch;

use super::assigned::{Assigned, Overtaken};
use super::clock;
use crate::pipeline::owned::{Division, Duty, Owned};
use crate::store::Store;

const KEPT: &[u8] = b"control/assignment";
const SYSTEM: &[u8] = b"control/system";

/// A handle.
#[derive(Clone)]
pub struct Control(Arc<Mutex<Inner>>);

struct Inner {
    agent: AgentName,
    security: BTreeMap<String, SecuritySpec>,
    store: Arc<dyn Store>,
    assigned: Arc<Assigned>,
    lease: HeldLease,
    /// What each link's engine goes by, and what it was made of.
    divisions: BTreeMap<String, Told>,
    words: watch::Sender<Arc<Assigned>>,
    conversation: Conversation,
    /// When a coordinator was heard last.
    heard: Option<Moment>,
}

struct Told {
    owned: watch::Sender<Owned>,
    epoch: u64,
    lease: Lease,
    /// When a former owner's time is over.
    until: Option<Moment>,
}

/// The division of a link that is not this agent's.
struct Nothing;

impl Division for Nothing {
    fn epoch(&self) -> u64 {
        0
    }

    fn duty(&self, _tp: &TopicPartition) -> Duty {
        Duty::Elsewhere
    }

    fn is_caretaker(&self) -> bool {
        false
    }
}

impl Control {
    /// Begins with what was kept, if anything was.
    #[must_use]
    pub fn new(agent: AgentName, security: BTreeMap<String, SecuritySpec>, store: Arc<dyn Store>) -> Self {
        let (words, _) = watch::channel(Arc::default());
        let inner = Inner {
            agent,
            security,
            store,
            assigned: Arc::default(),
            lease: HeldLease::new(Terms::default()),
            divisions: BTreeMap::new(),
            words,
            conversation: Conversation::default(),
            heard: None,
        };
        let control = Self(Arc::new(Mutex::new(inner)));
        control.recall(clock::now());
        control
    }

    fn recall(&self, now: Moment) {
        let mut inner = self.inner();
        let Some(kept) = inner.store.get(KEPT) else { return };
        match Assignment::decode(kept.as_slice()) {
            // What is left of formers' time counts anew from now: longer than needed, never shorter.
            Ok(assignment) => drop(inner.follow(assignment, now)),
            Err(error) => {
                tracing::warn!("the assignment that was kept cannot be read, a new one will come: {error}");
            }
        }
    }

    #[must_use]
    pub fn agent(&self) -> AgentName {
        self.inner().agent.clone()
    }

    /// What is to be done, and every change of it.
    #[must_use]
    pub fn words(&self) -> watch::Receiver<Arc<Assigned>> {
        self.inner().words.subscribe()
    }

    #[must_use]
    pub fn assigned(&self) -> Arc<Assigned> {
        Arc::clone(&self.inner().assigned)
    }

    /// How a link is divided, and every change of it. Of one that is not assigned nothing is this agent's: it may have been
    /// withdrawn between the word and the start.
    #[must_use]
    pub fn owned(&self, link: &str) -> watch::Receiver<Owned> {
        match self.inner().divisions.get(link) {
            Some(told) => told.owned.subscribe(),
            None => watch::channel(Owned::Shared(Arc::new(Nothing))).1,
        }
    }

    /// # Errors
    /// It was overtaken: nothing changes.
    pub fn follow(&self, assignment: Assignment, now: Moment) -> Result<(), Overtaken> {
        let mut inner = self.inner();
        let kept = assignment.encode_to_vec();
        inner.follow(assignment, now)?;
        inner.store.put(KEPT, &kept);
        Ok(())
    }

    /// The highest incarnation that was seen.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.inner().assigned.incarnation
    }

    #[must_use]
    pub fn holds(&self) -> Vec<Hold> {
        let assigned = self.assigned();
        let hold = |(link, assigned): (&String, &super::assigned::AssignedLink)| Hold {
            link: link.clone(),
            epoch: assigned.work.epoch,
        };
        assigned.links.iter().map(hold).collect()
    }

    /// The system that this agent works for; empty: it has not been told yet.
    #[must_use]
    pub fn cluster_id(&self) -> String {
        let kept = self.inner().store.get(SYSTEM).unwrap_or_default();
        String::from_utf8(kept).unwrap_or_default()
    }

    /// A conversation has begun. What an earlier one asked for is not answered in this one; a lease that runs goes on.
    pub fn welcome(&self, welcome: &Welcome) {
        let terms =
            Terms { lease_ms: welcome.lease_ms, renew_ms: welcome.renew_ms, margin_ms: welcome.margin_ms };
        let mut inner = self.inner();
        inner.store.put(SYSTEM, welcome.cluster_id.as_bytes());
        inner.lease.begin(terms);
    }

    /// The number of the heartbeat that is sent now.
    pub fn ask(&self) -> u64 {
        self.inner().lease.ask(clock::now())
    }

    pub fn granted(&self, number: u64) {
        self.inner().lease.granted(number);
    }

    #[must_use]
    pub fn terms(&self) -> Terms {
        self.inner().lease.terms()
    }

    /// Divides what is divided otherwise by now: a lease has ended or come, a former's time is over.
    pub fn look(&self, now: Moment) {
        self.inner().divide(now);
    }

    pub fn heard(&self) {
        self.inner().heard = Some(clock::now());
    }

    pub fn talks(&self, conversation: Conversation) {
        self.inner().conversation = conversation;
    }

    /// For whoever asks how the agent stands.
    #[must_use]
    pub fn status(&self) -> ControlStatus {
        let (inner, now) = (self.inner(), clock::now());
        ControlStatus {
            agent: inner.agent.clone(),
            conversation: inner.conversation.clone(),
            heard_age_ms: inner.heard.map(|heard| now.0.saturating_sub(heard.0)),
            lease_left_ms: inner.lease.until().map(|until| until.left_ms(now)),
            revision: inner.assigned.revision,
            incarnation: inner.assigned.incarnation,
            refused: inner.assigned.refused.clone(),
        }
    }

    /// When the lease ends or ended, by the wall clock of now; `None`: never granted.
    #[must_use]
    pub fn lease_ends(&self) -> Option<SystemTime> {
        let (until, now) = (self.inner().lease.until()?, clock::now());
        let (left, over) = (until.left_ms(now), now.left_ms(until));
        SystemTime::now().checked_add(Duration::from_millis(left))?.checked_sub(Duration::from_millis(over))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while holding it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn follow(&mut self, assignment: Assignment, now: Moment) -> Result<(), Overtaken> {
        let next = Arc::new(self.assigned.follow(assignment, &self.agent, &self.security, now)?);
        for (name, why) in &next.refused {
            if self.assigned.refused.get(name) != Some(why) {
                tracing::error!(name, "assigned by the coordinators, and cannot be worked with: {why}");
            }
        }
        self.assigned = Arc::clone(&next);
        // The engines hear whose work it is before anybody starts or stops a link.
        self.divisions.retain(|link, _| next.links.contains_key(link));
        self.tell(now, |_| true);
        self.words.send_replace(next);
        Ok(())
    }

    fn divide(&mut self, now: Moment) {
        let lease = self.lease.state(now);
        self.tell(now, |told| told.lease != lease || told.until.is_some_and(|until| until <= now));
    }

    fn tell(&mut self, now: Moment, is_due: impl Fn(&Told) -> bool) {
        let lease = self.lease.state(now);
        for (link, assigned) in &self.assigned.links {
            let made = |assigned: &super::assigned::AssignedLink| {
                Owned::Shared(Arc::new(assigned.division(lease, now)))
            };
            let until = assigned.changes_at(now);
            match self.divisions.get_mut(link) {
                None => {
                    let (owned, _) = watch::channel(made(assigned));
                    let told = Told { owned, epoch: assigned.work.epoch, lease, until };
                    self.divisions.insert(link.clone(), told);
                }
                Some(told) if is_due(told) || told.epoch != assigned.work.epoch => {
                    told.owned.send_replace(made(assigned));
                    (told.epoch, told.lease, told.until) = (assigned.work.epoch, lease, until);
                }
                Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use lockstep_proto::agent::{Cluster, Former, Link, Share};

    use super::*;
    use crate::pipeline::owned::Licence;
    use crate::store::MemoryStore;

    fn share(agent: &str) -> Share {
        Share { agent: agent.to_owned(), weight: 1 }
    }

    fn assignment(revision: u64, epoch: u64, shares: &[&str], formers: Vec<Former>) -> Assignment {
        let cluster = |name: &str| Cluster {
            name: name.to_owned(),
            bootstrap: format!("{name}:9092"),
            ..Cluster::default()
        };
        let link = Link {
            name: "claims".to_owned(),
            from: "mi".to_owned(),
            to: "pr".to_owned(),
            spec_json: r#"{"topics":{"include":["a.*"]},"rpo_ms":5000}"#.to_owned(),
            epoch,
            shares: shares.iter().map(|agent| share(agent)).collect(),
            formers,
            ..Link::default()
        };
        let links = if shares.is_empty() { Vec::new() } else { vec![link] };
        Assignment { revision, incarnation: 1, links, clusters: vec![cluster("mi"), cluster("pr")] }
    }

    fn control(store: &Arc<dyn Store>) -> Control {
        Control::new("anna".to_owned(), BTreeMap::new(), Arc::clone(store))
    }

    fn memory() -> Arc<dyn Store> {
        Arc::new(MemoryStore::default())
    }

    fn whole(owned: &watch::Receiver<Owned>) -> usize {
        let owned = owned.borrow();
        let duty = |n| owned.duty(&TopicPartition::new("a", n));
        (0..64).filter(|n| duty(*n) == Duty::Ours(Licence::Everything)).count()
    }

    #[test]
    fn a_lease_that_comes_and_goes_changes_what_may_be_written() {
        let control = control(&memory());
        let now = clock::now();
        control.follow(assignment(1, 1, &["anna", "bert"], Vec::new()), now).unwrap();
        let owned = control.owned("claims");
        assert_eq!(whole(&owned), 0, "nobody granted anything yet");
        control.welcome(&Welcome {
            lease_ms: 10_000,
            renew_ms: 3_000,
            margin_ms: 2_000,
            ..Welcome::default()
        });
        let number = control.ask();
        control.granted(number);
        control.look(clock::now());
        assert!(whole(&owned) > 10);
        assert!(control.status().lease_left_ms.is_some_and(|left| left > 5_000));
        control.look(clock::now().after_ms(11_000));
        assert_eq!(whole(&owned), 0);
    }

    #[test]
    fn a_former_owners_time_ends_by_the_clock() {
        let control = control(&memory());
        let now = clock::now();
        let former =
            Former { agent: "bert".to_owned(), epoch: 1, shares: vec![share("bert")], left_ms: Some(12_000) };
        control.follow(assignment(1, 2, &["anna"], vec![former]), now).unwrap();
        let owned = control.owned("claims");
        control.look(now.after_ms(11_999));
        assert_eq!(whole(&owned), 0);
        control.look(now.after_ms(12_000));
        assert_eq!(whole(&owned), 64);
    }

    #[test]
    fn what_was_told_last_is_remembered_and_older_words_change_nothing() {
        let store = memory();
        let first = control(&store);
        first.follow(assignment(4, 7, &["anna"], Vec::new()), clock::now()).unwrap();
        assert!(first.follow(assignment(3, 8, &["anna", "bert"], Vec::new()), clock::now()).is_err());
        let again = control(&store);
        assert_eq!((again.assigned().revision, again.holds()[0].epoch, again.incarnation()), (4, 7, 1));
        assert_eq!(whole(&again.owned("claims")), 64, "alone, it goes on with everything");
        again.follow(assignment(5, 9, &[], Vec::new()), clock::now()).unwrap();
        let withdrawn = again.owned("claims");
        assert_eq!(withdrawn.borrow().duty(&TopicPartition::new("a", 0)), Duty::Elsewhere, "withdrawn");
        assert!(!withdrawn.borrow().is_caretaker());
        assert!(again.holds().is_empty() && again.words().borrow().links.is_empty());
    }
}
