//! What the log makes of a member: the agreed state, and the audit trail beside it. The trail is on disk before a snapshot
//! says that the log is not needed any more.

use lockstep_core::state::Applied;

use super::trail::Trail;
use crate::agreed::{Replica, Shared};
use crate::consensus::Machine;

/// The state machine of one member.
pub(super) struct Agreed {
    replica: Replica,
    trail: Trail,
}

impl Agreed {
    pub(super) fn new(trail: Trail) -> Self {
        Self { replica: Replica::default(), trail }
    }

    pub(super) fn shared(&self) -> Shared {
        self.replica.shared()
    }
}

impl Machine for Agreed {
    type Answer = Applied;

    fn apply(&mut self, index: u64, data: &[u8]) -> Result<Applied, String> {
        let applied = self.replica.apply(index, data).map_err(|stop| stop.to_string())?;
        for event in &applied.events {
            self.trail.put(event).map_err(|fault| fault.to_string())?;
        }
        Ok(applied)
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        self.trail.sync().map_err(|fault| fault.to_string())?;
        self.replica.snapshot().map_err(|stop| stop.to_string())
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.replica.restore(bytes).map_err(|stop| stop.to_string())
    }
}
