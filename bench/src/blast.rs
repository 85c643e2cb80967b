//! The destination's own limit: the batches of a load, produced from memory as a mirror's are: idempotent, acks=all, a
//! batch of each partition in a request of about 4 MiB, four requests on their way over one connection.
//! A mirror beside a source broker on the same cores cannot be faster; how near it comes is its share.

use std::collections::VecDeque;
use std::fs;
use std::time::{Duration, Instant};

use bytes::Bytes;
use lockstep_batch::{Stamp, next_sequence, obstacle, rewrite, split};
use lockstep_core::ids::{ProducerIdentity, TopicPartition};
use lockstep_kafka::admin::init_producer_id;
use lockstep_kafka::{Cluster, PendingProduce, ProduceBatch, submit_produce};
use lockstep_testkit::client::Admin;

use crate::Result;
use crate::load::Load;
use crate::site::Site;
use crate::watch::{connect, runtime};

/// As the mirror's sink has it (`agent/src/pipeline`).
const REQUEST_BYTES: usize = 4 << 20;
const REQUESTS_IN_FLIGHT: usize = 4;
const APPEND_TIMEOUT: Duration = Duration::from_secs(30);
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// One batch for each of some partitions.
type Request = Vec<(TopicPartition, ProduceBatch)>;

/// Produces all of a load into a new topic of the destination and removes it again: how long it took, from the first
/// request to the last acknowledgement.
///
/// # Errors
/// When a batch was not taken, or not at its place.
pub(crate) fn measure(site: &Site, load: &Load, topic: &str) -> Result<Duration> {
    let bootstrap = site.dest.bootstrap();
    let admin = Admin::of(&bootstrap)?;
    admin.create(topic, load.partitions, &[])?;
    let took = runtime()?.block_on(async {
        let cluster = connect(&bootstrap).await?;
        let identity = init_producer_id(&cluster, topic, None, TRANSACTION_TIMEOUT).await?;
        let requests = requests(load, topic, identity)?;
        blast(&cluster, topic, requests).await
    })?;
    admin.delete(topic)?;
    Ok(took)
}

async fn blast(cluster: &Cluster, topic: &str, requests: Vec<Request>) -> Result<Duration> {
    let metadata = cluster.refresh().await?;
    let (leader, _) = metadata.leader(&TopicPartition::new(topic, 0)).ok_or("the topic has no leader")?;
    let connection = cluster.dedicated(leader).await?;
    let start = Instant::now();
    let mut under_way: VecDeque<PendingProduce> = VecDeque::new();
    for request in requests {
        if under_way.len() == REQUESTS_IN_FLIGHT
            && let Some(oldest) = under_way.pop_front()
        {
            taken(oldest).await?;
        }
        under_way.push_back(submit_produce(&connection, request, APPEND_TIMEOUT).await?);
    }
    for pending in under_way {
        taken(pending).await?;
    }
    Ok(start.elapsed())
}

async fn taken(pending: PendingProduce) -> Result<()> {
    for result in pending.answer().await? {
        if let Some(code) = result.error {
            return Err(format!("{} refused a batch of the blast: {code}", result.tp).into());
        }
    }
    Ok(())
}

/// The load's batches with headers of their own, in requests.
fn requests(load: &Load, topic: &str, identity: ProducerIdentity) -> Result<Vec<Request>> {
    let mut queues = Vec::new();
    for partition in 0..load.partitions {
        queues.push((TopicPartition::new(topic, partition), batches(load, partition, identity)?));
    }
    let mut requests = Vec::new();
    let (mut request, mut bytes) = (Request::new(), 0);
    while queues.iter().any(|(_, queue)| !queue.is_empty()) {
        for (tp, queue) in &mut queues {
            let Some(batch) = queue.pop_front() else { continue };
            let size = batch.header.len() + batch.payload.len();
            if bytes + size > REQUEST_BYTES && !request.is_empty() {
                requests.push(std::mem::take(&mut request));
                bytes = 0;
            }
            bytes += size;
            request.push((tp.clone(), batch));
        }
        // A partition may come once in a request.
        requests.push(std::mem::take(&mut request));
        bytes = 0;
    }
    requests.retain(|request| !request.is_empty());
    Ok(requests)
}

fn batches(load: &Load, partition: i32, identity: ProducerIdentity) -> Result<VecDeque<ProduceBatch>> {
    let mut batches = VecDeque::new();
    let mut sequence = 0;
    for path in load.segments.iter().filter(|segment| segment.partition == partition) {
        for batch in split(Bytes::from(fs::read(&path.path)?)) {
            let batch = batch?;
            if let Some(obstacle) = obstacle(batch.header()) {
                return Err(format!("a batch of the load cannot be produced again: {obstacle:?}").into());
            }
            let stamp =
                Stamp { producer_id: identity.id, producer_epoch: identity.epoch, base_sequence: sequence };
            let stamped = rewrite(&batch, stamp);
            sequence = next_sequence(sequence, stamped.record_count());
            let header = Bytes::copy_from_slice(stamped.header());
            batches.push_back(ProduceBatch { header, payload: stamped.payload().clone() });
        }
    }
    Ok(batches)
}
