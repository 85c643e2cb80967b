//! `ready`: every check of a link that can be made without changing anything, each with what would help.
//! Promises: a check that could not be made is `unknown` and keeps a link from being ready; none is left out in silence.
//! Later parts of the product add theirs.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockstep_core::audit::{Head, verify};
use lockstep_core::dr::posture::Posture;
use lockstep_core::spec::dr::{majority_in_one_site, worth_a_look};
use lockstep_core::spec::link::Wanted;
use lockstep_core::state::{State, known};
use lockstep_core::status::{Check, Finding, LinkStatus, ReadyStatus};
use lockstep_proto::admin::{DocumentAnswer, LinkRequest};
use tokio::time::Instant;

use super::failure::json;
use super::{Admin, Caller, Failure, voters, voting_sites};
use crate::access::Act;
use crate::agreement::Position;

const CERTIFICATE_WARNING_DAYS: u64 = 30;
const DAY_SECONDS: u64 = 86_400;
const NEW_CERTIFICATE: &str = "put a new certificate and key in place of the old files: coordinators look at them every few seconds, agents with \
     their next conversation";

impl Admin {
    /// # Errors
    /// [`Failure`].
    pub async fn ready(&self, caller: &Caller, asked: LinkRequest) -> Result<DocumentAnswer, Failure> {
        let LinkRequest { link } = asked;
        self.allow(caller, "ready", Act::See { link: &link }).await?;
        let state = self.read().await?;
        let status = self.link_status(&state, &link).ok_or_else(|| Failure::NoLink(link.clone()))?;
        let position = self.position();
        let mut checks = vec![wanted(&state, &link), posture(&status)];
        checks.extend(copies(&status));
        checks.extend(self.agents(&state, &link));
        checks.extend(self.reach(&state, &link));
        checks.push(formers(&state, &link));
        checks.extend(spec(&state, &link));
        checks.extend(self.coordinators(&position).await);
        checks.push(match majority_in_one_site(voting_sites(&position)) {
            Some(warning) => check("coordinator_sites", Finding::Warning, warning.what),
            None => check("coordinator_sites", Finding::Passed, "no site has a majority of the coordinators"),
        });
        checks.push(level(&state));
        checks.extend(self.certificates(&state, &link));
        checks.push(self.trail().await);
        Ok(DocumentAnswer { document: json(&ReadyStatus::of(&link, checks))? })
    }

    /// Whether somebody is there for the link in both of its sites.
    fn agents(&self, state: &State, link: &str) -> Vec<Check> {
        let (Some(spec), Some(standby)) = (state.spec().links.get(link), state.standby(link)) else {
            return Vec::new();
        };
        let heard = self.desk.seats.heard();
        let of_cluster = |cluster: &String| {
            let site = state.spec().clusters.get(cluster).map_or("", |cluster| cluster.site.as_str());
            let there: Vec<&str> = state
                .agents()
                .iter()
                .filter(|(name, agent)| agent.site == site && heard.contains_key(*name))
                .map(|(name, _)| name.as_str())
                .collect();
            let (word, finding) = if cluster == standby {
                ("standby_agents", Finding::Failed)
            } else {
                ("primary_agents", Finding::Warning)
            };
            if there.is_empty() {
                let what = format!("no agent of {site} is here: nobody works for {cluster}");
                return helped(check(word, finding, what), format!("start an agent in {site}"));
            }
            check(
                word,
                Finding::Passed,
                format!("{} of {site} here: {}", plural(there.len(), "agent"), there.join(", ")),
            )
        };
        spec.clusters.iter().map(of_cluster).collect()
    }

    /// Those of the agents that are here, in both of the link's sites.
    fn certificates(&self, state: &State, link: &str) -> Vec<Check> {
        let Some(spec) = state.spec().links.get(link) else { return Vec::new() };
        let clusters = spec.clusters.iter().filter_map(|cluster| state.spec().clusters.get(cluster));
        let sites: BTreeSet<&str> = clusters.map(|cluster| cluster.site.as_str()).collect();
        let here = self.desk.seats.certificates();
        let of_link = here.iter().filter(|(name, _)| {
            state.agents().get(*name).is_some_and(|agent| sites.contains(agent.site.as_str()))
        });
        of_link.map(|(name, until)| certificate(&format!("agent {name}"), *until)).collect()
    }

    /// How both clusters look from every site.
    fn reach(&self, state: &State, link: &str) -> Vec<Check> {
        let Some(spec) = state.spec().links.get(link) else { return Vec::new() };
        let of_cluster = |name: &String| {
            let seen =
                self.cluster(state, name, Instant::now()).map(|cluster| cluster.seen).unwrap_or_default();
            if seen.is_empty() {
                return check(
                    "cluster_reach",
                    Finding::Unknown,
                    format!("no agent has said how {name} looks"),
                );
            }
            let bad: Vec<String> = seen
                .iter()
                .filter(|(_, seen)| seen.reach != "all")
                .map(|(agent, seen)| match &seen.fault {
                    Some(fault) => format!("{agent} reaches {} of it ({fault})", seen.reach),
                    None => format!("{agent} reaches {} of it", seen.reach),
                })
                .collect();
            if bad.is_empty() {
                let words = format!("{name} is reached by {}", plural(seen.len(), "agent"));
                return check("cluster_reach", Finding::Passed, words);
            }
            check("cluster_reach", Finding::Warning, format!("{name}: {}", bad.join("; ")))
        };
        spec.clusters.iter().map(of_cluster).collect()
    }

    /// Whether the others answer, run what this one runs, and until when the certificates of all are valid.
    async fn coordinators(&self, position: &Position) -> Vec<Check> {
        let others: Vec<_> = voters(position).filter(|seat| seat.member.id != position.id).cloned().collect();
        let all = voters(position).count();
        let (mut silent, mut other_versions) = (Vec::new(), Vec::new());
        let own = position.seat(position.id).map_or("this coordinator", |seat| seat.member.name.as_str());
        let mut certificates = vec![certificate(own, self.peers.papers().valid_until())];
        for (seat, answer) in self.peers.identify(others).await {
            let name = &seat.member.name;
            let answer = match answer {
                Err(why) => {
                    silent.push(format!("{name} ({why})"));
                    continue;
                }
                Ok(answer) => answer,
            };
            certificates.push(match answer.certificate_valid_until_seconds {
                0 => {
                    let words = format!(
                        "{name} runs {}, which does not say until when its own is valid",
                        answer.version
                    );
                    check("certificate", Finding::Warning, words)
                }
                seconds => certificate(name, UNIX_EPOCH + Duration::from_secs(seconds)),
            });
            if answer.version != env!("CARGO_PKG_VERSION") {
                other_versions.push(format!("{name} runs {}", answer.version));
            }
        }
        let left = all - silent.len();
        let answering = match silent.len() {
            0 => check("coordinators", Finding::Passed, format!("{} of {all} answer", left)),
            _ => {
                let what = format!("{left} of {all} answer; silent: {}", silent.join(", "));
                helped(
                    check("coordinators", Finding::Warning, what),
                    "start them, or remove those that are gone",
                )
            }
        };
        let versions = if other_versions.is_empty() {
            let words = format!("those that answer run {}", env!("CARGO_PKG_VERSION"));
            check("versions", Finding::Passed, words)
        } else {
            let words = format!("{} runs here; {}", env!("CARGO_PKG_VERSION"), other_versions.join(", "));
            helped(check("versions", Finding::Warning, words), "finish the upgrade")
        };
        certificates.extend([answering, versions]);
        certificates
    }

    /// Whether the newest part of the audit trail is as it was written.
    async fn trail(&self) -> Check {
        let broken = |why: String| {
            helped(
                check("audit", Finding::Failed, why),
                "lockstep audit verify shows where; keep a copy of the data folder",
            )
        };
        let head = self.agreement.state().audit();
        // From the event before the newest hundred on: its hash is where they begin.
        let page = match self.agreement.audit(head.seq.saturating_sub(100).max(1)).await {
            Ok(page) => page,
            Err(error) => return check("audit", Finding::Unknown, error.to_string()),
        };
        let Some((first, rest)) = page.events.split_first() else {
            return if head.seq == 0 {
                check("audit", Finding::Passed, "nothing was ever done")
            } else {
                broken(format!("{} events are known to be there, and none is", head.seq))
            };
        };
        let start = Head { seq: first.seq, hash: first.hash };
        let last = rest.last().map_or(first.seq, |event| event.seq);
        // What was agreed on a moment ago may still be on its way to this trail.
        let late = page.head.seq.saturating_sub(last);
        match verify(rest, start, (late == 0).then_some(page.head)) {
            Ok(_) if late > 0 => check(
                "audit",
                Finding::Warning,
                format!("the newest {late} events are not on this trail yet"),
            ),
            Ok(_) => check(
                "audit",
                Finding::Passed,
                format!("the last of {} events are as written", page.head.seq),
            ),
            Err(error) => broken(error.to_string()),
        }
    }
}

fn check(word: &str, finding: Finding, words: impl Into<String>) -> Check {
    Check { check: word.to_owned(), finding, words: words.into(), remedy: None }
}

fn helped(check: Check, remedy: impl Into<String>) -> Check {
    Check { remedy: Some(remedy.into()), ..check }
}

fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

fn wanted(state: &State, link: &str) -> Check {
    let held = state.role(link).and_then(|role| role.held.as_ref());
    match (held, state.wanted(link)) {
        (Some(held), _) => {
            let why = held.reason.as_deref().map_or(String::new(), |reason| format!(": {reason}"));
            let what = format!("{} has paused it{why}", held.by);
            // No verb of this version holds a link: there is nothing to advise.
            check("wanted", Finding::Failed, what)
        }
        (None, Some(Wanted::Running)) => check("wanted", Finding::Passed, "it is to run"),
        (None, _) => {
            helped(check("wanted", Finding::Failed, "the spec says paused"), "take paused out of the spec")
        }
    }
}

fn posture(status: &LinkStatus) -> Check {
    let reasons: Vec<_> = status.reasons.iter().map(|reason| reason.text.as_str()).collect();
    let words = if reasons.is_empty() {
        status.posture.clone()
    } else {
        format!("{}: {}", status.posture, reasons.join("; "))
    };
    let finding = match Posture::of_word(&status.posture) {
        Posture::WithinRpo => Finding::Passed,
        Posture::Unknown => Finding::Unknown,
        _ => Finding::Failed,
    };
    let found = check("posture", finding, words);
    match status.reasons.iter().find_map(|reason| reason.grant.clone()) {
        Some(grant) if finding != Finding::Passed => helped(found, grant),
        _ => found,
    }
}

/// Topics, groups and settings that are not as they should be.
fn copies(status: &LinkStatus) -> Vec<Check> {
    let mut found = Vec::new();
    let (good, all) = (status.topics_good, status.topics_total);
    let finding = if good < all { Finding::Failed } else { Finding::Passed };
    found.push(check("topics", finding, format!("{good} of {all} topics are well")));
    if let Some(groups) = status.groups {
        let finding = if groups.copied < groups.total { Finding::Warning } else { Finding::Passed };
        found.push(check(
            "groups",
            finding,
            format!("{} of {} groups are copied", groups.copied, groups.total),
        ));
    }
    found.push(match status.drift {
        None => check("drift", Finding::Warning, "nobody has compared the topics' settings yet"),
        Some(0) => check("drift", Finding::Passed, "the topics' settings are as they should be"),
        Some(count) => check("drift", Finding::Warning, format!("{count} settings differ")),
    });
    found
}

/// Whether everybody who had a share before has let go.
fn formers(state: &State, link: &str) -> Check {
    let earlier = state.work(link).map(|work| &work.earlier);
    let waits: Vec<&str> = earlier
        .into_iter()
        .flat_map(|earlier| earlier.values())
        .flat_map(|earlier| earlier.waits.iter().map(String::as_str))
        .collect();
    if waits.is_empty() {
        return check("work", Finding::Passed, "nobody holds a part of it from an earlier division");
    }
    check(
        "work",
        Finding::Warning,
        format!("may still hold a part from an earlier division: {}", waits.join(", ")),
    )
}

/// What is to be looked at in the spec, as far as it is about this link.
fn spec(state: &State, link: &str) -> Vec<Check> {
    let below = format!("links.{link}.");
    let found = worth_a_look(state.spec()).into_iter().filter(|warning| warning.key.starts_with(&below));
    let mut found: Vec<_> =
        found.map(|warning| check("spec", Finding::Warning, warning.to_string())).collect();
    if found.is_empty() {
        found.push(check("spec", Finding::Passed, "nothing in the spec speaks against it"));
    }
    found
}

fn level(state: &State) -> Check {
    let known = known();
    if state.level() < known {
        let what = format!("entries of level {} are switched on, this version knows {known}", state.level());
        return helped(
            check("level", Finding::Warning, what),
            "lockstep coordinator finalize, once all run it",
        );
    }
    check("level", Finding::Passed, format!("entries up to level {} are switched on", state.level()))
}

fn certificate(whose: &str, until: SystemTime) -> Check {
    let left = match until.duration_since(SystemTime::now()) {
        Err(_) => {
            let words = format!("{whose}'s certificate is over");
            return helped(check("certificate", Finding::Failed, words), NEW_CERTIFICATE);
        }
        Ok(left) => left.as_secs() / DAY_SECONDS,
    };
    let words = format!("{whose}'s certificate is valid for {left} more days");
    if left < CERTIFICATE_WARNING_DAYS {
        return helped(check("certificate", Finding::Warning, words), NEW_CERTIFICATE);
    }
    check("certificate", Finding::Passed, words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_said_before_and_after_its_end() {
        let found = |offset: i64| {
            let now = SystemTime::now();
            let by = Duration::from_secs(offset.unsigned_abs() * DAY_SECONDS + 60);
            certificate("a1", if offset < 0 { now - by } else { now + by }).finding
        };
        assert_eq!((found(-1), found(29), found(31)), (Finding::Failed, Finding::Warning, Finding::Passed));
    }
}
