//! An incremental fetch session (KIP-227): what the broker already knows need not be sent again. Pure state, no I/O.
//! Promises: what the broker believes after a confirmed plan is what was wanted; a plan that was never confirmed
//! (an error, a cancelled call) leaves the session in doubt, and the next plan starts a new one.
//! Never mixes topic names and topic ids in one session.

use std::collections::HashMap;
use std::sync::Arc;

use lockstep_core::ids::{TopicId, TopicPartition};

use super::{FetchTarget, Isolation, LAST_BY_NAME};

/// No session, in requests and answers.
const NO_SESSION: i32 = 0;
/// Session epochs: a new session, and none at all.
const NEW: i32 = 0;
const ALONE: i32 = -1;
/// Before this version requests know no sessions.
const FIRST_WITH_SESSIONS: i16 = 7;

/// The client's side of a session with one broker. Belongs to one connection at a time.
#[derive(Debug)]
pub struct FetchSession {
    isolation: Isolation,
    state: State,
    /// The session the broker may still hold for us: a new one names it, so that the broker lets it go.
    id: i32,
}

#[derive(Debug)]
enum State {
    /// The next request names everything.
    Fresh,
    /// The broker holds `held`; the next request carries this epoch and only what differs.
    Established { epoch: i32, style: Style, held: Held },
}

/// What a broker has been told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Held {
    /// As it was wanted last.
    wanted: Arc<[FetchTarget]>,
    by_partition: HashMap<TopicPartition, FetchTarget>,
}

impl Held {
    fn of(wanted: &Arc<[FetchTarget]>) -> Self {
        let by_partition = wanted.iter().map(|target| (target.tp.clone(), target.clone())).collect();
        Self { wanted: Arc::clone(wanted), by_partition }
    }
}

/// How topics are called in requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Names,
    Ids,
}

/// One request of a session, decided and not yet answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedFetch {
    pub(super) version: i16,
    pub(super) session_id: i32,
    pub(super) session_epoch: i32,
    /// Everything wanted for a new session, else only what the broker does not know yet; in the order wanted.
    pub(super) changed: Vec<FetchTarget>,
    /// No longer wanted, by the id under which the broker knows them.
    pub(super) forgotten: Vec<(TopicPartition, TopicId)>,
    /// What the broker will hold once it has answered.
    held: Held,
}

impl PlannedFetch {
    /// A request outside any session.
    pub(super) fn alone(targets: &[FetchTarget], version: i16) -> Self {
        Self {
            version,
            session_id: NO_SESSION,
            session_epoch: ALONE,
            changed: targets.to_vec(),
            forgotten: Vec::new(),
            held: Held::default(),
        }
    }
}

impl FetchSession {
    #[must_use]
    pub fn new(isolation: Isolation) -> Self {
        Self { isolation, state: State::Fresh, id: NO_SESSION }
    }

    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// The request that makes the broker fetch exactly `wanted`, in a version both sides speak. Nothing new in thousands of
    /// partitions is the usual case: the same `Arc` as the last time is known to be so without a look.
    pub(super) fn plan(&mut self, wanted: &Arc<[FetchTarget]>, version: i16) -> PlannedFetch {
        if version < FIRST_WITH_SESSIONS {
            return PlannedFetch::alone(wanted, version);
        }
        let style = if version > LAST_BY_NAME { Style::Ids } else { Style::Names };
        // Until the plan is confirmed nobody knows what the broker knows.
        match std::mem::replace(&mut self.state, State::Fresh) {
            State::Established { epoch, style: before, held: known } if before == style => {
                let (changed, forgotten, held) = match Arc::ptr_eq(&known.wanted, wanted) {
                    true => (Vec::new(), Vec::new(), known),
                    false => differences(known, wanted, style),
                };
                PlannedFetch { version, session_id: self.id, session_epoch: epoch, changed, forgotten, held }
            }
            _ => PlannedFetch {
                version,
                session_id: self.id,
                session_epoch: NEW,
                changed: wanted.to_vec(),
                forgotten: Vec::new(),
                held: Held::of(wanted),
            },
        }
    }

    /// The broker answered `plan` without an error, naming this session (0: it keeps none).
    pub(super) fn confirm(&mut self, plan: PlannedFetch, session_id: i32) {
        self.id = session_id;
        if session_id == NO_SESSION || plan.session_epoch == ALONE {
            self.state = State::Fresh;
            return;
        }
        let style = if plan.version > LAST_BY_NAME { Style::Ids } else { Style::Names };
        self.state = State::Established { epoch: next(plan.session_epoch), style, held: plan.held };
    }

    /// Starts anew with the next plan. Implied by every plan that is not confirmed.
    pub fn reset(&mut self) {
        self.state = State::Fresh;
    }
}

/// What the broker does not know yet, what it may forget, and what it holds then.
fn differences(
    known: Held,
    wanted: &Arc<[FetchTarget]>,
    style: Style,
) -> (Vec<FetchTarget>, Vec<(TopicPartition, TopicId)>, Held) {
    let differs = |target: &&FetchTarget| known.by_partition.get(&target.tp) != Some(*target);
    let changed: Vec<_> = wanted.iter().filter(differs).cloned().collect();
    if changed.is_empty() && known.by_partition.len() == wanted.len() {
        return (changed, Vec::new(), Held { wanted: Arc::clone(wanted), ..known });
    }
    let held = Held::of(wanted);
    let forgotten = forgotten(&known.by_partition, &held.by_partition, style);
    (changed, forgotten, held)
}

/// What the broker knows and nobody wants any more. A topic created anew under the same name counts as another.
fn forgotten(
    known: &HashMap<TopicPartition, FetchTarget>,
    wanted: &HashMap<TopicPartition, FetchTarget>,
    style: Style,
) -> Vec<(TopicPartition, TopicId)> {
    let gone = known.values().filter(|old| match wanted.get(&old.tp) {
        None => true,
        Some(new) => style == Style::Ids && new.topic_id != old.topic_id,
    });
    let mut gone: Vec<_> = gone.map(|old| (old.tp.clone(), old.topic_id)).collect();
    gone.sort();
    gone
}

/// Epochs run from 1 to the largest and around again; 0 and −1 have meanings of their own.
fn next(epoch: i32) -> i32 {
    if epoch == i32::MAX { 1 } else { epoch + 1 }
}

#[cfg(test)]
mod tests {
    use lockstep_core::ids::{LeaderEpoch, SourceOffset};

    use super::*;

    fn target(topic: &str, partition: i32, offset: i64) -> FetchTarget {
        FetchTarget {
            tp: TopicPartition::new(topic, partition),
            topic_id: TopicId([topic.as_bytes()[0]; 16]),
            offset: SourceOffset(offset),
            current_leader_epoch: LeaderEpoch(1),
            last_fetched_epoch: LeaderEpoch(1),
            partition_bytes_max: 1 << 20,
        }
    }

    fn planned(session: &mut FetchSession, wanted: &[FetchTarget], version: i16) -> PlannedFetch {
        session.plan(&Arc::from(wanted), version)
    }

    fn established(wanted: &[FetchTarget], version: i16) -> FetchSession {
        let mut session = FetchSession::new(Isolation::ReadCommitted);
        let plan = planned(&mut session, wanted, version);
        assert_eq!((plan.session_id, plan.session_epoch), (0, 0));
        assert_eq!(plan.changed, wanted);
        session.confirm(plan, 42);
        session
    }

    #[test]
    fn only_differences_are_sent() {
        let mut session = established(&[target("a", 0, 0), target("a", 1, 0), target("b", 0, 0)], 16);
        let wanted = [target("a", 0, 0), target("a", 1, 500), target("c", 0, 7)];
        let plan = planned(&mut session, &wanted, 16);
        assert_eq!((plan.session_id, plan.session_epoch), (42, 1));
        assert_eq!(plan.changed, [target("a", 1, 500), target("c", 0, 7)]);
        assert_eq!(plan.forgotten, [(TopicPartition::new("b", 0), TopicId([b'b'; 16]))]);
        session.confirm(plan, 42);
        let plan = planned(&mut session, &wanted, 16);
        assert_eq!(plan.session_epoch, 2);
        assert!(plan.changed.is_empty() && plan.forgotten.is_empty(), "nothing changed: {plan:?}");
    }

    #[test]
    fn the_same_list_again_is_no_difference_and_another_one_is_looked_at() {
        let wanted: Arc<[FetchTarget]> = Arc::new([target("a", 0, 0), target("a", 1, 0)]);
        let mut session = FetchSession::new(Isolation::ReadCommitted);
        for epoch in 0..3 {
            let plan = session.plan(&wanted, 16);
            let sent = if epoch == 0 { 2 } else { 0 };
            assert_eq!((plan.session_epoch, plan.changed.len(), plan.forgotten.len()), (epoch, sent, 0));
            session.confirm(plan, 42);
        }
        let moved = [target("a", 0, 7), target("a", 1, 0)];
        assert_eq!(planned(&mut session, &moved, 16).changed, moved[..1]);
        let unanswered = session.plan(&wanted, 16);
        assert_eq!((unanswered.session_epoch, unanswered.changed.len()), (0, 2), "in doubt: everything");
    }

    #[test]
    fn a_new_leader_epoch_is_a_difference() {
        let mut session = established(&[target("a", 0, 0)], 16);
        let mut moved = target("a", 0, 0);
        moved.current_leader_epoch = LeaderEpoch(2);
        assert_eq!(planned(&mut session, std::slice::from_ref(&moved), 16).changed, [moved]);
    }

    #[test]
    fn a_plan_without_an_answer_starts_a_new_session() {
        let wanted = [target("a", 0, 0)];
        let mut session = established(&wanted, 16);
        let _unanswered = planned(&mut session, &wanted, 16);
        let plan = planned(&mut session, &wanted, 16);
        // Naming the old session with epoch 0 makes the broker let it go.
        assert_eq!((plan.session_id, plan.session_epoch), (42, 0));
        assert_eq!(plan.changed, wanted);
    }

    #[test]
    fn a_refused_session_is_started_anew() {
        let wanted = [target("a", 0, 0)];
        let mut session = established(&wanted, 16);
        let _refused = planned(&mut session, &wanted, 16);
        session.reset();
        let plan = planned(&mut session, &wanted, 16);
        assert_eq!((plan.session_epoch, plan.changed.len()), (0, 1));
        session.confirm(plan, 43);
        let plan = planned(&mut session, &wanted, 16);
        assert_eq!((plan.session_id, plan.session_epoch, plan.changed.len()), (43, 1, 0));
    }

    #[test]
    fn a_broker_that_keeps_no_session_is_told_everything_each_time() {
        let wanted = [target("a", 0, 0)];
        let mut session = FetchSession::new(Isolation::ReadCommitted);
        for _ in 0..3 {
            let plan = planned(&mut session, &wanted, 11);
            assert_eq!((plan.session_id, plan.session_epoch, plan.changed.len()), (0, 0, 1));
            session.confirm(plan, 0);
        }
        let plan = planned(&mut session, &wanted, 6);
        assert_eq!((plan.session_id, plan.session_epoch, plan.changed.len()), (0, -1, 1), "before sessions");
    }

    #[test]
    fn names_and_ids_do_not_mix() {
        let wanted = [target("a", 0, 0)];
        let mut session = established(&wanted, 16);
        let nameless = FetchTarget { topic_id: TopicId::ZERO, ..target("b", 0, 0) };
        let both = [wanted[0].clone(), nameless];
        let plan = planned(&mut session, &both, 12);
        assert_eq!((plan.session_epoch, plan.changed.len(), plan.forgotten.len()), (0, 2, 0));
    }

    #[test]
    fn a_topic_created_anew_is_forgotten_and_added() {
        let mut session = established(&[target("a", 0, 500)], 16);
        let anew = FetchTarget { topic_id: TopicId([9; 16]), ..target("a", 0, 0) };
        let plan = planned(&mut session, std::slice::from_ref(&anew), 16);
        assert_eq!(plan.changed, [anew]);
        assert_eq!(plan.forgotten, [(TopicPartition::new("a", 0), TopicId([b'a'; 16]))]);
    }

    #[test]
    fn the_epoch_goes_around_without_touching_zero() {
        let wanted = [target("a", 0, 0)];
        let mut session = established(&wanted, 16);
        let mut plan = planned(&mut session, &wanted, 16);
        plan.session_epoch = i32::MAX;
        session.confirm(plan, 42);
        assert_eq!(planned(&mut session, &wanted, 16).session_epoch, 1);
    }
}
