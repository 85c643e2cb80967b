//! The machine's promises: one state from the same entries, snapshots at any point, refusals without effect.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::audit::{Actor, ActorKind, AuditEvent, verify};
use crate::spec::dr::{DrFile, RawDr};

const SYSTEM: &str = "6f1c6b1e-8a54-4f0e-9f35-2f0a5b0c7d11";

fn anna() -> Actor {
    Actor { name: "anna".to_owned(), kind: ActorKind::Operator, from: Some("10.0.0.7".to_owned()) }
}

fn entry(command: Command) -> Entry {
    Entry::new(WallMillis(1_700_000_000_000), anna(), None, command)
}

fn found() -> Command {
    Command::Found { cluster_id: SYSTEM.to_owned(), level: LEVEL }
}

/// Links by name, preferred cluster and rpo; between `mi` and `pr`.
fn spec(links: &[(&str, &str, &str)]) -> DrSpec {
    let links: serde_json::Map<String, Value> = links
        .iter()
        .map(|(name, prefer, rpo)| {
            let topics = format!("{name}\\..*");
            let link = json!({ "clusters": ["mi", "pr"], "prefer": prefer, "topics": topics, "rpo": rpo });
            ((*name).to_owned(), link)
        })
        .collect();
    let raw: RawDr = serde_json::from_value(json!({
        "sites": { "milano": {}, "praha": {}, "wien": { "witness": true } },
        "clusters": { "mi": { "site": "milano", "bootstrap": "mi:1" }, "pr": { "site": "praha", "bootstrap": "pr:1" } },
        "links": links,
    }))
    .unwrap();
    crate::spec::dr::check(&[DrFile { name: "dr.yaml", raw: &raw }]).unwrap().spec
}

fn apply_spec(spec: DrSpec, expected_revision: Option<u64>) -> Command {
    Command::ApplySpec { text: "# as written\n".to_owned(), spec, expected_revision }
}

fn register(agent: &str, site: &str) -> Command {
    let (agent, site, version) = (agent.to_owned(), site.to_owned(), "0.1.0".to_owned());
    Command::RegisterAgent { agent, site, version, level: 1 }
}

fn share(link: &str, shares: &[(&str, u32)]) -> Command {
    let shares = shares.iter().map(|(agent, weight)| ((*agent).to_owned(), *weight)).collect();
    Command::Share { link: link.to_owned(), shares }
}

fn cleared(link: &str, epoch: u64, agents: &[&str]) -> Command {
    let agents = agents.iter().map(|agent| (*agent).to_owned()).collect();
    Command::Cleared { link: link.to_owned(), epoch, agents }
}

fn link(link: &str) -> String {
    link.to_owned()
}

/// A state and its whole trail.
#[derive(Default)]
struct Machine {
    state: State,
    trail: Vec<AuditEvent>,
}

impl Machine {
    fn apply(&mut self, command: Command) -> Result<Outcome, Refusal> {
        self.entry(&entry(command))
    }

    fn entry(&mut self, entry: &Entry) -> Result<Outcome, Refusal> {
        let applied = self.state.apply(entry).unwrap();
        self.trail.extend(applied.events);
        applied.outcome
    }

    /// Two links and three agents.
    fn running() -> Self {
        let mut machine = Self::default();
        machine.apply(found()).unwrap();
        machine.apply(apply_spec(spec(&[("claims", "mi", "5s"), ("bills", "pr", "5s")]), None)).unwrap();
        for (agent, site) in [("pr-1", "praha"), ("pr-2", "praha"), ("mi-1", "milano"), ("wi-1", "wien")] {
            machine.apply(register(agent, site)).unwrap();
        }
        machine
    }
}

#[test]
fn nothing_is_done_before_the_system_is_founded_and_it_is_founded_once() {
    let mut machine = Machine::default();
    assert_eq!(machine.apply(register("a", "b")), Err(Refusal::NotFounded));
    machine.apply(found()).unwrap();
    assert_eq!((machine.state.cluster_id(), machine.state.incarnation()), (Some(SYSTEM), 1));
    assert!(
        matches!(machine.apply(found()), Err(Refusal::FoundedAlready { cluster_id }) if cluster_id == SYSTEM)
    );
    assert_eq!(machine.apply(Command::RaiseIncarnation {}), Ok(Outcome::Incarnation(2)));
}

#[test]
fn a_removed_link_is_remembered_with_its_clusters_until_it_is_tidied_up_or_comes_back() {
    let mut machine = Machine::running();
    machine.apply(apply_spec(spec(&[("claims", "mi", "5s")]), None)).unwrap();
    let removed = machine.state.removed();
    assert_eq!(removed.keys().collect::<Vec<_>>(), ["bills"]);
    assert_eq!(removed["bills"].revision, 2);
    assert_eq!(removed["bills"].clusters["mi"].bootstrap, ["mi:1"]);
    let unknown = machine.apply(Command::Tidied { link: link("claims") });
    assert!(matches!(unknown, Err(Refusal::Unknown { .. })), "{unknown:?}");
    machine.apply(apply_spec(spec(&[("claims", "mi", "5s"), ("bills", "pr", "5s")]), None)).unwrap();
    assert!(machine.state.removed().is_empty(), "its passport is its own again");
    machine.apply(apply_spec(DrSpec::default(), None)).unwrap();
    assert_eq!(machine.state.removed().len(), 2, "the clusters are remembered though the spec has none");
    machine.apply(Command::Tidied { link: link("bills") }).unwrap();
    assert_eq!(machine.state.removed().keys().collect::<Vec<_>>(), ["claims"]);
    let stored = serde_json::to_value(machine.state.snapshot()).unwrap();
    let restored = State::restore(serde_json::from_value(stored).unwrap()).unwrap();
    assert_eq!(restored, machine.state);
}

#[test]
fn an_apply_is_bound_to_the_revision_of_its_plan() {
    let mut machine = Machine::running();
    assert_eq!(machine.state.revision(), 1);
    let next = spec(&[("claims", "mi", "9s"), ("bills", "pr", "5s")]);
    assert_eq!(machine.apply(apply_spec(next.clone(), Some(1))), Ok(Outcome::Revision(2)));
    let stale = machine.apply(apply_spec(spec(&[]), Some(1))).unwrap_err();
    assert_eq!(stale, Refusal::Stale { expected: 1, present: 2 });
    assert!(stale.to_string().contains("revision 2 by now, the plan was made for 1"), "{stale}");
    assert_eq!(machine.state.spec(), &next);
    assert_eq!(machine.apply(apply_spec(next, Some(2))), Ok(Outcome::Unchanged));
    let told = &machine.trail.iter().rfind(|event| event.draft.outcome == "done").unwrap().draft;
    assert_eq!(told.after.as_deref(), Some("revision 2: 1 link changed. 1 line needs attention"));
}

#[test]
fn roles_are_no_part_of_the_spec_and_outlive_its_changes() {
    let mut machine = Machine::running();
    let role = |machine: &Machine| machine.state.role("claims").cloned();
    assert_eq!(role(&machine), Some(Role { primary: "mi".to_owned(), generation: 0, held: None }));
    assert_eq!((machine.state.standby("claims"), machine.state.standby("bills")), (Some("pr"), Some("mi")));
    machine.apply(apply_spec(spec(&[("claims", "pr", "9s")]), None)).unwrap();
    assert_eq!(role(&machine).unwrap().primary, "mi", "who is primary stays so, whoever is preferred");
    assert!(machine.state.role("bills").is_none() && machine.state.work("bills").is_none());
    let mut elsewhere = spec(&[("claims", "pr", "9s")]);
    let third = elsewhere.clusters["pr"].clone();
    elsewhere.clusters.insert("pr2".to_owned(), third);
    let claims = elsewhere.links.get_mut("claims").unwrap();
    claims.clusters = ["pr".to_owned(), "pr2".to_owned()];
    let refused = machine.apply(apply_spec(elsewhere, None)).unwrap_err();
    assert!(refused.to_string().contains("its primary mi is none of pr, pr2"), "{refused}");
}

#[test]
fn work_has_an_epoch_and_remembers_who_may_still_hold_what() {
    let mut machine = Machine::running();
    assert_eq!(machine.state.workers("claims"), ["pr-1", "pr-2"]);
    assert_eq!(machine.apply(share("claims", &[("pr-1", 1)])), Ok(Outcome::Epoch(1)));
    assert_eq!(machine.apply(share("claims", &[("pr-1", 1)])), Ok(Outcome::Unchanged));
    assert_eq!(machine.apply(share("bills", &[("mi-1", 1)])), Ok(Outcome::Epoch(2)));
    assert_eq!(machine.apply(share("claims", &[("pr-1", 1), ("pr-2", 2)])), Ok(Outcome::Epoch(3)));
    assert_eq!(machine.apply(share("claims", &[("pr-2", 2)])), Ok(Outcome::Epoch(4)));
    let work = machine.state.work("claims").unwrap();
    assert_eq!(work.earlier.keys().collect::<Vec<_>>(), [&1, &3]);
    assert_eq!(work.earlier[&3].waits, ["pr-1".to_owned(), "pr-2".to_owned()].into());
    // What it holds of epoch 3 is another question.
    machine.apply(cleared("claims", 3, &["pr-1"])).unwrap();
    assert_eq!(machine.state.work("claims").unwrap().earlier.keys().collect::<Vec<_>>(), [&3]);
    machine.apply(cleared("claims", 4, &["pr-1"])).unwrap();
    assert_eq!(machine.apply(cleared("claims", 4, &["pr-1"])), Ok(Outcome::Unchanged));
    machine.apply(Command::ForgetAgent { agent: "pr-2".to_owned() }).unwrap();
    let work = machine.state.work("claims").unwrap();
    assert!(work.earlier.is_empty() && work.shares.is_empty(), "{work:?}");
}

#[test]
fn a_link_that_comes_back_waits_for_those_who_had_it() {
    let mut machine = Machine::running();
    machine.apply(share("claims", &[("pr-1", 1)])).unwrap();
    machine.apply(apply_spec(spec(&[]), None)).unwrap();
    assert_eq!(machine.state.work("claims").unwrap().earlier[&1].waits, ["pr-1".to_owned()].into());
    machine.apply(apply_spec(spec(&[("claims", "mi", "5s")]), None)).unwrap();
    assert_eq!(machine.apply(share("claims", &[("pr-2", 1)])), Ok(Outcome::Epoch(3)), "never counted anew");
    assert!(machine.state.work("claims").unwrap().earlier.contains_key(&1));
    machine.apply(cleared("claims", 3, &["pr-1"])).unwrap();
    machine.apply(apply_spec(spec(&[]), None)).unwrap();
    machine.apply(cleared("claims", u64::MAX, &["pr-2"])).unwrap();
    assert!(machine.state.works().is_empty(), "gone when nobody can be at it any more");
}

#[test]
fn who_may_not_work_gets_no_share() {
    let mut machine = Machine::running();
    let said = |machine: &mut Machine, shares: &[(&str, u32)]| {
        machine.apply(share("claims", shares)).unwrap_err().to_string()
    };
    assert!(said(&mut machine, &[("nobody", 1)]).contains("no agent \"nobody\""));
    assert!(said(&mut machine, &[("wi-1", 1)]).contains("wien, which holds no data"));
    assert!(said(&mut machine, &[("pr-1", 0)]).contains("from 1 to 16"));
    assert!(machine.apply(share("lost", &[])).unwrap_err().to_string().contains("no link \"lost\""));
    let taken = machine.apply(register("pr-1", "milano")).unwrap_err();
    assert!(taken.to_string().contains("an agent of praha has this name"), "{taken}");
    let rounds: Vec<_> = (0..20)
        .map(|round| {
            machine.apply(share("claims", &[(if round % 2 == 0 { "pr-1" } else { "pr-2" }, 1 + round / 2)]))
        })
        .collect();
    assert_eq!(rounds.iter().filter(|shared| shared.is_ok()).count(), 17, "what is remembered is bounded");
    assert_eq!(rounds[19].as_ref().unwrap_err().code(), "limit");
}

#[test]
fn a_link_is_paused_by_whoever_says_so_and_by_the_spec() {
    let mut machine = Machine::running();
    let pause = Entry::new(
        WallMillis(5),
        anna(),
        Some("maintenance".to_owned()),
        Command::Pause { link: link("claims") },
    );
    machine.entry(&pause).unwrap();
    let held = machine.state.role("claims").unwrap().held.clone().unwrap();
    assert_eq!((held.by.as_str(), held.reason.as_deref(), held.at.0), ("anna", Some("maintenance"), 5));
    assert_eq!(machine.state.wanted("claims"), Some(Wanted::Paused));
    assert_eq!(machine.entry(&pause), Ok(Outcome::Unchanged));
    machine.apply(Command::Resume { link: link("claims") }).unwrap();
    assert_eq!(machine.state.wanted("claims"), Some(Wanted::Running));
    assert_eq!(machine.trail.last().unwrap().draft.before.as_deref(), Some("paused by anna"));
}

#[test]
fn what_is_refused_is_in_the_trail_with_who_asked() {
    let mut machine = Machine::running();
    let call = Command::RefusedCall {
        call: "apply_spec".to_owned(),
        subject: "claims".to_owned(),
        why: "anna is a viewer".to_owned(),
    };
    machine.apply(call).unwrap();
    let told = &machine.trail.last().unwrap().draft;
    assert_eq!((told.what.as_str(), told.outcome.as_str()), ("apply_spec", "refused: anna is a viewer"));
    machine.apply(share("lost", &[])).unwrap_err();
    let told = &machine.trail.last().unwrap().draft;
    assert!(told.outcome.starts_with("refused: there is no link") && told.actor == anna(), "{told:?}");
    assert_eq!(
        verify(&machine.trail, Head::default(), Some(machine.state.audit())),
        Ok(machine.state.audit())
    );
}

#[test]
fn entries_of_a_later_version_stop_the_member() {
    let mut machine = Machine::running();
    let mut later = entry(Command::Pause { link: link("claims") });
    later.level = LEVEL + 1;
    let before = machine.state.clone();
    let stop = machine.state.apply(&later).unwrap_err();
    assert!(stop.to_string().contains("start the version that the other coordinators run"), "{stop}");
    let finalize = entry(Command::Finalize { level: LEVEL + 1 });
    assert!(machine.state.apply(&finalize).is_err(), "what it could not follow is no refusal");
    assert_eq!(machine.state, before);

    let unknown =
        json!({ "level": LEVEL + 1, "at": 1, "actor": anna(), "command": { "kind": "teleport", "to": "x" } });
    assert!(serde_json::from_value::<Entry>(unknown.clone()).is_err(), "an unknown kind is an error");
    let head: EntryHead = serde_json::from_value(unknown).unwrap();
    assert!(head.understood().unwrap_err().to_string().contains("an entry \"teleport\" of level 2"));
    let mut known = serde_json::to_value(entry(Command::RaiseIncarnation {})).unwrap();
    known["command"]["of_tomorrow"] = json!(1);
    known["of_tomorrow"] = json!(1);
    assert_eq!(serde_json::from_value::<Entry>(known).unwrap(), entry(Command::RaiseIncarnation {}));

    let mut newer = machine.state.snapshot();
    newer.format += 1;
    assert!(State::restore(newer).unwrap_err().to_string().contains("start the version that wrote it"));
}

#[test]
fn kinds_above_the_finalized_level_are_refused() {
    let mut machine = Machine::running();
    machine.state.level = 0;
    let refused = machine.apply(Command::RaiseIncarnation {}).unwrap_err();
    assert_eq!(refused, Refusal::Level { level: 1, finalized: 0 });
    machine.state.level = LEVEL;
    assert_eq!(machine.apply(Command::Finalize { level: LEVEL }), Ok(Outcome::Unchanged));
    assert_eq!(machine.apply(Command::Finalize { level: 0 }).unwrap_err().code(), "unfit");
}

/// Written by the first version. Whoever changes the state makes it still mean this.
#[test]
fn a_snapshot_of_an_old_version_is_restored() {
    let old: Snapshot = serde_json::from_str(include_str!("fixtures/snapshot-1.json")).unwrap();
    let state = State::restore(old).unwrap();
    assert_eq!(state, old_state(), "as the same entries make it today");
}

fn old_state() -> State {
    let mut machine = Machine::running();
    machine.apply(share("claims", &[("pr-1", 1)])).unwrap();
    machine.apply(share("claims", &[("pr-1", 1), ("pr-2", 2)])).unwrap();
    machine.apply(Command::Pause { link: link("bills") }).unwrap();
    let member =
        Member { id: 1, name: "c1".to_owned(), site: "wien".to_owned(), address: "c1:9470".to_owned() };
    machine.apply(Command::MemberChanged { member, change: MemberChange::Joined }).unwrap();
    machine.state
}

fn any_command() -> impl Strategy<Value = Command> {
    let link = || prop::sample::select(vec!["claims", "bills", "quotes"]);
    let agent = || prop::sample::select(vec!["pr-1", "pr-2", "mi-1", "wi-1", "bad name"]);
    let site = prop::sample::select(vec!["praha", "milano", "wien", "nowhere"]);
    let mut specs = Vec::new();
    for bits in 0_usize..32 {
        let (prefer, rpo) =
            (if bits & 8 == 0 { "mi" } else { "pr" }, if bits & 16 == 0 { "5s" } else { "9s" });
        let there =
            ["claims", "bills", "quotes"].into_iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0);
        specs.push(spec(&there.map(|(_, link)| (link, prefer, rpo)).collect::<Vec<_>>()));
    }
    let spec = prop::sample::select(specs);
    let member = (1_u64..4, agent(), any::<bool>()).prop_map(|(id, name, joined)| {
        let member =
            Member { id, name: name.to_owned(), site: "wien".to_owned(), address: format!("c:{id}") };
        let change = if joined { MemberChange::Joined } else { MemberChange::Left };
        Command::MemberChanged { member, change }
    });
    prop_oneof![
        1 => Just(found()),
        4 => (spec, prop::option::of(0_u64..4)).prop_map(|(spec, expected)| apply_spec(spec, expected)),
        4 => (agent(), site).prop_map(|(agent, site)| register(agent, site)),
        1 => agent().prop_map(|agent| Command::ForgetAgent { agent: agent.to_owned() }),
        6 => (link(), prop::collection::btree_map(agent(), 0_u32..18, 0..3)).prop_map(|(link, shares)| {
            share(link, &shares.into_iter().collect::<Vec<_>>())
        }),
        4 => (link(), 0_u64..9, prop::collection::btree_set(agent(), 1..3)).prop_map(|(link, epoch, agents)| {
            cleared(link, epoch, &agents.into_iter().collect::<Vec<_>>())
        }),
        1 => link().prop_map(|link| Command::Pause { link: link.to_owned() }),
        1 => link().prop_map(|link| Command::Resume { link: link.to_owned() }),
        1 => (0_u32..=LEVEL).prop_map(|level| Command::Finalize { level }),
        1 => Just(Command::RaiseIncarnation {}),
        1 => Just(Command::RefusedCall { call: "x".to_owned(), subject: "y".to_owned(), why: "z".to_owned() }),
        2 => member,
    ]
}

fn without_trail(state: &State) -> State {
    State { audit: Head::default(), ..state.clone() }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// One replica reads every entry from the log; the other is restored from a snapshot before each of some.
    #[test]
    fn the_same_entries_make_the_same_state_wherever_it_was_restored(
        commands in prop::collection::vec((any_command(), any::<bool>()), 1..40),
    ) {
        let mut one = Machine::default();
        let mut other = Machine::default();
        for (at, (command, is_restored)) in std::iter::once((found(), false)).chain(commands).enumerate() {
            let entry = Entry::new(WallMillis(at as u64), anna(), None, command);
            let before = one.state.clone();
            let outcome = one.entry(&entry);
            if is_restored {
                let stored = serde_json::to_vec(&other.state.snapshot()).unwrap();
                other.state = State::restore(serde_json::from_slice(&stored).unwrap()).unwrap();
            }
            let read: Entry = serde_json::from_slice(&serde_json::to_vec(&entry).unwrap()).unwrap();
            prop_assert_eq!(&outcome, &other.entry(&read));
            prop_assert_eq!(&one.state, &other.state);
            if matches!(outcome, Err(_) | Ok(Outcome::Unchanged)) {
                prop_assert_eq!(without_trail(&before), without_trail(&one.state), "{:?}", outcome);
            } else if !matches!(entry.command, Command::RefusedCall { .. }) {
                prop_assert_ne!(without_trail(&before), without_trail(&one.state), "{:?}", outcome);
            }
            for (link, role) in &one.state.roles {
                prop_assert!(one.state.spec.links[link].other(&role.primary).is_some());
                prop_assert!(one.state.work.contains_key(link));
            }
            let epochs = one.state.work.values().flat_map(|work| work.earlier.keys().chain([&work.epoch]));
            prop_assert!(epochs.max() <= Some(&one.state.epoch));
            prop_assert!(one.state.work.values().all(|work| !work.earlier.contains_key(&work.epoch)));
        }
        prop_assert_eq!(&one.trail, &other.trail);
        prop_assert_eq!(verify(&one.trail, Head::default(), Some(one.state.audit())), Ok(one.state.audit()));
    }
}
