//! Asks the clusters of a file whether its links could run: `lockstep check --connect`. Changes nothing, nowhere: what
//! cannot be asked without doing it is said to be unknown.
//!
//! ```text
//! Config ─ clusters (all at once) ─► reached, versions, certificates ─ rights (each link) ─► what is missing, with its grant
//! ```
//!
//! Promises: every cluster and link has an answer within a bounded time; one that does not answer holds up no other.

mod clusters;
mod rights;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use lockstep_core::code::Code;
use lockstep_core::dr::denied::Side;
use lockstep_core::plan::permissions::Need;
use lockstep_kafka::{Certificate, Cluster, Dial, Error, MissingPermission};

use crate::config::Config;

/// For dialling a cluster and its first answers.
const CLUSTER_PATIENCE: Duration = Duration::from_secs(30);
/// For everything asked about one link.
const LINK_PATIENCE: Duration = Duration::from_secs(60);
/// As connections warn (L-117).
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 86_400);

/// What was found.
#[derive(Debug)]
pub struct Findings {
    /// By name; every cluster of the file.
    pub clusters: BTreeMap<String, ClusterFound>,
    /// By name; every link of the file, paused ones too.
    pub links: BTreeMap<String, LinkFound>,
}

#[derive(Debug)]
pub struct ClusterFound {
    pub outcome: Result<Reached, Error>,
    /// Those that the connections met.
    pub certificates: Vec<Certificate>,
    /// What makes it unfit for its part in some link: too old.
    pub unfit: Vec<String>,
}

/// A cluster that answered.
#[derive(Clone, Debug)]
pub struct Reached {
    pub cluster_id: String,
    pub brokers: usize,
    /// Who we are to its authorizer, as far as we can tell.
    pub principal: String,
}

#[derive(Debug, Default)]
pub struct LinkFound {
    /// Topics of the source that it takes, as far as they show.
    pub topics: usize,
    pub missing: Vec<Missing>,
    /// What could not be looked at, and why.
    pub unknown: Vec<String>,
    /// Why it cannot run, beside missing rights.
    pub faults: Vec<String>,
    /// Worth knowing, and no fault.
    pub notes: Vec<String>,
}

/// A right that a link lacks.
#[derive(Clone, Debug)]
pub struct Missing {
    pub need: Need,
    /// By its name in the file.
    pub cluster: String,
    pub permission: MissingPermission,
}

impl Findings {
    /// Whether every cluster can be used and no link lacks anything that it needs.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        let clusters = self.clusters.values().all(|cluster| {
            cluster.outcome.is_ok()
                && cluster.unfit.is_empty()
                && !cluster.certificates.iter().any(has_expired)
        });
        clusters && self.links.values().all(LinkFound::is_fine)
    }

    /// The page for whoever has to act, if one fits: that of the first cluster's trouble, else that of missing rights.
    #[must_use]
    pub fn page(&self) -> Option<Code> {
        let dialled = self.clusters.values().find_map(|cluster| cluster.outcome.as_ref().err()?.page());
        let lacks = self.links.values().any(|link| !link.missing.is_empty());
        dialled.or_else(|| lacks.then_some(Code::PermissionMissing))
    }
}

impl LinkFound {
    #[must_use]
    pub fn is_fine(&self) -> bool {
        use lockstep_core::plan::permissions::Weight;
        self.faults.is_empty() && !self.missing.iter().any(|missing| missing.need.weight == Weight::Needed)
    }
}

/// Whether it is past its time.
#[must_use]
pub fn has_expired(certificate: &Certificate) -> bool {
    certificate.not_after <= SystemTime::now()
}

/// Whether it ends within two weeks.
#[must_use]
pub fn expires_soon(certificate: &Certificate) -> bool {
    certificate.not_after <= SystemTime::now() + EXPIRES_SOON
}

/// Asks every cluster of the file, then about every link whose clusters answered.
pub async fn ask(dial: Arc<dyn Dial>, config: &Config) -> Findings {
    let dialled = config.clusters.iter().map(|(name, settings)| {
        let (dial, settings) = (Arc::clone(&dial), settings.clone());
        async move { (name.clone(), clusters::reach(dial, settings).await) }
    });
    let dialled: BTreeMap<String, Result<Cluster, Error>> = join_all(dialled).await.into_iter().collect();
    let asked = config.spec.links.iter().map(|(name, link)| {
        let ends = (dialled.get(&link.from), dialled.get(&link.to));
        async move {
            let (Some(Ok(source)), Some(Ok(dest))) = ends else {
                let what = "nothing could be looked at: a cluster of it did not answer".to_owned();
                return (name.clone(), LinkFound { unknown: vec![what], ..LinkFound::default() });
            };
            (name.clone(), bounded(rights::look(name, link, source, dest)).await)
        }
    });
    let links = join_all(asked).await.into_iter().collect();
    let mut clusters = BTreeMap::new();
    for (name, outcome) in dialled {
        clusters.insert(name.clone(), clusters::found(config, &name, outcome).await);
    }
    Findings { clusters, links }
}

async fn bounded(asking: impl Future<Output = LinkFound>) -> LinkFound {
    tokio::time::timeout(LINK_PATIENCE, asking).await.unwrap_or_else(|_| {
        let what = format!("its clusters did not answer everything within {} s", LINK_PATIENCE.as_secs());
        LinkFound { unknown: vec![what], ..LinkFound::default() }
    })
}

/// In words, for what is said about one of the two.
fn side(side: Side) -> &'static str {
    match side {
        Side::Source => "source",
        Side::Dest => "destination",
    }
}
