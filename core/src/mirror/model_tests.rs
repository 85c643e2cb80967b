//! The state machine in a simulated world (`world`), against the one promise that matters: the destination's log is
//! a prefix of the source's, offset by offset: its records, and markers where consumers see none; never a slip.
//! Deterministic; PROPTEST_CASES and PROPTEST_RNG_SEED ask for more. A failure prints its story.

mod script;
mod world;

use std::rc::Rc;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::guard::PRODUCER_ID_EXPIRATION_MS_DEFAULT;
use super::queue::Holes;
use super::verdict::Verdict;
use script::{Age, Crowd, Item, Outcome, Script, Tape};
use world::{Astray, World};

fn fixed_seed() -> ProptestConfig {
    let asked = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    match asked.rng_seed {
        RngSeed::Random => ProptestConfig { rng_seed: RngSeed::Fixed(3), ..asked },
        RngSeed::Fixed(_) => asked,
    }
}

fn tape() -> impl Strategy<Value = Tape> {
    prop::collection::vec(any::<u8>(), 0..300).prop_map(Tape::new)
}

/// Batches of data and nothing else: no marker is ever written.
fn data_only(age: impl Strategy<Value = Age> + 'static) -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec(data(age), 1..24)
}

fn data(age: impl Strategy<Value = Age> + 'static) -> impl Strategy<Value = Item> {
    (1..=3i32, any::<bool>(), age).prop_map(|(records, packed, age)| Item::Data { records, packed, age })
}

fn transaction<A: Strategy<Value = Age> + 'static>(age: A) -> impl Strategy<Value = Item> {
    let outcome = prop_oneof![Just(Outcome::Committed), Just(Outcome::RolledBack)];
    (1..=3i32, age, outcome, any::<bool>()).prop_map(|(records, age, outcome, interleaved)| {
        Item::Transaction { records, age, outcome, interleaved }
    })
}

/// Data and transactions: no offset without a batch.
fn dense<A: Strategy<Value = Age> + Clone + 'static>(age: A) -> impl Strategy<Value = Vec<Item>> {
    prop::collection::vec(prop_oneof![data(age.clone()), transaction(age)], 1..16)
}

/// Everything that takes an offset.
fn everything<A: Strategy<Value = Age> + Clone + 'static>(age: A) -> impl Strategy<Value = Vec<Item>> {
    let item = prop_oneof![
        4 => data(age.clone()),
        4 => transaction(age.clone()),
        2 => (1..=4i32).prop_map(|offsets| Item::Gap { offsets }),
        1 => age.prop_map(|age| Item::Thinned { age }),
        1 => (1..=3i32).prop_map(|offsets| Item::Emptied { offsets }),
        1 => Just(Item::EmptiedMarker),
    ];
    prop::collection::vec(item, 1..16)
}

fn any_age() -> impl Strategy<Value = Age> + Clone {
    prop_oneof![3 => Just(Age::Young), 2 => Just(Age::Old), 1 => Just(Age::Fading)]
}

fn script<A: Strategy<Value = Age> + Clone + 'static>(
    items: impl Strategy<Value = Vec<Item>>,
    last: A,
    crowd: Crowd,
    expiration_ms: i64,
) -> impl Strategy<Value = Script> {
    (items, last, tape()).prop_map(move |(items, last, tape)| Script {
        items,
        last,
        crowd,
        holes: Holes::Markers,
        expiration_ms,
        tape,
    })
}

fn compacted(script: impl Strategy<Value = Script>) -> impl Strategy<Value = Script> {
    script.prop_map(|script| Script { holes: Holes::Repeats, ..script })
}

fn told(world: &World) -> String {
    format!("\n{}\n", world.story.join("\n"))
}

/// Every permit is back once the mirrors are gone.
fn gives_permits_back(world: World) -> Result<(), TestCaseError> {
    let permit = Rc::clone(&world.permit);
    drop(world);
    prop_assert_eq!(Rc::strong_count(&permit), 1, "a permit was kept");
    Ok(())
}

/// A prefix at every step, nobody stops, equal in the end.
fn stays_equal(script: Script) -> Result<(), TestCaseError> {
    let mut world = World::new(script);
    world.run();
    prop_assert!(!world.counted_on_too_much, "{}", told(&world));
    prop_assert!(world.misplaced.is_none(), "{}", told(&world));
    prop_assert!(world.verdicts.is_empty(), "stopped without a reason{}", told(&world));
    prop_assert!(world.is_equal(), "not equal after the healing{}", told(&world));
    gives_permits_back(world)
}

/// Either the same, or something that carries no sequence (a batch behind the producer's being forgotten, a marker)
/// landed where it does not belong: then everybody alive has stopped and says why.
fn stays_equal_or_says_so(script: Script) -> Result<(), TestCaseError> {
    let mut world = World::new(script);
    world.run();
    prop_assert!(!world.counted_on_too_much, "{}", told(&world));
    let says_so = |verdict: &Verdict| matches!(verdict, Verdict::Slipped { .. } | Verdict::Diverged(_));
    if let Some(misplaced) = world.misplaced {
        let may_be = misplaced.what == Astray::Marker || misplaced.forgets > 0 || world.has_markers();
        prop_assert!(may_be, "a slip although remembered{}", told(&world));
        prop_assert!(world.everyone_has_stopped(), "a slip, and a mirror goes on{}", told(&world));
        prop_assert!(world.verdicts.iter().all(says_so), "another reason{}", told(&world));
    } else if world.verdicts.is_empty() || !world.has_markers() {
        prop_assert!(world.verdicts.is_empty(), "stopped without a reason{}", told(&world));
        prop_assert!(world.is_equal(), "not equal after the healing{}", told(&world));
    } else {
        // Two runs of markers for one place, and the source has markers where the second one went.
        prop_assert!(world.verdicts.iter().all(says_so), "another reason{}", told(&world));
        prop_assert!(world.is_equal() || world.everyone_has_stopped(), "neither{}", told(&world));
    }
    gives_permits_back(world)
}

const DAY_MS: i64 = PRODUCER_ID_EXPIRATION_MS_DEFAULT;

proptest! {
    #![proptest_config(fixed_seed())]

    #[test]
    fn two_mirrors_on_new_data_stay_equal(
        script in script(data_only(Just(Age::Young)), Just(Age::Young), Crowd::Two, DAY_MS)
    ) {
        stays_equal(script)?;
    }

    #[test]
    fn one_mirror_at_a_time_stays_equal_on_new_data(
        script in script(everything(Just(Age::Young)), Just(Age::Young), Crowd::OneAtATime, DAY_MS)
    ) {
        stays_equal(script)?;
    }

    #[test]
    fn one_mirror_at_a_time_stays_equal_on_old_data(
        script in script(everything(Just(Age::Old)), Just(Age::Old), Crowd::OneAtATime, DAY_MS)
    ) {
        stays_equal(script)?;
    }

    #[test]
    fn one_mirror_at_a_time_stays_equal_on_mixed_data(
        script in script(everything(any_age()), any_age(), Crowd::OneAtATime, DAY_MS)
    ) {
        stays_equal(script)?;
    }

    /// A destination that forgets after forty seconds: data grow old while they are being copied.
    #[test]
    fn one_mirror_at_a_time_stays_equal_where_data_grow_old(
        script in script(everything(any_age()), any_age(), Crowd::OneAtATime, 40_000)
    ) {
        stays_equal(script)?;
    }

    #[test]
    fn one_mirror_at_a_time_stays_equal_on_compacted_topics(
        script in compacted(script(everything(any_age()), any_age(), Crowd::OneAtATime, DAY_MS))
    ) {
        stays_equal(script)?;
    }

    /// Old data and two owners: only the lease keeps them apart (M6). What holds, here and in the two properties
    /// below: the destination stays a prefix as long as it has never forgotten the producer. After that a batch may
    /// land where it does not belong (in about one of 50 worlds here, one of 100 below). Then every mirror alive
    /// stops as slipped or diverged, and no receipt and no opening counts on that batch or on what follows it.
    #[test]
    fn two_mirrors_on_old_data_stay_equal_or_say_so(
        script in script(data_only(Just(Age::Old)), Just(Age::Old), Crowd::Two, DAY_MS)
    ) {
        stays_equal_or_says_so(script)?;
    }

    /// Needs the producer read again behind the end (M8): without it, about once in 150,000 worlds, a mirror pairs
    /// a newer end with an older sequence, and the other one stops as slipped although every batch is in its place.
    #[test]
    fn two_mirrors_on_mixed_data_stay_equal_or_say_so(
        script in script(data_only(any_age()), any_age(), Crowd::Two, DAY_MS)
    ) {
        stays_equal_or_says_so(script)?;
    }

    #[test]
    fn two_mirrors_stay_equal_or_say_so_where_data_grow_old(
        script in script(data_only(any_age()), any_age(), Crowd::Two, 40_000)
    ) {
        stays_equal_or_says_so(script)?;
    }

    /// Markers carry no sequence: of two owners both may write them (M13).
    #[test]
    fn two_mirrors_on_everything_new_stay_equal_or_say_so(
        script in script(everything(Just(Age::Young)), Just(Age::Young), Crowd::Two, DAY_MS)
    ) {
        stays_equal_or_says_so(script)?;
    }

    /// Without holes: a repeat of an old batch that lands in a hole of the source looks like a record that the
    /// source's cleaner has removed since.
    #[test]
    fn two_mirrors_on_transactions_stay_equal_or_say_so(
        script in script(dense(any_age()), any_age(), Crowd::Two, 40_000)
    ) {
        stays_equal_or_says_so(script)?;
    }
}

/// A seed reproduces a failure only if nothing else decides.
#[test]
fn the_same_script_tells_the_same_story() {
    let story = || {
        let age = |i| if i % 4 == 0 { Age::Old } else { Age::Young };
        let data = |i| Item::Data { records: i % 3 + 1, packed: i % 2 == 0, age: age(i) };
        let rest = [
            Item::Transaction { records: 2, age: age(1), outcome: Outcome::RolledBack, interleaved: true },
            Item::Gap { offsets: 3 },
        ];
        let items = (0..12).map(data).chain(rest).collect();
        let tape = Tape::new((0..300u32).map(|i| (i * i * 31 % 251) as u8).collect());
        let mut world = World::new(Script {
            items,
            last: Age::Young,
            crowd: Crowd::Two,
            holes: Holes::Repeats,
            expiration_ms: DAY_MS,
            tape,
        });
        world.run();
        world.story
    };
    assert!(story().len() > 20);
    assert_eq!(story(), story());
}
