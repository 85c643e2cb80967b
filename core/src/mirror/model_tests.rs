//! The state machine in a simulated world (`world`), against the one promise that matters: the destination's log is
//! a prefix of the source's, batch by batch, at the same offsets; never a gap, a repeat or a slip.
//! Deterministic; PROPTEST_CASES and PROPTEST_RNG_SEED ask for more. A failure prints its story.

mod script;
mod world;

use std::rc::Rc;

use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::guard::PRODUCER_ID_EXPIRATION_MS_DEFAULT;
use super::verdict::Verdict;
use script::{Age, Crowd, Script, Tape};
use world::World;

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

fn batches(age: impl Strategy<Value = Age> + 'static) -> impl Strategy<Value = Vec<(i32, Age)>> {
    prop::collection::vec((1..=3i32, age), 2..25)
}

fn any_age() -> impl Strategy<Value = Age> {
    prop_oneof![3 => Just(Age::Young), 2 => Just(Age::Old), 1 => Just(Age::Fading)]
}

fn script(
    age: impl Strategy<Value = Age> + 'static,
    crowd: Crowd,
    expiration_ms: i64,
) -> impl Strategy<Value = Script> {
    (batches(age), tape()).prop_map(move |(batches, tape)| Script { batches, crowd, expiration_ms, tape })
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
    prop_assert!(world.misplaced.is_none(), "{}", told(&world));
    prop_assert!(world.verdicts.is_empty(), "stopped without a reason{}", told(&world));
    prop_assert!(world.is_equal(), "not equal after the healing{}", told(&world));
    gives_permits_back(world)
}

/// Either the same, or the destination had forgotten the producer, and everybody alive has stopped and says why.
fn stays_equal_or_says_so(script: Script) -> Result<(), TestCaseError> {
    let mut world = World::new(script);
    world.run();
    if world.misplaced.is_none() {
        prop_assert!(world.verdicts.is_empty(), "stopped without a reason{}", told(&world));
        prop_assert!(world.is_equal(), "not equal after the healing{}", told(&world));
    } else {
        prop_assert!(
            world.misplaced.is_some_and(|m| m.forgets > 0),
            "a slip although remembered{}",
            told(&world)
        );
        prop_assert!(world.everyone_has_stopped(), "a slip, and a mirror goes on{}", told(&world));
        let says_so = |verdict: &Verdict| matches!(verdict, Verdict::Slipped { .. } | Verdict::Diverged(_));
        prop_assert!(world.verdicts.iter().all(says_so), "another reason{}", told(&world));
    }
    gives_permits_back(world)
}

const DAY_MS: i64 = PRODUCER_ID_EXPIRATION_MS_DEFAULT;

proptest! {
    #![proptest_config(fixed_seed())]

    #[test]
    fn two_mirrors_on_new_data_stay_equal(script in script(Just(Age::Young), Crowd::Two, DAY_MS)) {
        stays_equal(script)?;
    }

    #[test]
    fn one_mirror_at_a_time_stays_equal_on_old_data(script in script(Just(Age::Old), Crowd::OneAtATime, DAY_MS)) {
        stays_equal(script)?;
    }

    #[test]
    fn one_mirror_at_a_time_stays_equal_on_mixed_data(script in script(any_age(), Crowd::OneAtATime, DAY_MS)) {
        stays_equal(script)?;
    }

    /// A destination that forgets after forty seconds: data grow old while they are being copied.
    #[test]
    fn one_mirror_at_a_time_stays_equal_where_data_grow_old(
        script in script(any_age(), Crowd::OneAtATime, 40_000)
    ) {
        stays_equal(script)?;
    }

    /// Old data and two owners: only the lease keeps them apart (M6). What holds, here and in the two properties
    /// below: the destination stays a prefix as long as it has never forgotten the producer. After that a batch may
    /// land where it does not belong (in about one of 50 worlds here, one of 100 below). Then every mirror alive
    /// stops as slipped or diverged, and no receipt and no opening counts on that batch or on what follows it.
    #[test]
    fn two_mirrors_on_old_data_stay_equal_or_say_so(script in script(Just(Age::Old), Crowd::Two, DAY_MS)) {
        stays_equal_or_says_so(script)?;
    }

    /// Needs the producer read again behind the end (M8): without it, about once in 150,000 worlds, a mirror pairs
    /// a newer end with an older sequence, and the other one stops as slipped although every batch is in its place.
    #[test]
    fn two_mirrors_on_mixed_data_stay_equal_or_say_so(script in script(any_age(), Crowd::Two, DAY_MS)) {
        stays_equal_or_says_so(script)?;
    }

    #[test]
    fn two_mirrors_stay_equal_or_say_so_where_data_grow_old(script in script(any_age(), Crowd::Two, 40_000)) {
        stays_equal_or_says_so(script)?;
    }
}

/// A seed reproduces a failure only if nothing else decides.
#[test]
fn the_same_script_tells_the_same_story() {
    let story = || {
        let batches = (0..12).map(|i| (i % 3 + 1, if i % 4 == 0 { Age::Old } else { Age::Young })).collect();
        let tape = Tape::new((0..300u32).map(|i| (i * i * 31 % 251) as u8).collect());
        let mut world = World::new(Script { batches, crowd: Crowd::Two, expiration_ms: DAY_MS, tape });
        world.run();
        world.story
    };
    assert!(story().len() > 20);
    assert_eq!(story(), story());
}
