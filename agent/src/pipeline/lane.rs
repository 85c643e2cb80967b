//! Two lanes from each source broker to each destination broker: a record that has just come never waits behind a
//! backlog. Each lane has connections, a fetch session and requests of its own.

use lockstep_core::ids::{NodeId, SourceOffset};

/// Why a partition is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// It has been fetched to its end, or nearly: what comes is new.
    Live,
    /// It catches up. It leaves this lane once it has been fetched to its end.
    Backlog,
}

/// A live partition whose answer was at least so large and left more behind catches up from now on.
const LIVE_ANSWER_BYTES_MAX: usize = 128 << 10;

/// A fetch of one partition that was sent, and from where. Answers to any other are of no interest: what lies between two
/// fetches would seem a hole (M11).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) desk: (NodeId, Lane),
    /// The desk's jobs are counted.
    pub(super) job: u64,
    pub(super) offset: SourceOffset,
}

impl Lane {
    pub(super) const BOTH: [Self; 2] = [Self::Live, Self::Backlog];

    /// Of a partition that has been opened.
    pub(super) fn opened(is_behind: bool) -> Self {
        if is_behind { Self::Backlog } else { Self::Live }
    }

    /// After an answer of so many bytes for one partition. `is_behind`: the source has more that can be fetched.
    pub(super) fn after(self, answer_bytes: usize, is_behind: bool) -> Self {
        match self {
            Self::Live if is_behind && answer_bytes >= LIVE_ANSWER_BYTES_MAX => Self::Backlog,
            Self::Backlog if !is_behind => Self::Live,
            same => same,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_catches_up_stays_in_its_lane_until_the_end() {
        let backlog = Lane::opened(true);
        assert_eq!(backlog.after(10, true), Lane::Backlog, "others took the answer's room");
        assert_eq!(backlog.after(1 << 20, false), Lane::Live);
    }

    #[test]
    fn who_is_live_stays_so_while_little_comes() {
        let live = Lane::opened(false);
        assert_eq!(live.after(1 << 20, false), Lane::Live, "one large batch, and nothing behind it");
        assert_eq!(live.after(10_000, true), Lane::Live);
        assert_eq!(live.after(1 << 20, true), Lane::Backlog);
    }
}
