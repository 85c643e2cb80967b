//! What a planned link would do to topics and groups, by the very plan that it would start with. Reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use lockstep_core::ids::{LeaderEpoch, SourceOffset, TopicPartition};
use lockstep_core::mirror::align::Span;
use lockstep_core::mirror::cost::{Cost, Method};
use lockstep_core::plan::owners::TopicSettingsPolicy;
use lockstep_core::plan::topics::{Compaction, TopicPlan};
use lockstep_core::spec::agent::LinkSpec;
use lockstep_core::spec::dr::Sign;
use lockstep_core::status::{PlanLine, PlanQuestion};
use lockstep_kafka::admin::{At, ListedGroup, list_groups, list_offsets};
use lockstep_kafka::{Cluster, Dial, Error, Settings};

use crate::link::LinkSettings;
use crate::link::prepare::prepare;
use crate::link::topics::Planned;
use crate::link::watched::Ends;
use crate::pipeline::budget::Budget;
use crate::pipeline::owned::Owned;

/// Lines of one plan; the rest is counted.
const LINES_MAX: usize = 2_000;
/// Nothing is fetched while planning.
const MEMORY_BYTES: usize = 1 << 20;

/// # Errors
/// In words: why nothing can be said.
pub(super) async fn lines(
    question: &PlanQuestion,
    dial: Arc<dyn Dial>,
    source: Settings,
    dest: Settings,
) -> Result<Vec<PlanLine>, String> {
    let link = question.rules.link(&question.from, &question.to);
    let link =
        link.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let ends = Ends::connect(dial, source, dest).await.map_err(|error| error.to_string())?;
    let (source, dest) = (ends.source.cluster.clone(), ends.dest.cluster.clone());
    let settings = LinkSettings::of(&question.link, &link, Owned::alone(), &Budget::new(MEMORY_BYTES));
    let prepared = prepare(ends, settings).await.map_err(|error| error.to_string())?;
    let mut lines = topics(&link, &prepared.plan, &source).await.map_err(|error| error.to_string())?;
    lines.extend(prepared.refused.iter().map(refused));
    lines.sort_by(|a, b| (&a.what, &a.name).cmp(&(&b.what, &b.name)));
    lines.extend(groups(&link, &source, &dest).await?);
    let beyond = lines.len().saturating_sub(LINES_MAX);
    if beyond > 0 {
        lines.truncate(LINES_MAX);
        lines.push(line(Sign::Attention, "", "", format!("and {beyond} more lines")));
    }
    Ok(lines)
}

/// What becomes of each topic that the link takes; those that stand as they should are counted.
async fn topics(link: &LinkSpec, plan: &[Planned], source: &Cluster) -> Result<Vec<PlanLine>, Error> {
    let starts = starts(plan, source).await?;
    let (mut lines, mut ready) = (Vec::new(), 0);
    for planned in plan {
        let (name, renamed) = (&planned.source.name, renamed(planned));
        match &planned.plan {
            TopicPlan::Ready => ready += 1,
            TopicPlan::Create { partitions, .. } => {
                let aligned = starts.get(name.as_str()).map(|starts| aligned(starts, planned.compaction));
                let words = format!("{partitions} partitions{renamed}{}", aligned.unwrap_or_default());
                lines.push(line(Sign::Add, "topic", name, words));
            }
            TopicPlan::Adopt { grow_to, settings, followed } => {
                let mut words = format!("stands on {}{renamed}: compared, then continued", link.to);
                if let Some(partitions) = grow_to {
                    let _ = write!(words, ", grows to {partitions} partitions");
                }
                lines.push(line(Sign::Change, "topic", name, words));
                let set = settings.iter().map(|(field, value)| (field, Some(value)));
                for (field, value) in set.chain(followed.iter().map(|(field, value)| (field, value.as_ref())))
                {
                    let words = setting(&planned.found, field, value, &link.topic_settings);
                    lines.push(line(Sign::Change, "topic", name, words));
                }
            }
            TopicPlan::Refuse(_) => lines.push(refused(planned)),
        }
    }
    if ready > 0 {
        let words = format!("{ready} stand on {} as they should: compared, then continued", link.to);
        lines.push(line(Sign::Change, "topics", "", words));
    }
    Ok(lines)
}

fn refused(planned: &Planned) -> PlanLine {
    let why = match &planned.plan {
        TopicPlan::Refuse(refusal) => format!(": {refusal}; {}", refusal.remedy()),
        _ => String::new(),
    };
    line(Sign::Attention, "topic", &planned.source.name, format!("is not mirrored{why}"))
}

fn renamed(planned: &Planned) -> String {
    if *planned.dest_topic == *planned.source.name {
        String::new()
    } else {
        format!(", as {}", planned.dest_topic)
    }
}

/// `segment.ms 60000 -> 3600000 (owner: source)`.
fn setting(
    found: &BTreeMap<String, String>,
    field: &str,
    value: Option<&String>,
    policy: &TopicSettingsPolicy,
) -> String {
    let or_unset = |value: Option<&String>| value.map_or_else(|| "(unset)".to_owned(), Clone::clone);
    let (before, after) = (or_unset(found.get(field)), or_unset(value));
    format!("{field} {before} -> {after} (owner: {})", policy.owner(field).name())
}

/// `, aligned at offset 4118220 (4118220 offsets by fillers, about 4 MB and 2 s)`: the furthest of its partitions, the
/// cost of all.
fn aligned(starts: &[i64], compaction: Compaction) -> String {
    let furthest = starts.iter().copied().max().unwrap_or(0);
    // A compacted topic takes repeats of its next record, which nobody has read yet.
    if furthest == 0 || compaction != Compaction::Off {
        return if furthest == 0 { String::new() } else { format!(", aligned at offset {furthest}") };
    }
    let span = |start: &i64| Span { from: SourceOffset(0), next: SourceOffset(*start) };
    let costs = starts.iter().map(|start| Cost::of(span(start), Method::Fillers));
    let whole = costs.reduce(|a, b| Cost {
        method: a.method,
        offsets: a.offsets.saturating_add(b.offsets),
        bytes: a.bytes.saturating_add(b.bytes),
        milliseconds: a.milliseconds.saturating_add(b.milliseconds),
    });
    let cost = whole.map(|cost| format!(" ({cost})")).unwrap_or_default();
    format!(", aligned at offset {furthest}{cost}")
}

/// Where the logs of topics begin that are to be created; a partition without an answer is left out.
async fn starts(plan: &[Planned], source: &Cluster) -> Result<BTreeMap<String, Vec<i64>>, Error> {
    let metadata = source.metadata();
    let mut asked: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for planned in plan.iter().filter(|planned| matches!(planned.plan, TopicPlan::Create { .. })) {
        for partition in 0..i32::try_from(planned.source.partitions).unwrap_or(i32::MAX) {
            let tp = TopicPartition::new(planned.source.name.as_str(), partition);
            if let Some((node, _)) = metadata.leader(&tp) {
                asked.entry(node).or_default().push((tp, LeaderEpoch::UNKNOWN));
            }
        }
    }
    let mut starts: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (node, partitions) in asked {
        let connection = source.connection(node).await?;
        for (tp, start) in list_offsets(&connection, &partitions, At::Earliest).await? {
            if let Ok(start) = start {
                starts.entry(tp.topic.to_string()).or_default().push(start);
            }
        }
    }
    Ok(starts)
}

/// What becomes of each group that the link takes.
async fn groups(link: &LinkSpec, source: &Cluster, dest: &Cluster) -> Result<Vec<PlanLine>, String> {
    let Some(policy) = &link.groups else { return Ok(Vec::new()) };
    let (here, there) = tokio::join!(list_groups(source), list_groups(dest));
    let failed = |name: &str| {
        let name = name.to_owned();
        move |error: Error| format!("the groups of {name} cannot be listed: {error}")
    };
    let (here, there) = (here.map_err(failed(&link.from))?, there.map_err(failed(&link.to))?);
    let busy: BTreeSet<&str> =
        there.iter().filter(|group| has_members(group)).map(|group| &*group.group).collect();
    let taken = here.iter().filter(|group| policy.selection.takes(&group.group));
    Ok(taken
        .map(|group| {
            if busy.contains(&*group.group) {
                let words =
                    format!("has members on {}: offsets are not copied while they are there", link.to);
                line(Sign::Attention, "group", &group.group, words)
            } else {
                line(Sign::Add, "group", &group.group, "its offsets are copied".to_owned())
            }
        })
        .collect())
}

/// A coordinator refuses commits from outside while a group has any.
fn has_members(group: &ListedGroup) -> bool {
    group.state.as_deref().is_some_and(|state| state != "Empty" && state != "Dead")
}

fn line(sign: Sign, what: &str, name: &str, words: String) -> PlanLine {
    PlanLine { sign, what: what.to_owned(), name: name.to_owned(), words }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_start_is_told_with_its_cost() {
        assert_eq!(aligned(&[0, 0], Compaction::Off), "");
        let words = aligned(&[1_200_000, 0, 2_400_000], Compaction::Off);
        assert_eq!(words, ", aligned at offset 2400000 (3600000 offsets by fillers, about 3 MB and 1 s)");
        assert_eq!(aligned(&[7], Compaction::On), ", aligned at offset 7");
    }

    #[test]
    fn a_setting_is_told_with_what_stands_there_and_whose_word_counts() {
        let found = BTreeMap::from([("segment.ms".to_owned(), "60000".to_owned())]);
        let policy = TopicSettingsPolicy::default();
        let words = setting(&found, "segment.ms", Some(&"3600000".to_owned()), &policy);
        assert_eq!(words, "segment.ms 60000 -> 3600000 (owner: source)");
        let words = setting(&found, "retention.ms", Some(&"-1".to_owned()), &policy);
        assert_eq!(words, "retention.ms (unset) -> -1 (owner: standby)");
    }
}
