//! What agents are told: where the leader is, what their work is, and questions that only they can answer.
//!
//! ```text
//! Standing (what holds now, written by whoever follows the agreement) ─ session ─► agent
//! agent ─ session ─► intake (figures), Notice (what the leader must think about)
//! ```
//!
//! | file | does |
//! |---|---|
//! | `work` | what an agent has to do, cut out of everything that is wanted |
//! | `seats` | who is here, when it was last heard, questions on their way |
//! | `session` | one agent's stream from hello to the end |

mod seats;
mod session;
mod work;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lockstep_core::dr::lease::Terms;
use lockstep_proto::agent::Hold;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub use seats::{AskFault, QUESTIONS_MAX, Question, Seats};
pub use session::{Outbox, open};
pub use work::{Formerly, Wanted, WantedLink};

use crate::intake::Intake;

/// Notices that wait for the leader; a session that has one more waits with it.
pub const NOTICES_MAX: usize = 1_024;

/// Who leads, as this member knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lead {
    /// This member.
    Here,
    /// The address at which agents reach the leader.
    At(String),
    /// Nobody is known.
    Nobody,
}

/// What holds at the moment. Sessions follow it: when this member stops to lead, every agent is sent on.
#[derive(Clone, Debug)]
pub struct Standing {
    pub cluster_id: String,
    pub incarnation: u64,
    pub lead: Lead,
    pub terms: Terms,
    pub wanted: Arc<Wanted>,
}

/// What an agent said that the leader must think about.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// It has a session now.
    Arrived { agent: String, site: String, version: String, level: u32, holds: Vec<Hold> },
    /// Nothing of earlier epochs is in flight there any more.
    Released { agent: String, link: String, epoch: u64 },
}

/// Whoever knows whether this member still leads.
#[tonic::async_trait]
pub trait Leadership: Send + Sync + 'static {
    /// Asks a majority anew: an answer from before the question does not count. A leader that was cut off would grant
    /// leases that its successor knows nothing of.
    ///
    /// # Errors
    /// Who leads now, as far as known: this member does not, or cannot tell.
    async fn confirm(&self) -> Result<(), Lead>;
}

/// What all sessions of a coordinator share.
#[derive(Clone)]
pub struct Desk {
    pub leadership: Arc<dyn Leadership>,
    pub standing: watch::Receiver<Standing>,
    pub seats: Seats,
    pub intake: Arc<Mutex<Intake>>,
    pub notices: mpsc::Sender<Notice>,
    /// Why removed links could not be tidied up, as the leader was told last.
    untidy: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Desk {
    #[must_use]
    pub fn new(
        leadership: Arc<dyn Leadership>,
        standing: watch::Receiver<Standing>,
        notices: mpsc::Sender<Notice>,
    ) -> Self {
        let intake = Arc::new(Mutex::new(Intake::new(Instant::now())));
        Self { leadership, standing, seats: Seats::default(), intake, notices, untidy: Arc::default() }
    }

    /// Why a removed link is not tidied up yet, and a place to say so.
    pub fn with_untidy<T>(&self, act: impl FnOnce(&mut BTreeMap<String, String>) -> T) -> T {
        // Every change is one step: a panic elsewhere leaves it whole.
        act(&mut self.untidy.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The reports, for as long as it takes to read or replace one.
    pub fn with_intake<T>(&self, act: impl FnOnce(&mut Intake) -> T) -> T {
        // Every change of the intake is one insertion: a panic elsewhere leaves it whole.
        act(&mut self.intake.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
