//! What this site sees of every cluster of the assignment, whether it copies anything from it or not: a verdict needs the eyes
//! of two sites. Reads only: metadata, and an empty question to each broker. One cluster that does not answer holds up no
//! other. Connections are its own: on those of a link a question would wait behind a fetch (a broker answers in order).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockstep_core::dr::denied::Side;
use lockstep_core::spec::agent::ClusterSpec;
use lockstep_kafka::admin::{At, list_offsets};
use lockstep_kafka::{Cluster, Dial, Error};
use lockstep_proto::agent::{Probe, Reach};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::desk::Control;
use crate::config;
use crate::pipeline::denied::by_error;

const EVERY: Duration = Duration::from_secs(2);
/// For one round of one cluster.
const PATIENCE: Duration = Duration::from_secs(4);
/// Causes may name every broker.
const FAULT_BYTES_MAX: usize = 1_000;

/// The last answers. A handle.
#[derive(Clone, Default)]
pub struct Seen(Arc<Mutex<BTreeMap<String, Look>>>);

/// One cluster, as it was seen last.
#[derive(Clone)]
struct Look {
    probe: Probe,
    answered: Option<Instant>,
}

/// A cluster that is probed, and by which words it was reached.
struct Probed {
    spec: ClusterSpec,
    cluster: Option<Cluster>,
}

impl Seen {
    /// With the ages of now.
    #[must_use]
    pub fn now(&self) -> Vec<Probe> {
        let age = |at: Instant| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = |look: &Look| Probe { answered_age_ms: look.answered.map(age), ..look.probe.clone() };
        seen.values().map(now).collect()
    }

    fn put(&self, probe: Probe) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.get(&probe.cluster).and_then(|look| look.answered);
        let has_answered = probe.brokers_answering > 0;
        let answered = if has_answered { Some(Instant::now()) } else { before };
        seen.insert(probe.cluster.clone(), Look { probe, answered });
    }

    fn keep(&self, is_probed: impl Fn(&str) -> bool) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|name, _| is_probed(name));
    }
}

/// For ever.
pub async fn run(control: Control, dial: Arc<dyn Dial>, seen: Seen) {
    let mut probed: BTreeMap<String, Probed> = BTreeMap::new();
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let assigned = control.assigned();
        probed.retain(|name, probed| assigned.clusters.get(name) == Some(&probed.spec));
        seen.keep(|name| assigned.clusters.contains_key(name));
        let mut round = JoinSet::new();
        for (name, spec) in &assigned.clusters {
            let known = probed.remove(name).and_then(|probed| probed.cluster);
            let (name, spec, dial) = (name.clone(), spec.clone(), Arc::clone(&dial));
            round.spawn(async move {
                let (cluster, probe) = look(&name, &spec, known, dial).await;
                (name, Probed { spec, cluster }, probe)
            });
        }
        while let Some(looked) = round.join_next().await {
            // One that panicked is looked at anew in the next round.
            let Ok((name, cluster, probe)) = looked else { continue };
            seen.put(probe);
            probed.insert(name, cluster);
        }
    }
}

async fn look(
    name: &str,
    spec: &ClusterSpec,
    known: Option<Cluster>,
    dial: Arc<dyn Dial>,
) -> (Option<Cluster>, Probe) {
    let none = |reach: Reach, fault: String| Probe {
        cluster: name.to_owned(),
        reach: reach.into(),
        fault: Some(short(fault)),
        ..Probe::default()
    };
    let settings = match config::settings(name, spec) {
        Ok(settings) => settings,
        Err(faults) => {
            let lines: Vec<_> = faults.iter().map(ToString::to_string).collect();
            return (None, none(Reach::None, lines.join("; ")));
        }
    };
    let asked = timeout(PATIENCE, async {
        let cluster = match known.clone() {
            Some(cluster) => cluster,
            None => Cluster::connect(dial, settings.clone()).await?,
        };
        let metadata = cluster.refresh().await?;
        let mut brokers = JoinSet::new();
        for node in metadata.brokers.keys() {
            let (cluster, node) = (cluster.clone(), *node);
            brokers.spawn(async move {
                list_offsets(&cluster.connection(node).await?, &[], At::Latest).await.map(drop)
            });
        }
        let (mut answering, mut faults) = (0, Vec::new());
        while let Some(answer) = brokers.join_next().await {
            match answer {
                Ok(Ok(())) => answering += 1,
                Ok(Err(error)) => faults.push(error.to_string()),
                Err(error) => faults.push(error.to_string()),
            }
        }
        Ok::<_, Error>((cluster, metadata.brokers.len(), answering, faults))
    });
    match asked.await {
        Err(_) => (known, none(Reach::None, format!("no answer within {} s", PATIENCE.as_secs()))),
        // Which side of a link it is does not matter here.
        Ok(Err(error)) if by_error(Side::Source, &settings, &error).is_some() => {
            (None, none(Reach::Refused, error.to_string()))
        }
        Ok(Err(error)) => (None, none(Reach::None, error.to_string())),
        Ok(Ok((cluster, brokers, answering, faults))) => {
            let reach = match answering {
                0 => Reach::None,
                all if all == brokers => Reach::All,
                _ => Reach::Some,
            };
            let probe = Probe {
                cluster: name.to_owned(),
                reach: reach.into(),
                answered_age_ms: None,
                brokers_seen: u32::try_from(brokers).unwrap_or(u32::MAX),
                brokers_answering: u32::try_from(answering).unwrap_or(u32::MAX),
                fault: (!faults.is_empty()).then(|| short(faults.join("; "))),
            };
            (Some(cluster), probe)
        }
    }
}

fn short(mut words: String) -> String {
    if words.len() > FAULT_BYTES_MAX {
        let end = (0..=FAULT_BYTES_MAX).rev().find(|at| words.is_char_boundary(*at)).unwrap_or(0);
        words.truncate(end);
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_answered_once_grows_older_and_is_not_forgotten() {
        let seen = Seen::default();
        let probe =
            |answering| Probe { cluster: "mi".to_owned(), brokers_answering: answering, ..Probe::default() };
        seen.put(probe(0));
        assert_eq!(seen.now()[0].answered_age_ms, None);
        seen.put(probe(2));
        assert!(seen.now()[0].answered_age_ms.is_some_and(|age| age < 5_000));
        seen.put(probe(0));
        assert!(seen.now()[0].answered_age_ms.is_some(), "since the last answer");
        seen.keep(|_| false);
        assert!(seen.now().is_empty());
    }

    #[test]
    fn long_causes_are_cut_between_letters() {
        let cut = short("ä".repeat(2_000));
        assert!(cut.len() <= FAULT_BYTES_MAX + 4 && cut.ends_with('…'));
        assert_eq!(short("no".to_owned()), "no");
    }
}
