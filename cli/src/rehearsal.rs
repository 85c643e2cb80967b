//! An upgrade, rehearsed: with `LOCKSTEP_REHEARSE_UPGRADE=1` a development build behaves as the next version does that knows one
//! kind of entry more. For tests and trials: a system that has finalized it cannot be upgraded to the real next version, so a
//! release build refuses the word.

use std::env;

use lockstep_core::state::rehearse_the_next;

const WORD: &str = "LOCKSTEP_REHEARSE_UPGRADE";

/// # Errors
/// The word is set to something else than `1`, or this build must not follow it.
pub(crate) fn asked_for() -> Result<(), String> {
    match env::var_os(WORD) {
        None => Ok(()),
        Some(value) if value != "1" => Err(format!("{WORD} is {value:?}: write 1, or leave it away")),
        Some(_) if !cfg!(debug_assertions) => Err(format!(
            "{WORD} is for development builds: a system that finalized such a level could never be upgraded; leave it away"
        )),
        Some(_) => {
            eprintln!(
                "{WORD}=1: this is a rehearsal of the next version; never finalize a system that is to be kept"
            );
            rehearse_the_next();
            Ok(())
        }
    }
}
