//! Hands out whatever work has become possible: openings, probes, fetches, appends. Never waits: what does not fit
//! now is found again in the next turn.

use std::sync::Arc;

use lockstep_core::mirror::Millis;

use tracing::Instrument;

use super::{Engine, OPEN_ROUNDS_MAX};
use crate::pipeline::event::Event;
use crate::pipeline::open::{Ask, Opener};
use crate::pipeline::tail::Writers;

/// Partitions opened together.
const OPEN_ROUND_MAX: usize = 500;

impl Engine {
    /// Hands out whatever work has become possible.
    pub(super) fn dispatch(&mut self) {
        // What is here goes out before more is asked for: somebody waits for it.
        for desk in self.sink_desks.values_mut() {
            desk.dispatch();
        }
        for desk in self.marker_desks.values_mut() {
            desk.dispatch();
        }
        if !self.stopping {
            let now = self.now();
            self.dispatch_fetches(now.mono);
            self.dispatch_openings(now.mono);
            self.dispatch_probe(now.mono);
            self.dispatch_retention(now);
            self.dispatch_hanging(now.mono);
            self.dispatch_compaction(now.mono);
            self.dispatch_settings(now.mono);
        }
    }

    fn dispatch_openings(&mut self, now: Millis) {
        while self.open_rounds < OPEN_ROUNDS_MAX {
            let mut asks = Vec::new();
            while asks.len() < OPEN_ROUND_MAX && self.due.first().is_some_and(|(at, _)| *at <= now) {
                let Some((_, tp)) = self.due.pop_first() else { break };
                let Some(slot) = self.slots.get(&tp) else { continue };
                asks.push(Ask { twin: slot.twin(&tp), displaced: slot.displaced });
            }
            if asks.is_empty() {
                return;
            }
            self.open_rounds += 1;
            let opener = Opener {
                source: self.setup.source.clone(),
                dest: self.setup.dest.clone(),
                writers: Writers {
                    inherited: Arc::clone(&self.setup.inherited),
                    link: self.setup.identity,
                    filler: self.setup.filler.identity(),
                },
                budget: self.setup.budget.clone(),
            };
            let events = self.events_in.clone();
            self.tasks.spawn(
                async move {
                    let facts = opener.gather(asks).await;
                    // A closed channel: the engine has ended and no longer wants to know.
                    let _ = events.send(Event::Opened { facts }).await;
                    "open"
                }
                .in_current_span(),
            );
        }
    }
}
