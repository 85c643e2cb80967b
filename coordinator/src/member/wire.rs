//! The way to the other members: one ordered stream to each, dialled when there is something to say. What finds no room is
//! dropped and said so; the consensus sends it again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::state::{Applied, Member};
use lockstep_proto::peer::from_peer::Message;
use lockstep_proto::peer::{FromPeer, PeerHello};
use lockstep_proto::with_causes;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;

use super::folder::Identity;
use crate::consensus::{Delivery, Handle, Parcel, ParcelKind, Roster, Transport};
use crate::peers::Peers;

/// Messages that wait for one member.
const QUEUE: usize = 256;
/// Messages between us and the socket.
const STREAM: usize = 16;
/// After a member could not be reached; what is said meanwhile is dropped.
const AGAIN: Duration = Duration::from_secs(1);
/// A stream that takes nothing for so long is broken.
const STUCK: Duration = Duration::from_secs(10);
/// A member that stays unreachable is mentioned this often.
const MENTION: u32 = 60;

/// The streams. Its tasks end when it is dropped.
pub(super) struct Wire {
    identity: Identity,
    peers: Arc<Peers>,
    /// Streams live beside the node, not on its thread.
    runtime: tokio::runtime::Handle,
    node: mpsc::Receiver<Handle<Applied>>,
    handle: Option<Handle<Applied>>,
    lines: BTreeMap<u64, Line>,
}

struct Line {
    address: String,
    queue: mpsc::Sender<Parcel>,
    task: AbortHandle,
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wire {
    /// `node`: where the handle of the node comes from, once it is there.
    pub(super) fn new(identity: Identity, peers: Arc<Peers>, node: mpsc::Receiver<Handle<Applied>>) -> Self {
        let runtime = tokio::runtime::Handle::current();
        Self { identity, peers, runtime, node, handle: None, lines: BTreeMap::new() }
    }

    fn line(&mut self, to: &Member) -> Option<&Line> {
        if self.handle.is_none() {
            self.handle = self.node.try_recv().ok();
        }
        let node = self.handle.clone()?;
        let is_old = self.lines.get(&to.id).is_some_and(|line| line.address != to.address);
        if is_old || !self.lines.contains_key(&to.id) {
            let (queue, parcels) = mpsc::channel(QUEUE);
            let hello = PeerHello {
                cluster_id: self.identity.cluster_id.clone(),
                incarnation: self.identity.incarnation,
                from: self.identity.member.id,
                to: to.id,
            };
            let talk = Talk { to: to.clone(), hello, peers: Arc::clone(&self.peers), node, parcels };
            let task = self.runtime.spawn(talk.run()).abort_handle();
            self.lines.insert(to.id, Line { address: to.address.clone(), queue, task });
        }
        self.lines.get(&to.id)
    }
}

impl Transport for Wire {
    fn roster(&mut self, roster: &Roster) {
        // A member that joins has an empty one, and talks to those who let it.
        if roster.members().next().is_some() {
            self.lines.retain(|id, _| roster.member(*id).is_some());
        }
    }

    fn send(&mut self, to: &Member, parcel: Parcel) {
        // Full or broken: the consensus notices by the silence.
        let _ = self.line(to).map(|line| line.queue.try_send(parcel));
    }
}

/// One member's stream.
struct Talk {
    to: Member,
    hello: PeerHello,
    peers: Arc<Peers>,
    node: Handle<Applied>,
    parcels: mpsc::Receiver<Parcel>,
}

impl Talk {
    async fn run(mut self) {
        let mut failures = 0;
        while let Some(first) = self.parcels.recv().await {
            let why = self.stream(first).await;
            // The node may have stopped.
            let _ = self.node.unreachable(self.to.id).await;
            if failures % MENTION == 0 {
                tracing::warn!(member = self.to.name, address = self.to.address, "not reached: {why}");
            }
            failures += 1;
            sleep(AGAIN).await;
            while let Ok(parcel) = self.parcels.try_recv() {
                self.lost(&parcel).await;
            }
        }
    }

    /// Until it breaks; why, in words.
    async fn stream(&mut self, first: Parcel) -> String {
        let mut client = match self.peers.peer(&self.to.address) {
            Ok(client) => client,
            Err(error) => return with_causes(&error),
        };
        let (out, stream) = mpsc::channel(STREAM);
        let hello = FromPeer { message: Some(Message::Hello(self.hello.clone())) };
        // The stream is new and has room.
        let _ = out.try_send(hello);
        let answer = client.consensus(ReceiverStream::new(stream));
        tokio::pin!(answer);
        let mut next = Some(first);
        loop {
            if let Some(parcel) = next.take() {
                let (id, kind) = (self.to.id, parcel.kind);
                let step = FromPeer { message: Some(Message::Step(parcel.bytes.into())) };
                let said = tokio::select! {
                    ended = &mut answer => Err(ended),
                    sent = timeout(STUCK, out.send(step)) => Ok(matches!(sent, Ok(Ok(())))),
                };
                let delivery = if matches!(said, Ok(true)) { Delivery::Arrived } else { Delivery::Lost };
                if kind == ParcelKind::Snapshot {
                    let _ = self.node.delivered(id, delivery).await;
                }
                match said {
                    Ok(true) => {}
                    Ok(false) => return format!("it takes nothing for {} s", STUCK.as_secs()),
                    Err(ended) => return reason(ended.err()),
                }
            }
            tokio::select! {
                ended = &mut answer => return reason(ended.err()),
                parcel = self.parcels.recv() => match parcel {
                    Some(parcel) => next = Some(parcel),
                    None => return "this member stops".to_owned(),
                },
            }
        }
    }

    async fn lost(&self, parcel: &Parcel) {
        if parcel.kind == ParcelKind::Snapshot {
            let _ = self.node.delivered(self.to.id, Delivery::Lost).await;
        }
    }
}

fn reason(status: Option<tonic::Status>) -> String {
    let Some(status) = status else { return "it ended the stream".to_owned() };
    match std::error::Error::source(&status) {
        Some(error) => with_causes(error),
        None => status.message().to_owned(),
    }
}
