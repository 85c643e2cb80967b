//! `lockstep top`: links and what is around them on the whole terminal.
//!
//! ```text
//! coordinators ─ asked every second ─► Picture ─┐
//! keys ─ View (where one looks) ────────────────┴─► draw ─► a buffer of cells
//! ```
//!
//! Promises: what was seen last stays on the screen while nobody answers, with ages that grow and postures that follow.

mod draw;
mod keys;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use lockstep_core::status::{LinkStatus, SystemStatus, aged};

pub(crate) use draw::draw;
pub(crate) use keys::{Key, read_keys};

/// What was answered last, and since when nothing was.
#[derive(Debug, Default)]
pub(crate) struct Picture {
    answered: Option<(SystemStatus, Instant)>,
    /// Topics of the link that is looked at.
    detail: Option<LinkStatus>,
    /// Why the last question had no answer.
    fault: Option<String>,
}

impl Picture {
    pub(crate) fn answered(&mut self, status: SystemStatus, at: Instant) {
        (self.answered, self.fault) = (Some((status, at)), None);
    }

    pub(crate) fn detailed(&mut self, link: Option<LinkStatus>) {
        self.detail = link;
    }

    pub(crate) fn failed(&mut self, words: String) {
        self.fault = Some(words);
    }

    /// As it is to be shown: whoever is silent makes everything older. `None`: nobody ever answered.
    fn at(&self, now: Instant) -> Option<(SystemStatus, Duration)> {
        let (status, at) = self.answered.as_ref()?;
        let age = now.saturating_duration_since(*at);
        let by_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        // Between two answers nothing is older than it was said to be.
        let by_ms = if self.fault.is_some() { by_ms } else { 0 };
        let mut status = status.clone();
        status.links = status.links.into_iter().map(|link| aged(link, by_ms)).collect();
        for agent in status.agents.values_mut() {
            agent.heard_age_ms = agent.heard_age_ms.map(|heard| heard.saturating_add(by_ms));
        }
        status.as_of_timestamp_seconds += by_ms as f64 / 1_000.0;
        Some((status, age))
    }
}

/// Where one looks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct View {
    /// The link under the cursor, by its place in the list.
    selected: usize,
    /// The link whose details fill the screen.
    open: Option<String>,
    /// Lines of them above the screen.
    scrolled: u16,
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Stay,
    Leave,
}

const PAGE: usize = 10;

impl View {
    /// The link to be asked about in detail.
    pub(crate) fn open(&self) -> Option<&str> {
        self.open.as_deref()
    }

    pub(crate) fn press(&mut self, key: Key, picture: &Picture) -> Next {
        let links: Vec<&str> = match &picture.answered {
            Some((status, _)) => status.links.iter().map(|link| link.link.as_str()).collect(),
            None => Vec::new(),
        };
        let last = links.len().saturating_sub(1);
        match (key, self.open.is_some()) {
            (Key::Leave, _) | (Key::Back, false) => return Next::Leave,
            (Key::Back, true) => (self.open, self.scrolled) = (None, 0),
            (Key::Open, false) => self.open = links.get(self.selected).map(|link| (*link).to_owned()),
            (Key::Open, true) => {}
            (key, false) => {
                let to = match key {
                    Key::Up => self.selected.saturating_sub(1),
                    Key::Down => self.selected + 1,
                    Key::PageUp => self.selected.saturating_sub(PAGE),
                    Key::PageDown => self.selected + PAGE,
                    Key::Home => 0,
                    _ => last,
                };
                self.selected = to.min(last);
            }
            (key, true) => {
                let page = u16::try_from(PAGE).unwrap_or(u16::MAX);
                self.scrolled = match key {
                    Key::Up => self.scrolled.saturating_sub(1),
                    Key::Down => self.scrolled.saturating_add(1),
                    Key::PageUp => self.scrolled.saturating_sub(page),
                    Key::PageDown => self.scrolled.saturating_add(page),
                    Key::Home => 0,
                    // The screen knows where the end is.
                    _ => u16::MAX,
                };
            }
        }
        Next::Stay
    }
}
