//! What happens to a partition and what it asks for: the two sides of the state machine in `partition`.
//! Plain data; whoever performs an action reports what came of it as an input.

use bytes::Bytes;

use super::align::Span;
use super::copying::{Append, AppendAnswer, AppendReceipt, Filling};
use super::cost::Cost;
use super::guard::Guard;
use super::markers::{MarkerAnswer, MarkerRun};
use super::opening::{Displaced, Facts};
use super::verdict::Verdict;
use super::window::Ticket;
use super::{Millis, Trouble};
use crate::ids::{DestOffset, LeaderEpoch, ProducerIdentity, SourceOffset, TopicId};
use crate::transactions::AbortedTransaction;

/// What a partition is told at birth.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    pub identity: ProducerIdentity,
    pub guard: Guard,
    pub filling: Filling,
    /// Fetching pauses while this many bytes wait for a receipt.
    pub buffered_bytes_max: usize,
}

/// What happened.
#[derive(Debug)]
pub enum Input<P> {
    /// The reads asked for by [`Action::Open`] are in.
    Facts(Box<Facts>),
    /// They could not be made.
    OpenFailed(Trouble),
    /// A fetch from `at` answered. `permit` accounts for the memory of `records`.
    Fetched {
        at: SourceOffset,
        records: Bytes,
        aborted: Vec<AbortedTransaction>,
        ends: SourceEnds,
        permit: P,
    },
    /// The source says its history ends before the position we fetch from (M10).
    SourceDiverges {
        at: SourceOffset,
        epoch: LeaderEpoch,
        end: SourceOffset,
    },
    /// The source no longer has the offset we fetch from.
    OutOfRange {
        at: SourceOffset,
    },
    Appended {
        ticket: Ticket,
        answer: AppendAnswer,
    },
    Marked {
        ticket: Ticket,
        answer: MarkerAnswer,
    },
    /// With nothing of ours in flight, the destination's high watermark is not where we left the log.
    DestMoved {
        high_watermark: DestOffset,
    },
    /// The source topic was deleted.
    SourceGone,
    /// The source topic was deleted and created again under another id.
    SourceRecreated {
        is: TopicId,
    },
    /// What this process may write here from now on.
    Licensed(Licence),
    /// Time passed.
    Tick,
}

/// What the one who works on a partition may write, as long as others may believe that it is theirs. What the broker
/// itself keeps from being written twice (M5, M6) needs nobody's leave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Licence {
    /// It is another agent's: what is in flight is answered, nothing more is begun.
    Nothing,
    /// Another agent may still be writing: only what is guarded.
    Guarded,
    #[default]
    Everything,
}

/// What to do.
#[derive(Debug)]
pub enum Action<P> {
    /// Read the facts, not before `at`. `displaced`: see who stands in our place.
    Open {
        at: Millis,
        displaced: Option<Displaced>,
    },
    Append(Append),
    /// Let markers take offsets (M12).
    Mark(MarkerRun),
    Receipt(AppendReceipt<P>),
    /// The destination was found complete up to here while opening.
    Opened {
        end: DestOffset,
    },
    /// A large hole is about to be filled.
    Announce {
        from: SourceOffset,
        cost: Cost,
    },
    /// The source deleted these records before they were copied (M9): say it loudly.
    Lost(Span),
    /// Say it loudly; nothing more will be asked for.
    Stopped(Verdict),
}

/// The source's ends as the last fetch answer told them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceEnds {
    pub log_start: SourceOffset,
    pub high_watermark: SourceOffset,
    pub last_stable: SourceOffset,
}

/// Where to fetch from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchPosition {
    pub offset: SourceOffset,
    pub last_epoch: LeaderEpoch,
}

/// The state as shown; the words are stable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    Opening,
    Copying,
    CaughtUp,
    Draining,
    Stopped(Verdict),
}
