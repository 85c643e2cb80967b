//! Records of transactions wait here until their marker says whether consumers see them.
//! Promises: a record counts as visible only after a commit marker of its producer, as rolled back only after an
//! abort marker; memory is one entry per open transaction and circumstance, bounded.
//! When markers may have been missed, what waits is undecided for good, never guessed.

use std::collections::HashMap;

use super::Side;
use super::findings::Findings;

/// Circumstances that may wait at once; beyond it they are undecided at once.
const WAITING_MAX: usize = 10_000;

/// What a consumer (read_committed) finds at an offset of one side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Presence {
    Absent,
    Visible,
    RolledBack,
    /// In a transaction of this producer, whose marker has not come yet.
    Undecided {
        producer_id: i64,
    },
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Commit,
    Abort,
}

impl Outcome {
    /// The key of a control record: version and type, 16 bits each (`ControlRecordType.java` in Apache Kafka).
    /// `None`: a control record that ends no transaction.
    pub(super) fn from_key(key: &[u8]) -> Option<Self> {
        match key {
            [_, _, 0, 0, ..] => Some(Self::Abort),
            [_, _, 0, 1, ..] => Some(Self::Commit),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Circumstance {
    here: Presence,
    there: Presence,
    content: Content,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Content {
    Equal,
    Differs,
}

#[derive(Clone, Debug)]
struct Waiting {
    first: i64,
    count: u64,
    /// Of the first, where the contents differ.
    what: Option<String>,
}

/// The records that wait for a marker, by producer.
#[derive(Clone, Debug, Default)]
pub(super) struct Fates {
    waiting: HashMap<Circumstance, Waiting>,
}

impl Fates {
    /// Judges `count` offsets from `first` on now if nothing has to be waited for.
    pub(super) fn take(
        &mut self,
        findings: &mut Findings,
        (first, count): (i64, u64),
        (here, there): (Presence, Presence),
        content: Option<String>,
    ) {
        let waits = |presence| matches!(presence, Presence::Undecided { .. });
        if !(waits(here) || waits(there)) || self.waiting.len() >= WAITING_MAX {
            findings.judge(first, count, here, there, content.as_deref());
            return;
        }
        let kind = if content.is_none() { Content::Equal } else { Content::Differs };
        let waiting = self.waiting.entry(Circumstance { here, there, content: kind }).or_insert(Waiting {
            first,
            count: 0,
            what: content,
        });
        waiting.count += count;
        waiting.first = waiting.first.min(first);
    }

    /// A marker of `producer_id` came on `side`: everything before it that belongs to it is decided there.
    pub(super) fn decide(&mut self, findings: &mut Findings, side: Side, producer_id: i64, outcome: Outcome) {
        let decided = match outcome {
            Outcome::Commit => Presence::Visible,
            Outcome::Abort => Presence::RolledBack,
        };
        let belongs = Presence::Undecided { producer_id };
        let concerned = |c: &Circumstance, _: &mut Waiting| {
            belongs == if side == Side::Source { c.here } else { c.there }
        };
        let moved: Vec<_> = self.waiting.extract_if(concerned).collect();
        for (circumstance, waiting) in moved {
            let (here, there) = match side {
                Side::Source => (decided, circumstance.there),
                Side::Dest => (circumstance.here, decided),
            };
            self.take(findings, (waiting.first, waiting.count), (here, there), waiting.what);
        }
    }

    /// Markers may have been missed, or none will come any more: what waits stays undecided.
    pub(super) fn give_up(&mut self, findings: &mut Findings) {
        for (circumstance, waiting) in self.waiting.drain() {
            findings.judge(waiting.first, waiting.count, circumstance.here, circumstance.there, None);
        }
    }
}
