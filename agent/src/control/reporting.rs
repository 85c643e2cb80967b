//! Reports of one conversation: what is new of each link, at once where it stands otherwise than was told, else in turn, whoever
//! has waited longest first. Promises: however many links there are, none is passed over for others, and room stays for
//! heartbeats and answers.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockstep_proto::agent::FromAgent;
use lockstep_proto::agent::from_agent::Message;
use lockstep_proto::report::{Detail, Under, to_report};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::assigned::Assigned;
use super::{Figures, Links};

/// Between two reports of a link that stands as it did: every fourth glance, also one that comes a little early.
const REPORT: Duration = Duration::from_millis(875);
/// The longest without a report of a link: whoever hears it counts ages on by itself.
const REPORT_MAX: Duration = Duration::from_secs(2);
/// Places that reports leave to others.
const LEFT_FREE: usize = 32;

/// What was reported of each link last.
#[derive(Default)]
pub(super) struct Reports {
    told: BTreeMap<String, Told>,
}

struct Told {
    at: Instant,
    figures: Option<Figures>,
    state: String,
    posture: String,
}

impl Reports {
    /// What is new is told, as far as there is room; the rest first at the next glance.
    pub(super) fn glance(
        &mut self,
        assigned: &Assigned,
        links: &dyn Links,
        out: &mpsc::Sender<FromAgent>,
        now: Instant,
    ) {
        self.told.retain(|link, _| assigned.links.contains_key(link));
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut turns: Vec<_> = assigned.links.iter().collect();
        turns.sort_by_key(|(link, _)| self.told.get(*link).map(|told| told.at));
        let since = |told: &Told| now.saturating_duration_since(told.at);
        for (name, link) in turns {
            if out.capacity() <= LEFT_FREE {
                return;
            }
            let figures = links.figures(name);
            let told = self.told.get(name);
            let is_old = told.is_none_or(|told| since(told) >= REPORT);
            let is_told = told
                .is_some_and(|told| figures.is_some() && told.figures == figures && since(told) < REPORT_MAX);
            if is_told {
                continue;
            }
            let Some(status) = links.status(name) else { continue };
            let state = status.state.word().to_owned();
            let stands = |told: &Told| told.state == state && told.posture == status.posture;
            if !is_old && told.is_some_and(stands) {
                continue;
            }
            let under = Under { epoch: link.work.epoch, generation: link.generation };
            let report = to_report(&status, under, Detail::Topics, wall);
            if out.try_send(FromAgent { message: Some(Message::LinkReport(report)) }).is_ok() {
                let told = Told { at: now, figures, state, posture: status.posture };
                self.told.insert(name.clone(), told);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use lockstep_core::dr::lease::Moment;
    use lockstep_core::dr::posture::{LinkFacts, Role, WriteProtection, judge};
    use lockstep_core::status::{
        About, AgentStatus, GroupsStatus, HistoryStatus, LinkState, LinkStatus, judged_status,
    };
    use lockstep_proto::agent::{Assignment, Cluster, Link, Share};

    use super::*;

    const LINKS: usize = 640;

    /// Something new of every link at each look.
    struct Busy;

    impl Links for Busy {
        fn figures(&self, _link: &str) -> Option<Figures> {
            None
        }

        fn status(&self, link: &str) -> Option<LinkStatus> {
            let about = About {
                link: link.to_owned(),
                from: "mi".to_owned(),
                to: "pr".to_owned(),
                rpo_ms: 5_000,
                role: Role::Standby,
                write_protection: WriteProtection::NotLooked,
                groups: None,
                drift: None,
            };
            Some(judged_status(&about, LinkState::Running, &judge(&LinkFacts::default())))
        }

        fn settled(&self, _link: &str) -> Option<u64> {
            None
        }

        fn has(&self, _link: &str) -> bool {
            true
        }

        fn detail(&self, _link: &str) -> Option<AgentStatus> {
            None
        }

        fn groups(&self, _link: &str) -> Option<GroupsStatus> {
            None
        }

        fn history(&self, _link: &str) -> Option<HistoryStatus> {
            None
        }
    }

    fn assigned() -> Assigned {
        let cluster = |name: &str| Cluster {
            name: name.to_owned(),
            bootstrap: format!("{name}:9092"),
            ..Cluster::default()
        };
        let link = |number| Link {
            name: format!("link-{number:03}"),
            from: "mi".to_owned(),
            to: "pr".to_owned(),
            spec_json: r#"{"topics":{"include":["a.*"]},"rpo_ms":5000}"#.to_owned(),
            epoch: 1,
            shares: vec![Share { agent: "anna".to_owned(), weight: 1 }],
            ..Link::default()
        };
        let assignment = Assignment {
            revision: 1,
            incarnation: 1,
            links: (0..LINKS).map(link).collect(),
            clusters: vec![cluster("mi"), cluster("pr")],
        };
        Assigned::default().follow(assignment, &"anna".to_owned(), &BTreeMap::new(), Moment(0)).unwrap()
    }

    #[test]
    fn every_link_has_its_turn_and_a_heartbeat_its_room() {
        let (assigned, mut reports) = (assigned(), Reports::default());
        assert_eq!(assigned.links.len(), LINKS);
        let (out, mut sent) = mpsc::channel(64);
        let mut told = BTreeSet::new();
        let mut now = Instant::now();
        for _ in 0..LINKS / (64 - LEFT_FREE) {
            reports.glance(&assigned, &Busy, &out, now);
            assert!(out.capacity() >= LEFT_FREE);
            while let Ok(FromAgent { message: Some(Message::LinkReport(report)) }) = sent.try_recv() {
                assert!(told.insert(report.link.clone()), "{} before others had a turn", report.link);
            }
            // As long as a report stays young: all told before are due again.
            now += REPORT;
        }
        assert_eq!(told.len(), LINKS);
    }
}
