//! When a cluster counts as up: every broker answers an independent client, and each of them knows all the others as
//! alive. A broker that is starting accepts connections long before it is a member.

use std::net::{Ipv4Addr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::node::Node;
use crate::{Error, client};

/// 3 to 4 s when idle; a busy machine may need far longer.
const LIMIT: Duration = Duration::from_secs(90);
const PAUSE: Duration = Duration::from_millis(20);
const ASK: Duration = Duration::from_millis(1_000);

pub(super) fn wait_for_all(nodes: &[Node]) -> Result<(), Error> {
    let deadline = Instant::now() + LIMIT;
    let mut everybody: Vec<i32> = nodes.iter().map(|node| node.id).collect();
    everybody.sort_unstable();
    for node in nodes {
        wait_for(node, nodes, deadline, |alive| alive == everybody)?;
    }
    Ok(())
}

/// After a restart: the node itself must be listed in its own answer; others may be down.
pub(super) fn wait_for_member(node: &Node) -> Result<(), Error> {
    let deadline = Instant::now() + LIMIT;
    wait_for(node, std::slice::from_ref(node), deadline, |alive| alive.contains(&node.id))
}

/// Asks `node` until `enough` likes the list of brokers alive, as long as `all` live.
fn wait_for(
    node: &Node,
    all: &[Node],
    deadline: Instant,
    enough: impl Fn(&[i32]) -> bool,
) -> Result<(), Error> {
    let mut answer = "no connection".to_owned();
    let mut asking: Option<BaseConsumer> = None;
    while Instant::now() < deadline {
        for one in all {
            one.must_run()?;
        }
        match &asking {
            None if TcpStream::connect((Ipv4Addr::LOCALHOST, node.ports.client)).is_ok() => {
                asking = Some(client::consumer(&format!("127.0.0.1:{}", node.ports.client), &[])?);
                continue;
            }
            None => {}
            // While ours fails to bind, a stranger may answer on its port.
            Some(client) if client.client().fetch_cluster_id(ASK).is_none_or(|id| id != node.cluster_id) => {
                answer = "no answer of this cluster".to_owned();
            }
            Some(client) => match alive(client) {
                Ok(alive) if enough(&alive) => return Ok(()),
                Ok(alive) => answer = format!("it knows brokers {alive:?}"),
                Err(cause) => answer = cause.to_string(),
            },
        }
        thread::sleep(PAUSE);
    }
    let detail = format!(": {answer}; see {}", node.log().display());
    Err(Error::TimedOut { what: format!("{} as a member of its cluster", node.name()), limit: LIMIT, detail })
}

fn alive(client: &BaseConsumer) -> Result<Vec<i32>, rdkafka::error::KafkaError> {
    let metadata = client.fetch_metadata(None, ASK)?;
    let mut ids: Vec<i32> = metadata.brokers().iter().map(|broker| broker.id()).collect();
    ids.sort_unstable();
    Ok(ids)
}
