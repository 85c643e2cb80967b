//! What will be done to a topic on the destination, in a line and as JSON.

use std::collections::BTreeMap;

use lockstep_agent::link::topics::Planned;
use lockstep_core::plan::topics::TopicPlan;
use serde_json::{Value, json};

/// One line for a topic that is changed.
pub(super) fn planned_line(planned: &Planned) -> Option<String> {
    let name = planned.names();
    match &planned.plan {
        TopicPlan::Ready | TopicPlan::Refuse(_) => None,
        TopicPlan::Create { partitions, .. } => Some(format!("  + topic  {name}  {partitions} partitions")),
        TopicPlan::Adopt { grow_to, settings } => {
            let mut line = format!("  ~ topic  {name}");
            if let Some(total) = grow_to {
                line.push_str(&format!("  partitions up to {total}"));
            }
            if !settings.is_empty() {
                let list: Vec<_> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
                line.push_str(&format!("  standby settings: {}", list.join(" ")));
            }
            Some(line)
        }
    }
}

pub(super) fn planned_json(planned: &Planned) -> Value {
    let (change, settings) = match &planned.plan {
        TopicPlan::Ready => ("none", None),
        TopicPlan::Create { settings, .. } => ("create", Some(settings)),
        TopicPlan::Adopt { settings, .. } => ("adopt", Some(settings)),
        TopicPlan::Refuse(_) => ("refuse", None),
    };
    let settings: BTreeMap<_, _> = settings.into_iter().flatten().cloned().collect();
    json!({
        "topic": planned.source.name,
        "dest_topic": &*planned.dest_topic,
        "partitions": planned.source.partitions,
        "change": change,
        "settings": settings,
    })
}
