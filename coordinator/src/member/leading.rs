//! What a member does while it leads, and only then: agents that come are registered, work is shared among those that are
//! here, waits that are over are ended, members that have caught up get their vote. Everything it decides is an entry of the
//! log; what it remembers besides (who was heard, since when an epoch is over) a new leader learns anew and waits for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::audit::{Actor, ActorKind};
use lockstep_core::dr::lease::{Grantor, Left, Moment, Terms};
use lockstep_core::state::{Command, MemberChange, REHEARSAL_LEVEL, State, known};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::catching_up::has_trail;
use super::council::{Council, lead};
use super::folder::Identity;
use super::sharing;
use super::tidying::Tidying;
use crate::agreed;
use crate::agreement::{Agreement as _, Position, Seat, SeatKind};
use crate::consensus::Change;
use crate::dispatch::{Desk, Lead, Notice, Standing, Wanted};
use crate::peers::Peers;

const TICK: Duration = Duration::from_millis(250);
/// An agent whose session broke may come back so long before its work is given to others.
const GRACE: Duration = Duration::from_secs(2);
/// After somebody came, others may be about to.
const SETTLING: Duration = Duration::from_secs(1);
/// What sessions are told changes at most this often.
const TELLING: Duration = Duration::from_millis(100);
/// A change of members whose asker vanished before the audit trail was told.
const UNTOLD: Duration = Duration::from_secs(5);
/// Entries proposed at once.
const TOGETHER: usize = 64;

/// One member's part in leading.
pub(super) struct Leading {
    council: Council,
    desk: Desk,
    standing: watch::Sender<Standing>,
    notices: mpsc::Receiver<Notice>,
    peers: Arc<Peers>,
    identity: Identity,
    terms: Terms,
    /// Moments count from here.
    epoch: Instant,
}

/// What is known while this member leads.
struct Reign {
    term: u64,
    since: Instant,
    grantor: Grantor,
    /// Agents with a session, and those that had one: since when it is gone.
    gone: BTreeMap<String, Option<Instant>>,
    last_arrival: Option<Instant>,
    untold: Option<Instant>,
    told: Option<(Arc<State>, Instant)>,
    /// Gives votes to those who have caught up.
    promoting: Option<JoinHandle<()>>,
    tidying: Tidying,
}

impl Leading {
    pub(super) fn new(
        council: Council,
        desk: Desk,
        standing: watch::Sender<Standing>,
        notices: mpsc::Receiver<Notice>,
        peers: Arc<Peers>,
        (identity, terms): (Identity, Terms),
    ) -> Self {
        Self { council, desk, standing, notices, peers, identity, terms, epoch: Instant::now() }
    }

    /// Until the node has stopped.
    pub(super) async fn run(mut self) {
        let mut position = self.council.node().position();
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut reign = None;
        loop {
            let mut notices = Vec::new();
            tokio::select! {
                _ = clock.tick() => {}
                changed = position.changed() => if changed.is_err() { return },
                Some(notice) = self.notices.recv() => notices.push(notice),
            }
            while let Ok(notice) = self.notices.try_recv() {
                notices.push(notice);
            }
            let now = position.borrow_and_update().clone();
            if now.stopped.is_some() {
                return;
            }
            self.step(&now, &mut reign, notices).await;
        }
    }

    async fn step(&self, position: &Position, reign: &mut Option<Reign>, notices: Vec<Notice>) {
        if !position.leads() {
            *reign = None;
            return self.follow(lead(position));
        }
        if reign.as_ref().is_none_or(|reign| reign.term != position.term) {
            // Everything that leaders before agreed on has to be here first.
            let Ok(state) = self.council.read().await else { return self.follow(Lead::Nobody) };
            tracing::info!(term = position.term, "this coordinator leads");
            *reign = Some(Reign::new(position.term, self.terms, self.now(), &state));
            self.desk.with_intake(|intake| intake.begin(Instant::now()));
        }
        let Some(reign) = reign else { return };
        self.see_agents(reign);
        let mut wanted = Vec::new();
        for notice in notices {
            self.heed(reign, notice, &mut wanted);
        }
        // By itself: what is wished for together is agreed on in any order.
        self.propose_all(self.due()).await;
        self.tell_members(reign, position, &mut wanted);
        self.share(reign, &mut wanted);
        self.clear(reign, &mut wanted);
        wanted.extend(reign.tidying.step(&self.council.state(), &self.desk).await);
        self.propose_all(wanted).await;
        self.promote(reign, position);
        self.tell(reign);
    }

    fn now(&self) -> Moment {
        self.moment(Instant::now())
    }

    fn moment(&self, at: Instant) -> Moment {
        let since = at.saturating_duration_since(self.epoch).as_millis();
        Moment(u64::try_from(since).unwrap_or(u64::MAX))
    }

    fn actor(&self) -> Actor {
        Actor { name: self.identity.member.name.clone(), kind: ActorKind::Coordinator, from: None }
    }

    /// Sessions are sent on to whoever leads.
    fn follow(&self, lead: Lead) {
        self.standing.send_if_modified(|standing| {
            let is_new = standing.lead != lead;
            standing.lead = lead;
            is_new
        });
    }

    fn see_agents(&self, reign: &mut Reign) {
        let (heard, now) = (self.desk.seats.heard(), Instant::now());
        for (agent, at) in &heard {
            reign.grantor.answered(agent, self.moment(*at));
            reign.gone.insert(agent.clone(), None);
        }
        for (agent, gone) in &mut reign.gone {
            if !heard.contains_key(agent) && gone.is_none() {
                // Until this moment it may have been answered.
                reign.grantor.answered(agent, self.moment(now));
                *gone = Some(now);
            }
        }
    }

    fn heed(&self, reign: &mut Reign, notice: Notice, wanted: &mut Vec<Command>) {
        match notice {
            Notice::Arrived { agent, site, version, level, .. } => {
                reign.last_arrival = Some(Instant::now());
                let state = self.council.state();
                let known = state.agents().get(&agent);
                let is_same = known.is_some_and(|known| {
                    (&known.site, &known.version, known.level) == (&site, &version, level)
                });
                if !is_same {
                    wanted.push(Command::RegisterAgent { agent, site, version, level });
                }
            }
            Notice::Released { agent, link, epoch } => {
                let state = self.council.state();
                let waits = state.work(&link).is_some_and(|work| {
                    work.earlier.range(..epoch).any(|(_, earlier)| earlier.waits.contains(&agent))
                });
                if waits {
                    wanted.push(Command::Cleared { link, epoch, agents: BTreeSet::from([agent]) });
                }
            }
        }
    }

    /// The first entry of a system, the first after a forced recovery, and the first of a new level.
    fn due(&self) -> Vec<Command> {
        let state = self.council.state();
        if state.cluster_id().is_none() {
            vec![Command::Found { cluster_id: self.identity.cluster_id.clone(), level: known() }]
        } else if state.incarnation() < self.identity.incarnation {
            vec![Command::RaiseIncarnation {}]
        } else if state.level() >= REHEARSAL_LEVEL && state.rehearsed().is_none() {
            vec![Command::Rehearse {}]
        } else {
            Vec::new()
        }
    }

    /// Whoever changes the members tells the trail; this is for what a crash in between left untold.
    fn tell_members(&self, reign: &mut Reign, position: &Position, wanted: &mut Vec<Command>) {
        let state = self.council.state();
        let seats: BTreeMap<_, _> =
            position.seats.iter().map(|seat| (seat.member.id, &seat.member)).collect();
        let joined = seats.values().filter(|member| state.members().get(&member.id) != Some(**member));
        let joined = joined.map(|member| ((*member).clone(), MemberChange::Joined));
        let left = state.members().values().filter(|member| !seats.contains_key(&member.id));
        let left = left.map(|member| (member.clone(), MemberChange::Left));
        let untold: Vec<_> = joined.chain(left).collect();
        if untold.is_empty() {
            reign.untold = None;
            return;
        }
        let since = *reign.untold.get_or_insert_with(Instant::now);
        if since.elapsed() >= UNTOLD || state.members().is_empty() {
            wanted
                .extend(untold.into_iter().map(|(member, change)| Command::MemberChanged { member, change }));
        }
    }

    fn share(&self, reign: &Reign, wanted: &mut Vec<Command>) {
        if reign.last_arrival.is_some_and(|at| at.elapsed() < SETTLING) {
            return;
        }
        let state = self.council.state();
        // Agents of before have a lease to find the new leader in.
        let is_new = reign.since.elapsed() < Duration::from_millis(self.terms.lease_ms);
        let is_here = |agent: &str| match reign.gone.get(agent) {
            Some(None) => true,
            Some(Some(gone)) => gone.elapsed() < GRACE,
            None => is_new,
        };
        for link in state.spec().links.keys() {
            // Who was never here and has no share is nobody to wait for.
            let has = |agent: &str| {
                state.work(link).is_some_and(|work| work.shares.contains_key(agent))
                    || reign.gone.contains_key(agent)
            };
            if let Some(shares) = sharing::wanted(&state, link, |agent| has(agent) && is_here(agent)) {
                wanted.push(Command::Share { link: link.clone(), shares });
            }
        }
    }

    fn clear(&self, reign: &mut Reign, wanted: &mut Vec<Command>) {
        let (state, now) = (self.council.state(), self.now());
        for (link, work) in state.works() {
            for (agent, epoch) in reign.grantor.outlived(link, work, now) {
                wanted.push(Command::Cleared { link: link.clone(), epoch, agents: BTreeSet::from([agent]) });
            }
        }
        reign.grantor.tidy(state.works());
    }

    async fn propose_all(&self, wanted: Vec<Command>) {
        for some in wanted.chunks(TOGETHER) {
            let asked = some.iter().map(|command| {
                let (council, actor, command) = (self.council.clone(), self.actor(), command.clone());
                let reason = match &command {
                    Command::RaiseIncarnation {} => self.identity.recovered_because.clone(),
                    _ => None,
                };
                tokio::spawn(async move { council.propose(actor, reason, command).await })
            });
            for (asked, command) in asked.collect::<Vec<_>>().into_iter().zip(some) {
                match asked.await {
                    Ok(Ok(applied)) => {
                        if let Err(refusal) = applied.outcome {
                            tracing::warn!(kind = command.kind(), "refused by the agreed state: {refusal}");
                        }
                    }
                    // Whoever leads next comes to the same wish.
                    Ok(Err(not_done)) => {
                        tracing::debug!(kind = command.kind(), "not agreed on: {not_done}");
                    }
                    Err(error) => tracing::error!("proposing broke off: {error}"),
                }
            }
        }
    }

    /// Whoever has caught up gets its vote; asked beside the loop, which waits for nobody.
    fn promote(&self, reign: &mut Reign, position: &Position) {
        let learners: Vec<_> =
            position.seats.iter().filter(|seat| seat.kind == SeatKind::Learner).cloned().collect();
        let is_asking = reign.promoting.as_ref().is_some_and(|asking| !asking.is_finished());
        if learners.is_empty() || is_asking {
            return;
        }
        let (council, peers) = (self.council.clone(), Arc::clone(&self.peers));
        reign.promoting = Some(tokio::spawn(async move {
            for Seat { member, .. } in learners {
                // A survivor of a disaster must have the whole trail: no vote before.
                let end = council.state().audit().seq;
                if let Err(why) = has_trail(&peers, &member.address, end).await {
                    tracing::debug!(member = member.name, "no vote yet: {why}");
                    continue;
                }
                match council.node().change(vec![Change::Vote(member.clone())]).await {
                    Ok(_) => tracing::info!(member = member.name, "it has everything and votes from now on"),
                    Err(refused) => tracing::debug!(member = member.name, "no vote yet: {refused}"),
                }
            }
        }));
    }

    /// What sessions go by. Which epochs are over is noted first: no beat after this makes their leases longer.
    fn tell(&self, reign: &mut Reign) {
        let (state, at) = (self.council.state(), Instant::now());
        let is_same = reign.told.as_ref().is_some_and(|(told, _)| Arc::ptr_eq(told, &state));
        let is_soon = reign.told.as_ref().is_some_and(|(_, told)| at - *told < TELLING);
        let leads = self.standing.borrow().lead == Lead::Here;
        if leads && (is_same || is_soon) {
            return;
        }
        let now = self.moment(at);
        for (link, work) in state.works() {
            for epoch in work.earlier.keys() {
                reign.grantor.superseded(link, *epoch, now);
            }
        }
        let until = |link: &str, agent: &str, epoch: u64| {
            let formers = reign.grantor.formers(link, state.work(link)?, "", now);
            match formers.into_iter().find(|former| former.agent == agent && former.epoch == epoch)?.left {
                Left::Ms(left) => Some(at + Duration::from_millis(left)),
                Left::UntilCleared => None,
            }
        };
        let wanted = Wanted {
            revision: state.revision(),
            links: agreed::links(&state, until),
            clusters: agreed::clusters(&state),
        };
        self.standing.send_modify(|standing| {
            standing.incarnation = state.incarnation();
            standing.lead = Lead::Here;
            standing.wanted = Arc::new(wanted);
        });
        reign.told = Some((state, at));
    }
}

impl Reign {
    fn new(term: u64, terms: Terms, now: Moment, state: &State) -> Self {
        Self {
            term,
            since: Instant::now(),
            grantor: Grantor::new(terms, now, state.works()),
            gone: BTreeMap::new(),
            last_arrival: None,
            untold: None,
            told: None,
            promoting: None,
            tidying: Tidying::default(),
        }
    }
}

/// The first standing, before anything is known.
pub(super) fn unknown(identity: &Identity, terms: Terms) -> Standing {
    Standing {
        cluster_id: identity.cluster_id.clone(),
        incarnation: identity.incarnation,
        lead: Lead::Nobody,
        terms,
        wanted: Arc::new(Wanted::default()),
    }
}
