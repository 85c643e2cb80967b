//! A folder's first content, and what is left after a forced recovery. Both are done while nobody runs on the folder.

use protobuf::Message as _;
use raft::Storage as _;
use raft::eraftpb::{ConfChangeV2, EntryType, HardState};

use lockstep_core::state::Member;

use super::log_store::{LogStore, Place};
use super::roster::{Roster, changes};
use super::snapshots::{Header, Snapshots};
use super::storage::Storage;
use super::{Fault, Machine};

/// The first index and term of every log: an empty snapshot, which every member gets.
const FIRST: Place = Place { term: 1, index: 1 };

/// The end of a member's log: of several survivors the one with the highest has everything that was ever answered as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Last {
    pub term: u64,
    pub index: u64,
}

/// Makes an empty folder that of a system's first and only member.
///
/// # Errors
/// [`Fault`]; [`Fault::Configuration`] where something is there already.
pub fn found<M: Machine>(
    log: LogStore,
    snapshots: Snapshots,
    machine: &mut M,
    me: Member,
) -> Result<(), Fault> {
    let (mut storage, there) = Storage::open(log, snapshots)?;
    if there.is_some() || storage.log.last() != Place::default() {
        let why = "there is a system in this folder already".to_owned();
        return Err(Fault::Configuration(why));
    }
    let data = machine.snapshot().map_err(Fault::Machine)?;
    let header = Header { index: FIRST.index, term: FIRST.term, roster: Roster::of_one(me) };
    storage.install(header, &data, None)
}

/// How far a member's log goes.
///
/// # Errors
/// [`Fault`].
pub fn last(log: LogStore, snapshots: Snapshots) -> Result<Last, Fault> {
    let (storage, _) = Storage::open(log, snapshots)?;
    let last = storage.log.last();
    Ok(Last { term: last.term, index: last.index })
}

/// Makes a survivor the only member. Everything in its log counts, also what no majority is known to have had: it may have
/// been answered as done.
///
/// # Errors
/// [`Fault`]; until the last step everything is as before.
pub fn recover<M: Machine>(
    log: LogStore,
    snapshots: Snapshots,
    machine: &mut M,
    me: Member,
) -> Result<Last, Fault> {
    let (mut storage, data) = Storage::open(log, snapshots)?;
    let Some((header, data)) = storage.newest().cloned().zip(data) else {
        let why = "nothing was ever agreed on in this folder: there is nothing to recover".to_owned();
        return Err(Fault::Configuration(why));
    };
    machine.restore(&data).map_err(Fault::Machine)?;
    let last = storage.log.last();
    let mut roster = header.roster;
    for entry in storage.log.entries(header.index + 1, last.index + 1, u64::MAX)? {
        match entry.get_entry_type() {
            EntryType::EntryNormal if !entry.get_data().is_empty() => {
                machine.apply(entry.index, entry.get_data()).map_err(Fault::Machine)?;
            }
            EntryType::EntryConfChangeV2 => {
                let unreadable =
                    |why: String| Fault::Machine(format!("a change of members cannot be read: {why}"));
                let conf = ConfChangeV2::parse_from_bytes(entry.get_data())
                    .map_err(|error| unreadable(error.to_string()))?;
                for change in changes(&conf).map_err(|error| unreadable(error.to_string()))? {
                    roster.take(&change);
                }
            }
            EntryType::EntryNormal | EntryType::EntryConfChange => {}
        }
    }
    let data = machine.snapshot().map_err(Fault::Machine)?;
    // A term of its own: nothing that the others may still propose is taken for what is here.
    let state = storage.initial_state().map_err(|error| Fault::Configuration(error.to_string()))?;
    let place = Place { term: last.term.max(state.hard_state.term) + 1, index: last.index + 1 };
    let header = Header { index: place.index, term: place.term, roster: roster.alone(me) };
    let mut hard = HardState::default();
    (hard.term, hard.commit) = (place.term, place.index);
    storage.install(header, &data, Some(&hard))?;
    Ok(Last { term: place.term, index: place.index })
}
