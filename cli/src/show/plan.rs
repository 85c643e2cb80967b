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
        TopicPlan::Adopt { grow_to, settings, followed } => {
            let mut line = format!("  ~ topic  {name}");
            if let Some(total) = grow_to {
                line.push_str(&format!("  partitions up to {total}"));
            }
            if !settings.is_empty() {
                let list: Vec<_> = settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
                line.push_str(&format!("  standby settings: {}", list.join(" ")));
            }
            if !followed.is_empty() {
                let list = followed.iter().map(|(name, value)| match value {
                    Some(value) => format!("{name}={value}"),
                    None => format!("{name} removed"),
                });
                line.push_str(&format!("  settings: {}", list.collect::<Vec<_>>().join(" ")));
            }
            Some(line)
        }
    }
}

/// One object: what is to be done, and every setting with it (`null`: removed).
pub(super) fn planned_json(planned: &Planned) -> Value {
    let set = |settings: &[(String, String)]| settings.iter().map(|(n, v)| (n.clone(), json!(v))).collect();
    let (change, settings): (_, BTreeMap<String, Value>) = match &planned.plan {
        TopicPlan::Ready => ("none", BTreeMap::new()),
        TopicPlan::Create { settings, .. } => ("create", set(settings)),
        TopicPlan::Adopt { settings, followed, .. } => {
            let mut all: BTreeMap<_, _> = set(settings);
            all.extend(followed.iter().map(|(name, value)| (name.clone(), json!(value))));
            ("adopt", all)
        }
        TopicPlan::Refuse(_) => ("refuse", BTreeMap::new()),
    };
    json!({
        "topic": planned.source.name,
        "dest_topic": &*planned.dest_topic,
        "partitions": planned.source.partitions,
        "change": change,
        "settings": settings,
    })
}
