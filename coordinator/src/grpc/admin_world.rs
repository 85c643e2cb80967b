//! Two coordinators over real TLS on loopback, one of which leads, and whoever calls them: what the tests of the
//! operators' door play with. They agree in memory; an agent answers what it is told to.

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::dr::lease::Terms;
use lockstep_core::spec::coordinator::{Grant, Reach, Role};
use lockstep_core::spec::select::Patterns;
use lockstep_core::state::{Command, Member};
use lockstep_proto::admin::admin_client::AdminClient;
use lockstep_proto::admin::{ApplyRequest, SpecFile};
use lockstep_proto::agent::agents_client::AgentsClient;
use lockstep_proto::agent::from_agent::Message as From;
use lockstep_proto::agent::to_agent::Message as To;
use lockstep_proto::agent::{Answer, Ask, FromAgent, Hello, answer};
use tokio::sync::{mpsc, watch};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};
use tonic::{Code, Request, Response, Status};

use super::*;
use crate::access::Access;
use crate::dispatch::{Lead, Leadership, Notice, Standing, Wanted};
use crate::papers::Pem;
use crate::peers::Peers;
use crate::testing::{Authority, Together};

pub(super) const SPEC: &str = "\
sites: { milano: {}, praha: {}, wien: { witness: true } }
clusters:
  mi: { site: milano, bootstrap: \"mi:9092\" }
  pr: { site: praha, bootstrap: \"pr:9092\" }
links:
  claims: { clusters: [mi, pr], prefer: mi, topics: \"claims.*\", rpo: 5s }
  payments: { clusters: [pr, mi], prefer: pr, topics: \"payments.*\" }
";

struct Always;

#[tonic::async_trait]
impl Leadership for Always {
    async fn confirm(&self) -> Result<(), Lead> {
        Ok(())
    }
}

/// One coordinator.
pub(super) struct Served {
    pub(super) address: String,
    pub(super) desk: Desk,
    pub(super) admin: Arc<Admin>,
    pub(super) together: Together,
    _standing: watch::Sender<Standing>,
    _notices: mpsc::Receiver<Notice>,
}

pub(super) struct World {
    pub(super) authority: Authority,
    pub(super) leader: Served,
    pub(super) follower: Served,
    _access: watch::Sender<Arc<Access>>,
}

fn access() -> Access {
    let grant = |operator: &str, role, links| Grant { operator: operator.to_owned(), role, links };
    let payments = Reach::Links(Patterns::new(["payments.*"]).unwrap());
    Access::new(vec![
        grant("ada", Role::Admin, Reach::All),
        grant("bob", Role::Viewer, Reach::All),
        grant("pia", Role::Operator, payments),
    ])
}

/// Listens before anybody knows it: its address stands in the agreement.
pub(super) async fn bound() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

pub(super) fn member(id: u64, address: &str) -> Member {
    let site = ["milano", "praha", "wien"][id as usize - 1].to_owned();
    Member { id, name: format!("c{id}"), site, address: address.to_owned() }
}

fn serve_one(
    authority: &Authority,
    (listener, address): (TcpListener, String),
    name: &str,
    together: Together,
    access: watch::Receiver<Arc<Access>>,
) -> Served {
    let own = authority.issue(&[&format!("lockstep://coordinator/{name}")]);
    let pem = Pem { authority: authority.pem.clone(), certificate: own.pem, key: own.key_pem };
    let papers = Papers::new(pem).unwrap().fixed();
    let standing = Standing {
        cluster_id: "0b6f".to_owned(),
        incarnation: 1,
        lead: Lead::Here,
        terms: Terms::default(),
        wanted: Arc::new(Wanted::default()),
    };
    let (standing, followed) = watch::channel(standing);
    let (noticed, notices) = mpsc::channel(64);
    let desk = Desk::new(Arc::new(Always), followed, noticed);
    let peers = Arc::new(Peers::new(papers.clone()));
    let admin = Arc::new(Admin::new(Arc::new(together.clone()), desk.clone(), access, peers));
    let services = Services { desk: desk.clone(), admin: Some(Arc::clone(&admin)), peers: None };
    tokio::spawn(async move { serve(listener, papers, services, std::future::pending()).await.unwrap() });
    Served { address, desk, admin, together, _standing: standing, _notices: notices }
}

pub(super) async fn world() -> World {
    let authority = Authority::new();
    let (granted, access) = watch::channel(Arc::new(access()));
    let (first, second) = (bound().await, bound().await);
    let together = Together::found(member(1, &first.1));
    let other = together.joined(member(2, &second.1));
    let leader = serve_one(&authority, first, "c1", together, access.clone());
    let follower = serve_one(&authority, second, "c2", other, access);
    World { authority, leader, follower, _access: granted }
}

pub(super) fn files(text: &str) -> Vec<SpecFile> {
    vec![SpecFile { name: "dr.yaml".to_owned(), text: text.to_owned() }]
}

pub(super) fn apply(text: &str, id: &str) -> ApplyRequest {
    ApplyRequest { files: files(text), request_id: id.to_owned(), ..ApplyRequest::default() }
}

pub(super) fn code<T: std::fmt::Debug>(outcome: Result<Response<T>, Status>) -> Code {
    outcome.unwrap_err().code()
}

pub(super) fn on_behalf<T>(message: T, of: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("lockstep-on-behalf-of", of.parse().unwrap());
    request.metadata_mut().insert("lockstep-from", "10.9.8.7:6".parse().unwrap());
    request
}

impl World {
    async fn channel(&self, address: &str, uri: &str) -> Channel {
        let own = self.authority.issue(&[uri]);
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&self.authority.pem))
            .identity(Identity::from_pem(&own.pem, &own.key_pem));
        let endpoint = Channel::from_shared(format!("https://{address}")).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await.unwrap()
    }

    /// Somebody at a coordinator's door.
    pub(super) async fn at(&self, served: &Served, uri: &str) -> AdminClient<Channel> {
        let client = AdminClient::new(self.channel(&served.address, uri).await);
        client.max_decoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// An operator at the leader's.
    pub(super) async fn operator(&self, name: &str) -> AdminClient<Channel> {
        self.at(&self.leader, &format!("lockstep://operator/{name}")).await
    }

    /// Registers an agent of praha and gives it all of a link.
    pub(super) fn works(&self, agent: &str, link: &str) {
        let site = "praha".to_owned();
        let (version, agent) = ("0.1.0".to_owned(), agent.to_owned());
        let register = Command::RegisterAgent { agent: agent.clone(), site, version, level: 1 };
        assert!(self.leader.together.agree(register).outcome.is_ok());
        let share = Command::Share { link: link.to_owned(), shares: [(agent, 1)].into() };
        assert!(self.leader.together.agree(share).outcome.is_ok());
    }

    /// An agent of praha that answers every question with what `says` makes of it.
    pub(super) async fn agent(
        &self,
        name: &str,
        says: impl Fn(&Ask) -> Option<answer::Outcome> + Send + 'static,
    ) {
        let channel = self.channel(&self.leader.address, &format!("lockstep://agent/praha/{name}")).await;
        let (outbox, sent) = mpsc::channel(16);
        let hello = Hello {
            cluster_id: "0b6f".to_owned(),
            agent: name.to_owned(),
            site: "praha".to_owned(),
            version: "0.1.0".to_owned(),
            level: 1,
            ..Hello::default()
        };
        outbox.send(FromAgent { message: Some(From::Hello(hello)) }).await.unwrap();
        let session = AgentsClient::new(channel).session(ReceiverStream::new(sent)).await.unwrap();
        let mut inbox = session.into_inner();
        assert!(matches!(inbox.message().await.unwrap().unwrap().message, Some(To::Welcome(_))));
        tokio::spawn(async move {
            while let Ok(Some(heard)) = inbox.message().await {
                let Some(To::Ask(ask)) = heard.message else { continue };
                if let Some(outcome) = says(&ask) {
                    let answer = Answer { id: ask.id, outcome: Some(outcome) };
                    outbox.send(FromAgent { message: Some(From::Answer(answer)) }).await.unwrap();
                }
            }
        });
        self.seated(name).await;
    }

    async fn seated(&self, name: &str) {
        for _ in 0..500 {
            if self.leader.desk.seats.heard().contains_key(name) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{name} has no seat");
    }
}
