//! What a step returns: what was seen, on which brokers, at which offsets. Plain data, nothing that decides.

use std::collections::BTreeMap;

use lockstep_core::dr::acl::AclBinding;
use lockstep_core::dr::fence::TopicStage;
use lockstep_core::dr::passport::Passport;
use lockstep_core::ids::{NodeId, ProducerIdentity, TopicPartition};

/// Both sides' passports.
#[derive(Clone, Debug)]
pub struct LinkState {
    /// Of the side that is the source in this direction.
    pub primary: Passport,
    pub standby: Passport,
}

/// The records that the standby does not hold, as both sides' ends tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exposed {
    /// Source end less the standby's high watermark, over all partitions.
    pub records: u64,
    pub partitions: usize,
}

/// Who is denied writing on one side.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AclReport {
    /// Nobody can be denied anything there: the side is `STANDBY_WRITABLE`, or not fenced by ACLs.
    NoAuthorizer,
    /// Everybody whom an entry permits to write, on all of these brokers. Super users need no entry and are not stopped.
    Denied { confirmed_on: Vec<NodeId> },
    /// These permissions were given to everybody and cannot be taken back without denying the mirror: write named ones.
    Incomplete { confirmed_on: Vec<NodeId>, unstoppable: Vec<AclBinding> },
}

impl AclReport {
    /// Every principal that an entry names is denied.
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Denied { .. })
    }
}

/// A fenced primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    pub acls: AclReport,
    /// Partitions whose leader refused a write, at this stage at least.
    pub refusing: BTreeMap<TopicPartition, TopicStage>,
}

/// A transaction on the link's partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// `None`: its coordinator does not know it (any more), or does not show it to us.
    pub transactional_id: Option<String>,
    pub producer_id: i64,
    pub partitions: Vec<TopicPartition>,
}

/// How a settled primary is closed (M25).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Closure {
    /// Every produce is refused, on every leading broker.
    Full,
    /// Batches of 78 bytes at most would be taken: somebody could still begin a transaction, whose marker must pass.
    MarkersOnly { transactional_producers: usize },
}

/// A primary whose logs stand still.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Log end = high watermark = last stable offset.
    pub ends: BTreeMap<TopicPartition, i64>,
    /// Transactions that did not end by themselves.
    pub aborted: Vec<String>,
    pub closure: Closure,
    pub acls: AclReport,
}

/// How far the standby is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Drained {
    Yes,
    /// Offsets still to come, by partition of the primary.
    Behind(BTreeMap<TopicPartition, i64>),
}

/// A promoted standby.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Promoted {
    pub generation: u64,
    /// Who the old direction wrote as; the broker refuses it from now on.
    pub refused: ProducerIdentity,
    /// Where each partition was cut; one marker stands there.
    pub cuts: BTreeMap<TopicPartition, i64>,
}

/// A promoted side that clients may write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    pub generation: u64,
    /// Denials that were lifted.
    pub lifted: Vec<AclBinding>,
}

/// A former primary that is a standby now.
#[derive(Clone, Debug)]
pub struct Reversed<T> {
    pub generation: u64,
    /// What keeps clients from writing to it.
    pub protection: AclReport,
    /// For the mirror the other way round.
    pub reverse: T,
}
