//! The door for other coordinators: their streams, who wants to join, and events of the audit trail that somebody missed.
//! Promises: only coordinators of this system and incarnation are heard, each as the member that its certificate names.

use std::sync::Arc;
use std::time::UNIX_EPOCH;

use lockstep_core::state::{Member, known};
use lockstep_proto::peer::from_peer::Message;
use lockstep_proto::peer::peers_server::Peers as Service;
use lockstep_proto::peer::{
    Contact, FromPeer, IdentifyAnswer, IdentifyRequest, JoinAnswer, JoinRequest, PeerGoodbye, PeerHello,
    TrailAnswer, TrailRequest,
};
use tokio::sync::watch;
use tonic::{Request, Response, Status, Streaming};

use super::holder;
use crate::agreement::{Agreement as _, NotDone};
use crate::holder::Holder;
use crate::member::{Council, Identity};
use crate::papers::Papers;

/// What the door needs to know.
pub struct PeersDoor {
    identity: Identity,
    council: Arc<Council>,
    papers: watch::Receiver<Arc<Papers>>,
}

impl PeersDoor {
    #[must_use]
    pub fn new(identity: Identity, council: Arc<Council>, papers: watch::Receiver<Arc<Papers>>) -> Self {
        Self { identity, council, papers }
    }

    /// The name in the coordinator's certificate.
    fn name<T>(request: &Request<T>) -> Result<String, Status> {
        match holder(request).map_err(|nobody| Status::unauthenticated(nobody.to_string()))? {
            Holder::Coordinator { name } => Ok(name),
            other => {
                let words = format!(
                    "{other} is no coordinator: only certificates lockstep://coordinator/NAME may ask this"
                );
                Err(Status::permission_denied(words))
            }
        }
    }

    fn admit(&self, name: &str, hello: &PeerHello) -> Result<(), Status> {
        let (ours, refused) = (&self.identity, |words: String| Err(Status::failed_precondition(words)));
        if hello.cluster_id != ours.cluster_id {
            return refused(format!(
                "coordinator {name} belongs to system {:?}, this one to {:?}",
                hello.cluster_id, ours.cluster_id
            ));
        }
        if hello.incarnation != ours.incarnation {
            let behind = if hello.incarnation < ours.incarnation { name } else { &ours.member.name };
            return refused(format!(
                "{name} is of incarnation {}, {} of {}: after a forced recovery {behind} has to set its folder aside and join \
                 anew (lockstep coordinator join)",
                hello.incarnation, ours.member.name, ours.incarnation
            ));
        }
        if hello.to != ours.member.id {
            return refused(format!("this is member {}, not {}", ours.member.id, hello.to));
        }
        let position = self.council.position();
        // A member that joins knows nobody yet but those who let it.
        let known = position.seat(hello.from).map(|seat| &seat.member);
        let contact = || ours.contacts.iter().find(|contact| contact.id == hello.from);
        match known.or_else(contact) {
            Some(member) if member.name == name => Ok(()),
            Some(member) => {
                refused(format!("member {} is {}, the certificate says {name}", hello.from, member.name))
            }
            None if position.seats.is_empty() => Ok(()),
            None => refused(format!(
                "{name} (member {}) is no member here: it was removed, or never joined",
                hello.from
            )),
        }
    }
}

#[tonic::async_trait]
impl Service for PeersDoor {
    async fn consensus(
        &self,
        request: Request<Streaming<FromPeer>>,
    ) -> Result<Response<PeerGoodbye>, Status> {
        let name = Self::name(&request)?;
        let mut stream = request.into_inner();
        let Some(FromPeer { message: Some(Message::Hello(hello)) }) = stream.message().await? else {
            return Err(Status::invalid_argument("the first message must be hello"));
        };
        if let Err(status) = self.admit(&name, &hello) {
            tracing::warn!(member = name, "a coordinator is refused: {}", status.message());
            return Err(status);
        }
        while let Some(message) = stream.message().await? {
            // A kind of a newer version is passed over.
            let Some(Message::Step(step)) = message.message else { continue };
            self.council
                .step(step.to_vec())
                .await
                .map_err(|stopped| Status::unavailable(stopped.to_string()))?;
        }
        Ok(Response::new(PeerGoodbye {}))
    }

    async fn identify(&self, request: Request<IdentifyRequest>) -> Result<Response<IdentifyAnswer>, Status> {
        Self::name(&request)?;
        let ours = &self.identity;
        let until = self.papers.borrow().valid_until().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Response::new(IdentifyAnswer {
            cluster_id: ours.cluster_id.clone(),
            incarnation: ours.incarnation,
            member: ours.member.id,
            name: ours.member.name.clone(),
            site: ours.member.site.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            level: known(),
            certificate_valid_until_seconds: until.as_secs(),
        }))
    }

    async fn join(&self, request: Request<JoinRequest>) -> Result<Response<JoinAnswer>, Status> {
        let from = request.remote_addr().map(|address| address.to_string());
        let name = Self::name(&request)?;
        let asked = request.into_inner();
        if asked.name != name {
            let words = format!("the coordinator calls itself {}, its certificate says {name}", asked.name);
            return Err(Status::permission_denied(words));
        }
        let state = self.council.state();
        if asked.level < state.level() {
            let words = format!(
                "{name} runs version {} and knows entries up to level {}, the system uses level {}: install the version that \
                 the others run",
                asked.version,
                asked.level,
                state.level()
            );
            return Err(Status::failed_precondition(words));
        }
        let comes = Member { id: 0, name, site: asked.site, address: asked.address };
        match self.council.let_in(comes, from).await {
            Ok(member) => Ok(Response::new(self.welcome(&member))),
            Err(NotDone::NotLeader { leader }) => {
                let position = self.council.position();
                let seat = leader.and_then(|leader| position.seat(leader));
                let Some(seat) = seat else {
                    return Err(Status::unavailable(
                        "the coordinators have no leader at the moment: ask again",
                    ));
                };
                Ok(Response::new(JoinAnswer {
                    leader_address: seat.member.address.clone(),
                    ..JoinAnswer::default()
                }))
            }
            Err(NotDone::Refused(why)) => Err(Status::failed_precondition(why)),
            Err(other) => Err(Status::unavailable(other.to_string())),
        }
    }

    async fn trail(&self, request: Request<TrailRequest>) -> Result<Response<TrailAnswer>, Status> {
        Self::name(&request)?;
        let page = self.council.audit(request.into_inner().from_seq).await;
        let page = page.map_err(|not_done| Status::unavailable(not_done.to_string()))?;
        let texts = page.events.iter().map(serde_json::to_string).collect::<Result<_, _>>();
        let events = texts.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(TrailAnswer { events }))
    }
}

impl PeersDoor {
    fn welcome(&self, member: &Member) -> JoinAnswer {
        let seats = self.council.position().seats.into_iter().map(|seat| seat.member);
        let contact = |member: Member| Contact {
            id: member.id,
            name: member.name,
            site: member.site,
            address: member.address,
        };
        JoinAnswer {
            leader_address: String::new(),
            cluster_id: self.identity.cluster_id.clone(),
            incarnation: self.identity.incarnation,
            member: member.id,
            contacts: seats.map(contact).collect(),
        }
    }
}
