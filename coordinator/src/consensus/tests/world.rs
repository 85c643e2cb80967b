//! Several members: each a task with a disk and a folder of its own; messages travel through this world's hands.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::super::{
    Change, Fault, Handle, LogStore, Machine, Node, OnDisk, Pace, Parcel, ParcelKind, Refused, Roster,
    Snapshots, Transport, found,
};
use super::disks::{Disk, Opened};
use crate::agreement::Position;
use crate::consensus::Delivery;
use lockstep_core::state::Member;

/// Keeps every entry: two members with the same list agree.
#[derive(Clone, Debug, Default)]
pub(super) struct List(pub(super) Arc<Mutex<Vec<String>>>);

impl List {
    pub(super) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Machine for List {
    /// The position in the list.
    type Answer = usize;

    fn apply(&mut self, _index: u64, data: &[u8]) -> Result<usize, String> {
        let word = String::from_utf8(data.to_vec()).map_err(|error| error.to_string())?;
        if word == "poison" {
            return Err("an entry that this version does not know".to_owned());
        }
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        list.push(word);
        Ok(list.len())
    }

    fn snapshot(&mut self) -> Result<Vec<u8>, String> {
        Ok(self.all().join("\n").into_bytes())
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), String> {
        let text = String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string())?;
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text.lines().map(str::to_owned).collect();
        Ok(())
    }
}

type Sent = (u64, u64, Parcel);

struct Wire {
    from: u64,
    out: mpsc::Sender<Sent>,
}

impl Transport for Wire {
    fn roster(&mut self, _roster: &Roster) {}

    fn send(&mut self, to: &Member, parcel: Parcel) {
        // What finds no room is lost, as on a network.
        let _ = self.out.try_send((self.from, to.id, parcel));
    }
}

pub(super) struct Running {
    pub(super) handle: Handle<usize>,
    pub(super) task: JoinHandle<Result<(), Fault>>,
    pub(super) list: List,
}

/// Everybody's handles, for whoever carries messages.
#[derive(Clone, Default)]
struct Net(Arc<Mutex<NetState>>);

#[derive(Default)]
struct NetState {
    handles: BTreeMap<u64, Handle<usize>>,
    cut: BTreeSet<u64>,
}

pub(super) struct World {
    pub(super) disks: BTreeMap<u64, Disk>,
    folders: BTreeMap<u64, TempDir>,
    pub(super) running: BTreeMap<u64, Running>,
    net: Net,
    out: mpsc::Sender<Sent>,
    pub(super) pace: Pace,
}

pub(super) fn member(id: u64) -> Member {
    Member { id, name: format!("c{id}"), site: "east".to_owned(), address: format!("c{id}:9470") }
}

impl World {
    /// One member that leads, and nobody else.
    pub(super) async fn founded() -> Self {
        let mut world = Self::empty(Pace::default());
        world.found(1);
        world.start(1);
        world.leader().await;
        world
    }

    pub(super) fn empty(pace: Pace) -> Self {
        let (out, sent) = mpsc::channel(4_096);
        let net = Net::default();
        tokio::spawn(carry(net.clone(), sent));
        Self { disks: BTreeMap::new(), folders: BTreeMap::new(), running: BTreeMap::new(), net, out, pace }
    }

    /// So many voters.
    pub(super) async fn of(count: u64) -> Self {
        let mut world = Self::founded().await;
        for id in 2..=count {
            world.join(id).await;
        }
        world
    }

    pub(super) fn found(&mut self, id: u64) {
        let stores = self.stores(id).unwrap();
        found(stores.0, stores.1, &mut List::default(), member(id)).unwrap();
    }

    pub(super) fn stores(&mut self, id: u64) -> Result<(LogStore, Snapshots), Fault> {
        let disk = self.disks.entry(id).or_default().clone();
        let folder = self.folder(id).to_owned();
        Ok((LogStore::over(Opened(disk))?, Snapshots::open(&folder, OnDisk)?))
    }

    pub(super) fn folder(&mut self, id: u64) -> &Path {
        self.folders.entry(id).or_insert_with(|| tempfile::tempdir().unwrap()).path()
    }

    pub(super) fn start(&mut self, id: u64) {
        let stores = self.stores(id).unwrap();
        self.start_on(id, stores);
    }

    pub(super) fn start_on(&mut self, id: u64, stores: (LogStore, Snapshots)) {
        let list = List::default();
        let contacts = (1..=7).map(member).collect();
        let wire = Wire { from: id, out: self.out.clone() };
        let (node, handle) = Node::open(id, self.pace.clone(), stores, list.clone(), wire, contacts).unwrap();
        let task = tokio::spawn(node.run());
        self.with_net(|net| net.handles.insert(id, handle.clone()));
        self.running.insert(id, Running { handle, task, list });
    }

    /// Ended in the middle of whatever it did, the power gone as well.
    pub(super) async fn kill(&mut self, id: u64) {
        if let Some(running) = self.running.remove(&id) {
            running.task.abort();
            let _ = running.task.await;
        }
        self.with_net(|net| net.handles.remove(&id));
        self.disks[&id].lose_power();
    }

    pub(super) async fn join(&mut self, id: u64) {
        self.start(id);
        self.change(&[Change::Learn(member(id))]).await;
        self.change(&[Change::Vote(member(id))]).await;
    }

    /// Asks whoever leads until it is done.
    pub(super) async fn change(&mut self, changes: &[Change]) {
        for _ in 0..200 {
            let leader = self.leader().await;
            match self.running[&leader].handle.change(changes.to_vec()).await {
                Ok(_) => return,
                Err(Refused::Stopped(why)) => panic!("stopped: {why}"),
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        panic!("the members were not changed: {changes:?}");
    }

    pub(super) async fn propose(&mut self, word: &str) -> Result<usize, Refused> {
        let leader = self.leader().await;
        self.running[&leader].handle.propose(word.as_bytes().to_vec()).await
    }

    /// The one that leads a majority.
    pub(super) async fn leader(&mut self) -> u64 {
        for _ in 0..600 {
            if let Some(id) = self.leader_now() {
                return id;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("nobody leads: {:?}", self.positions());
    }

    fn leader_now(&self) -> Option<u64> {
        let cut = self.with_net(|net| net.cut.clone());
        let leads = |id: &u64| {
            let position = self.position(*id);
            position.leads() && position.committed > 0 && !cut.contains(id)
        };
        self.running.keys().copied().filter(leads).max_by_key(|id| self.position(*id).term)
    }

    pub(super) fn position(&self, id: u64) -> Position {
        self.running[&id].handle.position().borrow().clone()
    }

    fn positions(&self) -> Vec<Position> {
        self.running.keys().map(|id| self.position(*id)).collect()
    }

    /// Nothing goes to these members or comes from them.
    pub(super) fn cut(&self, ids: &[u64]) {
        self.with_net(|net| net.cut = ids.iter().copied().collect());
    }

    /// Until everybody that runs has applied the same.
    pub(super) async fn same(&mut self) -> Vec<String> {
        for _ in 0..600 {
            let lists: BTreeSet<_> = self.running.values().map(|running| running.list.all()).collect();
            if lists.len() == 1 {
                return lists.into_iter().next().unwrap();
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("they do not agree: {:?}", self.positions());
    }

    fn with_net<T>(&self, act: impl FnOnce(&mut NetState) -> T) -> T {
        act(&mut self.net.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn carry(net: Net, mut sent: mpsc::Receiver<Sent>) {
    while let Some((from, to, parcel)) = sent.recv().await {
        let (sender, receiver) = {
            let net = net.0.lock().unwrap_or_else(PoisonError::into_inner);
            let is_cut = net.cut.contains(&from) || net.cut.contains(&to);
            let receiver = net.handles.get(&to).filter(|_| !is_cut).cloned();
            (net.handles.get(&from).cloned(), receiver)
        };
        let arrived = match receiver {
            Some(receiver) => receiver.step(parcel.bytes).await.is_ok(),
            None => false,
        };
        let Some(sender) = sender else { continue };
        if parcel.kind == ParcelKind::Snapshot {
            let delivery = if arrived { Delivery::Arrived } else { Delivery::Lost };
            let _ = sender.delivered(to, delivery).await;
        } else if !arrived {
            let _ = sender.unreachable(to).await;
        }
    }
}
