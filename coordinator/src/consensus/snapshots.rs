//! Snapshots as plain files: magic, header, the machine's bytes, checksum. A file is whole or not there: written beside,
//! synced, renamed, the folder synced. The newest two are kept; one that is damaged is reported and never used.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crc32c::crc32c;
use serde::{Deserialize, Serialize};

use super::Fault;
use super::log_store::Place;
use super::roster::Roster;

const MAGIC: &[u8; 8] = b"LSSNAP01";
const FOLDER: &str = "snapshots";
const SUFFIX: &str = "snap";
const KEPT: usize = 2;

/// What comes before the machine's bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Header {
    pub(super) index: u64,
    pub(super) term: u64,
    pub(super) roster: Roster,
}

impl Header {
    pub(super) fn place(&self) -> Place {
        Place { term: self.term, index: self.index }
    }
}

/// How a file gets to the disk; another one in tests, to let it fail.
pub trait Files: Send + 'static {
    /// The whole content under this name, on disk when it returns.
    ///
    /// # Errors
    /// Nothing is there under this name, or what was there before.
    fn put(&self, path: &Path, content: &[u8]) -> io::Result<()>;
}

/// Real files.
#[derive(Clone, Copy, Debug, Default)]
pub struct OnDisk;

impl Files for OnDisk {
    fn put(&self, path: &Path, content: &[u8]) -> io::Result<()> {
        let beside = path.with_extension("part");
        let mut file = File::create(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    }
}

/// The snapshots of a member.
pub struct Snapshots {
    folder: PathBuf,
    files: Box<dyn Files>,
}

impl Snapshots {
    /// # Errors
    /// [`Fault::Disk`].
    pub fn open(folder: &Path, files: impl Files) -> Result<Self, Fault> {
        let folder = folder.join(FOLDER);
        fs::create_dir_all(&folder).map_err(|error| disk("making the folder of snapshots", &error))?;
        Ok(Self { folder, files: Box::new(files) })
    }

    /// The newest one.
    ///
    /// # Errors
    /// [`Fault::Damaged`] where it is: an older one would need entries that are gone from the log.
    pub(super) fn newest(&self) -> Result<Option<(Header, Vec<u8>)>, Fault> {
        let Some(path) = self.all()?.pop() else { return Ok(None) };
        let content = fs::read(&path).map_err(|error| disk("reading a snapshot", &error))?;
        let damaged = |why: &str| Fault::Damaged {
            what: format!("the snapshot {}", path.display()),
            why: why.to_owned(),
        };
        unpacked(&content).map(Some).map_err(damaged)
    }

    /// # Errors
    /// [`Fault::Disk`]: the snapshots are as before.
    pub(super) fn put(&self, header: &Header, data: &[u8]) -> Result<PathBuf, Fault> {
        let path = self.folder.join(format!("{:020}-{:020}.{SUFFIX}", header.index, header.term));
        let content = packed(header, data)?;
        self.files.put(&path, &content).map_err(|error| disk("writing a snapshot", &error))?;
        self.tidy()?;
        Ok(path)
    }

    fn tidy(&self) -> Result<(), Fault> {
        let mut all = self.all()?;
        let old = all.len().saturating_sub(KEPT);
        for path in all.drain(..old) {
            fs::remove_file(&path).map_err(|error| disk("removing an old snapshot", &error))?;
        }
        Ok(())
    }

    /// Oldest first: names sort as their indexes do.
    fn all(&self) -> Result<Vec<PathBuf>, Fault> {
        let failed = |error: io::Error| disk("listing the snapshots", &error);
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.folder).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == SUFFIX) {
                all.push(path);
            }
        }
        all.sort();
        Ok(all)
    }
}

/// As it is stored and as it travels.
///
/// # Errors
/// The header cannot be written; none of ours is such.
pub(super) fn packed(header: &Header, data: &[u8]) -> Result<Vec<u8>, Fault> {
    let head = serde_json::to_vec(header).map_err(|error| disk("writing a snapshot", &error))?;
    let mut content = Vec::with_capacity(MAGIC.len() + 8 + head.len() + data.len() + 4);
    content.extend_from_slice(MAGIC);
    content.extend_from_slice(&(head.len() as u64).to_be_bytes());
    content.extend_from_slice(&head);
    content.extend_from_slice(data);
    let crc = crc32c(&content);
    content.extend_from_slice(&crc.to_be_bytes());
    Ok(content)
}

/// # Errors
/// What is wrong with it, in words.
pub(super) fn unpacked(content: &[u8]) -> Result<(Header, Vec<u8>), &'static str> {
    let (body, crc) = content.split_last_chunk::<4>().ok_or("it is cut off")?;
    if crc32c(body) != u32::from_be_bytes(*crc) {
        return Err("its checksum does not match");
    }
    let rest = body.strip_prefix(MAGIC).ok_or("it is of another format")?;
    let (length, rest) = rest.split_first_chunk::<8>().ok_or("it is cut off")?;
    let length = usize::try_from(u64::from_be_bytes(*length)).map_err(|_| "its header is too long")?;
    let (head, data) = rest.split_at_checked(length).ok_or("it is cut off")?;
    let header = serde_json::from_slice(head).map_err(|_| "its header cannot be read")?;
    Ok((header, data.to_vec()))
}

fn disk(doing: &'static str, why: &dyn std::fmt::Display) -> Fault {
    Fault::Disk { doing, why: why.to_string() }
}
