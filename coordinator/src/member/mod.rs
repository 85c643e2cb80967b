//! One coordinator's process, from its folder to its door.
//!
//! ```text
//! found │ join │ recover (nobody runs) ─► folder ─► run: node (a thread) ─ council ─┬─ leading (only the leader)
//!                                                    └ wire ─► other members        └─ grpc: agents, operators, peers
//! ```
//!
//! | file | does |
//! |---|---|
//! | `folder` | who a folder's member is; one process at a time |
//! | `trail` | the audit trail on disk |
//! | `machine` | what the log makes of a member |
//! | `council` | all coordinators as one, seen from here |
//! | `leading`, `sharing`, `tidying` | what the leader does; who works on which link; what a removed one leaves |
//! | `wire` | streams to the other members |
//! | `catching_up` | events of the trail that a snapshot left out |
//! | `http`, `figures` | what it tells monitoring |
//! | `joining` | how a new member gets its seat |

mod catching_up;
mod council;
mod figures;
mod folder;
mod http;
mod joining;
mod leading;
mod machine;
mod sharing;
#[cfg(test)]
mod tests;
mod tidying;
mod trail;
mod wire;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::dr::lease::Terms;
use lockstep_core::spec::coordinator::CoordinatorSpec;
use lockstep_core::spec::daemon::Listen;
use lockstep_core::state::Member;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::access::Access;
use crate::admin::Admin;
use crate::agreement::{Agreement as _, SeatKind};
use crate::consensus::{self, Fault, Last, Node, Pace};
use crate::dispatch::{Desk, NOTICES_MAX};
use crate::grpc::{PeersDoor, Services, serve};
use crate::papers::{self, Papers, Unfit};
use crate::peers::Peers;
use folder::Folder;
use http::Told;
use machine::Agreed;
use trail::Trail;

pub use council::Council;
pub use folder::{FolderFault, Identity};
pub use joining::{JoinFault, join};
pub use trail::TrailFault;

/// As the agreed state counts them.
const FIRST_INCARNATION: u64 = 1;
/// How long a leader that stops waits for another one to take over.
const HANDOVER: Duration = Duration::from_secs(3);

/// Why a coordinator does not start, or stops by itself.
#[derive(Debug, Error)]
pub enum MemberFault {
    #[error(transparent)]
    Folder(#[from] FolderFault),
    #[error(transparent)]
    Consensus(#[from] Fault),
    #[error(transparent)]
    Trail(#[from] TrailFault),
    #[error("{path}: {why}")]
    File { path: PathBuf, why: std::io::Error },
    #[error("{path}: {why}; a coordinator's certificate has the SAN URI lockstep://coordinator/{name}")]
    Certificate { path: PathBuf, why: Unfit, name: String },
    #[error(
        "coordinator.yaml says {what} {says:?}, the data folder belongs to {what} {is:?}: use the folder's own file"
    )]
    Another { what: &'static str, says: String, is: String },
    #[error("cannot listen on {address}: {why}")]
    Listen { address: String, why: std::io::Error },
    #[error("the door broke: {0}")]
    Door(String),
    #[error("the consensus broke off; the log above says where")]
    Broken,
}

/// What a forced recovery left.
#[derive(Clone, Debug)]
pub struct Recovered {
    pub identity: Identity,
    pub last: Last,
}

/// Makes an empty folder that of a new system's first coordinator.
///
/// # Errors
/// [`MemberFault`]; nothing is there that was not before, or everything.
pub fn found(spec: &CoordinatorSpec, address: &str) -> Result<Identity, MemberFault> {
    let folder = Folder::open(&spec.data)?;
    folder.expect_nobody()?;
    let member =
        Member { id: 1, name: spec.name.clone(), site: spec.site.clone(), address: address.to_owned() };
    let (log, snapshots) = folder.stores()?;
    let mut machine = Agreed::new(Trail::open(folder.path())?);
    consensus::found(log, snapshots, &mut machine, member.clone())?;
    let identity = Identity::new(uuid::Uuid::new_v4().to_string(), FIRST_INCARNATION, member, Vec::new());
    folder.put_identity(&identity)?;
    Ok(identity)
}

/// How far a stopped member's log goes: of several survivors the one with the highest is to be recovered.
///
/// # Errors
/// [`MemberFault`].
pub fn last(spec: &CoordinatorSpec) -> Result<Last, MemberFault> {
    let folder = Folder::open(&spec.data)?;
    folder.identity()?;
    let (log, snapshots) = folder.stores()?;
    Ok(consensus::last(log, snapshots)?)
}

/// Makes a survivor the only coordinator, of an incarnation that all others are refused for. For when a majority is lost
/// for good.
///
/// # Errors
/// [`MemberFault`]; until the last step everything is as before, and it can be asked again.
pub fn recover(spec: &CoordinatorSpec, reason: &str) -> Result<Recovered, MemberFault> {
    let folder = Folder::open(&spec.data)?;
    let before = folder.identity()?;
    let (log, snapshots) = folder.stores()?;
    let mut machine = Agreed::new(Trail::open(folder.path())?);
    let last = consensus::recover(log, snapshots, &mut machine, before.member.clone())?;
    let seen = machine.shared().get().incarnation().max(before.incarnation);
    let identity = Identity {
        incarnation: seen + 1,
        contacts: Vec::new(),
        recovered_because: Some(reason.to_owned()),
        ..before
    };
    folder.put_identity(&identity)?;
    Ok(Recovered { identity, last })
}

/// What a running coordinator is given besides its file.
pub struct Surroundings<R> {
    /// What operators may do; changes are followed.
    pub access: watch::Receiver<Arc<Access>>,
    pub terms: Terms,
    pub pace: Pace,
    /// Called with the address it listens on once it does.
    pub ready: R,
}

/// Runs a coordinator until `stop` is over, or it must not go on. A leader that stops lets another one lead first.
///
/// # Errors
/// [`MemberFault`].
pub async fn run<R: FnOnce(SocketAddr, &Identity)>(
    spec: &CoordinatorSpec,
    around: Surroundings<R>,
    stop: impl Future<Output = ()>,
) -> Result<(), MemberFault> {
    let (papers, current) = watch::channel(Arc::new(papers(spec)?));
    let folder = Folder::open(&spec.data)?;
    let identity = folder.identity()?;
    expect(spec, &identity)?;
    let listener = TcpListener::bind(&spec.listen)
        .await
        .map_err(|why| MemberFault::Listen { address: spec.listen.clone(), why })?;
    let address =
        listener.local_addr().map_err(|why| MemberFault::Listen { address: spec.listen.clone(), why })?;
    let http = http_listener(&spec.http).await?;
    let started = start(&folder, &identity, &current, around.pace)?;
    let Started { council, mut ended } = started;
    let peers = Arc::new(Peers::new(current.clone()));
    let (notices_in, notices) = mpsc::channel(NOTICES_MAX);
    let (standing, seen) = watch::channel(leading::unknown(&identity, around.terms));
    let desk = Desk::new(Arc::new(council.clone()), seen, notices_in);
    let council_of_all: Arc<Council> = Arc::new(council.clone());
    let admin = Arc::new(Admin::new(council_of_all.clone(), desk.clone(), around.access, Arc::clone(&peers)));
    let told = Told { council: council.clone(), admin: Arc::clone(&admin), papers: current.clone() };
    let telling = http.map(|listener| tokio::spawn(http::serve(listener, told)));
    let services = Services {
        desk: desk.clone(),
        admin: Some(admin),
        peers: Some(PeersDoor::new(identity.clone(), council_of_all, current.clone())),
    };
    let leads = leading::Leading::new(
        council.clone(),
        desk,
        standing,
        notices,
        Arc::clone(&peers),
        (identity.clone(), around.terms),
    );
    let leading = tokio::spawn(leads.run());
    let catching_up = tokio::spawn(catching_up::run(council.clone(), peers));
    let following = tokio::spawn(papers::follow(spec.tls.clone(), spec.name.clone(), papers));
    let (close, closed) = oneshot::channel::<()>();
    let door = tokio::spawn(async move {
        // Closed by a word, or because whoever would say it is gone.
        serve(listener, current, services, async { drop(closed.await) }).await
    });
    (around.ready)(address, &identity);
    let end = tokio::select! {
        () = stop => {
            hand_over(&council).await;
            council.node().stop().await;
            let ended = ended.await;
            ended.unwrap_or(Err(MemberFault::Broken))
        }
        ended = &mut ended => ended.unwrap_or(Err(MemberFault::Broken)),
    };
    drop(close);
    // Every session ends with the leader's loop, which ends with the node.
    leading.abort();
    catching_up.abort();
    following.abort();
    telling.inspect(JoinHandle::abort);
    let door = timeout(HANDOVER, door).await;
    end?;
    match door {
        Ok(Ok(Err(error))) => Err(MemberFault::Door(lockstep_proto::with_causes(&error))),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Bound before anything is started, so that an address that is taken is said at once.
async fn http_listener(listen: &Listen) -> Result<Option<TcpListener>, MemberFault> {
    let Listen::At(address) = listen else { return Ok(None) };
    let listener = TcpListener::bind(address).await;
    listener.map(Some).map_err(|why| MemberFault::Listen { address: address.clone(), why })
}

struct Started {
    council: Council,
    /// When the node's thread has ended, and why.
    ended: oneshot::Receiver<Result<(), MemberFault>>,
}

/// The node on a thread of its own: a slow disk stops nobody else.
fn start(
    folder: &Folder,
    identity: &Identity,
    papers: &watch::Receiver<Arc<Papers>>,
    pace: Pace,
) -> Result<Started, MemberFault> {
    let trail = Trail::open(folder.path())?;
    let machine = Agreed::new(trail.clone());
    let shared = machine.shared();
    let (handle_in, handle_out) = mpsc::channel(1);
    // Connections of its own: what members agree on never waits behind calls that are passed on.
    let peers = Arc::new(Peers::new(papers.clone()));
    let wire = wire::Wire::new(identity.clone(), peers, handle_out);
    let stores = folder.stores()?;
    let contacts = identity.contacts.clone();
    let (node, handle) = Node::open(identity.member.id, pace, stores, machine, wire, contacts)?;
    // The channel is new and has room.
    let _ = handle_in.try_send(handle.clone());
    let (said, ended) = oneshot::channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|why| MemberFault::File { path: folder.path().to_owned(), why })?;
    let thread = std::thread::Builder::new().name("consensus".to_owned()).spawn(move || {
        let end = runtime.block_on(node.run());
        // Whoever ran it may have gone.
        let _ = said.send(end.map_err(MemberFault::from));
    });
    thread.map_err(|why| MemberFault::File { path: folder.path().to_owned(), why })?;
    Ok(Started { council: Council::new(handle, shared, trail), ended })
}

/// So that the others need no election.
async fn hand_over(council: &Council) {
    let position = council.position();
    if !position.leads() {
        return;
    }
    let voter =
        position.seats.iter().find(|seat| seat.kind == SeatKind::Voter && seat.member.id != position.id);
    let Some(voter) = voter else { return };
    if council.node().transfer(voter.member.id).await.is_ok() {
        let mut seen = council.node().position();
        // If nobody takes over in time, there is an election.
        let _ = timeout(HANDOVER, seen.wait_for(|position| !position.leads())).await;
    }
}

fn expect(spec: &CoordinatorSpec, identity: &Identity) -> Result<(), MemberFault> {
    let pairs = [("name", &spec.name, &identity.member.name), ("site", &spec.site, &identity.member.site)];
    for (what, says, is) in pairs {
        if says != is {
            return Err(MemberFault::Another { what, says: says.clone(), is: is.clone() });
        }
    }
    Ok(())
}

/// The certificates that the file names, looked at before anything is started.
fn papers(spec: &CoordinatorSpec) -> Result<Papers, MemberFault> {
    Papers::read(&spec.tls, &spec.name).map_err(|unfit| match unfit {
        Unfit::Unreadable { path, why } => MemberFault::File { path, why },
        why => MemberFault::Certificate { path: spec.tls.certificate.clone(), why, name: spec.name.clone() },
    })
}
