//! A standby topic's setting that is not as its owner has it, as JSON. The words are the type's own.

use lockstep_core::plan::configs::{Act, Drift};
use serde_json::{Value, json};

/// One object: topic, setting, both values, its owner, and what is done about it.
pub(crate) fn drift_json(drift: &Drift) -> Value {
    let (act, times, reason) = match &drift.act {
        Act::LeftAlone => ("left_alone", None, None),
        Act::PutBack { times } => ("put_back", Some(times), None),
        Act::Refused { why } => ("refused", None, Some(why)),
        Act::Unsupported => ("unsupported", None, None),
        Act::Unruled => ("unruled", None, None),
        Act::Unread { why } => ("unread", None, Some(why)),
    };
    json!({ "topic": &*drift.topic, "setting": drift.field, "wanted": drift.wanted, "standby": drift.standby,
        "owner": drift.owner.name(), "act": act, "times": times, "reason": reason })
}
