//! A disk in memory: keeps only what was synced when its member is ended, may fail from a moment on, and counts syncs.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use redb::StorageBackend;

#[derive(Debug, Default)]
struct Platter {
    present: Vec<u8>,
    synced: Vec<u8>,
    syncs: u64,
    /// Writes that still succeed; `None`: all.
    left: Option<u64>,
}

/// A handle; the content outlives every member that opens it.
#[derive(Clone, Debug, Default)]
pub(super) struct Disk(Arc<Mutex<Platter>>);

impl Disk {
    fn with<T>(&self, act: impl FnOnce(&mut Platter) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The power goes: what was not synced is not there any more.
    pub(super) fn lose_power(&self) {
        self.with(|platter| platter.present = platter.synced.clone());
    }

    pub(super) fn syncs(&self) -> u64 {
        self.with(|platter| platter.syncs)
    }

    /// After so many more writes it is full.
    pub(super) fn full_after(&self, writes: u64) {
        self.with(|platter| platter.left = Some(writes));
    }

    pub(super) fn has_room_again(&self) {
        self.with(|platter| platter.left = None);
    }

    /// Changes one byte, in what is there and in what is synced.
    pub(super) fn scratch(&self, at: usize) {
        self.with(|platter| {
            for content in [&mut platter.present, &mut platter.synced] {
                if let Some(byte) = content.get_mut(at) {
                    *byte ^= 0x40;
                }
            }
        });
    }

    pub(super) fn find(&self, what: &[u8]) -> Vec<usize> {
        self.with(|platter| {
            let windows = platter.synced.windows(what.len()).enumerate();
            windows.filter(|(_, window)| *window == what).map(|(at, _)| at).collect()
        })
    }
}

/// What redb opens.
#[derive(Debug)]
pub(super) struct Opened(pub(super) Disk);

fn full() -> io::Error {
    io::Error::new(io::ErrorKind::StorageFull, "no space left on device")
}

impl StorageBackend for Opened {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.0.with(|platter| platter.present.len() as u64))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        self.0.with(|platter| {
            let start = usize::try_from(offset).unwrap();
            let bytes = platter.present.get(start..start + out.len());
            let bytes = bytes.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
            out.copy_from_slice(bytes);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.0.with(|platter| {
            platter.present.resize(usize::try_from(len).unwrap(), 0);
            Ok(())
        })
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        self.0.with(|platter| {
            platter.syncs += 1;
            platter.synced = platter.present.clone();
            Ok(())
        })
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.0.with(|platter| {
            match &mut platter.left {
                Some(0) => return Err(full()),
                Some(left) => *left -= 1,
                None => {}
            }
            let start = usize::try_from(offset).unwrap();
            let end = start + data.len();
            if platter.present.len() < end {
                platter.present.resize(end, 0);
            }
            platter.present[start..end].copy_from_slice(data);
            Ok(())
        })
    }
}
