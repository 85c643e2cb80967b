//! The batches of one Fetch answer, and what each of them is to a consumer.
//! Promises: judged as read_committed does, by the answer's own list of aborted transactions; what is looked into has
//! its checksum verified first (M4: it is end to end).
//! On failure: the batch is unreadable, and with a control batch all that hangs on it.

use lockstep_batch::records::{self, Limits, RecordIter, control};
use lockstep_batch::view::FetchedBatch;

use crate::transactions::{AbortedFilter, AbortedTransaction, Fate};

/// One partition's part of a read_committed Fetch answer.
#[derive(Clone, Debug, Default)]
pub struct Portion {
    /// All that came, in the order of the log; also those that lie before the asked offset.
    pub batches: Vec<FetchedBatch>,
    pub aborted: Vec<AbortedTransaction>,
}

/// What a batch is to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Committed,
    RolledBack,
    /// A control record at this offset.
    Marker(i64),
    /// Emptied by the cleaner: its offsets are holes (M11).
    Empty,
    Unreadable(String),
}

/// Tells the kinds of one answer's batches, in the order of the log.
#[derive(Clone, Debug)]
pub(super) struct Sorter {
    filter: AbortedFilter,
    /// Producers with an unreadable control batch: what follows of their transactions may be void or not.
    unclear: Vec<i64>,
}

impl Sorter {
    pub(super) fn new(aborted: Vec<AbortedTransaction>) -> Self {
        Self { filter: AbortedFilter::new(aborted), unclear: Vec::new() }
    }

    pub(super) fn kind(&mut self, batch: &FetchedBatch) -> Kind {
        let header = batch.header();
        if header.is_control() {
            return self.control(batch);
        }
        let fate = self.filter.fate(header, None);
        if header.record_count() == 0 {
            Kind::Empty
        } else if header.is_transactional() && self.unclear.contains(&header.producer_id()) {
            Kind::Unreadable("how the transaction before it ended cannot be read".to_owned())
        } else if fate == Fate::Aborted {
            Kind::RolledBack
        } else {
            Kind::Committed
        }
    }

    fn control(&mut self, batch: &FetchedBatch) -> Kind {
        let header = batch.header();
        let read = if batch.view().checksum_holds() {
            control::kind(&batch.view()).map_err(|error| error.to_string())
        } else {
            Err(CHECKSUM.to_owned())
        };
        match read {
            Ok(control) => {
                self.filter.fate(header, control);
                if control.is_some() { Kind::Marker(header.last_offset()) } else { Kind::Empty }
            }
            Err(why) => {
                self.unclear.push(header.producer_id());
                Kind::Unreadable(why)
            }
        }
    }
}

/// The records of a batch of data.
pub(super) fn decode(batch: &FetchedBatch) -> Result<RecordIter, String> {
    if !batch.view().checksum_holds() {
        return Err(CHECKSUM.to_owned());
    }
    records::decode(&batch.view(), Limits::default()).map_err(|error| error.to_string())
}

const CHECKSUM: &str = "its checksum does not hold";
