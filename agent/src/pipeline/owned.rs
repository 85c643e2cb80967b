//! Which partitions of a link are this process's work, and with what leave to write. Several agents share a link without
//! talking to each other: each is told by the coordinators, or works alone and owns everything.
//! A division is replaced as a whole; the engine looks at it several times a second and carries it out.

use std::fmt;
use std::sync::Arc;

use lockstep_core::ids::TopicPartition;
pub use lockstep_core::mirror::partition::Licence;
use tokio::sync::watch;

/// Whose work a partition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Another agent's.
    Elsewhere,
    /// Ours, with this leave.
    Ours(Licence),
}

/// How a link is divided, as one agent sees it.
pub trait Division: Send + Sync {
    /// Counts the divisions of the link; what was carried out is said by this number.
    fn epoch(&self) -> u64;

    /// `tp`: by its name at the source.
    fn duty(&self, tp: &TopicPartition) -> Duty;

    /// Whether what concerns the link as a whole is ours: consumer groups, settings of topics, deleting them.
    fn is_caretaker(&self) -> bool;
}

/// A link's division.
#[derive(Clone, Default)]
pub enum Owned {
    /// Nobody else works on the link.
    #[default]
    Everything,
    Shared(Arc<dyn Division>),
}

impl Owned {
    /// A process alone: nothing ever changes.
    #[must_use]
    pub fn alone() -> watch::Receiver<Self> {
        watch::channel(Self::Everything).1
    }

    pub fn duty(&self, tp: &TopicPartition) -> Duty {
        match self {
            Self::Everything => Duty::Ours(Licence::Everything),
            Self::Shared(division) => division.duty(tp),
        }
    }

    pub fn is_caretaker(&self) -> bool {
        match self {
            Self::Everything => true,
            Self::Shared(division) => division.is_caretaker(),
        }
    }

    /// `None`: it is not divided.
    pub fn epoch(&self) -> Option<u64> {
        match self {
            Self::Everything => None,
            Self::Shared(division) => Some(division.epoch()),
        }
    }
}

impl fmt::Debug for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => write!(f, "everything"),
            Self::Shared(division) => write!(f, "shared, epoch {}", division.epoch()),
        }
    }
}
