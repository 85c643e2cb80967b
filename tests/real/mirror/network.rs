//! Networks that fail while brokers live: cut one way and both, slow, lossy, narrow, half closed, towards the source
//! and towards the destination. One mirror lives through all of it: identical afterwards, nothing twice, its memory
//! bounded, no human needed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lockstep_testkit::client::{Codec, Record, Seed, assert_identical};
use lockstep_testkit::proxy::Direction;
use lockstep_testkit::{Kafka, Lockstep, Proxy, pair, rounds, unique, wait_until_true};

use super::{Ends, PATIENCE, stop};

pub(crate) const PARTITIONS: i32 = 4;
/// Of the whole process, with the budget of [`Line::mirror`]: program, budget, one answer on its way, and air.
const PEAK_MIB_MAX: u64 = 128;
const BUDGET: &str = "32MiB";

/// Which of the two clusters is at the far end of the bad line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Far {
    Source,
    Destination,
}

/// A link between a shared broker and a private one behind a proxy.
pub(crate) struct Line {
    private: Kafka,
    /// Past the proxy: for writing and looking.
    pub direct: Ends,
    /// As the mirror goes.
    through: Ends,
    pub topic: String,
}

impl Line {
    pub(crate) fn to(far: Far, name: &str) -> Self {
        let private = Kafka::builder(name).proxied().start().unwrap();
        let proxied = private.proxied_bootstrap().unwrap();
        let (direct, through) = match far {
            Far::Source => {
                let direct = Ends::of(&private, &pair().destination);
                let through = Ends { from: proxied, to: direct.to.clone() };
                (direct, through)
            }
            Far::Destination => {
                let direct = Ends::of(&pair().source, &private);
                let through = Ends { from: direct.from.clone(), to: proxied };
                (direct, through)
            }
        };
        let topic = unique(name);
        direct.create(&topic, PARTITIONS, &[]);
        Self { private, direct, through, topic }
    }

    pub(crate) fn proxy(&self) -> &Proxy {
        self.private.proxy(1).unwrap()
    }

    pub(crate) fn mirror(&self) -> Lockstep {
        self.through.mirror_with(&self.topic, &["--memory", BUDGET])
    }

    /// Lets `happen` happen under traffic, then waits until the destination holds everything.
    pub(crate) fn under_traffic(&self, happen: impl FnOnce()) {
        let going_on = AtomicBool::new(true);
        thread::scope(|scope| {
            scope.spawn(|| {
                let seeder = Seed::to(&self.direct.from).codec(Codec::Lz4).batch_records(20).open().unwrap();
                while going_on.load(Ordering::Acquire) {
                    seeder.write(&self.topic, records(40)).unwrap();
                    thread::sleep(Duration::from_millis(40));
                }
            });
            // The traffic ends with a panic too, or the scope would wait for ever.
            let _ends = StopsTraffic(&going_on);
            happen();
        });
        self.direct.wait_until_equal(&self.topic, PARTITIONS);
    }

    pub(crate) fn held(&self) -> i64 {
        (0..PARTITIONS).map(|partition| self.direct.held(&self.topic, partition)).sum()
    }

    /// The mirror that lived through it all ends in order, with everything copied once and its memory in bounds.
    pub(crate) fn assert_unharmed(&self, mirror: Lockstep, peak_mib_max: u64) {
        let peak = peak_mib(&mirror).expect("the mirror runs");
        eprintln!("{}: the mirror took up to {peak} MiB", self.topic);
        stop(mirror, 0);
        assert_identical(&self.direct.from, &self.direct.to, &self.topic, PARTITIONS);
        assert!(peak <= peak_mib_max, "the mirror took {peak} MiB");
    }
}

struct StopsTraffic<'a>(&'a AtomicBool);

impl Drop for StopsTraffic<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// Records that hardly compress, of 500 bytes, over all partitions.
fn records(count: i32) -> impl Iterator<Item = Record> {
    (0..count).map(|n| {
        let value: Vec<u8> = (0..500).map(|_| fastrand::u8(..)).collect();
        Record::new(value).partition(n % PARTITIONS)
    })
}

/// The most memory a process has had, in MiB; `None` when it has ended.
pub(crate) fn peak_mib(mirror: &Lockstep) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", mirror.pid())).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.div_ceil(1 << 10))
}

fn cut_for() -> Duration {
    Duration::from_secs(rounds(5, 60).into())
}

/// Cut one way, the other way, both ways; each time under traffic.
fn lives_through_cuts(far: Far, name: &str) {
    let line = Line::to(far, name);
    let mirror = line.mirror();
    line.under_traffic(|| wait_until_true("the first records", PATIENCE, || line.held() > 0));
    let cuts: [&[Direction]; 3] = [&[Direction::ToServer], &[Direction::ToClient], &Direction::BOTH];
    for directions in cuts {
        line.under_traffic(|| {
            for direction in directions {
                line.proxy().cut(*direction);
            }
            thread::sleep(cut_for());
            line.proxy().heal();
        });
    }
    line.assert_unharmed(mirror, PEAK_MIB_MAX);
}

/// Opens and copies over a long line that loses segments, over a narrow one, and after half closed connections.
fn lives_through_bad_lines(far: Far, name: &str) {
    let line = Line::to(far, name);
    let delay = Duration::from_millis(200);
    for direction in Direction::BOTH {
        line.proxy().delay(direction, delay);
        line.proxy().hold(direction, 100, 2 * delay);
    }
    // A backlog of some MB, so that segments are lost.
    Seed::to(&line.direct.from).write(&line.topic, records(8_000)).unwrap();
    let mirror = line.mirror();
    line.under_traffic(|| wait_until_true("the backlog", PATIENCE, || line.held() >= 8_000));
    line.proxy().calm();

    let bytes = || line.proxy().bytes_to_server() + line.proxy().bytes_to_client();
    let before = bytes();
    line.under_traffic(|| {
        for direction in Direction::BOTH {
            line.proxy().throttle(direction, 1_000_000);
        }
        Seed::to(&line.direct.from).write(&line.topic, records(6_000)).unwrap();
        wait_until_true("3 MB through the narrow line", PATIENCE, || bytes() > before + 3_000_000);
    });
    line.proxy().calm();

    for direction in Direction::BOTH {
        line.under_traffic(|| {
            line.proxy().half_close(direction);
            let before = line.held();
            wait_until_true("records after a half close", PATIENCE, || line.held() > before);
        });
    }
    line.assert_unharmed(mirror, PEAK_MIB_MAX);
}

#[test]
fn the_line_to_the_source_is_cut() {
    lives_through_cuts(Far::Source, "cut-source");
}

#[test]
fn the_line_to_the_destination_is_cut() {
    lives_through_cuts(Far::Destination, "cut-destination");
}

#[test]
fn the_line_to_the_source_is_bad() {
    lives_through_bad_lines(Far::Source, "bad-source");
}

#[test]
fn the_line_to_the_destination_is_bad() {
    lives_through_bad_lines(Far::Destination, "bad-destination");
}
