//! Whose a partition is, computed by everybody alike: weighted rendezvous hashing over link, topic and partition.
//! Promises: the same on every machine and in every version (pinned by test); when an agent comes or goes, only the
//! partitions move that it gains or had. No per-partition decision is ever stored.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// An agent's name, unique over all sites.
pub type AgentName = String;

/// Who works on a link, and how much of it each takes: weights from 1 to [`WEIGHT_MAX`]. An agent of weight 2 gets
/// twice the partitions of one of weight 1.
pub type Shares = BTreeMap<AgentName, u32>;

/// An agent draws as often as it weighs; more would cost more than it balances.
pub const WEIGHT_MAX: u32 = 16;

/// Hashes are never compared with those of another purpose or another version of this rule.
const DOMAIN: &[u8] = b"lockstep-owner-1";
/// Draws from one hash: its 32 bytes as big-endian numbers of 64 bits.
const DRAWS: u32 = 4;

/// The owner of a partition: who draws the highest number; of equal ones the first by name. `None` without shares.
///
/// An agent's draws are the first `weight` numbers of SHA-256 over the domain, link, topic, partition, agent and the
/// block's index 0, 1, …; texts are preceded by their length, numbers are big-endian, lengths and the index have 32 bits.
#[must_use]
pub fn owner<'a>(shares: &'a Shares, link: &str, topic: &str, partition: i32) -> Option<&'a str> {
    if shares.len() == 1 {
        return shares.keys().next().map(String::as_str);
    }
    let mut key = Sha256::new();
    key.update(DOMAIN);
    for text in [link, topic] {
        put(&mut key, text);
    }
    key.update(partition.to_be_bytes());
    let mut best: Option<(u64, &str)> = None;
    for (agent, weight) in shares {
        let draw = highest(&key, agent, *weight);
        if best.is_none_or(|(highest, _)| draw > highest) {
            best = Some((draw, agent));
        }
    }
    best.map(|(_, agent)| agent)
}

/// The key of a link's work that belongs to no partition: groups, settings of topics. One agent has it.
pub const WHOLE_LINK: (&str, i32) = ("", -1);

fn highest(key: &Sha256, agent: &str, weight: u32) -> u64 {
    let weight = weight.clamp(1, WEIGHT_MAX);
    let mut highest = 0;
    for block in 0..weight.div_ceil(DRAWS) {
        let mut hash = key.clone();
        put(&mut hash, agent);
        hash.update(block.to_be_bytes());
        let hash = hash.finalize();
        let draws = (weight - block * DRAWS).min(DRAWS) as usize;
        for chunk in hash.chunks_exact(8).take(draws) {
            let mut number = [0; 8];
            number.copy_from_slice(chunk);
            highest = highest.max(u64::from_be_bytes(number));
        }
    }
    highest
}

/// Names and topics are far shorter than what 32 bits count.
fn put(hash: &mut Sha256, text: &str) {
    hash.update(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
    hash.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(given: &[(&str, u32)]) -> Shares {
        given.iter().map(|(agent, weight)| ((*agent).to_owned(), *weight)).collect()
    }

    /// Computed by another program from the words above: a version that answers otherwise would copy twice.
    #[test]
    fn owners_never_change_with_a_version() {
        let two = shares(&[("praha-1", 1), ("praha-2", 1)]);
        let five = shares(&[("a", 1), ("b", 2), ("c", 5), ("d", 16), ("e", 1)]);
        let of = |shares: &Shares, topic: &str| -> String {
            let owners = (0..16).map(|partition| owner(shares, "claims", topic, partition).unwrap());
            owners.map(|agent| agent.chars().last().unwrap()).collect()
        };
        assert_eq!(of(&two, "claims.events"), "2121111112111121");
        assert_eq!(of(&two, "_schemas"), "2212221122122222");
        assert_eq!(of(&five, "claims.events"), "caddecbddddddddd");
        assert_eq!(owner(&two, "claims", WHOLE_LINK.0, WHOLE_LINK.1), Some("praha-1"));
        assert_eq!(owner(&Shares::new(), "claims", "x", 0), None);
        assert_eq!(owner(&shares(&[("only", 3)]), "claims", "x", 0), Some("only"));
    }

    #[test]
    fn work_is_shared_by_weight() {
        let given = shares(&[("a", 1), ("b", 1), ("c", 2), ("d", 4)]);
        let mut counts = BTreeMap::<&str, u32>::new();
        for partition in 0..8_000 {
            *counts.entry(owner(&given, "claims", "events", partition).unwrap()).or_default() += 1;
        }
        for (agent, weight) in &given {
            let (has, fair) = (counts[agent.as_str()], 1_000 * weight);
            assert!(has.abs_diff(fair) < fair / 8, "{agent} has {has} of {fair}");
        }
    }

    proptest! {
        #[test]
        fn only_what_an_agent_gains_or_had_moves(
            weights in prop::collection::btree_map("[a-z]{1,3}", 1..=WEIGHT_MAX, 2..6),
            link in "[a-z]{1,8}",
            which in any::<prop::sample::Index>(),
        ) {
            let gone = weights.keys().nth(which.index(weights.len())).unwrap().clone();
            let mut without = weights.clone();
            without.remove(&gone);
            for partition in 0..64 {
                let before = owner(&weights, &link, "t", partition).unwrap();
                let after = owner(&without, &link, "t", partition).unwrap();
                prop_assert!(before == gone || before == after);
            }
        }

        #[test]
        fn more_weight_only_gains(
            weights in prop::collection::btree_map("[a-z]{1,3}", 1..WEIGHT_MAX, 2..6),
            which in any::<prop::sample::Index>(),
        ) {
            let heavier = weights.keys().nth(which.index(weights.len())).unwrap().clone();
            let mut after = weights.clone();
            *after.get_mut(&heavier).unwrap() += 1;
            for partition in 0..64 {
                let now = owner(&after, "l", "t", partition).unwrap();
                prop_assert!(now == heavier || now == owner(&weights, "l", "t", partition).unwrap());
            }
        }
    }
}
