//! The audit trail on disk: JSON lines in files of 50,000 events, `audit/00000000000000000001.jsonl` and on.
//! Promises: events stand in their order without a gap; an event that is there is never replaced. What a crash cut off is
//! written again from the log, which keeps it until [`Trail::sync`] was asked for. Knows nothing of what events say.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use lockstep_core::audit::{AuditEvent, Head, verify};
use thiserror::Error;

use crate::agreement::{PAGE_BYTES_MAX, PAGE_EVENTS_MAX};

const FOLDER: &str = "audit";
const SUFFIX: &str = "jsonl";
/// Events of one file.
const FILE_EVENTS: u64 = 50_000;
/// Events behind a gap that wait in memory for it to be filled.
const AHEAD_MAX: usize = 10_000;

#[derive(Debug, Error)]
pub enum TrailFault {
    #[error("the audit trail {path}: {why}")]
    Io { path: PathBuf, why: io::Error },
    #[error("the audit trail {path}, line {line}: {why}; the other coordinators have the whole trail")]
    Damaged { path: PathBuf, line: u64, why: String },
}

/// A handle: the machine writes, whoever is asked reads.
#[derive(Clone)]
pub(super) struct Trail(Arc<Mutex<Inner>>);

struct Inner {
    folder: PathBuf,
    /// The last event that is on the trail without a gap before it.
    head: Head,
    /// The file that is written to.
    file: Option<File>,
    /// Events that came after a gap (a snapshot of another member was taken over).
    ahead: BTreeMap<u64, AuditEvent>,
}

impl Trail {
    /// Reads what is there; a last line that was cut off by a crash goes.
    ///
    /// # Errors
    /// [`TrailFault`].
    pub(super) fn open(data: &Path) -> Result<Self, TrailFault> {
        let folder = data.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|why| TrailFault::Io { path: folder.clone(), why })?;
        let mut inner = Inner { folder, head: Head::default(), file: None, ahead: BTreeMap::new() };
        inner.read_all()?;
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    /// The next event. One that is there already is passed over.
    ///
    /// # Errors
    /// [`TrailFault::Io`].
    pub(super) fn put(&self, event: &AuditEvent) -> Result<(), TrailFault> {
        self.with(|inner| inner.put(event))
    }

    /// Everything that was put is on disk when it returns.
    ///
    /// # Errors
    /// [`TrailFault::Io`].
    pub(super) fn sync(&self) -> Result<(), TrailFault> {
        self.with(Inner::sync)
    }

    /// Where the trail ends, as far as it has no gap.
    #[must_use]
    pub(super) fn head(&self) -> Head {
        self.with(|inner| inner.head)
    }

    /// Events from `from` on: a page of them; none where the trail ends before.
    ///
    /// # Errors
    /// [`TrailFault`].
    pub(super) fn page(&self, from: u64) -> Result<Vec<AuditEvent>, TrailFault> {
        let (folder, last) = self.with(|inner| (inner.folder.clone(), inner.head.seq));
        page(&folder, from.max(1), last)
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        // A panic in between leaves the file as a crash does.
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Inner {
    fn put(&mut self, event: &AuditEvent) -> Result<(), TrailFault> {
        if event.seq <= self.head.seq {
            return Ok(());
        }
        if event.seq > self.head.seq + 1 {
            // The members that were there have it; it is asked for again when the gap is filled.
            if self.ahead.len() < AHEAD_MAX {
                self.ahead.insert(event.seq, event.clone());
            }
            return Ok(());
        }
        self.append(event)?;
        while let Some(next) = self.ahead.remove(&(self.head.seq + 1)) {
            self.append(&next)?;
        }
        self.ahead.retain(|seq, _| *seq > self.head.seq);
        Ok(())
    }

    fn append(&mut self, event: &AuditEvent) -> Result<(), TrailFault> {
        let path = path_of(&self.folder, event.seq);
        let failed = |why| TrailFault::Io { path: path.clone(), why };
        if (event.seq - 1).is_multiple_of(FILE_EVENTS) {
            self.sync()?;
            self.file = None;
        }
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
                self.file.insert(file)
            }
        };
        let mut line = serde_json::to_vec(event).map_err(|error| failed(error.into()))?;
        line.push(b'\n');
        file.write_all(&line).map_err(failed)?;
        self.head = Head { seq: event.seq, hash: event.hash };
        Ok(())
    }

    fn sync(&mut self) -> Result<(), TrailFault> {
        let failed = |why| TrailFault::Io { path: self.folder.clone(), why };
        let Some(file) = &self.file else { return Ok(()) };
        file.sync_all().map_err(failed)?;
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(failed)
    }

    fn read_all(&mut self) -> Result<(), TrailFault> {
        let files = files(&self.folder)?;
        let count = files.len();
        for (number, path) in files.into_iter().enumerate() {
            self.read_file(&path, number + 1 == count)?;
        }
        Ok(())
    }

    fn read_file(&mut self, path: &Path, is_last: bool) -> Result<(), TrailFault> {
        let failed = |why| TrailFault::Io { path: path.to_owned(), why };
        let mut reader = BufReader::new(File::open(path).map_err(failed)?);
        let (mut whole, mut number, mut line) = (0, 0, Vec::new());
        loop {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(failed)?;
            if read == 0 {
                return Ok(());
            }
            number += 1;
            let damaged = |why: String| TrailFault::Damaged { path: path.to_owned(), line: number, why };
            if line.last() != Some(&b'\n') {
                // It never got to its end, so no snapshot counts on it.
                if !is_last {
                    return Err(damaged("it is cut off".to_owned()));
                }
                let file = OpenOptions::new().write(true).open(path).map_err(failed)?;
                return file.set_len(whole).map_err(failed);
            }
            let event: AuditEvent =
                serde_json::from_slice(&line).map_err(|error| damaged(error.to_string()))?;
            self.head = verify([&event], self.head, None).map_err(|broken| damaged(broken.to_string()))?;
            whole += read as u64;
        }
    }
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, TrailFault> {
    let failed = |why| TrailFault::Io { path: folder.to_owned(), why };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == SUFFIX) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn path_of(folder: &Path, seq: u64) -> PathBuf {
    let first = (seq - 1) / FILE_EVENTS * FILE_EVENTS + 1;
    folder.join(format!("{first:020}.{SUFFIX}"))
}

fn page(folder: &Path, from: u64, last: u64) -> Result<Vec<AuditEvent>, TrailFault> {
    let (mut events, mut bytes, mut seq) = (Vec::new(), 0, from);
    let is_full = |events: &[AuditEvent], bytes| events.len() >= PAGE_EVENTS_MAX || bytes >= PAGE_BYTES_MAX;
    while seq <= last && !is_full(&events, bytes) {
        let path = path_of(folder, seq);
        let failed = |why| TrailFault::Io { path: path.clone(), why };
        let damaged = |seq: u64, why| TrailFault::Damaged {
            path: path.clone(),
            line: (seq - 1) % FILE_EVENTS + 1,
            why,
        };
        let in_file = (seq - 1) % FILE_EVENTS;
        // What this file holds of what was asked for.
        let until = last.min(seq - in_file + FILE_EVENTS - 1);
        let lines = BufReader::new(File::open(&path).map_err(failed)?).lines();
        let mut lines = lines.skip(usize::try_from(in_file).unwrap_or(usize::MAX));
        while seq <= until && !is_full(&events, bytes) {
            let line = lines.next().ok_or_else(|| damaged(seq, format!("event {seq} is not there")))?;
            let line = line.map_err(failed)?;
            bytes += line.len();
            events.push(serde_json::from_str(&line).map_err(|error| damaged(seq, error.to_string()))?);
            seq += 1;
        }
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use lockstep_core::audit::{Actor, ActorKind, Draft, WallMillis};

    use super::*;

    fn chain(count: u64) -> Vec<AuditEvent> {
        let mut head = Head::default();
        let draft = |n: u64| Draft {
            at: WallMillis(n),
            actor: Actor { name: "anna".to_owned(), kind: ActorKind::Operator, from: None },
            what: "apply_spec".to_owned(),
            subject: String::new(),
            reason: None,
            before: None,
            after: Some(format!("revision {n}")),
            outcome: "done".to_owned(),
        };
        (1..=count).map(|n| head.chain(draft(n))).collect()
    }

    #[test]
    fn what_was_put_is_read_back_in_pages_also_after_a_crash() {
        let place = tempfile::tempdir().unwrap();
        let events = chain(2_500);
        let trail = Trail::open(place.path()).unwrap();
        for event in &events {
            trail.put(event).unwrap();
        }
        trail.put(&events[3]).unwrap();
        let file = place.path().join("audit/00000000000000000001.jsonl");
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() - 20]).unwrap();
        let trail = Trail::open(place.path()).unwrap();
        assert_eq!(trail.head().seq, 2_499, "the cut line is gone");
        trail.put(&events[2_499]).unwrap();
        let mut read = Vec::new();
        loop {
            let page = trail.page(read.len() as u64 + 1).unwrap();
            assert!(page.len() <= PAGE_EVENTS_MAX);
            if page.is_empty() {
                break;
            }
            read.extend(page);
        }
        assert_eq!(read, events);
    }

    #[test]
    fn a_trail_goes_over_several_files() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join(FOLDER);
        let events = chain(FILE_EVENTS + 10);
        let trail = Trail::open(place.path()).unwrap();
        for event in &events {
            trail.put(event).unwrap();
        }
        trail.sync().unwrap();
        assert_eq!(files(&folder).unwrap().len(), 2);
        let page = Trail::open(place.path()).unwrap().page(FILE_EVENTS - 5).unwrap();
        assert_eq!(page, events[usize::try_from(FILE_EVENTS).unwrap() - 6..]);
    }

    #[test]
    fn behind_a_gap_events_wait_until_it_is_filled() {
        let place = tempfile::tempdir().unwrap();
        let events = chain(10);
        let trail = Trail::open(place.path()).unwrap();
        for event in events[..3].iter().chain(&events[6..]) {
            trail.put(event).unwrap();
        }
        assert_eq!((trail.head().seq, trail.page(1).unwrap().len(), trail.page(5).unwrap().len()), (3, 3, 0));
        for event in &events[3..6] {
            trail.put(event).unwrap();
        }
        assert_eq!(trail.page(1).unwrap(), events);
    }

    #[test]
    fn a_line_that_was_changed_is_found_when_it_is_opened() {
        let place = tempfile::tempdir().unwrap();
        let trail = Trail::open(place.path()).unwrap();
        for event in &chain(5) {
            trail.put(event).unwrap();
        }
        let file = place.path().join("audit/00000000000000000001.jsonl");
        let text = fs::read_to_string(&file).unwrap().replace("revision 3", "revision 4");
        fs::write(&file, text).unwrap();
        let fault = Trail::open(place.path()).err().expect("a changed line");
        assert!(matches!(fault, TrailFault::Damaged { line: 3, .. }), "{fault}");
    }
}
