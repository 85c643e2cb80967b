//! The topic fence (M25): `max.message.bytes` of the link's topics, lowered in two steps and put back exactly.
//! Proven by canaries: batches with a wrong checksum. A broker looks at the size before it looks at the checksum, so that
//! a closed partition answers "too large" and an open one "corrupt", and neither ever takes them.
//! Promises: previous values are in the passport first; "was unset" is kept apart from every value.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use lockstep_batch::build::batch;
use lockstep_batch::header::{Codec, HEADER_LEN, HEADER_PART};
use lockstep_batch::records::Record;
use lockstep_core::dr::fence::{MAX_MESSAGE_BYTES, TopicStage, previous};
use lockstep_core::dr::passport::ChangesRecord;
use lockstep_core::ids::TopicPartition;
use lockstep_kafka::admin::{ConfigSource, ConfigTarget, describe_configs, incremental_alter_configs};
use lockstep_kafka::{ErrorCode, ProduceBatch, submit_produce};
use tokio::time::{Instant, sleep};

use super::fault::DriverError;
use super::logs::{Group, Look, PATIENCE, PAUSE, by_leader};
use super::site::Site;

/// Topics described in one request.
const TOPICS_AT_ONCE: usize = 200;
const CANARY_TIMEOUT: Duration = Duration::from_secs(5);
/// A restored value below this would refuse the smallest canary, too.
const CANARY_SMALLEST: u64 = 100;

/// Settings of topics that are set on the topics themselves.
pub(super) type Overrides = BTreeMap<String, BTreeMap<String, String>>;

/// The topics' own settings.
pub(super) async fn overrides(site: &Site, topics: &BTreeSet<String>) -> Result<Overrides, DriverError> {
    let all: Vec<_> = topics.iter().map(|name| ConfigTarget::Topic(name.clone())).collect();
    let mut found = Overrides::new();
    for chunk in all.chunks(TOPICS_AT_ONCE) {
        for (target, entries) in describe_configs(&site.cluster, chunk).await? {
            let ConfigTarget::Topic(name) = target else { continue };
            let entries = entries.map_err(|(code, _)| DriverError::Refused {
                what: "reading the settings of",
                about: name.clone(),
                code,
            })?;
            let own = entries.into_iter().filter(|entry| entry.source == ConfigSource::DynamicTopic);
            found.insert(name, own.filter_map(|entry| Some((entry.name, entry.value?))).collect());
        }
    }
    Ok(found)
}

/// Which topics are brought to a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// Those that are not closed at all: a repeated freeze does not reopen what was settled.
    AtLeast,
    /// Every one, up or down.
    Exactly,
}

/// Closes topics to this stage. Not confirmed yet: [`confirm`] does.
pub(super) async fn close(
    site: &Site,
    topics: &BTreeSet<String>,
    stage: TopicStage,
    reach: Reach,
    generation: u64,
) -> Result<(), DriverError> {
    let overrides = overrides(site, topics).await?;
    let mut changes = site.passport().await?.changes;
    let before = changes.clone();
    let mut wanted = Vec::new();
    for (topic, own) in &overrides {
        let now = own.get(MAX_MESSAGE_BYTES).map(String::as_str);
        let noted = changes.settings.entry(topic.clone()).or_default();
        let earlier = noted.get(MAX_MESSAGE_BYTES).cloned();
        noted.insert(MAX_MESSAGE_BYTES.to_owned(), previous(now, earlier.as_ref()));
        let stands = TopicStage::of_value(now);
        let is_there = if reach == Reach::AtLeast { stands.is_some() } else { stands == Some(stage) };
        if !is_there {
            wanted.push(topic);
        }
    }
    if changes != before {
        // M27: before the act.
        site.note_changes(ChangesRecord { generation, ..changes }).await?;
    }
    for topic in wanted {
        let change = [(MAX_MESSAGE_BYTES, Some(stage.value()))];
        incremental_alter_configs(&site.cluster, topic, &change).await?;
        tracing::info!(link = site.link, topic, value = stage.value(), "max.message.bytes lowered: fenced");
    }
    Ok(())
}

/// Puts every previous value back, and confirms on the leaders that batches are looked at again.
pub(super) async fn lift(site: &Site, partitions: &[TopicPartition]) -> Result<(), DriverError> {
    let changes = site.passport().await?.changes;
    let mut provable = Vec::new();
    for (topic, settings) in &changes.settings {
        if !site.cluster.metadata().topics.contains_key(topic.as_str()) {
            continue;
        }
        let restored: Vec<_> =
            settings.iter().map(|(name, previous)| (name.as_str(), previous.restored())).collect();
        incremental_alter_configs(&site.cluster, topic, &restored).await?;
        tracing::info!(link = site.link, topic, "the topic fence is lifted");
        let is_tiny = |value: &str| value.parse().is_ok_and(|bytes: u64| bytes < CANARY_SMALLEST);
        if !settings.get(MAX_MESSAGE_BYTES).and_then(|value| value.restored()).is_some_and(is_tiny) {
            provable.extend(partitions.iter().filter(|tp| *tp.topic == **topic).cloned());
        }
    }
    prove(site, &provable, Canary::Small, ErrorCode::CORRUPT_MESSAGE, "lifting the topic fence").await?;
    if !changes.settings.is_empty() {
        site.note_changes(ChangesRecord { settings: BTreeMap::new(), ..changes }).await?;
    }
    Ok(())
}

/// Every leader refuses what this stage stops.
pub(super) async fn confirm(
    site: &Site,
    partitions: &[TopicPartition],
    stage: TopicStage,
) -> Result<(), DriverError> {
    let canary = match stage {
        TopicStage::MarkersOnly => Canary::Ordinary,
        TopicStage::Closed => Canary::Small,
    };
    prove(site, partitions, canary, ErrorCode::MESSAGE_TOO_LARGE, "the topic fence").await
}

/// A batch that no broker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Canary {
    /// Larger than a marker.
    Ordinary,
    /// Not larger than a marker.
    Small,
}

impl Canary {
    fn batch(self) -> Option<ProduceBatch> {
        let value = match self {
            Self::Ordinary => Bytes::from_static(&[b'c'; 64]),
            Self::Small => Bytes::from_static(b"c"),
        };
        let record = Record { offset: 0, timestamp: 0, key: None, value: Some(value), headers: Vec::new() };
        let built = batch(&[record], Codec::None, -1).ok()?;
        let mut bytes = BytesMut::from(built.bytes().as_ref());
        // The checksum stands right before what it covers.
        for byte in &mut bytes[HEADER_PART.start - 4..HEADER_PART.start] {
            *byte ^= 0xff;
        }
        let bytes = bytes.freeze();
        Some(ProduceBatch { header: bytes.slice(..HEADER_LEN), payload: bytes.slice(HEADER_LEN..) })
    }
}

/// Sends canaries until every partition's leader answers with `wanted`.
async fn prove(
    site: &Site,
    partitions: &[TopicPartition],
    canary: Canary,
    wanted: ErrorCode,
    what: &'static str,
) -> Result<(), DriverError> {
    let deadline = Instant::now() + PATIENCE;
    let mut left: Vec<_> = partitions.to_vec();
    while !left.is_empty() {
        let why = match send(site, &left, canary, wanted).await {
            Ok(unproven) => match unproven.first() {
                None => return Ok(()),
                Some((tp, why)) => {
                    let why = format!("{tp}: {why}");
                    left = unproven.into_iter().map(|(tp, _)| tp).collect();
                    why
                }
            },
            Err(Look::Final(error)) => return Err(error),
            Err(Look::Again(why)) => why,
        };
        if Instant::now() >= deadline {
            return Err(DriverError::Unconfirmed { what, seconds: PATIENCE.as_secs(), why });
        }
        sleep(PAUSE).await;
        site.cluster.refresh().await?;
    }
    Ok(())
}

async fn send(
    site: &Site,
    partitions: &[TopicPartition],
    canary: Canary,
    wanted: ErrorCode,
) -> Result<Vec<(TopicPartition, String)>, Look> {
    let mut unproven = Vec::new();
    for (node, group) in by_leader(&site.cluster, partitions).map_err(Look::Again)? {
        let connection = site.cluster.connection(node).await?;
        let Some(batches) = batches(group, canary) else {
            return Err(Look::Again("no canary could be built".to_owned()));
        };
        let answers = submit_produce(&connection, batches, CANARY_TIMEOUT).await?.answer().await?;
        for answer in answers {
            match answer.error {
                Some(code) if code == wanted => {}
                Some(code) if code.is_missing_permission() => {
                    let (what, about) = ("proving the fence with a write to", answer.tp.to_string());
                    return Err(Look::Final(DriverError::Refused { what, about, code }));
                }
                Some(code) => unproven.push((answer.tp, code.to_string())),
                None => unproven.push((answer.tp, "the canary was taken".to_owned())),
            }
        }
    }
    Ok(unproven)
}

fn batches(group: Group, canary: Canary) -> Option<Vec<(TopicPartition, ProduceBatch)>> {
    group.into_iter().map(|(tp, _)| Some((tp, canary.batch()?))).collect()
}

#[cfg(test)]
mod tests {
    use lockstep_batch::view::BatchView;

    use super::*;

    #[test]
    fn canaries_are_on_either_side_of_a_marker_and_never_valid() {
        let whole = |canary: Canary| {
            let batch = canary.batch().unwrap();
            [batch.header, batch.payload].concat()
        };
        let (ordinary, small) = (whole(Canary::Ordinary), whole(Canary::Small));
        assert!(ordinary.len() > 78 && small.len() <= 78, "{} {}", ordinary.len(), small.len());
        for bytes in [ordinary, small] {
            assert!(!BatchView::parse(&bytes).unwrap().checksum_holds());
        }
    }
}
