//! What names and specs must be to be agreed on, whoever proposes them.

use super::refusal::Refusal;
use crate::spec::dr::{DrSpec, SiteKind};
use crate::spec::names::name;

const LINKS_MAX: usize = 10_000;

pub(super) fn fit(what: &'static str, text: &str) -> Result<(), Refusal> {
    let unfit = |why| Refusal::Unfit { what, name: text.chars().take(200).collect(), why };
    name(text).map(drop).map_err(unfit)
}

/// Whoever proposed the spec has checked it; that its names are there is looked at all the same.
pub(super) fn resolved(spec: &DrSpec) -> Result<(), Refusal> {
    let unknown = |what, name: &str| Refusal::Unknown { what, name: name.to_owned() };
    if spec.links.len() > LINKS_MAX {
        return Err(Refusal::Limit { what: "links", limit: LINKS_MAX });
    }
    for cluster in spec.clusters.values() {
        if spec.sites.get(&cluster.site) != Some(&SiteKind::Data) {
            return Err(unknown("site with data", &cluster.site));
        }
    }
    for (name, link) in &spec.links {
        if let Some(cluster) = link.clusters.iter().find(|cluster| !spec.clusters.contains_key(*cluster)) {
            return Err(unknown("cluster", cluster));
        }
        if link.clusters[0] == link.clusters[1] || link.other(&link.prefer).is_none() {
            let why = "two different clusters, and one of them to prefer".to_owned();
            return Err(Refusal::Unfit { what: "link", name: name.clone(), why });
        }
    }
    Ok(())
}
