//! Light traffic beside a test: a few records to every partition, some twenty times a second, until it is told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lockstep_testkit::client::{Record, Seed};

use crate::mirror::Ends;

/// To each partition at once.
const EACH: u64 = 10;

/// A writer on its own thread.
pub(super) struct Traffic {
    stop: Arc<AtomicBool>,
    writer: thread::JoinHandle<u64>,
}

impl Traffic {
    pub(super) fn start(ends: &Ends, topic: &str, partitions: i32) -> Self {
        let (stop, from, topic) = (Arc::new(AtomicBool::new(false)), ends.from.clone(), topic.to_owned());
        let (told, row) = (Arc::clone(&stop), u64::try_from(partitions).unwrap());
        let writer = thread::spawn(move || {
            let seeder = Seed::to(&from).open().unwrap();
            let mut next = 0;
            while !told.load(Ordering::Acquire) {
                let records = (next..next + row * EACH)
                    .map(|n| Record::new(format!("record {n}")).partition(i32::try_from(n % row).unwrap()));
                seeder.write(&topic, records).unwrap();
                next += row * EACH;
                thread::sleep(Duration::from_millis(50));
            }
            next
        });
        Self { stop, writer }
    }

    /// How many records there are now.
    pub(super) fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        self.writer.join().unwrap()
    }
}

/// What the standby holds of each partition.
pub(super) fn held(ends: &Ends, topic: &str, partitions: i32) -> Vec<i64> {
    (0..partitions).map(|partition| ends.held(topic, partition)).collect()
}
