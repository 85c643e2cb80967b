//! Logs, to standard error. A verb is silent unless asked for: what a person needs to know, it says itself. A daemon logs
//! as its file says. `LOCKSTEP_LOG` beats both.

use std::io::IsTerminal;

use lockstep_core::spec::daemon::{LogFormat, LogSpec};
use tracing_subscriber::EnvFilter;

const VARIABLE: &str = "LOCKSTEP_LOG";

/// Only what connections notice (a certificate that expires soon, files that cannot be used) comes through.
pub(crate) fn of_a_verb() {
    let notices = || EnvFilter::new(format!("off,{}=info", lockstep_kafka::NOTICES));
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| notices());
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr).init();
}

/// # Errors
/// In words: the filter cannot be read.
pub(crate) fn of_a_daemon(spec: &LogSpec) -> Result<(), String> {
    let filter = match std::env::var(VARIABLE) {
        Ok(words) => EnvFilter::try_new(&words).map_err(|error| format!("{VARIABLE}={words}: {error}"))?,
        Err(_) => EnvFilter::try_new(&spec.filter)
            .map_err(|error| format!("log.level {:?}: {error}", spec.filter))?,
    };
    let colours = std::io::stderr().is_terminal();
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colours).with_writer(std::io::stderr);
    match spec.format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}
