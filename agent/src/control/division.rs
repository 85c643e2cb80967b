//! A link's division as the coordinators assigned it: whose each partition is, computed by everybody alike from the shares,
//! and with what leave this agent may write there. Guarded work is taken at once; what the broker does not guard waits
//! until no former owner can be at it any more, and rests while this agent's own lease is over.

use lockstep_core::dr::lease::{AgentName, Shares, WHOLE_LINK, owner};
use lockstep_core::ids::TopicPartition;

use crate::pipeline::owned::{Division, Duty, Licence};

/// An agent that may still hold what an earlier epoch gave it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Former {
    pub agent: AgentName,
    /// Everybody's in that epoch.
    pub shares: Shares,
}

/// Whether what only a lease protects may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    /// It runs, or nobody else of this agent's kind could take its work.
    Held,
    Over,
}

/// One link's work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkDivision {
    pub link: String,
    /// This agent.
    pub agent: AgentName,
    pub epoch: u64,
    pub shares: Shares,
    /// Those whose time is not over yet.
    pub formers: Vec<Former>,
    pub lease: Lease,
}

impl LinkDivision {
    fn is_mine(&self, topic: &str, partition: i32) -> bool {
        owner(&self.shares, &self.link, topic, partition) == Some(&*self.agent)
    }

    fn may_be_anothers(&self, topic: &str, partition: i32) -> bool {
        self.formers.iter().any(|former| {
            former.agent != self.agent
                && owner(&former.shares, &self.link, topic, partition) == Some(&*former.agent)
        })
    }
}

impl Division for LinkDivision {
    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn duty(&self, tp: &TopicPartition) -> Duty {
        if !self.is_mine(&tp.topic, tp.partition) {
            return Duty::Elsewhere;
        }
        let alone = self.lease == Lease::Held && !self.may_be_anothers(&tp.topic, tp.partition);
        Duty::Ours(if alone { Licence::Everything } else { Licence::Guarded })
    }

    /// Whose the key of the whole link is, once no former owner can be at it.
    fn is_caretaker(&self) -> bool {
        let (topic, partition) = WHOLE_LINK;
        self.lease == Lease::Held && self.is_mine(topic, partition) && !self.may_be_anothers(topic, partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(agents: &[&str]) -> Shares {
        agents.iter().map(|agent| ((*agent).to_owned(), 1)).collect()
    }

    fn division(agent: &str, agents: &[&str]) -> LinkDivision {
        LinkDivision {
            link: "claims".to_owned(),
            agent: agent.to_owned(),
            epoch: 7,
            shares: shares(agents),
            formers: Vec::new(),
            lease: Lease::Held,
        }
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
        b.formers = vec![Former { agent: "a".to_owned(), shares: shares(&["a"]) }];
        assert!(duties(&b).iter().all(|duty| *duty != Duty::Ours(Licence::Everything)), "all was a's");
        assert!(duties(&b).contains(&Duty::Ours(Licence::Guarded)) && !b.is_caretaker());
        b.formers = vec![Former { agent: "c".to_owned(), shares: shares(&["a", "b", "c"]) }];
        let duties = duties(&b);
        assert!(duties.contains(&Duty::Ours(Licence::Guarded)), "what was c's");
        assert!(duties.contains(&Duty::Ours(Licence::Everything)), "what was b's all along");
    }

    #[test]
    fn without_a_lease_only_guarded_work_goes_on() {
        let over = LinkDivision { lease: Lease::Over, ..division("a", &["a", "b"]) };
        assert!(duties(&over).iter().all(|duty| *duty != Duty::Ours(Licence::Everything)));
        assert!(duties(&over).contains(&Duty::Ours(Licence::Guarded)) && !over.is_caretaker());
    }
}
