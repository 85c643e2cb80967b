//! Servers that answer with nonsense, lies, or next to nothing, in place of a broker: the mirror says so and leaves
//! when it meets one at its start, and outlives it when one takes the place of its broker; its memory stays bounded.

use std::thread;
use std::time::{Duration, Instant};

use lockstep_testkit::hostile::{Face, Mode};
use lockstep_testkit::lockstep::Finished;
use lockstep_testkit::{Exit, Hostile, Lockstep, unique, wait_until_true};

use super::network::{Far, Line, peak_mib};
use super::{Ends, PATIENCE};

/// At its start a mirror holds no records.
const START_PEAK_MIB_MAX: u64 = 64;
/// A running one: the program and air (27), its budget (32), and two answers as large as any it takes on their way at
/// once, one of records (101) and one of metadata (32).
const PEAK_MIB_MAX: u64 = 192;
/// How long a running mirror is left to a hostile broker.
const REIGN: Duration = Duration::from_millis(1_500);

/// What the message has to name, for a person to see what is wrong. Random bytes can look like many things.
fn symptom(mode: Mode, face: Face) -> &'static str {
    match mode {
        Mode::RandomBytes => "",
        Mode::HugeFrame => "the answer's length of 2147483647 bytes",
        Mode::HugeArray => "cannot be read: an array of",
        Mode::SlowLoris => "did not answer",
        Mode::EarlyClose => "closed",
        Mode::WrongCorrelation => "correlation id",
        Mode::EndlessAnswer => "the answer's length of 268435455 bytes",
        Mode::LargeNonsense if face == Face::Stranger => "the answer's length of 33554432 bytes",
        Mode::LargeNonsense => "cannot be read",
    }
}

/// Runs a mirror to its end; also the most memory it was seen to have.
fn run(arguments: &[&str]) -> (Finished, u64) {
    let mut mirror = Lockstep::spawn(arguments).unwrap();
    let (deadline, mut peak) = (Instant::now() + PATIENCE, 0);
    while mirror.is_running().unwrap() {
        peak = peak.max(peak_mib(&mirror).unwrap_or(0));
        assert!(Instant::now() < deadline, "still there after {PATIENCE:?}: {}", mirror.stderr());
        thread::sleep(Duration::from_millis(10));
    }
    let exit = mirror.wait(PATIENCE).unwrap();
    (Finished { exit, stdout: mirror.stdout(), stderr: mirror.stderr() }, peak)
}

/// A mirror that starts against a hostile server leaves with exit 1 and says where and why.
fn is_refused_at_the_start(far: Far) {
    let ends = Ends::shared();
    let topic = unique("hostile");
    ends.create(&topic, 1, &[]);
    let refused = |mode, face| {
        let hostile = Hostile::start(mode, face).unwrap();
        let address = hostile.address();
        let (from, to, side) = match far {
            Far::Source => (address.as_str(), ends.to.as_str(), "source"),
            Far::Destination => (ends.from.as_str(), address.as_str(), "destination"),
        };
        let (finished, peak) = run(&["mirror", "--from", from, "--to", to, "--topics", &topic]);
        let Finished { exit, stdout, stderr } = finished;
        assert_eq!(exit, Exit::Code(1), "{mode:?}, {face:?}: {stdout}{stderr}");
        for part in [": cannot use the ", side, &address, symptom(mode, face)] {
            assert!(stderr.contains(part), "{mode:?}, {face:?}: {part:?} is missing in: {stderr}");
        }
        assert!(hostile.accepted() > 0);
        assert!(peak <= START_PEAK_MIB_MAX, "{mode:?}, {face:?}: {peak} MiB");
    };
    // Most of it is waiting: all at once.
    thread::scope(|scope| {
        for mode in Mode::ALL {
            for face in Face::BOTH {
                scope.spawn(move || refused(mode, face));
            }
        }
    });
}

/// A running mirror whose only broker's address leads to a hostile server for a while goes on when it leads back.
fn is_outlived(far: Far, name: &str) {
    let line = Line::to(far, name);
    let mirror = line.mirror();
    let home = line.proxy().upstream();
    line.under_traffic(|| {
        wait_until_true("the first records", PATIENCE, || line.held() > 0);
        for (mode, face) in Mode::ALL.into_iter().flat_map(|mode| Face::BOTH.map(|face| (mode, face))) {
            let hostile = Hostile::start(mode, face).unwrap();
            line.proxy().redirect(&hostile.address()).unwrap();
            line.proxy().reset_all();
            wait_until_true("the mirror to fall for it", PATIENCE, || hostile.accepted() > 0);
            thread::sleep(REIGN);
            line.proxy().redirect(&home).unwrap();
            line.proxy().reset_all();
            let before = line.held();
            wait_until_true(&format!("records after {mode:?}, {face:?}"), PATIENCE, || line.held() > before);
            let peak = peak_mib(&mirror);
            eprintln!("{mode:?}, {face:?}: up to {peak:?} MiB");
            let peak = peak.unwrap_or_else(|| panic!("{mode:?}, {face:?} ended the mirror"));
            assert!(peak <= PEAK_MIB_MAX, "{mode:?}, {face:?}: the mirror took {peak} MiB");
        }
    });
    line.assert_unharmed(mirror, PEAK_MIB_MAX);
}

#[test]
fn a_hostile_source_is_refused_at_the_start() {
    is_refused_at_the_start(Far::Source);
}

#[test]
fn a_hostile_destination_is_refused_at_the_start() {
    is_refused_at_the_start(Far::Destination);
}

#[test]
fn a_hostile_source_is_outlived() {
    is_outlived(Far::Source, "usurped-source");
}

#[test]
fn a_hostile_destination_is_outlived() {
    is_outlived(Far::Destination, "usurped-destination");
}
