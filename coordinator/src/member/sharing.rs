//! Who is to work on a link: the agents of its standby's site that are here. Sticky: nothing changes while those who have the
//! work are here and nobody else came; nothing is taken from anybody while there is nobody to give it to.

use lockstep_core::dr::lease::Shares;
use lockstep_core::state::State;

/// Every agent alike; weights are for agents on machines of different sizes, which nobody can say yet.
const WEIGHT: u32 = 1;

/// The shares that a link should have now; `None`: as they are.
pub(super) fn wanted(state: &State, link: &str, is_here: impl Fn(&str) -> bool) -> Option<Shares> {
    let workers = state.workers(link);
    let shares: Shares =
        workers.into_iter().filter(|agent| is_here(agent)).map(|agent| (agent.to_owned(), WEIGHT)).collect();
    let present = state.work(link).map(|work| &work.shares);
    (!shares.is_empty() && present != Some(&shares)).then_some(shares)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lockstep_core::audit::{Actor, ActorKind, WallMillis};
    use lockstep_core::spec::dr::{DrFile, RawDr, check};
    use lockstep_core::state::{Command, Entry};
    use serde_json::json;

    use super::*;

    fn state(shares: &[&str]) -> State {
        let raw: RawDr = serde_json::from_value(json!({
            "sites": { "milano": {}, "praha": {} },
            "clusters": {
                "mi": { "site": "milano", "bootstrap": "mi:1" }, "pr": { "site": "praha", "bootstrap": "pr:1" },
            },
            "links": { "claims": { "clusters": ["mi", "pr"], "prefer": "mi", "topics": "claims.*" } },
        }))
        .unwrap();
        let spec = check(&[DrFile { name: "dr.yaml", raw: &raw }]).unwrap().spec;
        let agent = |name: &str, site: &str| Command::RegisterAgent {
            agent: name.to_owned(),
            site: site.to_owned(),
            version: "0.1.0".to_owned(),
            level: 1,
        };
        let mut commands = vec![
            Command::Found { cluster_id: "0b6f".to_owned(), level: 1 },
            Command::ApplySpec { text: String::new(), spec, expected_revision: None },
            agent("p1", "praha"),
            agent("p2", "praha"),
            agent("m1", "milano"),
        ];
        if !shares.is_empty() {
            let shares = shares.iter().map(|agent| ((*agent).to_owned(), 1)).collect::<BTreeMap<_, _>>();
            commands.push(Command::Share { link: "claims".to_owned(), shares });
        }
        let mut state = State::default();
        for command in commands {
            let actor = Actor { name: "c1".to_owned(), kind: ActorKind::Coordinator, from: None };
            let applied = state.apply(&Entry::new(WallMillis(1), actor, None, command)).unwrap();
            assert!(applied.outcome.is_ok(), "{applied:?}");
        }
        state
    }

    fn names(shares: Option<Shares>) -> Option<Vec<String>> {
        shares.map(|shares| shares.into_keys().collect())
    }

    #[test]
    fn the_standbys_agents_share_a_link_and_nobody_else() {
        let all = |_: &str| true;
        assert_eq!(names(wanted(&state(&[]), "claims", all)).unwrap(), ["p1", "p2"]);
        assert_eq!(wanted(&state(&["p1", "p2"]), "claims", all), None, "as it is");
        assert_eq!(wanted(&state(&[]), "unknown", all), None);
    }

    #[test]
    fn what_one_leaves_others_get_and_nobody_gets_nothing() {
        let state = state(&["p1", "p2"]);
        assert_eq!(names(wanted(&state, "claims", |agent| agent == "p2")).unwrap(), ["p2"]);
        assert_eq!(wanted(&state, "claims", |_| false), None, "it goes on without us");
        assert_eq!(wanted(&state, "claims", |agent| agent == "m1"), None, "m1 is elsewhere");
    }
}
