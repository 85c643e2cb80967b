//! What raft has to say goes where everything else is logged.

use slog::{Drain, Level, Logger, OwnedKVList, Record};

struct ToTracing;

impl Drain for ToTracing {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, _values: &OwnedKVList) -> Result<(), slog::Never> {
        // Its chatter about every election is of use to those who look for it.
        match record.level() {
            Level::Critical | Level::Error => tracing::error!(target: "lockstep::raft", "{}", record.msg()),
            Level::Warning => tracing::warn!(target: "lockstep::raft", "{}", record.msg()),
            Level::Info => tracing::debug!(target: "lockstep::raft", "{}", record.msg()),
            Level::Debug | Level::Trace => tracing::trace!(target: "lockstep::raft", "{}", record.msg()),
        }
        Ok(())
    }
}

pub(super) fn logger() -> Logger {
    Logger::root(ToTracing, slog::o!())
}
