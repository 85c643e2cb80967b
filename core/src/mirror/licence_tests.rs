//! What a partition writes with less than every leave: another agent may be at it too. Guarded work goes on, what only a
//! lease protects waits, and what was believed before others could write is never relied on afterwards.

use super::guard::PRODUCER_ID_EXPIRATION_MS_DEFAULT;
use super::opening::Ownership;
use super::partition::{Input, Licence, Phase};
use super::partition_tests::{OLD, Stage, WALL, YOUNG, data};

fn licensed(mut stage: Stage, licence: Licence) -> Stage {
    stage.handle(Input::Licensed(licence));
    stage
}

fn waits_for_leave(stage: &Stage) -> bool {
    stage.machine.trouble().is_some_and(|trouble| trouble.text.contains("until its lease is over"))
}

/// As a new owner finds it: five records of the link's producer, which the broker remembers.
fn taken_over(licence: Licence) -> Stage {
    let mut stage = licensed(Stage::unopened(Ownership::Unknown), licence);
    stage.dest = Stage::in_full_swing().dest;
    stage
}

/// Looks until something has come of it.
fn look_until(stage: &mut Stage, what: fn(&Stage) -> bool) {
    for _ in 0..100 {
        if what(stage) {
            return;
        }
        stage.look();
    }
    panic!("nothing came of a hundred looks: {:?}", stage.machine.trouble());
}

#[test]
fn guarded_work_is_taken_over_at_once_and_goes_on() {
    let mut stage = taken_over(Licence::Guarded);
    stage.look();
    assert_eq!(stage.opened, [5]);
    stage.fetch(5, &[data(5, 1, YOUNG), data(6, 1, YOUNG), data(7, 1, YOUNG)]);
    for _ in 0..3 {
        stage.land();
    }
    assert_eq!((stage.dest.end(), stage.appends.len()), (8, 0));
    assert!(stage.machine.trouble().is_none());
}

#[test]
fn an_unguarded_end_is_not_opened_however_long_it_stands_still() {
    let mut stage = licensed(Stage::unopened(Ownership::JustCreated), Licence::Guarded);
    stage.handle(Input::Facts(Box::new(stage.facts())));
    for _ in 0..20 {
        stage.look();
    }
    assert!(stage.clock > 5_000 && stage.opened.is_empty() && waits_for_leave(&stage));
    let mut stage = licensed(stage, Licence::Everything);
    let since = stage.clock;
    look_until(&mut stage, |stage| !stage.opened.is_empty());
    assert!(stage.clock - since >= 2_000, "what stood still before the leave came proves nothing");
    assert_eq!(stage.machine.phase(), Phase::Copying);
}

#[test]
fn old_data_wait_for_leave_and_then_for_an_end_that_stands_still() {
    let mut stage = licensed(Stage::in_full_swing(), Licence::Guarded);
    stage.fetch(5, &[data(5, 1, YOUNG), data(6, 1, OLD), data(7, 1, YOUNG)]);
    assert_eq!(stage.expected(), [5], "young data are guarded");
    stage.land();
    stage.clock += 5_000;
    stage.handle(Input::Tick);
    assert!(stage.expected().is_empty() && stage.opens.is_empty() && waits_for_leave(&stage));
    let mut stage = licensed(stage, Licence::Everything);
    let since = stage.clock;
    assert_eq!(stage.opened, [0]);
    look_until(&mut stage, |stage| stage.opened == [0, 6]);
    assert!(stage.clock - since >= 2_000);
    stage.fetch(6, &[data(6, 1, OLD)]);
    assert_eq!(stage.expected(), [6]);
}

#[test]
fn whose_memory_at_the_broker_grows_old_without_leave_waits() {
    let mut stage = licensed(Stage::in_full_swing(), Licence::Guarded);
    stage.clock += u64::try_from(PRODUCER_ID_EXPIRATION_MS_DEFAULT).unwrap();
    let now = WALL + i64::try_from(stage.clock).unwrap();
    stage.fetch(5, &[data(5, 1, now)]);
    assert!(stage.expected().is_empty() && waits_for_leave(&stage), "a day has passed");
}

#[test]
fn without_any_leave_what_is_in_flight_is_answered_and_nothing_more_begun() {
    let mut stage = Stage::in_full_swing();
    stage.fetch(5, &(5..12).map(|base| data(base, 1, YOUNG)).collect::<Vec<_>>());
    let out = stage.expected().len();
    let mut stage = licensed(stage, Licence::Nothing);
    assert_eq!(stage.wanted(), None);
    for _ in 0..out {
        assert!(stage.machine.has_in_flight());
        stage.land();
    }
    assert!(stage.expected().is_empty() && !stage.machine.has_in_flight());
    assert_eq!(stage.dest.end(), 5 + i64::try_from(out).unwrap());
    stage.permits_come_back();
}

#[test]
fn leave_that_comes_back_lets_guarded_work_go_on_without_a_pause() {
    let stage = licensed(Stage::in_full_swing(), Licence::Guarded);
    let mut stage = licensed(stage, Licence::Everything);
    assert!(stage.opens.is_empty(), "the broker would tell if somebody had written");
    stage.fetch(5, &[data(5, 1, YOUNG)]);
    assert_eq!(stage.expected(), [5]);
}
