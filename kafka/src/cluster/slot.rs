//! One broker's place in a cluster: its shared connection, and the pace at which it may be dialled.
//! Promises: callers that arrive during an attempt share its outcome; after failures the next dial waits its turn.
//! Never gives up: that is for the caller to decide.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, sleep_until};

use super::pause;
use crate::connection::Connection;
use crate::dial::Dial;
use crate::error::Error;
use crate::settings::{HostPort, Settings};

#[derive(Default)]
pub(super) struct Slot {
    /// Attempts for the shared connection that have failed.
    failures: AtomicU64,
    shared: tokio::sync::Mutex<Shared>,
    pace: Mutex<Pace>,
}

#[derive(Default)]
struct Shared {
    connection: Option<Connection>,
    /// The last attempt, if it failed, by its number.
    failed: Option<(u64, Error)>,
}

/// Of all dials to this broker, shared and own.
#[derive(Default)]
struct Pace {
    failures: u32,
    not_before: Option<Instant>,
    connected: bool,
}

/// How likely a broker answers at once; sorts the likeliest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Prospect {
    Connected,
    Untried,
    Failed { not_before: Instant },
}

impl Slot {
    /// The shared connection to `address`, dialled if there is none.
    pub(super) async fn shared(
        &self,
        dial: &dyn Dial,
        address: HostPort,
        settings: &Settings,
    ) -> Result<Connection, Error> {
        let seen = self.failures.load(Ordering::SeqCst);
        let mut shared = self.shared.lock().await;
        if let Some(connection) = &shared.connection
            && connection.is_open()
            && *connection.peer() == address
        {
            return Ok(connection.clone());
        }
        // A failure that came after we did is as good as one of our own.
        if let Some((number, error)) = &shared.failed
            && *number > seen
        {
            return Err(error.clone());
        }
        shared.connection = None;
        match self.own(dial, address, settings).await {
            Ok(connection) => {
                *shared = Shared { connection: Some(connection.clone()), failed: None };
                Ok(connection)
            }
            Err(error) => {
                let number = self.failures.fetch_add(1, Ordering::SeqCst) + 1;
                shared.failed = Some((number, error.clone()));
                Err(error)
            }
        }
    }

    /// A new connection to `address`, after the pause that earlier failures demand.
    pub(super) async fn own(
        &self,
        dial: &dyn Dial,
        address: HostPort,
        settings: &Settings,
    ) -> Result<Connection, Error> {
        let not_before = self.pace().not_before;
        if let Some(at) = not_before {
            sleep_until(at).await;
        }
        let outcome = Connection::open(dial, address, settings).await;
        let mut pace = self.pace();
        *pace = match &outcome {
            Ok(_) => Pace { failures: 0, not_before: None, connected: true },
            Err(_) => {
                let failures = pace.failures.saturating_add(1);
                Pace {
                    failures,
                    not_before: Some(Instant::now() + pause(settings, failures)),
                    connected: false,
                }
            }
        };
        outcome
    }

    pub(super) fn prospect(&self) -> Prospect {
        let pace = self.pace();
        match pace.not_before {
            Some(not_before) => Prospect::Failed { not_before },
            None if pace.connected => Prospect::Connected,
            None => Prospect::Untried,
        }
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        // Nothing panics while holding it.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
