//! Who is here: one seat for each agent, taken by its newest session; when it was last heard; questions on their way.
//! Promises: an agent that comes again ends its earlier session, so that a name never speaks with two voices; what a
//! session that lost its seat still says has no effect. Questions are bounded and never outlive their patience.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use lockstep_proto::agent::to_agent::Message;
use lockstep_proto::agent::{Answer, Ask, AskKind, answer};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Questions to one agent that are not answered yet.
pub const QUESTIONS_MAX: usize = 16;
/// Messages on their way to one agent.
pub(super) const OUTBOX_MAX: usize = 64;

/// What an agent is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    pub kind: AskKind,
    pub argument: String,
    pub patience: Duration,
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AskFault {
    #[error("agent {0:?} has no session with this coordinator")]
    NotHere(String),
    #[error("agent {0:?} has too many questions already")]
    Busy(String),
    #[error("agent {agent:?} has not answered within {seconds} s")]
    Late { agent: String, seconds: u64 },
    #[error("the session of agent {0:?} ended before it answered")]
    Left(String),
    #[error("agent {agent:?}: {words}")]
    Refused { agent: String, words: String },
}

/// All seats. A handle: copies share them.
#[derive(Clone, Default)]
pub struct Seats(Arc<Mutex<All>>);

#[derive(Default)]
struct All {
    last_number: u64,
    last_question: u64,
    taken: BTreeMap<String, Seat>,
}

struct Seat {
    number: u64,
    heard: Instant,
    /// When the certificate that the agent showed is over.
    until: SystemTime,
    outbox: mpsc::Sender<Message>,
    questions: BTreeMap<u64, oneshot::Sender<Answer>>,
    /// Dropped when another session takes the seat.
    _voice: oneshot::Sender<()>,
}

/// A session's hold on its seat; given up when dropped.
pub(super) struct Taken {
    seats: Seats,
    agent: String,
    number: u64,
    /// Ends when another session of this agent took the seat.
    pub(super) replaced: oneshot::Receiver<()>,
    /// What others say to the agent.
    pub(super) inbox: mpsc::Receiver<Message>,
}

impl Seats {
    pub(super) fn take(&self, agent: &str, until: SystemTime, now: Instant) -> Taken {
        let (outbox, inbox) = mpsc::channel(OUTBOX_MAX);
        let (voice, replaced) = oneshot::channel();
        let mut all = self.all();
        all.last_number += 1;
        let number = all.last_number;
        let seat = Seat { number, heard: now, until, outbox, questions: BTreeMap::new(), _voice: voice };
        all.taken.insert(agent.to_owned(), seat);
        Taken { seats: self.clone(), agent: agent.to_owned(), number, replaced, inbox }
    }

    /// When each agent that has a session was last heard.
    #[must_use]
    pub fn heard(&self) -> BTreeMap<String, Instant> {
        self.all().taken.iter().map(|(agent, seat)| (agent.clone(), seat.heard)).collect()
    }

    /// Until when the certificate of each agent that has a session is valid.
    #[must_use]
    pub fn certificates(&self) -> BTreeMap<String, SystemTime> {
        self.all().taken.iter().map(|(agent, seat)| (agent.clone(), seat.until)).collect()
    }

    /// Asks an agent and waits for its document.
    ///
    /// # Errors
    /// [`AskFault`]; the agent may have done what was asked, which changes nothing there.
    pub async fn ask(&self, agent: &str, question: Question) -> Result<String, AskFault> {
        let (id, answer) = self.put(agent, &question)?;
        let answered = tokio::time::timeout(question.patience, answer).await;
        if let Some(seat) = self.all().taken.get_mut(agent) {
            seat.questions.remove(&id);
        }
        let refused = |words: &str| AskFault::Refused { agent: agent.to_owned(), words: words.to_owned() };
        match answered {
            Err(_) => Err(AskFault::Late { agent: agent.to_owned(), seconds: question.patience.as_secs() }),
            Ok(Err(_)) => Err(AskFault::Left(agent.to_owned())),
            Ok(Ok(Answer { outcome: Some(answer::Outcome::Document(document)), .. })) => Ok(document),
            Ok(Ok(Answer { outcome: Some(answer::Outcome::Error(words)), .. })) => Err(refused(&words)),
            Ok(Ok(Answer { outcome: None, .. })) => {
                Err(refused("an answer of a kind this version does not know"))
            }
        }
    }

    fn put(&self, agent: &str, question: &Question) -> Result<(u64, oneshot::Receiver<Answer>), AskFault> {
        let mut all = self.all();
        all.last_question += 1;
        let id = all.last_question;
        let seat = all.taken.get_mut(agent).ok_or_else(|| AskFault::NotHere(agent.to_owned()))?;
        // Whoever stopped to wait (its caller went away) holds no place.
        seat.questions.retain(|_, asker| !asker.is_closed());
        if seat.questions.len() >= QUESTIONS_MAX {
            return Err(AskFault::Busy(agent.to_owned()));
        }
        let ask = Ask { id, kind: question.kind.into(), argument: question.argument.clone() };
        seat.outbox.try_send(Message::Ask(ask)).map_err(|_| AskFault::Busy(agent.to_owned()))?;
        let (asker, answer) = oneshot::channel();
        seat.questions.insert(id, asker);
        Ok((id, answer))
    }

    fn all(&self) -> MutexGuard<'_, All> {
        // Every change is one step: a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Notes that the agent was heard. `false`: the seat is another session's.
    pub(super) fn heard(&self, now: Instant) -> bool {
        self.with(|seat| seat.heard = now).is_some()
    }

    pub(super) fn answered(&self, answer: Answer) {
        let asker = self.with(|seat| seat.questions.remove(&answer.id)).flatten();
        if let Some(asker) = asker {
            // Whoever asked may have gone.
            let _ = asker.send(answer);
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Seat) -> T) -> Option<T> {
        let mut all = self.seats.all();
        all.taken.get_mut(&self.agent).filter(|seat| seat.number == self.number).map(act)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut all = self.seats.all();
        if all.taken.get(&self.agent).is_some_and(|seat| seat.number == self.number) {
            all.taken.remove(&self.agent);
        }
    }
}
