//! What a coordinator says of itself in numbers: taken when somebody asks, written in Prometheus' text format.
//! Names and units as docs/OPERATIONS.md lists them. Labels are bounded: outcomes and postures, never links or agents; their own
//! figures are the agents' to tell. What is not known has no series.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus::core::Collector;
use prometheus::{Counter, CounterVec, Error, Gauge, GaugeVec, Opts, Registry, TextEncoder};

use crate::agreement::{NotDone, Position, SeatKind};

/// What became of everything that was proposed here, since the process started.
#[derive(Debug, Default)]
pub(super) struct Proposals {
    counts: [AtomicU64; 6],
}

const OUTCOMES: [&str; 6] = ["done", "refused", "not_leader", "busy", "unknown", "stopped"];

impl Proposals {
    pub(super) fn count<T>(&self, outcome: &Result<T, NotDone>) {
        let place = match outcome {
            Ok(_) => 0,
            Err(NotDone::Refused(_)) => 1,
            Err(NotDone::NotLeader { .. }) => 2,
            Err(NotDone::Busy) => 3,
            Err(NotDone::Unknown) => 4,
            Err(NotDone::Stopped(_)) => 5,
        };
        self.counts[place].fetch_add(1, Ordering::Relaxed);
    }
}

/// Everything that is told, of one moment.
pub(super) struct Figures<'a> {
    pub(super) position: &'a Position,
    pub(super) proposals: &'a Proposals,
    pub(super) incarnation: u64,
    pub(super) level: u32,
    pub(super) known_level: u32,
    pub(super) revision: u64,
    /// The last event of the audit trail.
    pub(super) audit_seq: u64,
    /// Reports of links that were taken.
    pub(super) reports: u64,
    /// Seconds since 1970.
    pub(super) certificate_expiry: f64,
    /// Only while this member leads: agents with a session, and links by posture.
    pub(super) led: Option<Led>,
}

/// What only the leader knows.
pub(super) struct Led {
    pub(super) agents: usize,
    /// Every posture there is, also those of no link.
    pub(super) links: BTreeMap<&'static str, usize>,
}

impl Figures<'_> {
    /// # Errors
    /// A name that Prometheus does not take, which is a defect.
    pub(super) fn text(&self) -> Result<String, Error> {
        let page = Page(Registry::new());
        let at = self.position;
        let version = [(env!("CARGO_PKG_VERSION"), 1.0)];
        page.gauges("build_info", "The version that runs.", "version", version)?;
        page.gauge("raft_term", "The term of the consensus.", at.term as f64)?;
        page.gauge("raft_commit_index", "The last entry that a majority has.", at.committed as f64)?;
        page.gauge(
            "raft_applied_index",
            "The last entry that is in this member's state.",
            at.applied as f64,
        )?;
        page.gauge("raft_leader", "1: this member leads.", f64::from(u8::from(at.leads())))?;
        let led = f64::from(u8::from(at.leader.is_some()));
        page.gauge("raft_has_leader", "1: this member knows of a leader, so a majority is there.", led)?;
        let kinds = [("voter", SeatKind::Voter), ("learner", SeatKind::Learner)];
        let members =
            kinds.map(|(name, kind)| (name, at.seats.iter().filter(|seat| seat.kind == kind).count() as f64));
        page.gauges("raft_members", "Members, as this one knows them.", "kind", members)?;
        page.gauge("raft_log_entries", "Entries of the log on this member's disk.", at.log_entries as f64)?;
        page.gauge("raft_log_bytes", "Bytes of these entries.", at.log_bytes as f64)?;
        page.gauge("raft_snapshot_index", "The last entry in the newest snapshot.", at.snapshot as f64)?;
        let counted = |(place, name): (usize, &&'static str)| {
            (*name, self.proposals.counts[place].load(Ordering::Relaxed) as f64)
        };
        let help = "What was proposed to this member, by what became of it.";
        page.counters(
            "coordinator_proposals_total",
            help,
            "outcome",
            OUTCOMES.iter().enumerate().map(counted),
        )?;
        page.gauge("coordinator_incarnation", "Raised by a forced recovery.", self.incarnation as f64)?;
        page.gauge("coordinator_level", "The level of entries that is switched on.", self.level.into())?;
        let help = "The level of entries that this version knows.";
        page.gauge("coordinator_known_level", help, self.known_level.into())?;
        page.gauge("coordinator_spec_revision", "The spec's revision.", self.revision as f64)?;
        page.counter("coordinator_audit_events_total", "Events of the audit trail.", self.audit_seq as f64)?;
        let help = "When this member's certificate ends.";
        page.gauge("coordinator_certificate_expiry_timestamp_seconds", help, self.certificate_expiry)?;
        let help = "Reports of links that agents sent and this member took.";
        page.counter("coordinator_reports_total", help, self.reports as f64)?;
        if let Some(led) = &self.led {
            let help = "Agents with a session; the leader's only.";
            page.gauge("coordinator_agents", help, led.agents as f64)?;
            let links = led.links.iter().map(|(posture, count)| (*posture, *count as f64));
            page.gauges("coordinator_links", "Links by posture; the leader's only.", "posture", links)?;
        }
        TextEncoder::new().encode_to_string(&page.0.gather())
    }
}

struct Page(Registry);

impl Page {
    fn put(&self, what: impl Collector + 'static) -> Result<(), Error> {
        self.0.register(Box::new(what))
    }

    fn gauge(&self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        let gauge = Gauge::with_opts(options(name, help))?;
        gauge.set(value);
        self.put(gauge)
    }

    fn counter(&self, name: &str, help: &str, value: f64) -> Result<(), Error> {
        let counter = Counter::with_opts(options(name, help))?;
        counter.inc_by(value);
        self.put(counter)
    }

    fn gauges<'a>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<(), Error> {
        let gauges = GaugeVec::new(options(name, help), &[label])?;
        values.into_iter().for_each(|(of, value)| gauges.with_label_values(&[of]).set(value));
        self.put(gauges)
    }

    fn counters<'a>(
        &self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'a str, f64)>,
    ) -> Result<(), Error> {
        let counters = CounterVec::new(options(name, help), &[label])?;
        values.into_iter().for_each(|(of, value)| counters.with_label_values(&[of]).inc_by(value));
        self.put(counters)
    }
}

fn options(name: &str, help: &str) -> Opts {
    Opts::new(format!("lockstep_{name}"), help)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(leader: u64, led: Option<Led>) -> String {
        let position =
            Position { id: 2, term: 7, leader: Some(leader), log_entries: 40, ..Position::default() };
        let proposals = Proposals::default();
        proposals.count(&Ok(()));
        proposals.count::<()>(&Err(NotDone::Busy));
        proposals.count::<()>(&Err(NotDone::Busy));
        let figures = Figures {
            position: &position,
            proposals: &proposals,
            incarnation: 1,
            level: 1,
            known_level: 1,
            revision: 3,
            audit_seq: 12,
            reports: 9,
            certificate_expiry: 1.8e9,
            led,
        };
        figures.text().unwrap()
    }

    #[test]
    fn a_leader_tells_of_agents_and_links_and_a_follower_does_not() {
        let links = BTreeMap::from([("WITHIN_RPO", 2), ("UNKNOWN", 0)]);
        let leads = text(2, Some(Led { agents: 2, links }));
        for line in [
            "lockstep_raft_term 7",
            "lockstep_raft_leader 1",
            "lockstep_raft_log_entries 40",
            "lockstep_coordinator_proposals_total{outcome=\"busy\"} 2",
            "lockstep_coordinator_proposals_total{outcome=\"unknown\"} 0",
            "lockstep_coordinator_agents 2",
            "lockstep_coordinator_links{posture=\"UNKNOWN\"} 0",
            "# TYPE lockstep_coordinator_audit_events_total counter",
        ] {
            assert!(leads.lines().any(|told| told == line), "{line} in:\n{leads}");
        }
        let follows = text(1, None);
        assert!(
            follows.contains("lockstep_raft_leader 0\n") && follows.contains("lockstep_raft_has_leader 1\n")
        );
        assert!(!follows.contains("lockstep_coordinator_links"), "{follows}");
    }
}
