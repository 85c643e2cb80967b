//! What an agent knows of the coordinators, in a line, and a line for each thing of theirs that it cannot work with.

use std::fmt::Write as _;
use std::time::Duration;

use lockstep_core::status::{ControlStatus, Conversation};

use super::units;

/// For below an agent's own table of links.
pub(super) fn words(control: &ControlStatus) -> String {
    let age = |ms| units::duration(Duration::from_millis(ms));
    let heard = match control.heard_age_ms {
        Some(ms) => format!("heard {} ago", age(ms)),
        None => "never heard since it started".to_owned(),
    };
    let mut text = match &control.conversation {
        Conversation::With { address } => format!("coordinators: talking to {address}, {heard}"),
        Conversation::Seeking => format!("coordinators: looking for the one that leads, {heard}"),
        Conversation::Without { why } => format!("coordinators: none, {heard}: {why}"),
    };
    let lease = match control.lease_left_ms {
        None => "no lease yet".to_owned(),
        Some(0) => "the lease is over: only what the brokers guard goes on where a link is shared".to_owned(),
        Some(ms) => format!("lease for {} more", age(ms)),
    };
    // Writing into a text does not fail.
    let _ = match control.revision {
        0 => writeln!(text, "; {lease}; nothing was ever assigned"),
        revision => writeln!(text, "; {lease}; works by revision {revision}"),
    };
    for (name, why) in &control.refused {
        let _ = writeln!(text, "not worked with: {name}: {why}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_heard_and_what_holds_without_them() {
        let mut control = ControlStatus {
            agent: "a-west".to_owned(),
            conversation: Conversation::With { address: "pr-1:9470".to_owned() },
            heard_age_ms: Some(300),
            lease_left_ms: Some(9_200),
            revision: 3,
            incarnation: 1,
            refused: [("claims".to_owned(), "its security is not in this file".to_owned())].into(),
        };
        assert_eq!(
            words(&control),
            "coordinators: talking to pr-1:9470, heard 0.3 s ago; lease for 9.2 s more; works by revision 3\n\
             not worked with: claims: its security is not in this file\n"
        );
        control.conversation = Conversation::Without { why: "pr-1:9470: nobody listens there".to_owned() };
        (control.heard_age_ms, control.lease_left_ms) = (Some(41_000), Some(0));
        control.refused.clear();
        assert!(words(&control).starts_with(
            "coordinators: none, heard 41 s ago: pr-1:9470: nobody listens there; the lease is over"
        ));
        (control.heard_age_ms, control.lease_left_ms, control.revision) = (None, None, 0);
        assert!(words(&control).ends_with("no lease yet; nothing was ever assigned\n"));
    }
}
