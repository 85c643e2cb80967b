//! What raft wants done, in this order: (1) what a leader may send before it is on disk, (2) a snapshot that came, (3) entries
//! and hard state to disk, (4) what may be sent only then, (5) what is agreed on to the machine, and to whoever waits,
//! (6) the same for what (3) made agreed on, (7) who waits to read, (8) a snapshot of our own when it is time.

use protobuf::Message as _;
use raft::eraftpb::{ConfChangeV2, Entry, EntryType, Message, MessageType, Snapshot};

use super::super::calls::Snapshotted;
use super::super::log_store::{Care, Place};
use super::super::snapshots::{Header, unpacked};
use super::super::{Fault, Machine, Parcel, ParcelKind, Transport, roster};
use super::Node;

impl<M: Machine, T: Transport> Node<M, T> {
    pub(super) fn settle(&mut self) -> Result<(), Fault> {
        if let Some(ticket) = self.waiting.ask_reads() {
            self.raft.read_index(ticket.to_be_bytes().to_vec());
        }
        while self.raft.has_ready() {
            self.process()?;
        }
        self.waiting.settle_reads(self.applied.index);
        let is_due = self.has_new_members
            || self.entries_since_snapshot >= self.pace.snapshot_entries
            || self.bytes_since_snapshot >= self.pace.snapshot_bytes;
        if is_due && !self.is_joint {
            self.snapshot()?;
        }
        Ok(())
    }

    fn process(&mut self) -> Result<(), Fault> {
        let mut ready = self.raft.ready();
        if ready.ss().is_some() && !self.leads() {
            self.waiting.deposed();
        }
        for state in ready.take_read_states() {
            if let Ok(ticket) = state.request_ctx.try_into().map(u64::from_be_bytes) {
                self.waiting.read_at(ticket, state.index);
            }
        }
        // 1
        self.send_all(ready.take_messages());
        // 2
        let hard = ready.hs().cloned();
        if !ready.snapshot().is_empty() {
            self.install(ready.snapshot(), hard.as_ref())?;
        }
        // 3
        let entries = ready.take_entries();
        if !entries.is_empty() || hard.is_some() {
            let care = if ready.must_sync() { Care::Sync } else { Care::Lazy };
            self.raft.mut_store().log.write(&entries, hard.as_ref(), care)?;
        }
        // 4
        self.send_all(ready.take_persisted_messages());
        // 5
        self.apply_all(ready.take_committed_entries())?;
        // 6
        let mut light = self.raft.advance_append(ready);
        if let Some(commit) = light.commit_index() {
            let mut hard = self.raft.store().log.hard_state().clone();
            hard.commit = commit;
            self.raft.mut_store().log.write(&[], Some(&hard), Care::Lazy)?;
        }
        self.send_all(light.take_messages());
        self.apply_all(light.take_committed_entries())?;
        self.raft.advance_apply_to(self.applied.index);
        Ok(())
    }

    fn send_all(&mut self, messages: Vec<Message>) {
        for message in messages {
            let Some(to) = self.reach(message.to).cloned() else { continue };
            let is_state = message.get_msg_type() == MessageType::MsgSnapshot;
            let kind = if is_state { ParcelKind::Snapshot } else { ParcelKind::Step };
            match message.write_to_bytes() {
                Ok(bytes) => self.transport.send(&to, Parcel { bytes, kind }),
                // Its library writes whatever it has built itself.
                Err(error) => tracing::error!("a message cannot be written: {error}"),
            }
        }
    }

    fn install(&mut self, snapshot: &Snapshot, hard: Option<&raft::eraftpb::HardState>) -> Result<(), Fault> {
        let (header, data) = unpacked(snapshot.get_data()).map_err(|why| Fault::Damaged {
            what: "a snapshot from another member".to_owned(),
            why: why.to_owned(),
        })?;
        tracing::info!(index = header.index, bytes = data.len(), "taking over another member's snapshot");
        self.raft.mut_store().install(header.clone(), &data, hard)?;
        self.machine.restore(&data).map_err(Fault::Machine)?;
        self.applied = header.place();
        self.roster = header.roster;
        (self.is_joint, self.has_new_members) = (false, false);
        (self.entries_since_snapshot, self.bytes_since_snapshot) = (0, 0);
        self.transport.roster(&self.roster);
        Ok(())
    }

    fn apply_all(&mut self, entries: Vec<Entry>) -> Result<(), Fault> {
        for entry in entries {
            let place = Place { term: entry.term, index: entry.index };
            self.entries_since_snapshot += 1;
            self.bytes_since_snapshot += entry.get_data().len() as u64;
            let ticket = entry.get_context().try_into().ok().map(u64::from_be_bytes);
            match entry.get_entry_type() {
                // A new leader's own: it says nothing.
                EntryType::EntryNormal if entry.get_data().is_empty() => {}
                EntryType::EntryNormal => {
                    let answer = self.machine.apply(entry.index, entry.get_data()).map_err(Fault::Machine)?;
                    self.waiting.applied(ticket, answer);
                }
                EntryType::EntryConfChangeV2 => self.change_members(&entry, ticket)?,
                EntryType::EntryConfChange => {
                    let why = "a change of members of a kind that this system never proposes".to_owned();
                    return Err(Fault::Machine(why));
                }
            }
            self.applied = place;
        }
        Ok(())
    }

    fn change_members(&mut self, entry: &Entry, ticket: Option<u64>) -> Result<(), Fault> {
        // Whoever starts again has to know that this was agreed on before it may be elected by the members of before.
        let mut hard = self.raft.store().log.hard_state().clone();
        hard.commit = hard.commit.max(entry.index);
        self.raft.mut_store().log.write(&[], Some(&hard), Care::Sync)?;
        let unreadable = |why: String| Fault::Machine(format!("a change of members cannot be read: {why}"));
        let conf = ConfChangeV2::parse_from_bytes(entry.get_data())
            .map_err(|error| unreadable(error.to_string()))?;
        let changes = roster::changes(&conf).map_err(|error| unreadable(error.to_string()))?;
        let was_member = self.roster.member(self.id).is_some();
        let state =
            self.raft.apply_conf_change(&conf).map_err(|error| Fault::Configuration(error.to_string()))?;
        for change in &changes {
            self.roster.take(change);
        }
        self.has_new_members = true;
        self.is_joint = !state.get_voters_outgoing().is_empty();
        if !self.is_joint && !self.agrees(&state) {
            let why = format!("{state:?} beside {:?}", self.roster.conf_state());
            return Err(Fault::Configuration(why));
        }
        self.transport.roster(&self.roster);
        self.waiting.changed(ticket, &self.roster);
        tracing::info!(voters = ?self.roster.voters(), "the coordinators are others now");
        if was_member && self.roster.member(self.id).is_none() {
            return Err(Fault::Removed);
        }
        Ok(())
    }

    /// The machine's state to a file, and the log behind it.
    pub(super) fn snapshot(&mut self) -> Result<Snapshotted, Fault> {
        let header =
            Header { index: self.applied.index, term: self.applied.term, roster: self.roster.clone() };
        let data = self.machine.snapshot().map_err(Fault::Machine)?;
        let path = self.raft.mut_store().keep(header, &data)?;
        self.has_new_members = false;
        (self.entries_since_snapshot, self.bytes_since_snapshot) = (0, 0);
        let kept = self.applied.index.saturating_sub(self.pace.kept_entries);
        // The kept entries are few; what is large goes at once.
        let behind =
            if self.raft.store().log.bytes() > self.pace.snapshot_bytes { self.applied.index } else { kept };
        self.raft.mut_store().log.compact(behind)?;
        tracing::info!(index = self.applied.index, bytes = data.len(), "a snapshot was written");
        Ok(Snapshotted { index: self.applied.index, path })
    }
}
