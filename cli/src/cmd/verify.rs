//! `lockstep verify`: compares two clusters offset by offset and says the first difference in words.
//! Reads only. Exit 0: identical, up to the source's last stable offset where a transaction is open; 2: a difference
//! is proven; 1: could not tell, or interrupted: nothing is proven.

use std::sync::Arc;
use std::time::Duration;

use lockstep_agent::verify::{Progress, Request, verify};
use lockstep_core::verify::Verdict;
use lockstep_kafka::Tcp;
use tokio::sync::watch;

use super::between::{Between, Checked};
use super::failure::Failure;
use super::grouping::Grouping;
use super::signals::Signals;
use super::{fail, parse_size};
use crate::exit::Exit;
use crate::show::Output;
use crate::show::verify::Show;

/// How often figures are looked at while comparing; lines are written less often, see `--interval`.
const LOOK: Duration = Duration::from_millis(200);

/// Compare topics of two clusters offset by offset: log starts, log ends, and every committed record with its
/// timestamp, key, value and headers.
///
/// Rolled-back records of the source must not show on the destination; markers are counted on both sides. On compacted
/// topics a record on one side only is fine if compaction explains it. Above an open transaction of the source nothing
/// is compared, which is said.
///
/// With --groups, copied offsets of consumer groups are held against both logs: whoever goes on from the destination's
/// offset must see the same record next as from the source's.
///
/// Works on a live mirror: the source's ends are read first, then the destination gets some time to reach them.
/// Exit code 0: identical; 2: different; 1: could not tell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep verify --from mi1:9092,mi2:9092 --to pr1:9092 --topics 'claims\\..*' --exclude '.*\\.tmp'\n  \
lockstep verify --from a:9092 --to b:9092 --topics orders -o json | jq .result")]
pub(crate) struct Args {
    #[command(flatten)]
    between: Between,
    #[command(flatten)]
    grouping: Grouping,
    /// How long a destination that is behind may take to reach the source's end
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// Fetched records held in memory at most; on compacted topics also keys, 16 MiB for each partition under way
    #[arg(long, value_name = "SIZE", default_value = "64MiB", value_parser = parse_size)]
    memory: usize,
    /// How often a line is written when standard error is not a terminal
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// How results are written
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Exit {
    let (checked, mut signals) = match args.between.check().and_then(|c| Ok((c, Signals::new()?))) {
        Ok(both) => both,
        Err(error) => return fail(error),
    };
    let groups = match args.grouping.check() {
        Ok(groups) => groups,
        Err(error) => return fail(error),
    };
    let Checked { source, dest, selection, rename } = checked;
    let request =
        Request { source, dest, selection, rename, groups, wait: args.wait, memory_bytes_max: args.memory };
    let (tell, progress) = watch::channel(Progress::default());
    let mut show = Show::new(args.output, args.interval);
    let ended = tokio::select! {
        ended = verify(Arc::new(Tcp::default()), request, tell) => ended,
        () = signals.next() => {
            show.clear();
            return fail("interrupted: nothing proven");
        }
        never = watch_progress(progress, &mut show) => match never {},
    };
    show.clear();
    let report = match ended {
        Ok(report) => report,
        Err(error) => return fail(Failure::with(error.page(), &error)),
    };
    show.end(&report);
    match report.verdict() {
        Verdict::Identical => Exit::Ok,
        Verdict::Unknown => Exit::Error,
        Verdict::Different => Exit::Differences,
    }
}

/// Shows figures until it is dropped.
async fn watch_progress(progress: watch::Receiver<Progress>, show: &mut Show) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(LOOK).await;
        let now = *progress.borrow();
        show.progress(&now);
    }
}
