//! `lockstep status` from the coordinators: the links, what is wrong around them, and who there is. `wide` adds what would be
//! lost with each site, how every cluster looks from every site, agents and coordinators.

use std::fmt::Write as _;
use std::time::Duration;

use lockstep_core::status::{
    AgentSeat, ClusterStatus, LinkStatus, Scope, SeenStatus, SiteStatus, SystemStatus,
};

use super::Output;
use super::status::{Arrow, as_it_is, exposure, links, wide};
use super::table::table;
use super::units;

/// An agent speaks at least every three seconds.
const SILENT_MS: u64 = 10_000;
/// A new leader has heard every agent by then, or it is away.
const YOUNG_MS: u64 = 10_000;

/// The system in words, or as it is.
///
/// # Errors
/// It cannot be written, which is a defect.
pub(crate) fn render(status: &SystemStatus, format: Output, arrow: Arrow) -> Result<String, String> {
    match format {
        Output::Json | Output::Yaml => as_it_is(status, format),
        Output::Table => Ok(words(status, arrow)),
        Output::Wide => {
            let mut text = words(status, arrow);
            for link in &status.links {
                wide(link, &mut text);
            }
            around(status, &mut text);
            Ok(text)
        }
    }
}

fn words(status: &SystemStatus, arrow: Arrow) -> String {
    let mut text = if status.links.is_empty() {
        "no links: lockstep apply -f dr.yaml says which there are\n".to_owned()
    } else {
        links(&status.links, status.as_of_timestamp_seconds, arrow)
    };
    let found = alarms(status);
    if !found.is_empty() {
        text.push('\n');
    }
    for alarm in found {
        let _ = writeln!(text, "! {alarm}");
    }
    let _ = writeln!(text, "\n{}", summary(status));
    text
}

/// `revision 41; 2 clusters, 2 agents, 3 coordinators: c-east leads`.
pub(crate) fn summary(status: &SystemStatus) -> String {
    let count = |number: usize, noun: &str| format!("{number} {noun}{}", if number == 1 { "" } else { "s" });
    let revision = match status.revision {
        0 => "no spec yet".to_owned(),
        revision => format!("revision {revision}"),
    };
    let mut text = format!(
        "{revision}; {}, {}",
        count(status.clusters.len(), "cluster"),
        count(status.agents.len(), "agent")
    );
    match status.scope {
        Scope::Links => text.push_str(" (of the links that you may see)"),
        Scope::System => {
            let _ = write!(text, ", {}", count(status.coordinators.len(), "coordinator"));
            if let Some(leader) = status.coordinators.iter().find(|one| one.is_leader) {
                let _ = write!(text, ": {} leads", leader.name);
            }
        }
    }
    text
}

/// What is wrong around the links, one line each. Silence is never passed over.
pub(crate) fn alarms(status: &SystemStatus) -> Vec<String> {
    let mut found = Vec::new();
    if status.age_ms < YOUNG_MS {
        found.push(format!(
            "the leader has listened for {} only: what is not heard yet may still come",
            time(status.age_ms)
        ));
    }
    for (name, agent) in &status.agents {
        let what = match agent.heard_age_ms {
            None => "has no session with the coordinators".to_owned(),
            Some(age) if age > SILENT_MS => format!("silent for {}", time(age)),
            Some(_) => continue,
        };
        found.push(format!("agent {name} ({}): {what}", agent.site));
    }
    for (name, cluster) in &status.clusters {
        if cluster.seen.is_empty() {
            found.push(format!("cluster {name}: no agent has told how it looks"));
        }
        for (agent, seen) in cluster.seen.iter().filter(|(_, seen)| seen.reach != "all") {
            found.push(format!("cluster {name}: {}", seen_words(agent, status.agents.get(agent), seen)));
        }
    }
    for (link, removed) in &status.removed {
        let why = removed.why.as_deref().map(|why| format!(": {why}")).unwrap_or_default();
        found.push(format!(
            "link {link} was removed by revision {}, the passports of {} still tell of it{why}",
            removed.revision,
            removed.clusters.join(" and ")
        ));
    }
    found
}

/// `some of 3 brokers answer a-west (west), last 4.1 s ago: connection refused`.
fn seen_words(agent: &str, seat: Option<&AgentSeat>, seen: &SeenStatus) -> String {
    let whom = seat.map_or_else(|| agent.to_owned(), |seat| format!("{agent} ({})", seat.site));
    let what = match seen.reach.as_str() {
        "none" => format!("does not answer {whom}"),
        "some" => format!("{} of {} brokers answer {whom}", seen.brokers_answering, seen.brokers_seen),
        "refused" => format!("refuses {whom}"),
        _ => format!("{whom} cannot tell how it looks"),
    };
    let age = match (seen.reach.as_str(), seen.answered_age_ms) {
        ("none", Some(age)) => format!(", the last answer came {} ago", time(age)),
        ("none", None) => ", and never has since the agent started".to_owned(),
        _ => String::new(),
    };
    let fault = seen.fault.as_ref().map(|fault| format!(": {fault}")).unwrap_or_default();
    format!("{what}{age}{fault}")
}

fn around(status: &SystemStatus, text: &mut String) {
    if !status.sites.is_empty() {
        let sites: Vec<_> = status.sites.iter().map(|(name, site)| site_row(name, site)).collect();
        text.push('\n');
        let heading = ["SITE", "PRIMARY OF", "STANDBY OF", "POSTURE", "WORST LINK", "EXPOSURE"];
        text.push_str(&table(heading, &sites));
    }
    let clusters: Vec<_> =
        status.clusters.iter().flat_map(|(name, cluster)| cluster_rows(name, cluster)).collect();
    let agents: Vec<_> = status.agents.iter().map(|(name, agent)| agent_row(name, agent)).collect();
    let coordinators: Vec<_> = status
        .coordinators
        .iter()
        .map(|one| {
            let kind = if one.is_leader { "leader" } else { one.kind.as_str() };
            [one.name.clone(), one.site.clone(), one.address.clone(), kind.to_owned()]
        })
        .collect();
    for part in [
        table(["CLUSTER", "SITE", "SEEN BY", "REACH", "BROKERS", "ANSWERED", "TOLD"], &clusters),
        table(["AGENT", "SITE", "HEARD", "LINKS", "VERSION"], &agents),
    ] {
        text.push('\n');
        text.push_str(&part);
    }
    if status.scope == Scope::System {
        text.push('\n');
        text.push_str(&table(["COORDINATOR", "SITE", "ADDRESS", "KIND"], &coordinators));
    }
}

/// What would be lost with it.
fn site_row(name: &str, site: &SiteStatus) -> [String; 6] {
    let nothing = || "-".to_owned();
    let mut lost = site.exposure.as_ref().map_or_else(nothing, exposure);
    if site.unknown_links > 0 && lost != "unknown" {
        let _ = write!(lost, " + {} links unknown", site.unknown_links);
    }
    let count = |links: u64| if site.is_witness { "witness".to_owned() } else { links.to_string() };
    [
        name.to_owned(),
        count(site.primary_links),
        count(site.standby_links),
        site.posture.clone().unwrap_or_else(nothing),
        site.worst_link.clone().unwrap_or_else(nothing),
        lost,
    ]
}

fn cluster_rows(name: &str, cluster: &ClusterStatus) -> Vec<[String; 7]> {
    let row = |agent: &str, rest: [String; 4]| {
        let [reach, brokers, answered, told] = rest;
        [name.to_owned(), cluster.site.clone(), agent.to_owned(), reach, brokers, answered, told]
    };
    if cluster.seen.is_empty() {
        return vec![row("-", ["unknown", "?", "?", "never"].map(str::to_owned))];
    }
    let rows = cluster.seen.iter().map(|(agent, seen)| {
        let brokers = format!("{}/{}", seen.brokers_answering, seen.brokers_seen);
        let answered = seen.answered_age_ms.map_or_else(|| "never".to_owned(), ago);
        row(agent, [seen.reach.clone(), brokers, answered, ago(seen.age_ms)])
    });
    rows.collect()
}

fn agent_row(name: &str, agent: &AgentSeat) -> [String; 5] {
    let heard = agent.heard_age_ms.map_or_else(|| "no session".to_owned(), ago);
    [name.to_owned(), agent.site.clone(), heard, agent.links.to_string(), agent.version.clone()]
}

/// The worst of all links: by the order in which postures are shown.
pub(crate) fn is_fine(link: &LinkStatus) -> bool {
    matches!(link.posture.as_str(), "WITHIN_RPO" | "ZERO_LOSS")
}

fn ago(age_ms: u64) -> String {
    format!("{} ago", time(age_ms))
}

fn time(age_ms: u64) -> String {
    units::duration(Duration::from_millis(age_ms))
}

#[cfg(test)]
#[path = "system_tests.rs"]
pub(crate) mod tests;
