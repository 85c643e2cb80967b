//! Questions that only an agent can answer: a link with every partition, its groups, and what a planned link would do to
//! topics and groups. Answers are the same documents that the agent serves by itself. Reads only, but for a link that was
//! removed: what the passports of its clusters say of it is deleted.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockstep_core::spec::agent::{ClusterSpec, LinkSpec};
use lockstep_core::spec::dr::{self, Sign};
use lockstep_core::spec::security::SecuritySpec;
use lockstep_core::status::{PlanLine, PlanLines, PlanQuestion, TidyAnswer, TidyQuestion};
use lockstep_kafka::admin::{ListedGroup, list_groups};
use lockstep_kafka::{Cluster, Dial};
use lockstep_proto::agent::answer::Outcome;
use lockstep_proto::agent::{Answer, Ask, AskKind};
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::Links;
use super::assigned::section;
use crate::config;
use crate::passport::{self, Forgotten};

/// Questions that are worked on at once.
const AT_ONCE: usize = 8;
/// Shorter than coordinators wait.
const PATIENCE: Duration = Duration::from_secs(8);
/// Lines of one plan; the rest is counted.
const LINES_MAX: usize = 2_000;

/// Whoever is asked.
#[derive(Clone)]
pub struct Asked {
    links: Arc<dyn Links>,
    dial: Arc<dyn Dial>,
    /// The sections of the agent's own file.
    security: Arc<BTreeMap<String, SecuritySpec>>,
    places: Arc<Semaphore>,
}

impl Asked {
    #[must_use]
    pub fn new(links: Arc<dyn Links>, dial: Arc<dyn Dial>, security: BTreeMap<String, SecuritySpec>) -> Self {
        Self { links, dial, security: Arc::new(security), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Answers into `answers`, whenever it is there.
    pub fn answer(&self, ask: Ask, answers: mpsc::Sender<Answer>) {
        let (this, id) = (self.clone(), ask.id);
        // It ends with its patience.
        tokio::spawn(async move {
            let said = match this.places.clone().try_acquire_owned() {
                Err(_) => Err(format!("{AT_ONCE} questions are worked on already: ask again")),
                Ok(_place) => timeout(PATIENCE, this.say(&ask)).await.unwrap_or_else(|_| {
                    Err(format!("the clusters did not answer everything within {} s", PATIENCE.as_secs()))
                }),
            };
            let outcome = said.map_or_else(Outcome::Error, Outcome::Document);
            // The conversation may have ended.
            let _ = answers.send(Answer { id, outcome: Some(outcome) }).await;
        });
    }

    async fn say(&self, ask: &Ask) -> Result<String, String> {
        let absent = || format!("link {:?} does not run on this agent", ask.argument);
        match AskKind::try_from(ask.kind) {
            Ok(AskKind::LinkDetail) => json(&self.links.detail(&ask.argument).ok_or_else(absent)?),
            Ok(AskKind::Groups) => json(&self.links.groups(&ask.argument).ok_or_else(absent)?),
            Ok(AskKind::PlanLines) => {
                let question: PlanQuestion = serde_json::from_str(&ask.argument)
                    .map_err(|error| format!("the plan cannot be read: {error}"))?;
                json(&PlanLines { lines: self.plan(&question).await? })
            }
            Ok(AskKind::TidyLink) => {
                let question: TidyQuestion = serde_json::from_str(&ask.argument)
                    .map_err(|error| format!("the question cannot be read: {error}"))?;
                json(&self.tidy(&question).await?)
            }
            Ok(AskKind::Unspecified) | Err(_) => {
                Err("a question of a kind that this version does not know".to_owned())
            }
        }
    }

    async fn plan(&self, question: &PlanQuestion) -> Result<Vec<PlanLine>, String> {
        let link = question.rules.link(&question.from, &question.to);
        let link =
            link.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let clusters = &question.clusters;
        let (source, dest) =
            tokio::join!(self.reach(clusters, &question.from), self.reach(clusters, &question.to));
        let (source, dest) = (source?, dest?);
        let mut lines = topics(&link, &source, &dest);
        if link.groups.is_some() {
            lines.extend(groups(&link, &source, &dest).await?);
        }
        let beyond = lines.len().saturating_sub(LINES_MAX);
        if beyond > 0 {
            lines.truncate(LINES_MAX);
            lines.push(line(Sign::Attention, "", "", format!("and {beyond} more lines")));
        }
        Ok(lines)
    }

    /// A link that was removed: nothing of it stays in its clusters' passports. What it mirrored stays.
    async fn tidy(&self, question: &TidyQuestion) -> Result<TidyAnswer, String> {
        let TidyQuestion { link, clusters } = question;
        let mut answer = TidyAnswer::default();
        for name in clusters.keys() {
            let cluster = self.reach(clusters, name).await?;
            if self.links.has(link) {
                return Err(format!("link {link:?} is at work here"));
            }
            let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
            match passport::forget(&cluster, link, i64::try_from(wall).unwrap_or(i64::MAX)).await {
                Ok(Forgotten::Entries(count)) => drop(answer.deleted.insert(name.clone(), count as u64)),
                Ok(Forgotten::Fenced) => {
                    return Err(format!(
                        "a fence of link {link:?} stands on {name}, and has to be lifted first"
                    ));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        Ok(answer)
    }

    async fn reach(&self, clusters: &BTreeMap<String, dr::Cluster>, name: &str) -> Result<Cluster, String> {
        let cluster = clusters.get(name).ok_or_else(|| format!("cluster {name:?} is not told"))?;
        let security = section(cluster.security.as_deref(), &self.security)?;
        let spec = ClusterSpec { bootstrap: cluster.bootstrap.clone(), security };
        let settings = config::settings(name, &spec)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        Cluster::connect(Arc::clone(&self.dial), settings)
            .await
            .map_err(|error| format!("cannot use the cluster {name}: {error}"))
    }
}

/// What becomes of each topic that the link takes.
fn topics(link: &LinkSpec, source: &Cluster, dest: &Cluster) -> Vec<PlanLine> {
    let (there, here) = (dest.metadata(), source.metadata());
    let taken = here.topics.iter().filter(|(name, topic)| link.topics.takes(name, topic.internal));
    let mut lines = Vec::new();
    for (name, topic) in taken {
        let (copy, partitions) = (link.rename.dest_name(name), topic.partitions.len());
        let renamed = if *copy == **name { String::new() } else { format!(", as {copy}") };
        match there.topics.get(&*copy).map(|copy| copy.partitions.len()) {
            None => lines.push(line(Sign::Add, "topic", name, format!("{partitions} partitions{renamed}"))),
            Some(more) if more > partitions => {
                let words = format!(
                    "has {more} partitions on {}, {partitions} on {}: it cannot be a copy, and is not mirrored",
                    link.to, link.from
                );
                lines.push(line(Sign::Attention, "topic", name, words));
            }
            Some(fewer) => {
                let grows = if fewer < partitions {
                    format!(", grows to {partitions} partitions")
                } else {
                    String::new()
                };
                let words = format!(
                    "is on {} already{renamed}: compared, then continued where it ends{grows}",
                    link.to
                );
                lines.push(line(Sign::Change, "topic", name, words));
            }
        }
    }
    lines
}

/// What becomes of each group that the link takes.
async fn groups(link: &LinkSpec, source: &Cluster, dest: &Cluster) -> Result<Vec<PlanLine>, String> {
    let Some(policy) = &link.groups else { return Ok(Vec::new()) };
    let (here, there) = tokio::join!(list_groups(source), list_groups(dest));
    let failed = |name: &str| {
        let name = name.to_owned();
        move |error: lockstep_kafka::Error| format!("the groups of {name} cannot be listed: {error}")
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

fn json(document: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(document).map_err(|error| error.to_string())
}
