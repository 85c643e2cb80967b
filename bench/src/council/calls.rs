//! An operator's calls to one coordinator, over one connection that stays open.

use std::fs;
use std::time::Duration;

use lockstep_proto::admin::admin_client::AdminClient;
use lockstep_proto::admin::{
    ApplyRequest, ForgetAgentRequest, MembersRequest, SnapshotRequest, SpecFile, StatusRequest,
};
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::authority::Papers;
use crate::Result;

const DIAL: Duration = Duration::from_secs(2);
const ANSWER: Duration = Duration::from_secs(60);
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Copies share the connection.
#[derive(Clone)]
pub(crate) struct Operator(AdminClient<Channel>);

impl Operator {
    pub(super) async fn connect(address: &str, papers: &Papers) -> Result<Self> {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(fs::read(&papers.ca)?))
            .identity(Identity::from_pem(fs::read(&papers.certificate)?, fs::read(&papers.key)?));
        let endpoint = Endpoint::from_shared(format!("https://{address}"))?;
        let endpoint = endpoint.tls_config(tls)?.connect_timeout(DIAL).timeout(ANSWER);
        let channel = tokio::time::timeout(DIAL, endpoint.connect()).await??;
        Ok(Self(AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX)))
    }

    /// The leader's name, where one is known.
    pub(crate) async fn leader(&mut self) -> Result<Option<String>> {
        let answer = self.0.members(MembersRequest {}).await?.into_inner();
        Ok(answer.members.into_iter().find(|member| member.id == answer.leader).map(|member| member.name))
    }

    pub(crate) async fn votes(&mut self) -> Result<usize> {
        let answer = self.0.members(MembersRequest {}).await?.into_inner();
        Ok(answer.members.iter().filter(|member| !member.is_learner).count())
    }

    pub(crate) async fn apply(&mut self, id: &str, text: String) -> Result<()> {
        let files = vec![SpecFile { name: "dr.yaml".to_owned(), text }];
        let asked = ApplyRequest { files, request_id: id.to_owned(), ..ApplyRequest::default() };
        let answer = self.0.apply(asked).await?.into_inner();
        match answer.faults.first() {
            Some(fault) => Err(format!("the spec is not taken: {fault}").into()),
            None => Ok(()),
        }
    }

    /// One small entry of the log: an agent that nobody knows is forgotten. It is agreed on and written to the audit trail like
    /// every other entry, and changes nothing else.
    pub(crate) async fn propose(&mut self, agent: &str) -> Result<()> {
        let asked = ForgetAgentRequest { agent: agent.to_owned(), reason: None };
        match self.0.forget_agent(asked).await {
            Err(status) if status.code() == Code::NotFound => Ok(()),
            Err(status) => Err(status.into()),
            Ok(_) => Err(format!("there is an agent {agent:?}").into()),
        }
    }

    /// This one writes a snapshot now.
    pub(crate) async fn snapshot(&mut self) -> Result<()> {
        self.0.snapshot(SnapshotRequest {}).await?;
        Ok(())
    }

    /// The document; empty: of all links.
    pub(crate) async fn status(&mut self, link: &str) -> Result<String> {
        Ok(self.0.status(StatusRequest { link: link.to_owned() }).await?.into_inner().document)
    }
}
