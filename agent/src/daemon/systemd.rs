//! What systemd hears from us (sd_notify(3)): ready, reloading, stopping, a line of status, and that we are alive.
//! Without systemd all of it is silence.

use std::time::Duration;

use sd_notify::NotifyState;

/// How often the watchdog is fed: half of what the unit's `WatchdogSec` allows; `None` when there is none.
pub(super) fn watchdog_interval() -> Option<Duration> {
    let mut microseconds = 0;
    let watched = sd_notify::watchdog_enabled(false, &mut microseconds);
    watched.then(|| Duration::from_micros(microseconds / 2))
}

pub(super) fn ready(status: &str) {
    say(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub(super) fn reloading() {
    // Type=notify-reload wants the clock's reading with it.
    match NotifyState::monotonic_usec_now() {
        Ok(now) => say(&[NotifyState::Reloading, now]),
        Err(_) => say(&[NotifyState::Reloading]),
    }
}

pub(super) fn stopping() {
    say(&[NotifyState::Stopping, NotifyState::Status("finishing what is in flight")]);
}

pub(super) fn alive() {
    say(&[NotifyState::Watchdog]);
}

pub(super) fn status(words: &str) {
    say(&[NotifyState::Status(words)]);
}

fn say(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::debug!(%error, "systemd does not listen");
    }
}
