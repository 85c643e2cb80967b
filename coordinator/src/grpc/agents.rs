//! The door for agents: finds out who knocks and opens its session. Everything else is [`crate::dispatch`]'s.

use lockstep_proto::agent::agents_server::Agents;
use lockstep_proto::agent::{FromAgent, ToAgent};
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::shown;
use crate::dispatch::{Desk, open};

pub(super) struct AgentsDoor {
    desk: Desk,
}

impl AgentsDoor {
    pub(super) fn new(desk: Desk) -> Self {
        Self { desk }
    }
}

#[tonic::async_trait]
impl Agents for AgentsDoor {
    type SessionStream = ReceiverStream<Result<ToAgent, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<FromAgent>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let (holder, until) =
            shown(&request).map_err(|nobody| Status::unauthenticated(nobody.to_string()))?;
        let outbox = open(&self.desk, holder, until, request.into_inner()).map_err(|status| *status)?;
        Ok(Response::new(ReceiverStream::new(outbox)))
    }
}
