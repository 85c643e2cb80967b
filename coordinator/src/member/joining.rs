//! How a new coordinator gets its seat: it asks any member with its own certificate, is sent on to the leader, and keeps what
//! it is told in its folder. From then on it is started like any other; the leader sends it everything, then lets it vote.

use std::time::Duration;

use lockstep_core::spec::coordinator::CoordinatorSpec;
use lockstep_core::state::{Member, known};
use lockstep_proto::peer::{Contact, JoinAnswer, JoinRequest};
use lockstep_proto::with_causes;
use thiserror::Error;
use tokio::time::timeout;
use tonic::Status;

use super::folder::{Folder, Identity};
use super::{FolderFault, MemberFault, papers};
use crate::peers::Peers;

const PATIENCE: Duration = Duration::from_secs(15);
/// From whoever was asked to the leader, and once more if it changes meanwhile.
const HOPS_MAX: usize = 4;

/// Why somebody did not become a member. It can be asked again.
#[derive(Debug, Error)]
pub enum JoinFault {
    #[error(transparent)]
    Here(#[from] MemberFault),
    #[error("{address} cannot be reached: {why}")]
    Unreachable { address: String, why: String },
    #[error("{address}: {why}")]
    Refused { address: String, why: String },
    #[error(
        "the coordinators sent this one from one to the other {HOPS_MAX} times: ask again when they have a leader"
    )]
    Astray,
}

impl From<FolderFault> for JoinFault {
    fn from(fault: FolderFault) -> Self {
        Self::Here(fault.into())
    }
}

/// Asks a running coordinator at `to`; this one will be reached at `address`.
///
/// # Errors
/// [`JoinFault`]; the folder is as before.
pub async fn join(spec: &CoordinatorSpec, address: &str, to: &str) -> Result<Identity, JoinFault> {
    let papers = papers(spec)?.fixed();
    let folder = Folder::open(&spec.data)?;
    folder.expect_nobody()?;
    let peers = Peers::new(papers);
    let mut asked = to.to_owned();
    for _ in 0..HOPS_MAX {
        let answer = ask(&peers, spec, address, &asked).await?;
        if !answer.leader_address.is_empty() {
            asked = answer.leader_address;
            continue;
        }
        let identity = identity(spec, address, answer);
        folder.put_identity(&identity)?;
        return Ok(identity);
    }
    Err(JoinFault::Astray)
}

async fn ask(
    peers: &Peers,
    spec: &CoordinatorSpec,
    address: &str,
    to: &str,
) -> Result<JoinAnswer, JoinFault> {
    let unreachable = |why: String| JoinFault::Unreachable { address: to.to_owned(), why };
    let mut client = peers.peer(to).map_err(|error| unreachable(with_causes(&error)))?;
    let request = JoinRequest {
        name: spec.name.clone(),
        site: spec.site.clone(),
        address: address.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        level: known(),
    };
    match timeout(PATIENCE, client.join(request)).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(refused(to, &status)),
        Err(_) => Err(unreachable(format!("no answer within {} s", PATIENCE.as_secs()))),
    }
}

fn refused(to: &str, status: &Status) -> JoinFault {
    let address = to.to_owned();
    match std::error::Error::source(status) {
        Some(error) => JoinFault::Unreachable { address, why: with_causes(error) },
        None => JoinFault::Refused { address, why: status.message().to_owned() },
    }
}

fn identity(spec: &CoordinatorSpec, address: &str, answer: JoinAnswer) -> Identity {
    let member = Member {
        id: answer.member,
        name: spec.name.clone(),
        site: spec.site.clone(),
        address: address.to_owned(),
    };
    let contact = |contact: Contact| Member {
        id: contact.id,
        name: contact.name,
        site: contact.site,
        address: contact.address,
    };
    let contacts = answer.contacts.into_iter().map(contact).collect();
    Identity::new(answer.cluster_id, answer.incarnation, member, contacts)
}
