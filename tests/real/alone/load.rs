//! What applications do to a cluster while it is restarted: idempotent and transactional producers, a consumer group.
//! Each goes on until told to end, opens its client anew when librdkafka gives up, and leaves no transaction open.
//! Nothing here counts a record twice or not at all: what was written is what the source's logs hold.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lockstep_testkit::client::{Codec, Record, Seed, Transactor};

use super::group::{Committed, Member};

const BATCH: i32 = 40;
const ABORTED_PERCENT: u8 = 30;
/// Between two batches of one producer.
const PAUSE: Duration = Duration::from_millis(100);
const SAMPLES_EVERY: Duration = Duration::from_millis(200);
/// A producer that has to be opened anew so often gets nowhere.
const REOPENED_MAX: u32 = 40;

/// One topic of the source, and the word that ends everything.
pub(super) struct Load<'a> {
    pub(super) from: &'a str,
    pub(super) topic: &'a str,
    pub(super) partitions: i32,
    pub(super) done: &'a AtomicBool,
}

/// What one producer has done; what was not acknowledged counts as nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    /// Records that consumers must see.
    pub(super) visible: u64,
    pub(super) committed: u32,
    pub(super) aborted: u32,
    pub(super) reopened: u32,
}

/// How often a group's offsets were answered, and the last answer.
pub(super) type Watched = (u32, Vec<Option<i64>>);

impl Load<'_> {
    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    fn records(&self, who: &str, round: i32) -> impl Iterator<Item = Record> {
        let partitions = self.partitions;
        let who = who.to_owned();
        (0..BATCH).map(move |n| {
            let value = format!("{who} {round} {n} {}", "r".repeat(fastrand::usize(..120)));
            Record::new(value).key(n.to_string()).partition((round + n) % partitions)
        })
    }

    /// An idempotent producer.
    pub(super) fn write(&self, who: &str) -> Tally {
        let mut tally = Tally::default();
        let open = || Seed::to(self.from).codec(Codec::Lz4).batch_records(10).open().unwrap();
        let mut seeder = open();
        for round in 0.. {
            if self.is_done() {
                break;
            }
            match seeder.write(self.topic, self.records(who, round)) {
                Ok(count) => tally.visible += count,
                Err(cause) => {
                    tally.gave_up(who, &cause);
                    seeder = open();
                }
            }
            thread::sleep(PAUSE);
        }
        tally
    }

    /// A transactional producer, of whose transactions some are aborted.
    pub(super) fn transact(&self, who: &str) -> Tally {
        let mut tally = Tally::default();
        let mut standing = None;
        for round in 0.. {
            // Opening aborts what the one before may have left open: also when the time is up.
            let opened = standing.take().map_or_else(|| Transactor::open(self.from, who, Codec::Zstd), Ok);
            let ended = opened.and_then(|transactor| {
                if !self.is_done() {
                    self.one_transaction(&transactor, who, round, &mut tally)?;
                }
                Ok(transactor)
            });
            match ended {
                Ok(_) if self.is_done() => break,
                Ok(transactor) => standing = Some(transactor),
                Err(cause) => tally.gave_up(who, &cause),
            }
            thread::sleep(PAUSE);
        }
        tally
    }

    fn one_transaction(
        &self,
        transactor: &Transactor,
        who: &str,
        round: i32,
        tally: &mut Tally,
    ) -> Result<(), lockstep_testkit::Error> {
        transactor.begin()?;
        let written = transactor.write(self.topic, self.records(who, round))?;
        if fastrand::u8(..100) < ABORTED_PERCENT {
            transactor.abort()?;
            tally.aborted += 1;
        } else {
            transactor.commit()?;
            tally.committed += 1;
            tally.visible += written;
        }
        Ok(())
    }

    /// A group's one member; how many records it has read.
    pub(super) fn consume(&self, group: &str) -> u64 {
        let member = Member::join(self.from, group, self.topic);
        let mut read = 0;
        let mut last_commit = Instant::now();
        while !self.is_done() {
            read += u64::from(member.reads_one(PAUSE));
            if last_commit.elapsed() > SAMPLES_EVERY {
                // A coordinator that is moving refuses: the next one takes it.
                let _ = member.commit();
                last_commit = Instant::now();
            }
        }
        lockstep_testkit::wait_until_true("the last commit", super::rolling::PATIENCE, || {
            member.reads_one(PAUSE);
            member.commit().is_ok()
        });
        read
    }

    /// Asks what a group has committed, again and again; how often it was answered, and the last answer.
    ///
    /// # Panics
    /// When an offset is lower than before, or gone.
    pub(super) fn watch(&self, bootstrap: &str, group: &str) -> Watched {
        let committed = Committed::of(bootstrap, group);
        let mut last = vec![None; usize::try_from(self.partitions).unwrap()];
        let mut answers = 0;
        while !self.is_done() {
            // Nobody answers while the coordinator moves.
            if let Some(now) = committed.read(self.topic, self.partitions) {
                // `None` is lower than any offset.
                let backwards = last.iter().zip(&now).any(|(before, now)| now < before);
                assert!(!backwards, "{group} at {bootstrap} went from {last:?} to {now:?}");
                answers += 1;
                last = now;
            }
            thread::sleep(SAMPLES_EVERY);
        }
        (answers, last)
    }
}

impl Tally {
    fn gave_up(&mut self, who: &str, cause: &lockstep_testkit::Error) {
        eprintln!("{who} is opened anew: {cause}");
        self.reopened += 1;
        assert!(self.reopened <= REOPENED_MAX, "{who} gets nowhere: {cause}");
    }
}
