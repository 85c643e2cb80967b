//! One link: the rights it has on both clusters, against the table of `core::plan::permissions`.
//! Topics that an authorizer hides do not show; those that the file names in full are asked about by name.

use std::collections::BTreeSet;

use lockstep_core::dr::denied::Side;
use lockstep_core::dr::passport::TOPIC;
use lockstep_core::plan::permissions::{Allowed, Need, Operation, Reach, Resource, missing, needs, unknown};
use lockstep_core::spec::agent::{LinkSpec, literal};
use lockstep_kafka::admin::{
    learn_cluster_configs, learn_create_and_alter_configs, learn_describe_configs, learn_group_read,
    learn_groups_describe, learn_masks, learn_on_absent, learn_read_on_absent, learn_transactional_id,
    list_groups,
};
use lockstep_kafka::{Cluster, Connection, Error, MissingPermission};

use super::{LinkFound, Missing, side};
use crate::link::identity::transactional_id;

/// Groups asked about one by one; of more the first in the alphabet are looked at, and it is said.
const GROUPS_MAX: usize = 200;
/// What could not be looked at is listed up to here.
const UNKNOWN_MAX: usize = 20;

pub(super) async fn look(name: &str, link: &LinkSpec, source: &Cluster, dest: &Cluster) -> LinkFound {
    let mut found = LinkFound::default();
    if source.cluster_id() == dest.cluster_id() {
        found.faults.push(format!(
            "{} and {} are the same cluster ({}): from and to have to name different ones",
            link.from,
            link.to,
            source.cluster_id()
        ));
        return found;
    }
    let reach = reach(name, link, source, dest, &mut found).await;
    let on_source = learn(Side::Source, source, &reach, &mut found).await;
    let on_dest = learn(Side::Dest, dest, &reach, &mut found).await;
    let needs = needs(&reach);
    found.missing = missing(&needs, &on_source, &on_dest)
        .into_iter()
        .map(|need| {
            let (cluster, at) = match need.side {
                Side::Source => (&link.from, source),
                Side::Dest => (&link.to, dest),
            };
            let permission =
                MissingPermission::to(at.settings(), need.operation.name(), need.resource.clone());
            Missing { need: need.clone(), cluster: cluster.clone(), permission }
        })
        .collect();
    let open = unknown(&needs, &on_source, &on_dest);
    found.unknown.extend(open.iter().take(UNKNOWN_MAX).map(|need| in_words(need)));
    if open.len() > UNKNOWN_MAX {
        found.unknown.push(format!("{} more", open.len() - UNKNOWN_MAX));
    }
    if link
        .groups
        .as_ref()
        .is_some_and(|groups| groups.removal == lockstep_core::groups::policy::Removal::Follow)
    {
        found.notes.push(
            "removing groups needs Delete on them at the destination, which cannot be asked without doing it"
                .to_owned(),
        );
    }
    found
}

fn in_words(need: &Need) -> String {
    let resource = match &need.resource {
        Resource::Cluster => "Cluster".to_owned(),
        Resource::Topic(name) => format!("Topic {name}"),
        Resource::Group(name) => format!("Group {name}"),
        Resource::TransactionalId(name) => format!("TransactionalId {name}"),
    };
    format!("{} on {resource} at the {}", need.operation.name(), side(need.side))
}

/// What the link works with: topics that show and topics that it names, groups the same way.
async fn reach(
    name: &str,
    link: &LinkSpec,
    source: &Cluster,
    dest: &Cluster,
    found: &mut LinkFound,
) -> Reach {
    let (here, there) = (source.metadata(), dest.metadata());
    let shown = here.topics.iter().filter(|(name, topic)| link.topics.takes(name, topic.internal));
    let mut topics: BTreeSet<String> = shown.map(|(name, _)| name.to_string()).collect();
    found.topics = topics.len();
    let named = link.topics.include.written().filter_map(literal);
    topics.extend(named.filter(|topic| link.topics.takes(topic, false)));
    if found.topics == 0 {
        let what = "no topic of the source matches that may be seen: either there is none yet, or Describe is missing";
        found.notes.push(what.to_owned());
    }
    let dest_topics = topics
        .iter()
        .map(|topic| {
            let becomes = link.rename.dest_name(topic).into_owned();
            let stands = there.topics.contains_key(becomes.as_str());
            (becomes, stands)
        })
        .collect();
    let groups = match groups(link, source).await {
        Ok(groups) => groups,
        Err(error) => {
            found.unknown.push(format!("the groups of the source: {error}"));
            Vec::new()
        }
    };
    if groups.len() > GROUPS_MAX {
        found.notes.push(format!("of {} groups the first {GROUPS_MAX} were looked at", groups.len()));
    }
    let groups = groups.into_iter().take(GROUPS_MAX).collect();
    Reach { link: name.to_owned(), source_topics: topics.into_iter().collect(), dest_topics, groups }
}

async fn groups(link: &LinkSpec, source: &Cluster) -> Result<Vec<String>, Error> {
    let Some(policy) = &link.groups else { return Ok(Vec::new()) };
    let named = policy.selection.include.written().filter_map(literal);
    let listed = list_groups(source).await?.into_iter().map(|listed| listed.group);
    let all: BTreeSet<String> = named.chain(listed).filter(|group| policy.selection.takes(group)).collect();
    Ok(all.into_iter().collect())
}

/// Asks one cluster about everything that the link needs there. What cannot be asked stays unknown, with the reason.
async fn learn(at: Side, cluster: &Cluster, reach: &Reach, found: &mut LinkFound) -> Allowed {
    let mut allowed = Allowed::default();
    if let Err(error) = learn_all(at, cluster, reach, &mut allowed).await {
        found.unknown.push(format!("rights on the {}: {error}", side(at)));
    }
    allowed
}

async fn learn_all(at: Side, cluster: &Cluster, reach: &Reach, allowed: &mut Allowed) -> Result<(), Error> {
    let connection = cluster.any().await?;
    let groups: Vec<&str> = reach.groups.iter().map(String::as_str).collect();
    learn_passport(&connection, allowed).await?;
    match at {
        Side::Source => {
            learn_masks(&connection, &reach.source_topics, allowed).await?;
            let hidden = without(&reach.source_topics, Operation::DescribeConfigs, allowed);
            learn_describe_configs(cluster, &hidden, allowed).await?;
            if !groups.is_empty() {
                learn_groups_describe(&connection, &groups, allowed).await?;
            }
        }
        Side::Dest => {
            let topics: Vec<String> = reach.dest_topics.iter().map(|(name, _)| name.clone()).collect();
            learn_masks(&connection, &topics, allowed).await?;
            let hidden = without(&topics, Operation::DescribeConfigs, allowed);
            learn_describe_configs(cluster, &hidden, allowed).await?;
            learn_create_and_alter_configs(cluster, &hidden, allowed).await?;
            if allowed.allows(&Resource::Cluster, Operation::DescribeConfigs).is_none() {
                learn_cluster_configs(cluster, allowed).await?;
            }
            let id = transactional_id(&reach.link);
            learn_transactional_id(&connection, &id, allowed).await?;
            let absent = without(&topics, Operation::Read, allowed);
            learn_on_absent(cluster, &absent, &id, allowed).await?;
            let markers = allowed.allows(&Resource::Cluster, Operation::Alter) == Some(true);
            if !markers {
                learn_transactional_id(&connection, &format!("{id}.filler"), allowed).await?;
            }
            learn_group_read(&connection, &id, allowed).await?;
            for group in groups {
                learn_group_read(&connection, group, allowed).await?;
            }
        }
    }
    Ok(())
}

/// Whoever may see that the topic is not there has no mask of it, and is asked for READ alone.
async fn learn_passport(connection: &Connection, allowed: &mut Allowed) -> Result<(), Error> {
    let passport = [TOPIC.to_owned()];
    match learn_masks(connection, &passport, allowed).await {
        // A source below Kafka 2.3 tells nothing of this kind; the rest of it may still be looked at.
        Err(Error::Unsupported { .. }) => return Ok(()),
        learnt => learnt?,
    }
    let unclear = without(&passport, Operation::Read, allowed);
    if unclear.is_empty() {
        return Ok(());
    }
    match learn_read_on_absent(connection, &unclear, allowed).await {
        // Likewise below Kafka 2.8.
        Err(Error::Unsupported { .. }) => Ok(()),
        learnt => learnt,
    }
}

/// Topics about which an operation is not known: those that hide or are not there have no mask.
fn without(topics: &[String], operation: Operation, allowed: &Allowed) -> Vec<String> {
    let unknown = |name: &&String| allowed.allows(&Resource::Topic((*name).clone()), operation).is_none();
    topics.iter().filter(unknown).cloned().collect()
}
