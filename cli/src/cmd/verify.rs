//! `lockstep verify`: compares two clusters offset by offset and says the first difference in words.
//! Reads only. Exit 0: identical; 2: a difference is proven; 1: could not tell, or interrupted: nothing is proven.

use std::sync::Arc;
use std::time::Duration;

use lockstep_agent::verify::{Progress, Request, verify};
use lockstep_core::spec::select::TopicSelection;
use lockstep_core::verify::Verdict;
use lockstep_kafka::{Settings, Tcp};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{Output, fail, parse_size};
use crate::exit::Exit;
use crate::show::verify::Show;

/// How often figures are looked at while comparing; lines are written less often, see `--interval`.
const LOOK: Duration = Duration::from_millis(200);

/// Compare topics of two clusters offset by offset: log starts, log ends, and every record with its timestamp,
/// key, value and headers.
///
/// Works on a live mirror: the source's ends are read first, then the destination gets some time to reach them.
/// Exit code 0: identical; 2: different; 1: could not tell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep verify --from mi1:9092,mi2:9092 --to pr1:9092 --topics 'claims\\..*' --exclude '.*\\.tmp'\n  \
lockstep verify --from a:9092 --to b:9092 --topics orders -o json | jq .result")]
pub(crate) struct Args {
    /// Source cluster: host:port, several separated by commas
    #[arg(long, value_name = "BOOTSTRAP")]
    from: String,
    /// Destination cluster: host:port, several separated by commas
    #[arg(long, value_name = "BOOTSTRAP")]
    to: String,
    /// Topics to compare: a regular expression for the whole name
    #[arg(long, value_name = "REGEX")]
    topics: String,
    /// Topics to leave out although they match --topics
    #[arg(long, value_name = "REGEX")]
    exclude: Option<String>,
    /// How long a destination that is behind may take to reach the source's end
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    wait: Duration,
    /// Fetched records held in memory at most
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
    let request = match request(&args) {
        Ok(request) => request,
        Err(error) => return fail(error),
    };
    let (tell, progress) = watch::channel(Progress::default());
    let mut show = Show::new(args.output, args.interval);
    let ended = tokio::select! {
        ended = verify(Arc::new(Tcp::default()), request, tell) => ended,
        stopped = interrupted() => {
            show.clear();
            return match stopped {
                Ok(()) => fail("interrupted: nothing proven"),
                Err(error) => fail(format!("cannot listen for signals: {error}")),
            };
        }
        never = watch_progress(progress, &mut show) => match never {},
    };
    show.clear();
    let report = match ended {
        Ok(report) => report,
        Err(error) => return fail(error),
    };
    show.end(&report);
    match report.verdict() {
        Verdict::Identical => Exit::Ok,
        Verdict::Unknown => Exit::Error,
        Verdict::Different => Exit::Differences,
    }
}

fn request(args: &Args) -> Result<Request, String> {
    let bootstrap =
        |flag: &str, text: &str| Settings::new(text).map_err(|error| format!("{flag} {text:?}: {error}"));
    Ok(Request {
        source: bootstrap("--from", &args.from)?,
        dest: bootstrap("--to", &args.to)?,
        selection: TopicSelection::new(&args.topics, args.exclude.as_deref()).map_err(|e| e.to_string())?,
        wait: args.wait,
        memory_bytes_max: args.memory,
    })
}

/// Shows figures until it is dropped.
async fn watch_progress(progress: watch::Receiver<Progress>, show: &mut Show) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(LOOK).await;
        let now = *progress.borrow();
        show.progress(&now);
    }
}

/// Ends with SIGINT or SIGTERM.
async fn interrupted() -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
