//! What an answer of the destination means: whether what was sent stands where it belongs (M5, M13).
//! The same while copying and while draining. Never guesses: an answer that is not the expected one is a doubt, and
//! a doubt is settled by asking the destination.

use super::Trouble;
use super::align::Span;
use super::copying::{AppendAnswer, Content, MarkersBy, Sent};
use super::markers::{MarkerAnswer, SequenceBehind};
use super::opening::Displaced;
use super::window::{Ticket, Window};

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
        if sequence == SequenceBehind::AsBefore {
            sent.content = Content::Markers(MarkersBy::Filler);
        }
        window.acknowledge(ticket);
        let left = Span { from: next.origin(), next: asked_next.origin() };
        return if left.offsets() == 0 { Meaning::AsExpected } else { Meaning::PartlyWritten { left } };
    }
    window.fail(ticket);
    // Up to `asked_next` markers belong, whoever wrote them: only what is behind has shifted the log.
    let displaced = (end > asked_next).then_some(Displaced { from, at: asked_next, landed: end });
    let text = format!("behind {count} markers from offset {from} on the log ends at {end}");
    let trouble = if count == 0 { Trouble::slow(text) } else { Trouble::soon(text) };
    Meaning::Doubt { trouble, displaced }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{DestOffset, SourceOffset};
    use crate::mirror::copying::Content;

    /// A window with a run of ten markers for 100 on in flight.
    fn run() -> (Window<Sent<()>>, Ticket) {
        let mut window = Window::default();
        let sent = Sent {
            expect: DestOffset(100),
            next: DestOffset(110),
            content: Content::Markers(MarkersBy::Link),
            bytes: 0,
            last_timestamp_ms: 1_700_000_000_000,
            permits: Vec::new(),
        };
        let ticket = window.push(0, sent);
        (window, ticket)
    }

    fn written(count: u32, end: i64) -> (Meaning, Option<Sent<()>>) {
        let (mut window, ticket) = run();
        let answer = MarkerAnswer::Written {
            count,
            end: DestOffset(end),
            coordinator_epoch: 9,
            sequence: SequenceBehind::After(4),
        };
        let meaning = settle_markers(&mut window, ticket, answer);
        assert!(window.is_drained(), "an answer is an answer");
        (meaning, window.release())
    }

    #[test]
    fn markers_count_only_where_the_end_is_right_behind_them() {
        let (meaning, sent) = written(10, 110);
        assert_eq!((meaning, sent.unwrap().next), (Meaning::AsExpected, DestOffset(110)));
    }

    #[test]
    fn fewer_than_asked_for_count_too_and_the_rest_is_left() {
        let (meaning, sent) = written(4, 104);
        let left = Span { from: SourceOffset(104), next: SourceOffset(110) };
        assert_eq!((meaning, sent.unwrap().next), (Meaning::PartlyWritten { left }, DestOffset(104)));
    }

    #[test]
    fn too_many_are_displaced_by_exactly_so_many() {
        for count in [10, 4] {
            let (meaning, sent) = written(count, 113);
            let seen = Displaced { from: DestOffset(100), at: DestOffset(110), landed: DestOffset(113) };
            let Meaning::Doubt { displaced, trouble } = meaning else { panic!("{meaning:?}") };
            assert_eq!((displaced, sent.is_none()), (Some(seen), true), "{}", trouble.text);
        }
    }

    /// Story: four of ten were written, somebody's late ones were counted too, and a log that held nothing but
    /// markers where markers belong was given up as slipped.
    #[test]
    fn more_than_written_where_markers_belong_are_a_doubt_and_no_slip() {
        let (meaning, sent) = written(4, 107);
        assert!(matches!(meaning, Meaning::Doubt { displaced: None, .. }) && sent.is_none(), "{meaning:?}");
    }

    #[test]
    fn too_few_or_none_are_a_doubt() {
        for (count, end) in [(10, 105), (10, 100), (0, 100), (0, 99)] {
            let (meaning, sent) = written(count, end);
            assert!(matches!(meaning, Meaning::Doubt { displaced: None, .. }), "{count} {end}: {meaning:?}");
            assert!(sent.is_none(), "no receipt for {count} markers and an end at {end}");
        }
    }

    #[test]
    fn a_lost_answer_says_nothing_and_an_answer_counts_once() {
        let (mut window, ticket) = run();
        let lost = MarkerAnswer::Failed(Trouble::soon("lost"));
        let meaning = settle_markers(&mut window, ticket, lost.clone());
        assert!(matches!(meaning, Meaning::Doubt { displaced: None, .. }));
        assert!(window.release().is_none());
        assert_eq!(settle_markers(&mut window, ticket, lost), Meaning::Stale);
    }
}
