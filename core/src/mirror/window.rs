//! Appends in flight on one partition: they complete in any order, receipts leave only from the front.
//! Each entry carries a permit (bytes of the process budget) that its receipt hands back.
//! After a failure nothing behind it is released: what the log holds then is asked, never assumed (M5).

use std::collections::VecDeque;

/// Names one append. Never reused within a partition's life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

#[derive(Debug)]
enum Progress {
    InFlight,
    Acknowledged,
    Failed,
}

#[derive(Debug)]
struct Entry<T> {
    ticket: Ticket,
    bytes: usize,
    progress: Progress,
    content: T,
}

/// The appends of one partition that have no receipt yet.
#[derive(Debug)]
pub struct Window<T> {
    entries: VecDeque<Entry<T>>,
    next: u64,
    bytes: usize,
}

impl<T> Default for Window<T> {
    fn default() -> Self {
        Self { entries: VecDeque::new(), next: 0, bytes: 0 }
    }
}

impl<T> Window<T> {
    /// An empty window that names its appends from `first` on: where the one before stopped.
    pub fn starting_at(first: Ticket) -> Self {
        Self { next: first.0, ..Self::default() }
    }

    /// The name of the next append.
    pub fn next_ticket(&self) -> Ticket {
        Ticket(self.next)
    }

    /// Takes an append of `bytes` bytes in, at the back.
    pub fn push(&mut self, bytes: usize, content: T) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.bytes += bytes;
        self.entries.push_back(Entry { ticket, bytes, progress: Progress::InFlight, content });
        ticket
    }

    /// The content of an append that has no answer yet; `None` for a ticket that is not in flight.
    pub fn in_flight(&self, ticket: Ticket) -> Option<&T> {
        self.entry(ticket).filter(|e| matches!(e.progress, Progress::InFlight)).map(|e| &e.content)
    }

    /// The same, to be changed by what the answer says.
    pub fn in_flight_mut(&mut self, ticket: Ticket) -> Option<&mut T> {
        let index = self.index(ticket)?;
        let entry = &mut self.entries[index];
        matches!(entry.progress, Progress::InFlight).then_some(&mut entry.content)
    }

    /// Notes that the broker acknowledged this append. False: it was not in flight.
    pub fn acknowledge(&mut self, ticket: Ticket) -> bool {
        self.settle(ticket, Progress::Acknowledged)
    }

    /// Notes that this append has no success to show. False: it was not in flight.
    pub fn fail(&mut self, ticket: Ticket) -> bool {
        self.settle(ticket, Progress::Failed)
    }

    /// The next receipt, if the append at the front has been acknowledged.
    pub fn release(&mut self) -> Option<T> {
        if !matches!(self.entries.front()?.progress, Progress::Acknowledged) {
            return None;
        }
        let entry = self.entries.pop_front()?;
        self.bytes -= entry.bytes;
        Some(entry.content)
    }

    /// Whether every append has its answer, be it success or failure.
    pub fn is_drained(&self) -> bool {
        !self.entries.iter().any(|e| matches!(e.progress, Progress::InFlight))
    }

    /// Lets go of everything. Only once drained: a request still on its way would come back nameless.
    pub fn clear(&mut self) {
        debug_assert!(self.is_drained(), "window cleared with appends in flight");
        self.entries.clear();
        self.bytes = 0;
    }

    /// Appends without a receipt.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes without a receipt.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The contents, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().map(|e| &e.content)
    }

    fn settle(&mut self, ticket: Ticket, progress: Progress) -> bool {
        match self.index(ticket) {
            Some(i) if matches!(self.entries[i].progress, Progress::InFlight) => {
                self.entries[i].progress = progress;
                true
            }
            _ => false,
        }
    }

    fn entry(&self, ticket: Ticket) -> Option<&Entry<T>> {
        self.index(ticket).map(|i| &self.entries[i])
    }

    /// Tickets are consecutive from the front, so the place is a subtraction.
    fn index(&self, ticket: Ticket) -> Option<usize> {
        let first = self.entries.front()?.ticket.0;
        let index = usize::try_from(ticket.0.checked_sub(first)?).ok()?;
        (index < self.entries.len()).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::rc::Rc;

    #[test]
    fn receipts_leave_in_order_whatever_order_the_answers_come_in() {
        let mut window = Window::default();
        let tickets: Vec<_> = (0..3).map(|i| window.push(10, i)).collect();
        assert!(window.acknowledge(tickets[2]));
        assert_eq!(window.release(), None, "the first has no answer yet");
        assert!(window.acknowledge(tickets[0]));
        assert_eq!(window.release(), Some(0));
        assert_eq!(window.release(), None);
        assert!(window.acknowledge(tickets[1]));
        assert_eq!((window.release(), window.release(), window.release()), (Some(1), Some(2), None));
        assert_eq!((window.len(), window.bytes()), (0, 0));
    }

    #[test]
    fn nothing_behind_a_failure_is_released() {
        let mut window = Window::default();
        let tickets: Vec<_> = (0..3).map(|i| window.push(1, i)).collect();
        window.acknowledge(tickets[0]);
        window.fail(tickets[1]);
        window.acknowledge(tickets[2]);
        assert_eq!(window.release(), Some(0));
        assert_eq!(window.release(), None);
        assert!(window.is_drained());
        window.clear();
        assert_eq!(window.bytes(), 0);
    }

    #[test]
    fn an_answer_counts_once() {
        let mut window = Window::default();
        let ticket = window.push(1, ());
        assert!(window.fail(ticket));
        assert!(!window.acknowledge(ticket));
        assert!(!window.acknowledge(Ticket(77)));
    }

    proptest! {
        /// However answers are shuffled: receipts are a prefix in order, and every permit comes back.
        #[test]
        fn permits_all_come_back(order in Just((0..12usize).collect::<Vec<_>>()).prop_shuffle(),
                                 failed in proptest::option::of(0..12usize)) {
            let permit = Rc::new(());
            let mut window = Window::default();
            let tickets: Vec<_> = (0..12).map(|i| window.push(i + 1, (i, Rc::clone(&permit)))).collect();
            let mut released = Vec::new();
            for i in order {
                if Some(i) == failed { window.fail(tickets[i]); } else { window.acknowledge(tickets[i]); }
                while let Some((n, _)) = window.release() { released.push(n); }
            }
            let expected: Vec<_> = (0..failed.unwrap_or(12)).collect();
            prop_assert_eq!(released, expected);
            prop_assert!(window.is_drained());
            window.clear();
            prop_assert_eq!(Rc::strong_count(&permit), 1);
        }
    }
}
