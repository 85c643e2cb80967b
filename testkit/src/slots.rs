//! At most six brokers at once on this machine, whoever started them: six lock files in the cache folder.
//! A cluster takes all it needs or none, so that two that wait never hold what the other waits for; and whoever waits
//! stands before a turnstile for a while, so that small clusters do not pass a large one by for ever.
//! The system frees the locks of a process that dies.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Error, jars};

/// Two cores and a few gigabytes carry six brokers; more make every timeout a lie.
pub(crate) const LIMIT: usize = 6;
/// Longer than any test holds a cluster of its own.
const PATIENCE: Duration = Duration::from_secs(900);
const PAUSE: Duration = Duration::from_millis(100);
/// Before the turnstile: then others may pass. Who holds a pair and wants one more could wait for whoever wants all six,
/// and is waited for.
const TURN: Duration = Duration::from_secs(100);
const SAY_SO_AFTER: Duration = Duration::from_secs(5);

/// The right to run so many brokers; given back on drop.
#[derive(Debug)]
pub(crate) struct Slots {
    held: Vec<File>,
}

impl Slots {
    /// Waits, within bounds, until `count` slots are free at once.
    pub(crate) fn acquire(count: usize) -> Result<Self, Error> {
        Self::acquire_in(&jars::cache()?.join("slots"), count, PATIENCE, TURN)
    }

    fn acquire_in(folder: &Path, count: usize, patience: Duration, turn: Duration) -> Result<Self, Error> {
        if count > LIMIT {
            return Err(Error::TooManyBrokers { wanted: count, limit: LIMIT });
        }
        fs::create_dir_all(folder).map_err(Error::io(format!("create {}", folder.display())))?;
        let start = Instant::now();
        let mut said = false;
        let turnstile = open(&folder.join("turnstile"))?;
        let mut my_turn: Option<Instant> = None;
        loop {
            if my_turn.is_none() && turnstile.try_lock().is_ok() {
                my_turn = Some(Instant::now());
            }
            if my_turn.is_some()
                && let Some(slots) = Self::try_acquire(folder, count)?
            {
                return Ok(slots);
            }
            if my_turn.is_some_and(|since| since.elapsed() > turn) {
                my_turn = None;
                turnstile.unlock().map_err(Error::io(format!("leave {}", folder.display())))?;
                // Long enough for anybody who waits to look.
                thread::sleep(2 * PAUSE);
            }
            let waited = start.elapsed();
            if waited >= patience {
                let folder = PathBuf::from(folder);
                return Err(Error::NoSlots { wanted: count, limit: LIMIT, waited, folder });
            }
            if !said && waited >= SAY_SO_AFTER {
                eprintln!(
                    "waiting for {count} of {LIMIT} broker slots: other tests run brokers on this machine"
                );
                said = true;
            }
            thread::sleep(PAUSE);
        }
    }

    fn try_acquire(folder: &Path, count: usize) -> Result<Option<Self>, Error> {
        let mut held = Vec::with_capacity(count);
        for slot in 0..LIMIT {
            if held.len() == count {
                break;
            }
            let file = open(&folder.join(format!("slot-{slot}")))?;
            if file.try_lock().is_ok() {
                held.push(file);
            }
        }
        Ok((held.len() == count).then_some(Self { held }))
    }

    /// Takes `count` of these for one cluster; the rest stays here.
    pub(crate) fn split_off(&mut self, count: usize) -> Self {
        let at = self.held.len().saturating_sub(count);
        Self { held: self.held.split_off(at) }
    }
}

fn open(path: &Path) -> Result<File, Error> {
    File::create(path).map_err(Error::io(format!("open {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> PathBuf {
        std::env::temp_dir().join(format!("lockstep-slots-{}-{}", std::process::id(), fastrand::u32(..)))
    }

    #[test]
    fn the_seventh_waits_and_gives_up_in_words() {
        let folder = folder();
        let brief = Duration::from_millis(250);
        let mut four = Slots::acquire_in(&folder, 4, brief, TURN).unwrap();
        let refused = Slots::acquire_in(&folder, 3, brief, TURN).unwrap_err().to_string();
        assert!(refused.contains("no 3 free broker slots of 6"), "{refused}");
        let one = four.split_off(1);
        drop(one);
        let three = Slots::acquire_in(&folder, 3, brief, TURN).unwrap();
        assert_eq!((four.held.len(), three.held.len()), (3, 3));
        assert!(matches!(Slots::acquire_in(&folder, 7, brief, TURN), Err(Error::TooManyBrokers { .. })));
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn who_waits_for_many_is_not_passed_by_who_wants_one() {
        let folder = folder();
        let (brief, long) = (Duration::from_millis(250), Duration::from_secs(30));
        let five = Slots::acquire_in(&folder, 5, brief, TURN).unwrap();
        let waiting = thread::spawn({
            let folder = folder.clone();
            move || Slots::acquire_in(&folder, 4, long, TURN).unwrap()
        });
        crate::wait_until_true("the large one to wait", long, || {
            // Somebody stands in the turnstile.
            open(&folder.join("turnstile")).unwrap().try_lock().is_err()
        });
        assert!(
            Slots::acquire_in(&folder, 1, brief, TURN).is_err(),
            "one is free, but somebody waits before it"
        );
        drop(five);
        assert_eq!(waiting.join().unwrap().held.len(), 4);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn who_holds_some_and_wants_one_more_is_not_stuck_behind_who_wants_all() {
        let folder = folder();
        let long = Duration::from_secs(30);
        let pair = Slots::acquire_in(&folder, 2, long, TURN).unwrap();
        let waiting = thread::spawn({
            let folder = folder.clone();
            move || Slots::acquire_in(&folder, 6, long, Duration::from_millis(300)).unwrap()
        });
        crate::wait_until_true("the one for all six to wait", long, || {
            open(&folder.join("turnstile")).unwrap().try_lock().is_err()
        });
        let third = Slots::acquire_in(&folder, 1, long, TURN).unwrap();
        drop((pair, third));
        assert_eq!(waiting.join().unwrap().held.len(), 6);
        fs::remove_dir_all(folder).unwrap();
    }
}
