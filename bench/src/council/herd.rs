//! Agents of a load: the product's own conversation with coordinators, with links that say something new every second and
//! no engines behind them. They live on one thread, until they are dropped.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use lockstep_agent::control::answering::Asked;
use lockstep_agent::control::probing::Seen;
use lockstep_agent::control::seeking::{self, Seeking};
use lockstep_agent::control::{Control, Figures, Links};
use lockstep_agent::store::{MemoryStore, Store};
use lockstep_core::dr::posture::{LinkFacts, Role, WriteProtection, judge};
use lockstep_core::spec::agent::CoordinatorsSpec;
use lockstep_core::status::{
    About, AgentStatus, ExposureStatus, GroupsStatus, HistoryStatus, LinkState, LinkStatus, PartitionCounts,
    RunwayStatus, TopicStatus, judged_status,
};
use lockstep_kafka::Tcp;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::authority::Papers;
use super::topic;
use crate::Result;
use crate::watch::runtime;

const PARTITIONS_EACH: u64 = 6;

pub(crate) struct Herd {
    /// Dropped to end it.
    life: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Herd {
    /// Agent `aN` of site `sN` with the papers of place N.
    pub(super) fn start(agents: Vec<Papers>, addresses: &[String], topics_each: usize) -> Result<Self> {
        let runtime = runtime()?;
        let seekings = agents
            .into_iter()
            .enumerate()
            .map(|(number, papers)| agent(number, papers, addresses, topics_each))
            .collect::<Result<Vec<_>>>()?;
        let (life, over) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            runtime.block_on(async move {
                let mut tasks = JoinSet::new();
                for seeking in seekings {
                    tasks.spawn(seeking::look(seeking.control.clone()));
                    tasks.spawn(seeking.run());
                }
                // Its sender is never used: it only goes away.
                let _ = over.await;
                Ok(())
            })
        });
        Ok(Self { life: Some(life), thread: Some(thread) })
    }
}

impl Drop for Herd {
    fn drop(&mut self) {
        drop(self.life.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed.
            let _ = thread.join();
        }
    }
}

fn agent(number: usize, papers: Papers, addresses: &[String], topics_each: usize) -> Result<Seeking> {
    let spec = CoordinatorsSpec {
        addresses: addresses.to_vec(),
        ca: papers.ca,
        certificate: papers.certificate,
        key: papers.key,
    };
    let name = seeking::name(&spec, &format!("s{number}"))?;
    let store: Arc<dyn Store> = Arc::new(MemoryStore::default());
    let control = Control::new(name.agent.clone(), BTreeMap::new(), store);
    let links: Arc<dyn Links> = Arc::new(Said { control: control.clone(), topics_each });
    let asked = Asked::new(Arc::clone(&links), Arc::new(Tcp::default()), BTreeMap::new());
    Ok(Seeking { control, name, spec, links, seen: Seen::default(), asked })
}

/// What an agent of the herd says of its links.
struct Said {
    control: Control,
    topics_each: usize,
}

fn exposure() -> ExposureStatus {
    ExposureStatus {
        seen_records: Some(12),
        seen_estimated_bytes: Some(12_000),
        seen_seconds: Some(0.2),
        estimated_records: Some(40),
        estimated_bytes: Some(40_000),
        estimated_seconds: Some(0.7),
        datum_age_seconds: Some(0.5),
        is_fresh: true,
        ..ExposureStatus::default()
    }
}

fn runway() -> RunwayStatus {
    let basis = Some("age".to_owned());
    RunwayStatus { kind: "lasts".to_owned(), seconds: Some(600_000.0), basis, missing: None }
}

impl Links for Said {
    /// Never the same twice: each glance finds something to report, as on a link with traffic.
    fn figures(&self, _link: &str) -> Option<Figures> {
        None
    }

    fn status(&self, link: &str) -> Option<LinkStatus> {
        let assigned = self.control.assigned();
        let spec = &assigned.links.get(link)?.spec;
        let rpo_ms = 5_000;
        let about = About {
            link: link.to_owned(),
            from: spec.from.clone(),
            to: spec.to.clone(),
            rpo_ms,
            role: Role::Standby,
            write_protection: WriteProtection::NotLooked,
            groups: None,
            drift: None,
        };
        let judged = judge(&LinkFacts { rpo_ms, ..LinkFacts::default() });
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let number = link.rsplit('-').next()?.parse().ok()?;
        let topics = (0..self.topics_each).map(|each| TopicStatus {
            topic: topic(number, each),
            exposure: exposure(),
            retention_runway: runway(),
            is_good: true,
            blocked: None,
            partitions: Vec::new(),
        });
        let partitions = self.topics_each as u64 * PARTITIONS_EACH;
        Some(LinkStatus {
            as_of_timestamp_seconds: Some(wall),
            exposure: exposure(),
            retention_runway: runway(),
            source_end_timestamp_seconds: Some(wall - 0.5),
            last_replicated_timestamp_seconds: Some(wall - 0.1),
            copied_records: 1_000_000,
            copied_bytes: 1_000_000_000,
            partitions: PartitionCounts {
                total: partitions,
                caught_up: partitions,
                ..PartitionCounts::default()
            },
            topics_total: self.topics_each as u64,
            topics_good: self.topics_each as u64,
            topics: topics.collect(),
            ..judged_status(&about, LinkState::Running, &judged)
        })
    }

    fn settled(&self, link: &str) -> Option<u64> {
        Some(self.control.assigned().links.get(link)?.work.epoch)
    }

    fn has(&self, link: &str) -> bool {
        self.control.assigned().links.contains_key(link)
    }

    fn detail(&self, _link: &str) -> Option<AgentStatus> {
        None
    }

    fn history(&self, _link: &str) -> Option<HistoryStatus> {
        None
    }

    fn groups(&self, _link: &str) -> Option<GroupsStatus> {
        None
    }
}
