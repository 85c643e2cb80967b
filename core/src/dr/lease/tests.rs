//! Two owners are never both permitted to do unguarded work on a partition: agents, leaders and clocks in one small
//! world with delays, breaks, restarts and shares that change, over the real state machine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use super::*;
use crate::audit::{Actor, ActorKind, WallMillis};
use crate::spec::dr::{Cluster, DrSpec, Link, SiteKind};
use crate::state::{Command, Entry, LEVEL, Outcome, State};

const LINK: &str = "claims";
const AGENTS: [&str; 3] = ["a", "b", "c"];
const PARTITIONS: i32 = 6;
/// Real milliseconds between two looks at the world.
const STEP: u64 = 200;

#[test]
fn only_one_case_stops_an_owner() {
    for (lease, guard, standing) in [
        (Lease::Held, Guard::Unguarded, Standing::OneOfSeveral),
        (Lease::Over, Guard::Unguarded, Standing::Alone),
        (Lease::Over, Guard::Guarded, Standing::OneOfSeveral),
        (Lease::Held, Guard::Guarded, Standing::Alone),
    ] {
        assert!(goes_on(lease, guard, standing), "{lease:?} {guard:?} {standing:?}");
    }
    assert!(!goes_on(Lease::Over, Guard::Unguarded, Standing::OneOfSeveral));
}

#[test]
fn a_lease_counts_from_asking_whenever_the_answer_comes() {
    let mut lease = HeldLease::new(Terms::default());
    assert_eq!(lease.state(Moment(0)), Lease::Over, "never granted");
    let (first, second) = (lease.ask(Moment(1_000)), lease.ask(Moment(4_000)));
    lease.granted(second);
    assert_eq!(lease.until(), Some(Moment(14_000)));
    lease.granted(first);
    lease.granted(second);
    lease.granted(77);
    assert_eq!(lease.until(), Some(Moment(14_000)), "late, twice, never asked");
    assert_eq!((lease.state(Moment(13_999)), lease.state(Moment(14_000))), (Lease::Held, Lease::Over));
    for now in 0..1_000 {
        lease.ask(Moment(now));
    }
    assert!(lease.asked.len() <= 64, "unanswered questions are bounded");
}

#[test]
fn a_new_leader_waits_a_whole_lease_and_what_is_left_is_told() {
    let mut world = World::new(1, Terms::default(), [1_000; 4]);
    world.share(&[("a", 1), ("b", 1)]);
    world.share(&[("b", 1)]);
    let work = world.state.work(LINK).unwrap().clone();
    let told = |grantor: &Grantor, now| grantor.formers(LINK, &work, "b", Moment(now))[0].left;
    let grantor = Grantor::new(Terms::default(), Moment(100), world.state.works());
    assert_eq!(told(&grantor, 2_100), Left::Ms(10_000));
    assert!(!grantor.is_silent("a", Moment(12_099)) && grantor.is_silent("a", Moment(12_100)));
    let mut grantor = Grantor::new(Terms::default(), Moment(100), []);
    assert_eq!(told(&grantor, 50_000), Left::Ms(12_000), "what nobody said is counted with");
    grantor.superseded(LINK, 1, Moment(1_100));
    assert_eq!(told(&grantor, 2_100), Left::Ms(11_000));
    grantor.answered("a", Moment(9_000));
    assert_eq!(told(&grantor, 10_000), Left::Ms(3_100), "what is granted later goes with the new shares");
    assert!(grantor.outlived(LINK, &work, Moment(13_099)).is_empty());
    assert_eq!(grantor.outlived(LINK, &work, Moment(13_100)), [("a".to_owned(), 2), ("b".to_owned(), 2)]);
    grantor.tidy([(&LINK.to_owned(), &work)]);
    assert_eq!(grantor.superseded.len(), 1);
    grantor.tidy([]);
    assert!(grantor.superseded.is_empty());
}

#[test]
fn who_was_alone_is_waited_for_until_it_lets_go() {
    let mut world = World::new(1, Terms::default(), [1_000; 4]);
    world.share(&[("a", 1)]);
    world.share(&[("a", 1), ("b", 1)]);
    world.share(&[("b", 1)]);
    let work = world.state.work(LINK).unwrap();
    let formers = world.grantor.formers(LINK, work, "b", Moment(1 << 40));
    assert_eq!(
        formers.iter().map(|former| former.left).collect::<Vec<_>>(),
        [Left::UntilCleared, Left::Ms(0)]
    );
    let outlived = world.grantor.outlived(LINK, work, Moment(1 << 40));
    assert_eq!(outlived, [("b".to_owned(), work.epoch)], "a's later epoch is not cleared over its first");
}

enum Up {
    Heartbeat(u64),
    Released(u64),
}

#[derive(Clone)]
enum Down {
    Beat(u64),
    Assignment(LinkWork),
}

/// Messages with the real moment of their arrival, in order.
struct Stream<T>(VecDeque<(u64, T)>);

impl<T> Stream<T> {
    fn send(&mut self, at: u64, message: T) {
        let at = self.0.back().map_or(at, |(last, _)| at.max(*last));
        self.0.push_back((at, message));
    }

    fn arrived(&mut self, now: u64) -> Option<T> {
        self.0.front().is_some_and(|(at, _)| *at <= now).then(|| self.0.pop_front()).flatten().map(|(_, m)| m)
    }
}

struct Client {
    /// Thousandths of a second that its clock counts in one.
    rate: u64,
    lease: HeldLease,
    work: Option<LinkWork>,
    asked: u64,
    up: Stream<Up>,
    down: Stream<Down>,
    /// Nothing arrives, in neither direction, before this moment.
    cut_until: u64,
    /// `Some`: no stream until then.
    connects_at: Option<u64>,
}

struct World {
    state: State,
    grantor: Grantor,
    terms: Terms,
    clients: BTreeMap<&'static str, Client>,
    leader_rate: u64,
    now: u64,
    random: u64,
}

impl World {
    /// `rates`: of the agents' clocks and the leader's.
    fn new(seed: u64, holder: Terms, rates: [u64; 4]) -> Self {
        let client = |rate| Client {
            rate,
            lease: HeldLease::new(holder),
            work: None,
            asked: 0,
            up: Stream(VecDeque::new()),
            down: Stream(VecDeque::new()),
            cut_until: 0,
            connects_at: Some(0),
        };
        let clients = AGENTS.into_iter().zip(rates).map(|(agent, rate)| (agent, client(rate))).collect();
        let terms = Terms::default();
        let grantor = Grantor::new(terms, Moment(0), []);
        let mut world = Self {
            state: State::default(),
            grantor,
            terms,
            clients,
            leader_rate: rates[3],
            now: 0,
            random: seed,
        };
        world.apply(Command::Found { cluster_id: "system".to_owned(), level: LEVEL });
        world.apply(Command::ApplySpec { text: String::new(), spec: spec(), expected_revision: None });
        for agent in AGENTS {
            let (agent, site, version) = (agent.to_owned(), "praha".to_owned(), "1".to_owned());
            world.apply(Command::RegisterAgent { agent, site, version, level: 1 });
        }
        world
    }

    fn apply(&mut self, command: Command) -> Option<Outcome> {
        let actor = Actor { name: "c1".to_owned(), kind: ActorKind::Coordinator, from: None };
        self.state.apply(&Entry::new(WallMillis(0), actor, None, command)).unwrap().outcome.ok()
    }

    /// The next number below `limit` of a linear congruential generator.
    fn below(&mut self, limit: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % limit
    }

    fn delayed(&mut self) -> u64 {
        let limit = if self.below(8) == 0 { 6_000 } else { 300 };
        self.now + self.below(limit)
    }

    fn leader_now(&self) -> Moment {
        Moment(self.now * self.leader_rate / 1_000)
    }

    fn share(&mut self, shares: &[(&str, u32)]) {
        let shares = shares.iter().map(|(agent, weight)| ((*agent).to_owned(), *weight)).collect();
        let before = self.state.work(LINK).map_or(0, |work| work.epoch);
        if let Some(Outcome::Epoch(_)) = self.apply(Command::Share { link: LINK.to_owned(), shares }) {
            let now = self.leader_now();
            self.grantor.superseded(LINK, before, now);
            self.assign_all();
        }
    }

    fn assign_all(&mut self) {
        for agent in AGENTS {
            self.assign(agent);
        }
    }

    fn assign(&mut self, agent: &'static str) {
        if self.clients[agent].connects_at.is_some() {
            return;
        }
        let Some(work) = self.state.work(LINK) else { return };
        let assignment = LinkWork {
            link: LINK.to_owned(),
            agent: agent.to_owned(),
            epoch: work.epoch,
            shares: work.shares.clone(),
            formers: self.grantor.formers(LINK, work, agent, self.leader_now()),
            told: Moment::default(),
        };
        let at = self.delayed();
        self.clients.get_mut(agent).unwrap().down.send(at, Down::Assignment(assignment));
    }

    fn clear(&mut self, agent: &str, epoch: u64) {
        let agents = BTreeSet::from([agent.to_owned()]);
        let cleared = self.apply(Command::Cleared { link: LINK.to_owned(), epoch, agents });
        if cleared == Some(Outcome::Done) {
            self.assign_all();
        }
    }

    fn act(&mut self, action: &Action) {
        match action {
            Action::Share(bits) => {
                let shares: Vec<_> =
                    AGENTS.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).collect();
                self.share(&shares.into_iter().map(|(_, agent)| (*agent, 1)).collect::<Vec<_>>());
            }
            Action::Cut(agent, seconds) => {
                self.clients.get_mut(AGENTS[*agent]).unwrap().cut_until = self.now + seconds * 1_000;
            }
            Action::Break(agent) => self.lose_stream(AGENTS[*agent]),
            // What it had is gone with its process; its data folder's lock let the next one begin.
            Action::Kill(agent) => {
                self.lose_stream(AGENTS[*agent]);
                let client = self.clients.get_mut(AGENTS[*agent]).unwrap();
                client.lease = HeldLease::new(client.lease.terms());
                client.work = None;
                client.down.0.clear();
            }
            Action::NewLeader => {
                self.grantor = Grantor::new(self.terms, self.leader_now(), self.state.works());
                AGENTS.into_iter().for_each(|agent| self.lose_stream(agent));
            }
        }
    }

    /// What is on its way to the agent still arrives until it connects anew.
    fn lose_stream(&mut self, agent: &'static str) {
        let at = self.now + self.below(3_000);
        let client = self.clients.get_mut(agent).unwrap();
        client.up.0.clear();
        client.connects_at = Some(at);
    }

    fn step(&mut self) {
        self.now += STEP;
        for agent in AGENTS {
            self.step_agent(agent);
            self.step_leader(agent);
        }
        let work = self.state.work(LINK).unwrap().clone();
        for (agent, epoch) in self.grantor.outlived(LINK, &work, self.leader_now()) {
            self.clear(&agent, epoch);
        }
    }

    fn step_agent(&mut self, agent: &'static str) {
        let (at, back) = (self.delayed(), self.delayed());
        let client = self.clients.get_mut(agent).unwrap();
        let local = Moment(self.now * client.rate / 1_000);
        if self.now < client.cut_until {
            return;
        }
        if client.connects_at.is_some_and(|at| at <= self.now) {
            client.connects_at = None;
            client.up.0.clear();
            client.down.0.clear();
            self.assign(agent);
            return;
        }
        while let Some(message) = client.down.arrived(self.now) {
            match message {
                Down::Beat(number) => client.lease.granted(number),
                Down::Assignment(work) => {
                    let epoch = work.epoch;
                    client.work = Some(LinkWork { told: local, ..work });
                    client.up.send(back, Up::Released(epoch));
                }
            }
        }
        if client.connects_at.is_none() && local.0 >= client.asked + 3_000 {
            client.asked = local.0;
            let number = client.lease.ask(local);
            client.up.send(at, Up::Heartbeat(number));
        }
    }

    fn step_leader(&mut self, agent: &'static str) {
        while self.now >= self.clients[agent].cut_until && self.clients[agent].connects_at.is_none() {
            let Some(message) = self.clients.get_mut(agent).unwrap().up.arrived(self.now) else { return };
            match message {
                Up::Heartbeat(number) => {
                    let now = self.leader_now();
                    self.grantor.answered(agent, now);
                    let at = self.delayed();
                    self.clients.get_mut(agent).unwrap().down.send(at, Down::Beat(number));
                }
                Up::Released(epoch) => self.clear(agent, epoch),
            }
        }
    }

    /// Who may do unguarded work on a partition.
    fn permitted(&self, partition: i32) -> Vec<&'static str> {
        let may = |(agent, client): (&&'static str, &Client)| {
            let local = Moment(self.now * client.rate / 1_000);
            let work = client.work.as_ref()?;
            let permit = work.permit(client.lease.state(local), Guard::Unguarded, "t", partition, local);
            (permit == Permit::Work).then_some(*agent)
        };
        self.clients.iter().filter_map(may).collect()
    }

    /// How many partitions somebody works on; an error names two that work on one.
    fn look(&self) -> Result<usize, String> {
        let mut worked = 0;
        for partition in 0..PARTITIONS {
            let permitted = self.permitted(partition);
            if permitted.len() > 1 {
                return Err(format!("at {} ms both {permitted:?} on {partition}", self.now));
            }
            worked += permitted.len();
        }
        Ok(worked)
    }
}

fn spec() -> DrSpec {
    let cluster =
        |site: &str| Cluster { site: site.to_owned(), bootstrap: vec!["k:1".to_owned()], security: None };
    let link = Link {
        clusters: ["mi".to_owned(), "pr".to_owned()],
        prefer: "mi".to_owned(),
        rules: crate::spec::link::LinkRules::default(),
    };
    DrSpec {
        sites: ["milano", "praha"].map(|site| (site.to_owned(), SiteKind::Data)).into(),
        clusters: [("mi".to_owned(), cluster("milano")), ("pr".to_owned(), cluster("praha"))].into(),
        links: [(LINK.to_owned(), link)].into(),
    }
}

#[derive(Clone, Debug)]
enum Action {
    /// To the agents whose bit is set.
    Share(u8),
    Cut(usize, u64),
    Break(usize),
    Kill(usize),
    NewLeader,
}

fn actions() -> impl Strategy<Value = Vec<(u64, Action)>> {
    let action = prop_oneof![
        5 => (1_u8..8).prop_map(Action::Share),
        3 => (0_usize..3, 1_u64..40).prop_map(|(agent, seconds)| Action::Cut(agent, seconds)),
        2 => (0_usize..3).prop_map(Action::Break),
        1 => (0_usize..3).prop_map(Action::Kill),
        2 => Just(Action::NewLeader),
    ];
    prop::collection::vec((1_u64..60, action), 1..24)
}

/// Runs the actions, each after so many steps; then half a minute of calm.
fn run(mut world: World, actions: &[(u64, Action)]) -> Result<World, String> {
    world.share(&[("a", 1), ("b", 1)]);
    for (steps, action) in actions {
        for _ in 0..*steps {
            world.step();
            world.look()?;
        }
        world.act(action);
        world.look()?;
    }
    for _ in 0..(60_000 / STEP) {
        world.step();
        world.look()?;
    }
    Ok(world)
}

#[test]
fn the_work_of_a_killed_agent_is_taken_over() {
    let mut world = run(World::new(7, Terms::default(), [1_000; 4]), &[]).unwrap();
    assert_eq!(world.look(), Ok(6), "all of it is done");
    world.clients.get_mut("a").unwrap().cut_until = u64::MAX;
    world.share(&[("b", 1)]);
    let mut steps = 0;
    while world.look() != Ok(6) || world.permitted(0) != ["b"] {
        world.step();
        world.look().unwrap();
        steps += 1;
        assert!(steps * STEP <= 20_000, "within lease, margin and delays");
    }
    assert!(steps * STEP > 5_000, "not before the lease can be over");
}

/// The world would find out: here holders count three times as long as their grantor.
#[test]
fn a_holder_that_counts_too_long_is_found_out() {
    let wrong = Terms { lease_ms: 30_000, ..Terms::default() };
    let cut_and_given_away = [(100, Action::Cut(0, 39)), (5, Action::Share(2)), (200, Action::Share(3))];
    let found = (0..8).filter(|seed| run(World::new(*seed, wrong, [1_000; 4]), &cut_and_given_away).is_err());
    assert!(found.count() > 4);
    for seed in 0..8 {
        run(World::new(seed, Terms::default(), [1_000; 4]), &cut_and_given_away).map(drop).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn two_owners_are_never_permitted_at_once(
        seed in any::<u64>(),
        rates in prop::array::uniform4(950_u64..=1_050),
        actions in actions(),
    ) {
        let world = run(World::new(seed, Terms::default(), rates), &actions);
        let world = world.map_err(TestCaseError::fail)?;
        // Whoever is connected has let go of what is not its own any more, and all work is done again.
        prop_assert_eq!(world.look(), Ok(6));
        prop_assert!(world.state.work(LINK).unwrap().earlier.is_empty());
    }
}
