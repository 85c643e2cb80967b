//! Copied offsets of consumer groups against both logs: whoever goes on from the standby's offset must see the same record
//! next as from the source's (M30 to M32).
//! Promises: the records themselves are compared; what could not be read is a doubt, never the same. Groups that are not
//! copied for what they are (share groups) are named and are no part of the verdict.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lockstep_core::compare::difference;
use lockstep_core::ids::TopicPartition;
use lockstep_core::verify::Verdict;
use lockstep_kafka::admin::At;
use lockstep_kafka::{Cluster, Error};
use tokio::time::{Instant, sleep};

use crate::pipeline::groups::next_record::{Next, next_record};
use crate::pipeline::groups::report::{GroupReport, GroupState, OffsetReport};
use crate::pipeline::groups::survey::{Asked, marks, survey};

/// Offsets looked at beside each other.
const PARALLEL: usize = 16;
/// How often a standby that is behind is asked again.
const POLL: Duration = Duration::from_millis(300);

/// What was found of one group.
#[derive(Clone, Debug)]
pub struct GroupFinding {
    pub group: Arc<str>,
    pub verdict: GroupVerdict,
    /// Offsets whose next records were compared.
    pub offsets_compared: usize,
}

/// How a group's offsets compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GroupVerdict {
    Same,
    /// The first difference, in words.
    Different(String),
    /// What could not be told.
    Unknown(String),
    /// Not copied for what it is: no part of the verdict.
    NotCopied(String),
}

impl GroupFinding {
    /// Its share in the whole; `None`: none.
    pub fn verdict(&self) -> Option<Verdict> {
        match self.verdict {
            GroupVerdict::Same => Some(Verdict::Identical),
            GroupVerdict::Different(_) => Some(Verdict::Different),
            GroupVerdict::Unknown(_) => Some(Verdict::Unknown),
            GroupVerdict::NotCopied(_) => None,
        }
    }
}

/// Compares every offset, once the standby has caught up or `wait` is over.
///
/// # Errors
/// One of the clusters does not answer.
pub(super) async fn compare(
    source: &Cluster,
    dest: &Cluster,
    asked: &Asked,
    wait: Duration,
) -> Result<Vec<GroupFinding>, Error> {
    let deadline = Instant::now() + wait;
    let groups = loop {
        let groups = survey(source, dest, asked).await?;
        let behind = groups.iter().any(|group| group.state == GroupState::Behind);
        if !behind || Instant::now() >= deadline {
            break groups;
        }
        sleep(POLL).await;
    };
    // Many groups stand at the same offset: a pair is looked at once.
    let mut pairs: Vec<Pair> = groups.iter().flat_map(|group| &group.offsets).filter_map(Pair::of).collect();
    pairs.sort();
    pairs.dedup();
    // Where retention was faster than the group, its next record is the first one there is.
    let starts = marks(source, pairs.iter().map(|pair| &pair.tp), At::Earliest).await?;
    let looks = pairs.into_iter().map(|pair| async {
        let start = starts.get(&pair.tp).copied().unwrap_or(0);
        let found = same_next(source, dest, asked, &pair, start).await;
        (pair, found)
    });
    let found: HashMap<Pair, Found> =
        futures_util::stream::iter(looks).buffer_unordered(PARALLEL).collect().await;
    Ok(groups.iter().map(|group| finding(group, &found)).collect())
}

/// A source offset and the standby's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Pair {
    tp: TopicPartition,
    here: i64,
    there: i64,
}

impl Pair {
    fn of(offset: &OffsetReport) -> Option<Self> {
        Some(Self { tp: offset.tp.clone(), here: offset.source.0, there: offset.resumes_at?.0 })
    }
}

#[derive(Clone, Debug)]
enum Found {
    Same,
    Different(String),
    Unknown(String),
}

async fn same_next(source: &Cluster, dest: &Cluster, asked: &Asked, pair: &Pair, start: i64) -> Found {
    let Pair { tp, here, there } = pair;
    let named = TopicPartition::new(&*asked.rename.dest_name(&tp.topic), tp.partition);
    let (a, b) = tokio::join!(next_record(source, tp, *here.max(&start)), next_record(dest, &named, *there));
    let (a, b) = match (a, b) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(why), _) => return Found::Unknown(format!("{tp} from offset {here} on the source: {why}")),
        (_, Err(why)) => return Found::Unknown(format!("{named} from offset {there} on the standby: {why}")),
    };
    let differs = |what: String| Found::Different(format!("{tp}: {what}"));
    match (a, b) {
        (Next::Record(a), Next::Record(b)) if a.offset == b.offset => match difference(&a, &b) {
            None => Found::Same,
            Some(what) => differs(format!("the next record, at offset {}, differs: {what}", a.offset)),
        },
        // Unread, and older than anything the source still has: the standby keeps more.
        (Next::Record(a), Next::Record(b)) if b.offset < a.offset && b.offset >= *here => Found::Same,
        (Next::Record(a), Next::Record(b)) if b.offset < a.offset => {
            differs(format!("would read {} to {} again", b.offset, a.offset - 1))
        }
        (Next::Record(a), Next::Record(b)) => differs(format!("would skip {} to {}", a.offset, b.offset - 1)),
        (Next::AtTheEnd(_), Next::AtTheEnd(_)) => Found::Same,
        (Next::AtTheEnd(end), Next::Record(b)) if b.offset >= *here && b.offset < end => Found::Same,
        (Next::AtTheEnd(_), Next::Record(b)) => differs(format!("would read {} again", b.offset)),
        // The standby has not got that far: nothing is skipped if it stands before what is missing.
        (Next::Record(a), Next::AtTheEnd(end)) if end <= a.offset && *there <= a.offset => {
            Found::Unknown(format!("{tp}: the standby ends at {end}, before the next record at {}", a.offset))
        }
        (Next::Record(a), Next::AtTheEnd(_)) => differs(format!("would skip {} to {}", a.offset, there - 1)),
    }
}

fn finding(group: &GroupReport, found: &HashMap<Pair, Found>) -> GroupFinding {
    let mut finding =
        GroupFinding { group: Arc::clone(&group.group), verdict: GroupVerdict::Same, offsets_compared: 0 };
    if let Some(why) = group.kind.not_copied() {
        finding.verdict = GroupVerdict::NotCopied(why);
        return finding;
    }
    if group.offsets.is_empty() {
        finding.verdict = match &group.state {
            GroupState::Skipped(why) => GroupVerdict::NotCopied(why.clone()),
            _ => GroupVerdict::Same,
        };
        return finding;
    }
    for offset in &group.offsets {
        let verdict = match Pair::of(offset).and_then(|pair| found.get(&pair)) {
            None => GroupVerdict::Different(format!("{}: no offset on the standby", offset.tp)),
            Some(Found::Same) => {
                finding.offsets_compared += 1;
                continue;
            }
            Some(Found::Different(what)) => GroupVerdict::Different(what.clone()),
            Some(Found::Unknown(why)) => GroupVerdict::Unknown(why.clone()),
        };
        // A proven difference outweighs a doubt; of equals the first is said.
        match (&finding.verdict, &verdict) {
            (GroupVerdict::Same, _) | (GroupVerdict::Unknown(_), GroupVerdict::Different(_)) => {
                finding.verdict = verdict;
            }
            _ => {}
        }
    }
    // Where somebody consumes on the standby, its offsets are theirs, and a difference is no fault of the copy.
    if let (GroupState::Skipped(why), GroupVerdict::Different(what)) = (&group.state, &finding.verdict) {
        finding.verdict = GroupVerdict::Unknown(format!("{why}; {what}"));
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockstep_core::groups::copies::Standing;
    use lockstep_core::groups::kind::GroupKind;
    use lockstep_core::ids::{DestOffset, SourceOffset};

    fn group(resumes_at: Option<i64>, state: GroupState) -> GroupReport {
        let offset = OffsetReport {
            tp: TopicPartition::new("t", 0),
            source: SourceOffset(5),
            source_end: None,
            standby: resumes_at.map(DestOffset),
            standby_end: None,
            resumes_at: resumes_at.map(DestOffset),
            repeats: None,
            standing: Standing::InStep,
        };
        GroupReport {
            group: "g".into(),
            kind: GroupKind::Consumer,
            state,
            synced: None,
            offsets: vec![offset],
        }
    }

    fn judged(group: &GroupReport, found: &Found) -> GroupVerdict {
        let found = group.offsets.iter().filter_map(Pair::of).map(|pair| (pair, found.clone())).collect();
        finding(group, &found).verdict
    }

    #[test]
    fn a_missing_offset_is_a_difference_and_one_that_members_moved_is_a_doubt() {
        let missing = judged(&group(None, GroupState::Behind), &Found::Same);
        assert!(matches!(missing, GroupVerdict::Different(what) if what.contains("no offset")));
        assert_eq!(judged(&group(Some(5), GroupState::InStep), &Found::Same), GroupVerdict::Same);
        let differs = Found::Different("t:0: would read 4 again".to_owned());
        let behind = judged(&group(Some(4), GroupState::Behind), &differs);
        assert!(matches!(behind, GroupVerdict::Different(_)));
        let theirs = judged(&group(Some(4), GroupState::Skipped("it has members".to_owned())), &differs);
        assert!(
            matches!(theirs, GroupVerdict::Unknown(why) if why.contains("members") && why.contains("again"))
        );
    }

    #[test]
    fn a_group_that_is_not_copied_for_what_it_is_has_no_share() {
        let share = GroupReport { kind: GroupKind::Share, ..group(None, GroupState::Behind) };
        let finding = finding(&share, &HashMap::new());
        assert_eq!((finding.verdict(), finding.offsets_compared), (None, 0));
    }
}
