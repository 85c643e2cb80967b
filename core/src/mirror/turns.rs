//! Whose turn it is among topics of different priority that all have a backlog. Pure.
//! Promises: the highest one gets three turns of four, the next one three of four of what is left; nobody gets none.

use std::collections::BTreeSet;

use crate::spec::pace::Priority;

/// One turn in so many goes on to the next lower priority.
const PASSED_ON: u64 = 4;

/// The priority that is served in this turn, of those that want one; `None` if nobody does.
pub fn whose(turn: u64, wanting: &BTreeSet<Priority>) -> Option<Priority> {
    let lowest = *wanting.last()?;
    let mut turn = turn;
    for priority in wanting {
        if *priority == lowest || turn % PASSED_ON != PASSED_ON - 1 {
            return Some(*priority);
        }
        turn /= PASSED_ON;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use Priority::{High, Low, Normal};

    fn shares(wanting: &[Priority]) -> [usize; 3] {
        let wanting = wanting.iter().copied().collect();
        let mut shares = [0; 3];
        for turn in 0..64 {
            shares[whose(turn, &wanting).unwrap() as usize] += 1;
        }
        shares
    }

    #[test]
    fn the_highest_goes_first_and_nobody_is_left_out() {
        assert_eq!(shares(&[High, Normal, Low]), [48, 12, 4]);
        assert_eq!(shares(&[High, Low]), [48, 0, 16]);
        assert_eq!(shares(&[Normal, Low]), [0, 48, 16]);
        assert_eq!(shares(&[Low]), [0, 0, 64]);
        assert_eq!(whose(7, &BTreeSet::new()), None);
    }
}
