//! `lockstep mirror`: one process, no coordinator; the on-ramp, and the replacement of a MirrorMaker 2 flow.
//! Runs until told to stop, or until caught up. Ctrl-C drains what is in flight; a second one leaves at once.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use lockstep_agent::link::prepare::{Prepared, StartError, prepare};
use lockstep_agent::link::running::Running;
use lockstep_agent::link::watched::Ends;
use lockstep_agent::link::{DRAIN_DEFAULT, LinkSettings, Unfit};
use lockstep_agent::pipeline::budget::Budget;
use lockstep_agent::pipeline::engine::Ended;
use lockstep_agent::pipeline::groups::report::Present;
use lockstep_agent::pipeline::report::LinkReport;
use lockstep_core::groups::policy::{Barrier, GroupPolicy, Removal};
use lockstep_core::mirror::cost::AlignmentBudget;
use lockstep_core::mirror::retention::Propagation;
use lockstep_core::plan::owners::TopicSettingsPolicy;
use lockstep_core::spec::names;
use lockstep_core::spec::pace::{Pace, Priorities};
use lockstep_core::spec::quantity;
use lockstep_kafka::{Settings, Tcp};

use super::between::{Between, Checked, patterns};
use super::failure::Failure;
use super::grouping::Grouping;
use super::signals::Signals;
use super::{fail, parse_size};
use crate::exit::Exit;
use crate::show::Output;
use crate::show::mirror::Show;

/// Mirror topics from one cluster to another: every record keeps its offset, timestamp, key, value and headers.
///
/// Topics are created on the destination with the source's partition count. Nothing is started if any matching
/// topic cannot be mirrored. Commit and abort markers, rolled-back records and what compaction removed are stood for
/// by control records that no consumer sees (needs ALTER on the destination's Cluster; without it empty transactions
/// do it, slower). A partition that cannot go on stops and says why, the others go on. The destination's own log is the checkpoint: start it again and it goes on.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep mirror --from mi1:9092,mi2:9092 --to pr1:9092 --topics 'claims\\..*' --exclude '.*\\.tmp'\n  \
lockstep mirror --from a:9092 --to b:9092 --topics orders --until-caught-up && \\\n  \
lockstep verify --from a:9092 --to b:9092 --topics orders")]
pub(crate) struct Args {
    #[command(flatten)]
    between: Between,
    #[command(flatten)]
    grouping: Grouping,
    /// What a group's offset waits for: link, until every partition holds what its source held when the offset was read,
    /// so that input never counts as done whose output would be lost; none, until its own partition does
    #[arg(long, value_enum, default_value_t, requires = "groups")]
    group_barrier: GroupBarrier,
    /// Remove copied groups from the destination when they are removed at the source
    #[arg(long, requires = "groups")]
    remove_groups: bool,
    /// Name of the link; mirrors of one name write as one producer [default: the source's cluster id]
    #[arg(long, value_name = "NAME", value_parser = names::name)]
    link: Option<String>,
    /// What of the source's deletions reaches the destination: by default only what the source's retention
    /// settings explain; with all also purged records, deleted and recreated topics
    #[arg(long, value_enum, default_value_t)]
    propagate: Propagate,
    /// What may be spent on one hole in a partition (compaction, a late log start) without asking: a size or a time.
    /// Above it the partition stops before the hole and says what filling it would cost [default: 1GiB and 10m]
    #[arg(long, value_name = "SIZE|TIME", value_parser = quantity::alignment_budget)]
    alignment_budget: Option<AlignmentBudget>,
    /// A setting of every topic on the destination, as in min.insync.replicas=2; may be given several times. Without it the
    /// topics follow the source's, but for what a mirror needs and what is the destination's own (docs/OPERATIONS.md)
    #[arg(long = "topic-setting", value_name = "NAME=VALUE", value_parser = topic_setting)]
    topic_settings: Vec<(String, String)>,
    /// Bytes fetched from the source per second at most, as they are on the wire [default: as fast as it goes]
    #[arg(long, value_name = "SIZE", value_parser = quantity::throttle)]
    throttle: Option<NonZeroU64>,
    /// Topics that go first while not everything can be copied at once: a regular expression for the whole name, as at
    /// the source. They get three turns of four; nothing is left out
    #[arg(long, value_name = "REGEX")]
    priority_high: Option<String>,
    /// Topics that wait for all others
    #[arg(long, value_name = "REGEX")]
    priority_low: Option<String>,
    /// Leave when everything has been copied, with exit code 5 if some partition had to stop or records were lost
    #[arg(long)]
    until_caught_up: bool,
    /// Show what would be done on the destination, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Fetched records held in memory at most
    #[arg(long, value_name = "SIZE", default_value = "32MiB", value_parser = parse_size)]
    memory: usize,
    /// How often a line is written when the output is not a terminal
    #[arg(long, value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// How results are written
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// As typed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum GroupBarrier {
    #[default]
    Link,
    None,
}

impl Args {
    /// # Errors
    /// A pattern that cannot be read.
    fn group_policy(&self) -> Result<Option<GroupPolicy>, String> {
        let barrier = match self.group_barrier {
            GroupBarrier::Link => Barrier::Link,
            GroupBarrier::None => Barrier::None,
        };
        let removal = if self.remove_groups { Removal::Follow } else { Removal::Keep };
        Ok(self.grouping.check()?.map(|selection| GroupPolicy { selection, barrier, removal }))
    }
}

/// As typed.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Propagate {
    #[default]
    None,
    All,
}

impl From<Propagate> for Propagation {
    fn from(typed: Propagate) -> Self {
        match typed {
            Propagate::None => Self::None,
            Propagate::All => Self::All,
        }
    }
}

fn topic_setting(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').ok_or("write NAME=VALUE, as in --topic-setting min.insync.replicas=2")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// All faults of the given settings in one text.
fn settings_policy(given: &[(String, String)]) -> Result<TopicSettingsPolicy, String> {
    TopicSettingsPolicy::new(given.iter().cloned().collect(), BTreeMap::new())
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))
}

impl Args {
    fn pace(&self) -> Result<Pace, String> {
        let priorities = Priorities {
            high: patterns("--priority-high", self.priority_high.as_deref())?,
            low: patterns("--priority-low", self.priority_low.as_deref())?,
        };
        Ok(Pace { bytes_per_second_max: self.throttle, priorities })
    }
}

pub(crate) async fn run(args: Args) -> Exit {
    let (checked, mut signals) = match args.between.check().and_then(|c| Ok((c, Signals::new()?))) {
        Ok(both) => both,
        Err(error) => return fail(error),
    };
    let (groups, topic_settings) =
        match args.group_policy().and_then(|g| Ok((g, settings_policy(&args.topic_settings)?))) {
            Ok(both) => both,
            Err(error) => return fail(error),
        };
    let Checked { source, dest, selection, rename } = checked;
    let pace = match args.pace() {
        Ok(pace) => pace,
        Err(error) => return fail(error),
    };
    let sides = (source.clone(), dest.clone());
    let settings = LinkSettings {
        name: args.link.clone(),
        selection,
        propagation: args.propagate.into(),
        alignment: args.alignment_budget.unwrap_or_default(),
        rename,
        pace,
        topic_settings,
        groups,
        owned: lockstep_agent::pipeline::owned::Owned::alone(),
        unfit: Unfit::RefuseLink,
        drain: DRAIN_DEFAULT,
        budget: Budget::new(args.memory),
    };
    let prepared = tokio::select! {
        prepared = reach_and_prepare(source, dest, settings) => match prepared {
            Ok(prepared) => prepared,
            Err(error) => return fail(in_words(&error, &sides)),
        },
        () = signals.next() => return fail("interrupted before anything was changed"),
    };
    let mut show = Show::new(args.output, args.interval);
    show.plan(&prepared.name, &prepared.plan);
    if args.dry_run {
        return Exit::Ok;
    }
    start_and_watch(prepared, &args, &sides, &mut signals, &mut show).await
}

async fn reach_and_prepare(
    source: Settings,
    dest: Settings,
    settings: LinkSettings,
) -> Result<Prepared, StartError> {
    let ends = Ends::connect(Arc::new(Tcp::default()), source, dest).await?;
    prepare(ends, settings).await
}

/// With the missing ACL, if that is the cause.
fn in_words(error: &StartError, (source, dest): &(Settings, Settings)) -> Failure {
    let missing = error.missing_permission(source, dest);
    let missing = missing.map_or_else(String::new, |missing| format!("\n  {missing}"));
    Failure::with(error.page(), format!("{error}{missing}"))
}

async fn start_and_watch(
    prepared: Prepared,
    args: &Args,
    sides: &(Settings, Settings),
    signals: &mut Signals,
    show: &mut Show,
) -> Exit {
    let running = tokio::select! {
        running = prepared.start() => match running {
            Ok(running) => running,
            Err(error) => return fail(in_words(&error, sides)),
        },
        () = signals.next() => {
            return fail("interrupted while topics were being created; start again to go on");
        }
    };
    let until = match (args.until_caught_up, args.grouping.is_given()) {
        (false, _) => Until::Stopped,
        (true, false) => Until::CaughtUp,
        (true, true) => Until::CaughtUpWithGroups,
    };
    watch(running, until, signals, show).await
}

/// When to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Stopped,
    CaughtUp,
    CaughtUpWithGroups,
}

impl Until {
    fn is_reached(self, report: &LinkReport) -> bool {
        let groups = matches!(report.groups.present, Present::Carried | Present::Held);
        match self {
            Self::Stopped => false,
            Self::CaughtUp => report.is_caught_up(),
            Self::CaughtUpWithGroups => report.is_caught_up() && groups,
        }
    }
}

/// Shows what happens until somebody or something ends it.
async fn watch(mut running: Running, until: Until, signals: &mut Signals, show: &mut Show) -> Exit {
    let mut report = running.report.clone();
    let interrupted = loop {
        tokio::select! {
            ended = running.died() => {
                show.end(&report.borrow_and_update().clone(), true);
                return fail(format!("the mirror ended by itself, which is a defect: {ended:?}"));
            }
            () = signals.next() => break true,
            changed = report.changed() => {
                if changed.is_err() {
                    continue;
                }
                let now = report.borrow_and_update().clone();
                show.progress(&now);
                if until.is_reached(&now) {
                    break false;
                }
            }
        }
    };
    if interrupted {
        show.stopping();
    }
    let ended = tokio::select! {
        ended = running.stop() => ended,
        () = signals.next() => return fail("left at once; appends in flight are settled by the next start"),
    };
    let last = report.borrow_and_update().clone();
    show.end(&last, interrupted);
    exit_of(ended, &last)
}

fn exit_of(ended: Ended, last: &LinkReport) -> Exit {
    match ended {
        Ended::Drained
            if last.stopped().next().is_none()
                && last.blocked_topics.is_empty()
                && last.lost_records() == 0
                && last.groups.present != Present::Held =>
        {
            Exit::Ok
        }
        Ended::Drained => Exit::Incomplete,
        Ended::DeadlinePassed => {
            eprintln!("warning: some appends had no answer in time; the next start asks the destination");
            Exit::Incomplete
        }
        Ended::TaskDied(task) => fail(format!("a task died ({task}), which is a defect")),
    }
}
