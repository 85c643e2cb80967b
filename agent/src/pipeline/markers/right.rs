//! Whether the destination lets us write markers: ALTER on the cluster (M12), else empty transactions (M15).
//! Promises: the missing right is said once, with the command that grants it, and so is its return; it is tried again
//! every ten seconds, by the next run that comes. Shared by the marker tasks of a link.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lockstep_core::code::Code;
use lockstep_kafka::Cluster;
use tokio::time::Instant;

/// How long a refusal counts.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// What the destination said to the last attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Nobody has tried yet.
    Unknown,
    Held,
    Missing {
        try_at: Instant,
    },
}

/// Cheap to clone.
#[derive(Clone, Debug)]
pub struct MarkerRight {
    standing: Arc<Mutex<Standing>>,
    /// Where the grant is to be given.
    bootstrap: Arc<str>,
    /// Who needs it.
    principal: Arc<str>,
}

impl MarkerRight {
    #[must_use]
    pub fn on(dest: &Cluster) -> Self {
        let bootstrap = dest.settings().bootstrap.first().map_or_else(String::new, ToString::to_string);
        let principal = dest.settings().security.principal().into();
        Self { standing: Arc::new(Mutex::new(Standing::Unknown)), bootstrap: bootstrap.into(), principal }
    }

    /// What is missing and how to grant it; `None` while nothing is known to be.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        matches!(*self.standing(), Standing::Missing { .. }).then(|| self.words())
    }

    /// Whether markers may be tried now.
    pub(super) fn is_worth_trying(&self, now: Instant) -> bool {
        match *self.standing() {
            Standing::Unknown | Standing::Held => true,
            Standing::Missing { try_at } => now >= try_at,
        }
    }

    /// Notes that markers were refused for want of the right.
    pub(super) fn refused(&self, now: Instant) {
        let missing = Standing::Missing { try_at: now + TRY_AGAIN };
        let before = std::mem::replace(&mut *self.standing(), missing);
        if !matches!(before, Standing::Missing { .. }) {
            tracing::warn!("{}", self.words());
        }
    }

    /// Notes that markers were taken.
    pub(super) fn held(&self) {
        let before = std::mem::replace(&mut *self.standing(), Standing::Held);
        if matches!(before, Standing::Missing { .. }) {
            tracing::info!("the right to write control records is granted: markers from now on");
        }
    }

    fn words(&self) -> String {
        format!(
            "{code}: destination {at}: not allowed to write control records: needs ALTER on Cluster for {who}; \
             grant: kafka-acls --bootstrap-server {at} --add --allow-principal '{who}' --operation Alter --cluster; \
             until then offsets without records are filled by empty transactions: exact, but about 200 offsets/s; \
             page: {page}",
            code = Code::MarkersNotAllowed,
            page = Code::MarkersNotAllowed.page(),
            at = self.bootstrap,
            who = self.principal
        )
    }

    fn standing(&self) -> MutexGuard<'_, Standing> {
        // Nothing panics while holding it.
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_tried_again_after_ten_seconds() {
        let standing = Arc::new(Mutex::new(Standing::Unknown));
        let (bootstrap, principal) = ("kafka-pr:9093".into(), "User:dr".into());
        let right = MarkerRight { standing, bootstrap, principal };
        let now = Instant::now();
        assert!(right.is_worth_trying(now) && right.missing().is_none());
        right.refused(now);
        assert!(!right.is_worth_trying(now));
        let words = right.missing().expect("it is missing");
        assert!(words.contains("--bootstrap-server kafka-pr:9093 --add") && words.contains("200 offsets/s"));
        assert!(words.starts_with("L-102: ") && words.contains("--allow-principal 'User:dr'"), "{words}");
        assert!(right.is_worth_trying(now + TRY_AGAIN));
        assert!(right.missing().is_some(), "still missing until it works");
        right.held();
        assert_eq!(right.missing(), None);
    }
}
