//! Questions that only an agent can answer: a link with every partition, its groups, and what a planned link would do to
//! topics and groups. Answers are the same documents that the agent serves by itself. Reads only, but for a link that was
//! removed: what the passports of its clusters say of it is deleted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockstep_core::spec::agent::ClusterSpec;
use lockstep_core::spec::dr;
use lockstep_core::spec::security::SecuritySpec;
use lockstep_core::status::{PlanLines, PlanQuestion, TidyAnswer, TidyQuestion};
use lockstep_kafka::{Cluster, Dial, Settings};
use lockstep_proto::agent::answer::Outcome;
use lockstep_proto::agent::{Answer, Ask, AskKind};
use serde::Serialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout;

use super::assigned::section;
use super::{Links, planning};
use crate::config;
use crate::passport::{self, Forgotten};

/// Questions that are worked on at once.
const AT_ONCE: usize = 8;
/// Shorter than coordinators wait.
const PATIENCE: Duration = Duration::from_secs(8);

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
                let (from, to) = (&question.from, &question.to);
                let source = self.settings(&question.clusters, from)?;
                let dest = self.settings(&question.clusters, to)?;
                let lines = planning::lines(&question, Arc::clone(&self.dial), source, dest).await?;
                json(&PlanLines { lines })
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
        Cluster::connect(Arc::clone(&self.dial), self.settings(clusters, name)?)
            .await
            .map_err(|error| format!("cannot use the cluster {name}: {error}"))
    }

    fn settings(&self, clusters: &BTreeMap<String, dr::Cluster>, name: &str) -> Result<Settings, String> {
        let cluster = clusters.get(name).ok_or_else(|| format!("cluster {name:?} is not told"))?;
        let security = section(cluster.security.as_deref(), &self.security)?;
        let spec = ClusterSpec { bootstrap: cluster.bootstrap.clone(), security };
        config::settings(name, &spec)
            .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
}

fn json(document: &impl Serialize) -> Result<String, String> {
    serde_json::to_string(document).map_err(|error| error.to_string())
}
