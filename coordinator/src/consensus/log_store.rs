//! Entries and hard state in redb: one transaction for each step, on disk when it returns.
//! Promises: what was written is read back or reported as damaged, never guessed: every value carries a checksum over its
//! key, and the log's ends are recorded beside it. Never mends anything: a member that forgot a promise must not vote.

use std::collections::VecDeque;
use std::path::Path;

use crc32c::{crc32c, crc32c_append};
use protobuf::Message as _;
use raft::eraftpb::{Entry, HardState};
use redb::{Database, Durability, ReadableDatabase, StorageBackend, TableDefinition, WriteTransaction};

use super::Fault;

const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
const HARD_STATE: &str = "hard_state";
const ENDS: &str = "ends";
const FORMAT: &str = "format";
const FORMAT_KNOWN: u32 = 1;
/// Pages kept in memory; the log is short.
const CACHE_BYTES: usize = 16 << 20;
const NAME: &str = "raft.redb";

/// A place in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) term: u64,
    pub(super) index: u64,
}

/// How a step has to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Care {
    /// On disk before anything else happens.
    Sync,
    /// It may be forgotten in a power failure: raft learns it again (a commit index alone).
    Lazy,
}

/// The log on disk.
pub struct LogStore {
    database: Database,
    hard_state: HardState,
    /// What came before the first entry.
    start: Place,
    /// Of each entry behind `start`.
    terms: VecDeque<u64>,
    bytes: u64,
}

impl std::fmt::Debug for LogStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogStore").field("start", &self.start).field("entries", &self.terms.len()).finish()
    }
}

impl LogStore {
    /// The log in a member's folder; an empty one where there was none.
    ///
    /// # Errors
    /// [`Fault::Disk`], [`Fault::Damaged`], [`Fault::Format`].
    pub fn open(folder: &Path) -> Result<Self, Fault> {
        let path = folder.join(NAME);
        let database = Database::builder().set_cache_size(CACHE_BYTES).create(&path);
        Self::load(database.map_err(|error| opening(&error))?)
    }

    /// The same over something else than a file.
    ///
    /// # Errors
    /// As [`LogStore::open`].
    pub fn over(backend: impl StorageBackend) -> Result<Self, Fault> {
        let database = Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend);
        Self::load(database.map_err(|error| opening(&error))?)
    }

    fn load(database: Database) -> Result<Self, Fault> {
        let mut store = Self {
            database,
            hard_state: HardState::default(),
            start: Place::default(),
            terms: VecDeque::new(),
            bytes: 0,
        };
        let disk = disk("opening the log");
        // Both tables are there from the first transaction on.
        let first = store.database.begin_write().map_err(|error| disk(&error))?;
        first.open_table(ENTRIES).map_err(|error| disk(&error))?;
        first.open_table(META).map_err(|error| disk(&error))?;
        first.commit().map_err(|error| disk(&error))?;
        store.read_all()?;
        Ok(store)
    }

    fn read_all(&mut self) -> Result<(), Fault> {
        let disk = disk("reading the log");
        let read = self.database.begin_read().map_err(|error| disk(&error))?;
        let meta = read.open_table(META).map_err(|error| disk(&error))?;
        let value = |key: &str| -> Result<Option<Vec<u8>>, Fault> {
            let found = meta.get(key).map_err(|error| disk(&error))?;
            let Some(found) = found else { return Ok(None) };
            let bytes = unsealed(key.as_bytes(), found.value()).ok_or_else(|| Fault::Damaged {
                what: format!("the log's {key}"),
                why: "its checksum does not match".to_owned(),
            })?;
            Ok(Some(bytes.to_vec()))
        };
        if let Some(format) = value(FORMAT)? {
            let format = format.try_into().map_or(u32::MAX, u32::from_be_bytes);
            if format != FORMAT_KNOWN {
                return Err(Fault::Format { what: "the log", format, known: FORMAT_KNOWN });
            }
        }
        if let Some(bytes) = value(HARD_STATE)? {
            self.hard_state = HardState::parse_from_bytes(&bytes)
                .map_err(|error| damaged("the log's hard state", &error))?;
        }
        let ends = value(ENDS)?;
        let (start, last) = match ends.as_deref().map(ends_from) {
            None => (Place::default(), Place::default()),
            Some(Some(ends)) => ends,
            Some(None) => return Err(damaged("the log's ends", &"they have another length")),
        };
        self.start = start;
        let entries = read.open_table(ENTRIES).map_err(|error| disk(&error))?;
        for item in entries.range::<u64>(..).map_err(|error| disk(&error))? {
            let (key, value) = item.map_err(|error| disk(&error))?;
            let expected = self.last().index + 1;
            let entry = checked(expected, key.value(), value.value())?;
            self.bytes += value.value().len() as u64;
            self.terms.push_back(entry.term);
        }
        let found = self.last();
        if found != last {
            let why = format!(
                "it ends with entry {} of term {}, entry {} of term {} was written",
                found.index, found.term, last.index, last.term
            );
            return Err(Fault::Damaged { what: "the end of the log".to_owned(), why });
        }
        if self.hard_state.commit > found.index {
            let why = format!("entry {} is known to be agreed on and missing", self.hard_state.commit);
            return Err(Fault::Damaged { what: "the end of the log".to_owned(), why });
        }
        Ok(())
    }

    pub(super) fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    pub(super) fn start(&self) -> Place {
        self.start
    }

    pub(super) fn last(&self) -> Place {
        let index = self.start.index + self.terms.len() as u64;
        Place { term: self.terms.back().copied().unwrap_or(self.start.term), index }
    }

    /// What the entries take on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn term(&self, index: u64) -> Option<u64> {
        if index == self.start.index {
            return Some(self.start.term);
        }
        let offset = index.checked_sub(self.start.index + 1)?;
        self.terms.get(usize::try_from(offset).ok()?).copied()
    }

    /// Entries from `low` up to, not including, `high`: as many as fit, at least one.
    ///
    /// # Errors
    /// [`Fault::Disk`], [`Fault::Damaged`].
    pub(super) fn entries(&self, low: u64, high: u64, bytes_max: u64) -> Result<Vec<Entry>, Fault> {
        let disk = disk("reading the log");
        let read = self.database.begin_read().map_err(|error| disk(&error))?;
        let table = read.open_table(ENTRIES).map_err(|error| disk(&error))?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        for item in table.range(low..high).map_err(|error| disk(&error))? {
            let (key, value) = item.map_err(|error| disk(&error))?;
            bytes += value.value().len() as u64;
            if !found.is_empty() && bytes > bytes_max {
                break;
            }
            found.push(checked(low + found.len() as u64, key.value(), value.value())?);
        }
        Ok(found)
    }

    /// Entries (from the first one's index on they replace what was there) and the hard state, in one transaction.
    ///
    /// # Errors
    /// [`Fault::Disk`]: nothing of it was written.
    pub(super) fn write(
        &mut self,
        entries: &[Entry],
        hard: Option<&HardState>,
        care: Care,
    ) -> Result<(), Fault> {
        let disk = disk("writing the log");
        let last =
            entries.last().map_or_else(|| self.last(), |last| Place { term: last.term, index: last.index });
        let mut transaction = self.database.begin_write().map_err(|error| disk(&error))?;
        if care == Care::Lazy {
            transaction.set_durability(Durability::None).map_err(|error| disk(&error))?;
        }
        let mut bytes = self.bytes;
        if let Some(first) = entries.first() {
            let mut table = transaction.open_table(ENTRIES).map_err(|error| disk(&error))?;
            for gone in table.extract_from_if(first.index.., |_, _| true).map_err(|error| disk(&error))? {
                let (_, value) = gone.map_err(|error| disk(&error))?;
                bytes -= value.value().len() as u64;
            }
            for entry in entries {
                let sealed = sealed(&entry.index.to_be_bytes(), &written(entry)?);
                bytes += sealed.len() as u64;
                table.insert(entry.index, sealed.as_slice()).map_err(|error| disk(&error))?;
            }
        }
        put_meta(&transaction, self.start, last, hard)?;
        transaction.commit().map_err(|error| disk(&error))?;
        self.bytes = bytes;
        if let Some(first) = entries.first() {
            let kept = first.index.saturating_sub(self.start.index + 1);
            self.terms.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
            self.terms.extend(entries.iter().map(|entry| entry.term));
        }
        if let Some(hard) = hard {
            self.hard_state = hard.clone();
        }
        Ok(())
    }

    /// Forgets the entries up to and including `index`, which a snapshot holds.
    ///
    /// # Errors
    /// [`Fault::Disk`]: nothing was forgotten.
    pub(super) fn compact(&mut self, index: u64) -> Result<(), Fault> {
        let Some(term) = self.term(index).filter(|_| index > self.start.index) else { return Ok(()) };
        let disk = disk("shortening the log");
        let transaction = self.database.begin_write().map_err(|error| disk(&error))?;
        let mut bytes = self.bytes;
        {
            let mut table = transaction.open_table(ENTRIES).map_err(|error| disk(&error))?;
            for gone in table.extract_from_if(..=index, |_, _| true).map_err(|error| disk(&error))? {
                let (_, value) = gone.map_err(|error| disk(&error))?;
                bytes -= value.value().len() as u64;
            }
        }
        let start = Place { term, index };
        put_meta(&transaction, start, self.last(), None)?;
        transaction.commit().map_err(|error| disk(&error))?;
        // `term` was found: so many entries are there.
        let gone = usize::try_from(index - self.start.index).unwrap_or(usize::MAX).min(self.terms.len());
        self.terms.drain(..gone);
        (self.start, self.bytes) = (start, bytes);
        Ok(())
    }

    /// Begins anew behind a snapshot: every entry goes.
    ///
    /// # Errors
    /// [`Fault::Disk`]: everything is as before.
    pub(super) fn begin_behind(&mut self, place: Place, hard: &HardState) -> Result<(), Fault> {
        let disk = disk("beginning the log anew");
        let transaction = self.database.begin_write().map_err(|error| disk(&error))?;
        {
            let mut table = transaction.open_table(ENTRIES).map_err(|error| disk(&error))?;
            table.retain(|_, _| false).map_err(|error| disk(&error))?;
        }
        put_meta(&transaction, place, place, Some(hard))?;
        transaction.commit().map_err(|error| disk(&error))?;
        self.terms.clear();
        (self.start, self.bytes, self.hard_state) = (place, 0, hard.clone());
        Ok(())
    }
}

fn put_meta(
    transaction: &WriteTransaction,
    start: Place,
    last: Place,
    hard: Option<&HardState>,
) -> Result<(), Fault> {
    let disk = disk("writing the log");
    let mut meta = transaction.open_table(META).map_err(|error| disk(&error))?;
    let mut put = |key: &str, bytes: &[u8]| {
        meta.insert(key, sealed(key.as_bytes(), bytes).as_slice()).map(drop).map_err(|error| disk(&error))
    };
    put(FORMAT, &FORMAT_KNOWN.to_be_bytes())?;
    let numbers = [start.term, start.index, last.term, last.index];
    put(ENDS, &numbers.map(u64::to_be_bytes).concat())?;
    if let Some(hard) = hard {
        let bytes = hard.write_to_bytes().map_err(|error| disk(&error))?;
        put(HARD_STATE, &bytes)?;
    }
    Ok(())
}

fn ends_from(bytes: &[u8]) -> Option<(Place, Place)> {
    let bytes: [u8; 32] = bytes.try_into().ok()?;
    let mut numbers = [0; 4];
    for (number, eight) in numbers.iter_mut().zip(bytes.chunks_exact(8)) {
        *number = u64::from_be_bytes(eight.try_into().ok()?);
    }
    let [start_term, start_index, last_term, last_index] = numbers;
    Some((Place { term: start_term, index: start_index }, Place { term: last_term, index: last_index }))
}

fn checked(expected: u64, index: u64, value: &[u8]) -> Result<Entry, Fault> {
    let what = || format!("entry {expected} of the log");
    if index != expected {
        return Err(Fault::Damaged { what: what(), why: format!("it is missing, entry {index} follows") });
    }
    let bytes = unsealed(&index.to_be_bytes(), value)
        .ok_or_else(|| Fault::Damaged { what: what(), why: "its checksum does not match".to_owned() })?;
    let entry = Entry::parse_from_bytes(bytes).map_err(|error| damaged(&what(), &error))?;
    if entry.index != index {
        let why = format!("entry {} stands in its place", entry.index);
        return Err(Fault::Damaged { what: what(), why });
    }
    Ok(entry)
}

fn written(entry: &Entry) -> Result<Vec<u8>, Fault> {
    entry.write_to_bytes().map_err(|error| disk("writing the log")(&error))
}

/// A value with its checksum before it, over key and value: a value in another's place is found, too.
fn sealed(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut sealed = crc32c_append(crc32c(key), value).to_be_bytes().to_vec();
    sealed.extend_from_slice(value);
    sealed
}

fn unsealed<'a>(key: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (crc, value) = sealed.split_first_chunk::<4>()?;
    (crc32c_append(crc32c(key), value) == u32::from_be_bytes(*crc)).then_some(value)
}

fn disk(doing: &'static str) -> impl Fn(&dyn std::fmt::Display) -> Fault + Copy {
    move |why| Fault::Disk { doing, why: why.to_string() }
}

fn damaged(what: &str, why: &dyn std::fmt::Display) -> Fault {
    Fault::Damaged { what: what.to_owned(), why: why.to_string() }
}

/// redb tells what it found broken by itself.
fn opening(error: &redb::DatabaseError) -> Fault {
    match error {
        redb::DatabaseError::Storage(redb::StorageError::Corrupted(why)) => damaged("the log", why),
        other => disk("opening the log")(other),
    }
}
