//! Which settings topics have on both clusters, and which of them a link has to ask for. Learnt from one topic: the names are
//! the same for every topic of a cluster. Only reads.

use std::collections::BTreeSet;

use lockstep_core::plan::owners::{Owner, TopicSettingsPolicy};
use lockstep_core::plan::topics::standby_settings;
use lockstep_kafka::admin::describe_topic_configs;
use lockstep_kafka::{Cluster, Error};

use super::described::names;

/// Which settings there are and which of them matter.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) known: BTreeSet<String>,
    pub(super) needed: Vec<(String, String)>,
    pub(super) ask_source: Vec<String>,
    pub(super) ask_dest: Vec<String>,
}

impl Names {
    /// All settings of one topic on both sides: the names are the same for every topic of a cluster. `None`: one side does
    /// not tell about this topic.
    pub(super) async fn learn(
        source: &Cluster,
        dest: &Cluster,
        (source_topic, dest_topic): (&str, &str),
        policy: &TopicSettingsPolicy,
    ) -> Result<Option<Self>, Error> {
        let all = async |cluster: &Cluster, topic: &str| {
            let described = describe_topic_configs(cluster, &[topic], None).await?;
            Ok::<_, Error>(described.into_iter().find_map(|(_, entries)| Some(names(&entries.ok()?))))
        };
        let Some(known) = all(dest, dest_topic).await? else { return Ok(None) };
        // A source that tells nothing is asked for what the destination knows.
        let at_source = all(source, source_topic).await?.unwrap_or_else(|| known.clone());
        let matters = |name: &&String| policy.owner(name) != Owner::Local || !policy.knows(name);
        Ok(Some(Self {
            needed: standby_settings(|name| known.contains(name)),
            ask_source: at_source.iter().filter(matters).cloned().collect(),
            ask_dest: known.iter().filter(matters).cloned().collect(),
            known,
        }))
    }
}
