//! What an answer of the destination means: whether what was sent stands where it belongs (M5, M13).
//! The same while copying and while draining. Never guesses: an answer that is not the expected one is a doubt, and
//! a doubt is settled by asking the destination.

use super::align::Span;
use super::copying::{AppendAnswer, Content, MarkersBy, Sent};
use super::markers::{MarkerAnswer, SequenceBehind};
use super::opening::Displaced;
use super::window::{Ticket, Window};
use super::{Trouble, WallMillis};

/// What an answer means for the state.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    AsExpected,
    /// Fewer markers than asked for stand there, all in their place.
    PartlyWritten {
        left: Span,
    },
    /// Drain and ask the destination.
    Doubt {
        trouble: Trouble,
        displaced: Option<Displaced>,
    },
    /// Nothing of ours.
    Stale,
}

/// M5: notes the answer to an append. Only one at its place is a success.
pub(super) fn settle_append<P>(
    window: &mut Window<Sent<P>>,
    ticket: Ticket,
    answer: AppendAnswer,
) -> Meaning {
    let Some(sent) = window.in_flight(ticket) else { return Meaning::Stale };
    let expect = sent.expect;
    let base = match answer {
        AppendAnswer::Acknowledged { base } if base == expect => {
            window.acknowledge(ticket);
            return Meaning::AsExpected;
        }
        AppendAnswer::Acknowledged { base } => base,
        AppendAnswer::Failed(trouble) => {
            window.fail(ticket);
            return Meaning::Doubt { trouble, displaced: None };
        }
    };
    window.fail(ticket);
    let displaced = (base > expect).then_some(Displaced { from: expect, at: expect, landed: base });
    let trouble = Trouble::soon(if base < expect {
        format!("an append for offset {expect} was answered as a repeat of the one at {base}")
    } else {
        format!("an append for offset {expect} landed at {base}")
    });
    Meaning::Doubt { trouble, displaced }
}

/// M13: notes the answer to a run of markers. Only an end right behind them is a success: too many cannot be
/// taken back, and too few are written again only once the end has been asked for anew.
pub(super) fn settle_markers<P>(
    window: &mut Window<Sent<P>>,
    ticket: Ticket,
    answer: MarkerAnswer,
    now: WallMillis,
) -> Meaning {
    let Some(sent) = window.in_flight_mut(ticket) else { return Meaning::Stale };
    let (from, asked_next) = (sent.expect, sent.next);
    let (count, end, sequence) = match answer {
        MarkerAnswer::Written { count, end, sequence, .. } => (count, end, sequence),
        MarkerAnswer::Failed(trouble) => {
            window.fail(ticket);
            return Meaning::Doubt { trouble, displaced: None };
        }
    };
    let next = from.plus(i64::from(count));
    if count > 0 && end == next && next <= asked_next {
        sent.next = next;
        sent.last_timestamp_ms = now.0;
        if sequence == SequenceBehind::AsBefore {
            sent.content = Content::Markers(MarkersBy::Filler);
        }
        window.acknowledge(ticket);
        let left = Span { from: next.origin(), next: asked_next.origin() };
        return if left.offsets() == 0 { Meaning::AsExpected } else { Meaning::PartlyWritten { left } };
    }
    window.fail(ticket);
    let displaced = (end > next).then_some(Displaced { from, at: next, landed: end });
    let text = format!("behind {count} markers from offset {from} on the log ends at {end}");
    let trouble = if count == 0 { Trouble::slow(text) } else { Trouble::soon(text) };
    Meaning::Doubt { trouble, displaced }
}
