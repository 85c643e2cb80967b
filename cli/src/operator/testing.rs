//! A coordinator as tests play it: real mTLS on loopback, answers given beforehand.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use lockstep_core::spec::operator::OperatorSpec;
use lockstep_core::spec::tls::TlsFiles;
use lockstep_proto::admin::admin_server::{Admin, AdminServer};
use lockstep_proto::admin::{
    ApplyAnswer, ApplyRequest, AuditAnswer, AuditRequest, ChangeMembersAnswer, ChangeMembersRequest,
    DocumentAnswer, FinalizeAnswer, FinalizeRequest, ForgetAgentAnswer, ForgetAgentRequest, LinkRequest,
    MembersAnswer, MembersRequest, PlanAnswer, PlanRequest, ShowSpecAnswer, ShowSpecRequest, SnapshotAnswer,
    SnapshotRequest, StatusAnswer, StatusRequest,
};
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Certificate, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use super::Coordinators;
use crate::trial::authority::Authority;

/// One system's authority, and files for those who dial.
pub(crate) struct Trust {
    authority: Authority,
    folder: tempfile::TempDir,
}

impl Trust {
    pub(crate) fn new() -> Self {
        Self { authority: Authority::new().unwrap(), folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn coordinators(&self, addresses: &[&str]) -> Coordinators {
        self.coordinators_as(self, addresses)
    }

    /// With a certificate that `signer` issued.
    pub(crate) fn coordinators_as(&self, signer: &Self, addresses: &[&str]) -> Coordinators {
        let issued = signer.authority.issue("lockstep://operator/ada", &[]).unwrap();
        self.dial(&issued.pem, &issued.key_pem, addresses)
    }

    pub(crate) fn coordinators_expired(&self, addresses: &[&str]) -> Coordinators {
        let an_hour_ago = SystemTime::now() - Duration::from_secs(3_600);
        let issued = self.authority.issue_until("lockstep://operator/ada", &[], an_hour_ago).unwrap();
        self.dial(&issued.pem, &issued.key_pem, addresses)
    }

    fn dial(&self, certificate: &str, key: &str, addresses: &[&str]) -> Coordinators {
        let file = |name: &str, text: &str| -> PathBuf {
            let path = self.folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let tls = TlsFiles {
            ca: file("ca.pem", &self.authority.pem),
            certificate: file("ada.pem", certificate),
            key: file("ada.key", key),
        };
        let coordinators = addresses.iter().map(|address| (*address).to_owned()).collect();
        let file = self.folder.path().join("operator.yaml");
        Coordinators::new(&OperatorSpec { coordinators, tls }, &file).unwrap()
    }
}

/// What it answers.
#[derive(Clone, Default)]
pub(crate) struct Fake {
    /// To everything.
    pub(crate) fails_with: Option<Status>,
    /// Takes calls and never answers.
    pub(crate) is_mute: bool,
    pub(crate) plan: PlanAnswer,
    pub(crate) apply: ApplyAnswer,
    pub(crate) status: String,
    /// All events, one JSON object each.
    pub(crate) events: Vec<String>,
    pub(crate) head: (String, u64),
    pub(crate) leader: u64,
    pub(crate) calls: Arc<AtomicU32>,
}

pub(crate) struct Serving {
    pub(crate) address: String,
    /// Calls that came in.
    pub(crate) calls: Arc<AtomicU32>,
}

impl Fake {
    pub(crate) fn good() -> Self {
        Self { apply: ApplyAnswer { revision: 7, ..ApplyAnswer::default() }, ..Self::default() }
    }

    pub(crate) async fn serve(self, trust: &Trust) -> Serving {
        let issued = trust.authority.issue("lockstep://coordinator/c1", &["127.0.0.1"]).unwrap();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(issued.pem, issued.key_pem))
            .client_ca_root(Certificate::from_pem(&trust.authority.pem));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let calls = Arc::clone(&self.calls);
        let server = Server::builder().tls_config(tls).unwrap().add_service(AdminServer::new(self));
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        Serving { address, calls }
    }

    async fn answer<T>(&self, answer: T) -> Result<Response<T>, Status> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if self.is_mute {
            std::future::pending::<()>().await;
        }
        self.fails_with.clone().map_or_else(|| Ok(Response::new(answer)), Err)
    }
}

#[tonic::async_trait]
impl Admin for Fake {
    async fn plan(&self, _: Request<PlanRequest>) -> Result<Response<PlanAnswer>, Status> {
        self.answer(self.plan.clone()).await
    }

    async fn apply(&self, _: Request<ApplyRequest>) -> Result<Response<ApplyAnswer>, Status> {
        self.answer(self.apply.clone()).await
    }

    async fn show_spec(&self, _: Request<ShowSpecRequest>) -> Result<Response<ShowSpecAnswer>, Status> {
        self.answer(ShowSpecAnswer::default()).await
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<StatusAnswer>, Status> {
        self.answer(StatusAnswer { document: self.status.clone() }).await
    }

    async fn members(&self, _: Request<MembersRequest>) -> Result<Response<MembersAnswer>, Status> {
        self.answer(MembersAnswer {
            cluster_id: "0b6f".to_owned(),
            leader: self.leader,
            ..MembersAnswer::default()
        })
        .await
    }

    async fn change_members(
        &self,
        _: Request<ChangeMembersRequest>,
    ) -> Result<Response<ChangeMembersAnswer>, Status> {
        self.answer(ChangeMembersAnswer::default()).await
    }

    async fn snapshot(&self, _: Request<SnapshotRequest>) -> Result<Response<SnapshotAnswer>, Status> {
        self.answer(SnapshotAnswer::default()).await
    }

    async fn finalize(&self, _: Request<FinalizeRequest>) -> Result<Response<FinalizeAnswer>, Status> {
        self.answer(FinalizeAnswer::default()).await
    }

    async fn link_detail(&self, _: Request<LinkRequest>) -> Result<Response<DocumentAnswer>, Status> {
        self.answer(DocumentAnswer::default()).await
    }

    async fn history(&self, _: Request<LinkRequest>) -> Result<Response<DocumentAnswer>, Status> {
        self.answer(DocumentAnswer::default()).await
    }

    async fn groups(&self, _: Request<LinkRequest>) -> Result<Response<DocumentAnswer>, Status> {
        self.answer(DocumentAnswer::default()).await
    }

    async fn ready(&self, _: Request<LinkRequest>) -> Result<Response<DocumentAnswer>, Status> {
        self.answer(DocumentAnswer::default()).await
    }

    async fn forget_agent(
        &self,
        _: Request<ForgetAgentRequest>,
    ) -> Result<Response<ForgetAgentAnswer>, Status> {
        self.answer(ForgetAgentAnswer::default()).await
    }

    /// Two events a page.
    async fn audit(&self, request: Request<AuditRequest>) -> Result<Response<AuditAnswer>, Status> {
        let from = usize::try_from(request.into_inner().from_seq.max(1)).unwrap() - 1;
        let events: Vec<String> = self.events.iter().skip(from).take(2).cloned().collect();
        let next = from + events.len();
        let next_seq = if next < self.events.len() { next as u64 + 1 } else { 0 };
        let (head, head_seq) = self.head.clone();
        self.answer(AuditAnswer { events, next_seq, head, head_seq }).await
    }
}
