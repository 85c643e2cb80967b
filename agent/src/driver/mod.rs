//! Changing sides of one link, step by step (M23 to M27): library calls for whoever decides, a person or a coordinator.
//!
//! ```text
//! freeze ─► settle ─► (drain: the mirror catches up, then stops) ─► promote ─► open ─► reverse ─► (mirror back)
//!    └──────── unfreeze ◄┘
//! ```
//!
//! | file | does |
//! |---|---|
//! | `evidence` | what each step returns: facts that were seen, never intentions |
//! | [`ours`] | the driver of our own links |
//! | `site` | one cluster of the link: its topics, its passport, who is exempt there |
//! | `logs` | ends, stable offsets and producers of many partitions, each read from its leader |
//! | `acls` | denials: held, confirmed on every leading broker, lifted |
//! | `topics` | the topic fence in two steps, proven by writes that no broker takes |
//! | `settle` | open transactions are let finish, then aborted, until every log stands still (M24) |
//! | `promote` | epoch, markers, settings (M26) |
//! | `reverse` | the former primary becomes a standby |
//!
//! Promises: every step may be repeated and resumed by anybody; what it changes is in the passport before the change;
//! what cannot be confirmed is an error, not a success. Never starts or stops a mirror: the caller does.

mod acls;
mod evidence;
mod fault;
mod logs;
pub mod ours;
mod promote;
mod reverse;
mod settle;
mod site;
mod topics;

use std::future::Future;
use std::time::Duration;

pub use evidence::{
    AclReport, Closure, Drained, Exposed, Frozen, LinkState, OpenTransaction, Opened, Promoted, Reversed,
    Settled,
};
pub use fault::DriverError;

/// How long open transactions may take.
#[derive(Clone, Copy, Debug)]
pub struct SettlePatience {
    /// To be ended by their owners; afterwards they are aborted.
    pub finish_within: Duration,
    /// For everything, from the call on.
    pub settle_within: Duration,
}

/// What a control plane asks of a link, whoever copies. Each call is idempotent, resumes what an earlier one left, and
/// returns what it saw.
pub trait MirrorDriver {
    /// What is told to whoever mirrors the other way round afterwards.
    type Reverse;

    /// Role and generation of both sides, as their passports tell.
    fn state(&self) -> impl Future<Output = Result<LinkState, DriverError>> + Send;

    /// What would be lost if the primary vanished now.
    fn exposure(&self) -> impl Future<Output = Result<Exposed, DriverError>> + Send;

    /// Keeps clients from writing to the standby (M23). To be called again and again: principals come and go.
    fn protect(&self) -> impl Future<Output = Result<AclReport, DriverError>> + Send;

    /// Fences the primary, unless there would be no way back ([`DriverError::Renamed`]): no client's batch is taken any more, markers of transactions still are (M25).
    fn freeze(&self) -> impl Future<Output = Result<Frozen, DriverError>> + Send;

    /// Ends open transactions and waits until every log stands still (M24); then closes fully where that is safe.
    fn settle(&self, patience: SettlePatience) -> impl Future<Output = Result<Settled, DriverError>> + Send;

    /// Whether the standby holds everything that the settled primary does.
    fn drained(&self, settled: &Settled) -> impl Future<Output = Result<Drained, DriverError>> + Send;

    /// Lifts the fence and puts every setting and entry back. Refused once a promotion has begun.
    fn unfreeze(&self) -> impl Future<Output = Result<(), DriverError>> + Send;

    /// Makes the standby refuse the old direction and gives its topics their real settings (M26). The mirror has been
    /// stopped before. Clients cannot write yet.
    fn promote(&self, settled: &Settled) -> impl Future<Output = Result<Promoted, DriverError>> + Send;

    /// Lets clients write to the promoted side. The point of no return.
    fn open(&self) -> impl Future<Output = Result<Opened, DriverError>> + Send;

    /// Makes the former primary a standby: ordinary principals stay denied, the topic fence is lifted.
    fn reverse(&self) -> impl Future<Output = Result<Reversed<Self::Reverse>, DriverError>> + Send;
}
