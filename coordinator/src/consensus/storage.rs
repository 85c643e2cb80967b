//! What raft reads: the log store, and the newest snapshot. Raft takes an error here for a broken invariant and panics, so a
//! disk that fails while reading ends the node's task; whoever runs it reports that as a stop.

use raft::eraftpb::{Entry, HardState, Snapshot};
use raft::{Error, GetEntriesContext, RaftState, StorageError};

use super::Fault;
use super::log_store::{LogStore, Place};
use super::snapshots::{Header, Snapshots, packed};

/// Both stores of a member.
pub(super) struct Storage {
    pub(super) log: LogStore,
    pub(super) snapshots: Snapshots,
    /// Of the newest snapshot; `None` in a member that has joined and received nothing yet.
    newest: Option<Header>,
}

impl Storage {
    /// Looks whether both belong together, and hands out the newest snapshot's content. A member that was ended between
    /// taking a snapshot and beginning its log behind it does so now.
    ///
    /// # Errors
    /// [`Fault`]; nothing was changed that is not whole.
    pub(super) fn open(log: LogStore, snapshots: Snapshots) -> Result<(Self, Option<Vec<u8>>), Fault> {
        let missing = |why: String| Fault::Damaged { what: "the folder of snapshots".to_owned(), why };
        let Some((header, data)) = snapshots.newest()? else {
            if log.start() != Place::default() {
                return Err(missing("the log begins behind a snapshot that is not there".to_owned()));
            }
            return Ok((Self { log, snapshots, newest: None }, None));
        };
        if header.index < log.start().index {
            let why = format!(
                "the newest is of entry {}, the log begins behind {}",
                header.index,
                log.start().index
            );
            return Err(missing(why));
        }
        let mut storage = Self { log, snapshots, newest: None };
        if storage.log.term(header.index) != Some(header.term) {
            storage.begin_behind(&header, None)?;
        }
        storage.newest = Some(header);
        Ok((storage, Some(data)))
    }

    pub(super) fn newest(&self) -> Option<&Header> {
        self.newest.as_ref()
    }

    /// Entries in the log, their bytes, and the newest snapshot's index.
    pub(super) fn sizes(&self) -> (u64, u64, u64) {
        let entries = self.log.last().index.saturating_sub(self.log.start().index);
        (entries, self.log.bytes(), self.newest.as_ref().map_or(0, |header| header.index))
    }

    /// A snapshot of this member's own, of an index that its log holds.
    ///
    /// # Errors
    /// [`Fault::Disk`]; everything is as before.
    pub(super) fn keep(&mut self, header: Header, data: &[u8]) -> Result<std::path::PathBuf, Fault> {
        let path = self.snapshots.put(&header, data)?;
        self.newest = Some(header);
        Ok(path)
    }

    /// Another member's snapshot in place of everything here.
    ///
    /// # Errors
    /// [`Fault::Disk`]; what is there is whole.
    pub(super) fn install(
        &mut self,
        header: Header,
        data: &[u8],
        hard: Option<&HardState>,
    ) -> Result<(), Fault> {
        self.snapshots.put(&header, data)?;
        self.begin_behind(&header, hard)?;
        self.newest = Some(header);
        Ok(())
    }

    fn begin_behind(&mut self, header: &Header, hard: Option<&HardState>) -> Result<(), Fault> {
        let mut hard = hard.unwrap_or_else(|| self.log.hard_state()).clone();
        hard.term = hard.term.max(header.term);
        hard.commit = header.index;
        self.log.begin_behind(header.place(), &hard)
    }
}

impl raft::Storage for Storage {
    fn initial_state(&self) -> raft::Result<RaftState> {
        // Of the snapshot, whatever came later is applied again: raft lets nobody be elected before that.
        let conf = self.newest.as_ref().map(|header| header.roster.conf_state()).unwrap_or_default();
        let mut hard = self.log.hard_state().clone();
        hard.commit = hard.commit.max(self.newest.as_ref().map_or(0, |header| header.index));
        Ok(RaftState::new(hard, conf))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.log.start().index {
            return Err(Error::Store(StorageError::Compacted));
        }
        let entries = self.log.entries(low, high, max_size.into().unwrap_or(u64::MAX));
        entries.map_err(|fault| Error::Store(StorageError::Other(Box::new(fault))))
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        match self.log.term(index) {
            Some(term) => Ok(term),
            None if index < self.log.start().index => Err(Error::Store(StorageError::Compacted)),
            None => Err(Error::Store(StorageError::Unavailable)),
        }
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.log.start().index + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.log.last().index)
    }

    fn snapshot(&self, request_index: u64, _to: u64) -> raft::Result<Snapshot> {
        let later = || Error::Store(StorageError::SnapshotTemporarilyUnavailable);
        // A damaged file is found here, too: the member that wants it waits, this one logs it each time.
        let newest = self.snapshots.newest().and_then(|newest| {
            newest.map(|(header, data)| packed(&header, &data).map(|content| (header, content))).transpose()
        });
        match newest {
            Ok(Some((header, content))) if header.index >= request_index => {
                let mut snapshot = Snapshot::default();
                snapshot.set_data(content.into());
                let metadata = snapshot.mut_metadata();
                metadata.set_conf_state(header.roster.conf_state());
                (metadata.index, metadata.term) = (header.index, header.term);
                Ok(snapshot)
            }
            Ok(_) => Err(later()),
            Err(fault) => {
                tracing::error!("no snapshot can be sent: {fault}");
                Err(later())
            }
        }
    }
}
