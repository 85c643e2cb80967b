//! A link's division as the coordinators assigned it: whose each partition is, computed by everybody alike from the shares,
//! and with what leave this agent may write there. Guarded work is taken at once; what the broker does not guard waits
//! until no former owner can be at it any more, and rests while this agent's own lease is over.

use lockstep_core::dr::lease::{Guard, Lease, LinkWork, Moment, Permit, WHOLE_LINK};
use lockstep_core::ids::TopicPartition;

use crate::pipeline::owned::{Division, Duty, Licence};

/// One link's work as it stands at a moment.
#[derive(Clone, Debug)]
pub struct LinkDivision {
    pub work: LinkWork,
    pub lease: Lease,
    pub now: Moment,
}

impl LinkDivision {
    fn permit(&self, topic: &str, partition: i32) -> Permit {
        self.work.permit(self.lease, Guard::Unguarded, topic, partition, self.now)
    }
}

impl Division for LinkDivision {
    fn epoch(&self) -> u64 {
        self.work.epoch
    }

    fn duty(&self, tp: &TopicPartition) -> Duty {
        match self.permit(&tp.topic, tp.partition) {
            Permit::Elsewhere => Duty::Elsewhere,
            Permit::Work => Duty::Ours(Licence::Everything),
            // The broker keeps two owners of guarded work apart.
            Permit::Wait | Permit::Stop => Duty::Ours(Licence::Guarded),
        }
    }

    /// Whose the key of the whole link is, once no former owner can be at it.
    fn is_caretaker(&self) -> bool {
        let (topic, partition) = WHOLE_LINK;
        self.permit(topic, partition) == Permit::Work
    }
}

#[cfg(test)]
mod tests {
    use lockstep_core::dr::lease::{Former, Left, Shares};

    use super::*;

    fn shares(agents: &[&str]) -> Shares {
        agents.iter().map(|agent| ((*agent).to_owned(), 1)).collect()
    }

    fn division(agent: &str, agents: &[&str]) -> LinkDivision {
        let work = LinkWork {
            link: "claims".to_owned(),
            agent: agent.to_owned(),
            epoch: 7,
            shares: shares(agents),
            formers: Vec::new(),
            told: Moment(1_000),
        };
        LinkDivision { work, lease: Lease::Held, now: Moment(1_000) }
    }

    fn former(agent: &str, agents: &[&str]) -> Former {
        Former { agent: agent.to_owned(), epoch: 6, shares: shares(agents), left: Left::Ms(12_000) }
    }

    fn duties(division: &LinkDivision) -> Vec<Duty> {
        (0..64).map(|n| division.duty(&TopicPartition::new("orders", n))).collect()
    }

    #[test]
    fn every_partition_is_exactly_one_agents() {
        let all = ["a", "b", "c"].map(|agent| division(agent, &["a", "b", "c"]));
        for n in 0..64 {
            let ours = Duty::Ours(Licence::Everything);
            let owners = all.iter().filter(|d| d.duty(&TopicPartition::new("orders", n)) == ours).count();
            assert_eq!(owners, 1, "partition {n}");
        }
        assert_eq!(all.iter().filter(|division| division.is_caretaker()).count(), 1);
    }

    #[test]
    fn what_a_former_may_hold_is_guarded_until_its_time_is_over() {
        let mut b = division("b", &["a", "b"]);
        b.work.formers = vec![former("a", &["a"])];
        assert!(duties(&b).iter().all(|duty| *duty != Duty::Ours(Licence::Everything)), "all was a's");
        assert!(duties(&b).contains(&Duty::Ours(Licence::Guarded)) && !b.is_caretaker());
        b.now = Moment(13_000);
        assert!(duties(&b).contains(&Duty::Ours(Licence::Everything)), "a's time is over");
        b.now = Moment(12_999);
        b.work.formers = vec![former("c", &["a", "b", "c"])];
        let duties = duties(&b);
        assert!(duties.contains(&Duty::Ours(Licence::Guarded)), "what was c's");
        assert!(duties.contains(&Duty::Ours(Licence::Everything)), "what was b's all along");
    }

    #[test]
    fn without_a_lease_only_guarded_work_goes_on_unless_nobody_else_is_there() {
        let over = LinkDivision { lease: Lease::Over, ..division("a", &["a", "b"]) };
        assert!(duties(&over).iter().all(|duty| *duty != Duty::Ours(Licence::Everything)));
        assert!(duties(&over).contains(&Duty::Ours(Licence::Guarded)) && !over.is_caretaker());
        let alone = LinkDivision { lease: Lease::Over, ..division("a", &["a"]) };
        assert!(duties(&alone).iter().all(|duty| *duty == Duty::Ours(Licence::Everything)));
        assert!(alone.is_caretaker());
    }
}
