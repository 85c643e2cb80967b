//! The door for operators: finds out who asks, brings the call to the leader, and answers with a status code where it is
//! refused. Everything else is [`crate::admin`]'s.
//! Promises: who is asked on behalf of somebody is believed only by the certificate of a coordinator that has a seat; a
//! call is passed on once at most; one that may have been done says so (UNKNOWN) and is never tried again here.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use lockstep_proto::admin::admin_client::AdminClient;
use lockstep_proto::admin::admin_server::Admin as Service;
use lockstep_proto::admin::{
    ApplyAnswer, ApplyRequest, AuditAnswer, AuditRequest, ChangeMembersAnswer, ChangeMembersRequest,
    DocumentAnswer, FinalizeAnswer, FinalizeRequest, ForgetAgentAnswer, ForgetAgentRequest, LinkRequest,
    MembersAnswer, MembersRequest, PlanAnswer, PlanRequest, ShowSpecAnswer, ShowSpecRequest, SnapshotAnswer,
    SnapshotRequest, StatusAnswer, StatusRequest,
};
use tokio::time::{Instant, sleep};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

use super::holder;
use crate::admin::{Admin, Caller, Failure, Way};
use crate::agreement::{NotDone, Position};
use crate::dispatch::AskFault;
use crate::holder::Holder;

/// Whose call a coordinator passes on, and where it came from.
const ON_BEHALF_OF: &str = "lockstep-on-behalf-of";
const FROM: &str = "lockstep-from";
const FROM_BYTES_MAX: usize = 200;
/// So long after the last leader a call waits for the next one: an election takes one to two seconds. Behind a network that was
/// cut there is none to wait for.
const ELECTION: Duration = Duration::from_secs(4);
/// What it waits in any case.
const MOMENT: Duration = Duration::from_millis(200);
/// For the answer of one that leads no more.
const LAST_WORD: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(50);

pub(super) struct AdminDoor {
    admin: Arc<Admin>,
}

type Answered<A> = Result<Response<A>, Status>;

impl AdminDoor {
    pub(super) fn new(admin: Arc<Admin>) -> Self {
        Self { admin }
    }

    fn caller<T>(&self, request: &Request<T>) -> Result<Caller, Status> {
        let holder = holder(request).map_err(|nobody| Status::unauthenticated(nobody.to_string()))?;
        let from = request.remote_addr().map(|address| address.to_string());
        let direct = Caller { holder, from, way: Way::Direct };
        let Holder::Coordinator { name } = &direct.holder else { return Ok(direct) };
        if !self.admin.is_seated(name) {
            return Ok(direct);
        }
        Ok(passed_on(request.metadata())?.unwrap_or(direct))
    }

    /// Who leads, after an election or the start of this member a moment later.
    async fn settled(&self) -> Position {
        let began = Instant::now();
        loop {
            let position = self.admin.position();
            let end = (position.leaderless.unwrap_or(began) + ELECTION).max(began + MOMENT);
            if position.leader.is_some() || position.stopped.is_some() || Instant::now() >= end {
                return position;
            }
            sleep(LOOK).await;
        }
    }

    /// Does it here if this member leads, or asks the leader.
    async fn led<Q, A, Here, There>(
        &self,
        request: Request<Q>,
        here: impl FnOnce(Arc<Admin>, Caller, Q) -> Here,
        there: impl FnOnce(AdminClient<Channel>, Request<Q>) -> There,
    ) -> Answered<A>
    where
        Here: Future<Output = Result<A, Failure>>,
        There: Future<Output = Answered<A>>,
    {
        let caller = self.caller(&request)?;
        let position = self.settled().await;
        if let Some(why) = position.stopped {
            return Err(refusal(&Failure::NotDone(NotDone::Stopped(why))));
        }
        if position.leader == Some(position.id) {
            return answered(here(Arc::clone(&self.admin), caller, request.into_inner()).await);
        }
        let leader =
            position.leader.and_then(|leader| position.seats.iter().find(|seat| seat.member.id == leader));
        let Some(leader) = leader else { return Err(Status::unavailable(NO_LEADER)) };
        if caller.way == Way::PassedOn {
            return Err(Status::unavailable(
                "the leader has changed while the call was passed on: ask again",
            ));
        }
        let address = &leader.member.address;
        let unusable =
            |error| Status::internal(format!("the leader at {address} cannot be dialled: {error}"));
        let client = self.admin.peers().admin(address).map_err(unusable)?;
        let mut onward = Request::new(request.into_inner());
        on_behalf_of(onward.metadata_mut(), &caller);
        tokio::select! {
            said = there(client, onward) => {
                said.map_err(|status| from_leader(&leader.member.name, address, &status))
            }
            () = self.led_no_more(leader.member.id) => Err(Status::unknown(format!(
                "the leader {} at {address} leads no more and has not answered; {FATE}",
                leader.member.name
            ))),
        }
    }

    /// Comes back a moment after another one leads, or nobody: the one that was cut off does not answer any more.
    async fn led_no_more(&self, leader: u64) {
        while self.admin.position().leader == Some(leader) {
            sleep(LOOK).await;
        }
        sleep(LAST_WORD).await;
    }
}

const NO_LEADER: &str = "the coordinators have no leader at the moment, nothing was done: ask again, or look whether a \
                         majority of them runs (lockstep coordinator members)";

const FATE: &str = "it may or may not have been done: look, and ask again if it was not";

/// As another coordinator says; `None`: it speaks for itself.
fn passed_on(metadata: &MetadataMap) -> Result<Option<Caller>, Status> {
    let Some(uri) = metadata.get(ON_BEHALF_OF) else { return Ok(None) };
    let odd = |why: String| Status::unauthenticated(format!("{ON_BEHALF_OF}: {why}"));
    let uri = uri.to_str().map_err(|error| odd(error.to_string()))?;
    let holder = Holder::of_uri(uri).map_err(|nobody| odd(nobody.to_string()))?;
    let from = metadata.get(FROM).and_then(|from| from.to_str().ok());
    let from = from.filter(|from| from.len() <= FROM_BYTES_MAX).map(str::to_owned);
    Ok(Some(Caller { holder, from, way: Way::PassedOn }))
}

fn on_behalf_of(metadata: &mut MetadataMap, caller: &Caller) {
    let texts = [(ON_BEHALF_OF, Some(caller.holder.to_string())), (FROM, caller.from.clone())];
    for (key, text) in texts {
        // Names and addresses are ASCII; without the first the leader refuses.
        let value = text.and_then(|text| AsciiMetadataValue::try_from(text).ok());
        if let Some(value) = value {
            metadata.insert(key, value);
        }
    }
}

/// What the leader says; where only the connection to it speaks, what is known of the call.
fn from_leader(name: &str, address: &str, status: &Status) -> Status {
    // A status of the transport has a source; one that was answered has none.
    let Some(error) = std::error::Error::source(status) else { return status.clone() };
    let never_left = is_connect(error);
    let words = format!("the leader {name} at {address} does not answer: {error}");
    if never_left {
        Status::unavailable(format!("{words}; nothing was done: ask again"))
    } else {
        Status::unknown(format!("{words}; {FATE}"))
    }
}

/// Whether the call never left: there was no connection to send it on.
fn is_connect(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<tonic::ConnectError>().is_some() {
            return true;
        }
        cause = error.source();
    }
    false
}

fn answered<A>(outcome: Result<A, Failure>) -> Answered<A> {
    outcome.map(Response::new).map_err(|failure| refusal(&failure))
}

fn refusal(failure: &Failure) -> Status {
    let code = match failure {
        Failure::Denied(_) => Code::PermissionDenied,
        Failure::Wrong(_) => Code::InvalidArgument,
        Failure::NoLink(_) | Failure::NotFound(_) => Code::NotFound,
        Failure::Rule(_) | Failure::NotDone(NotDone::Refused(_)) => Code::FailedPrecondition,
        Failure::Stale(_) => Code::Aborted,
        Failure::NotDone(NotDone::Busy) | Failure::Agent(AskFault::Busy(_)) => Code::ResourceExhausted,
        Failure::NotDone(NotDone::NotLeader { .. } | NotDone::Stopped(_)) => Code::Unavailable,
        Failure::NotDone(NotDone::Unknown) => Code::Unknown,
        Failure::Agent(AskFault::Late { .. }) => Code::DeadlineExceeded,
        Failure::Agent(_) => Code::FailedPrecondition,
        Failure::Unwritable(_) => Code::Internal,
    };
    let words = match failure {
        Failure::NotDone(NotDone::NotLeader { .. }) => NO_LEADER.to_owned(),
        failure => failure.to_string(),
    };
    Status::new(code, words)
}

#[tonic::async_trait]
impl Service for AdminDoor {
    async fn plan(&self, request: Request<PlanRequest>) -> Answered<PlanAnswer> {
        let here = |admin: Arc<Admin>, caller, asked| async move { admin.plan(&caller, asked).await };
        self.led(request, here, |mut leader, request| async move { leader.plan(request).await }).await
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Answered<ApplyAnswer> {
        let here = |admin: Arc<Admin>, caller, asked| async move { admin.apply(&caller, asked).await };
        self.led(request, here, |mut leader, request| async move { leader.apply(request).await }).await
    }

    async fn show_spec(&self, request: Request<ShowSpecRequest>) -> Answered<ShowSpecAnswer> {
        let here = |admin: Arc<Admin>, caller, _| async move { admin.show_spec(&caller).await };
        self.led(request, here, |mut leader, request| async move { leader.show_spec(request).await }).await
    }

    async fn status(&self, request: Request<StatusRequest>) -> Answered<StatusAnswer> {
        let here = |admin: Arc<Admin>, caller, asked| async move { admin.status(&caller, asked).await };
        self.led(request, here, |mut leader, request| async move { leader.status(request).await }).await
    }

    /// As this member has it: it can be asked while there is no leader.
    async fn members(&self, request: Request<MembersRequest>) -> Answered<MembersAnswer> {
        let caller = self.caller(&request)?;
        answered(self.admin.members(&caller).await)
    }

    async fn change_members(&self, request: Request<ChangeMembersRequest>) -> Answered<ChangeMembersAnswer> {
        let here =
            |admin: Arc<Admin>, caller, asked| async move { admin.change_members(&caller, asked).await };
        let there =
            |mut leader: AdminClient<Channel>, request| async move { leader.change_members(request).await };
        self.led(request, here, there).await
    }

    /// This member's own: the file is on its disk.
    async fn snapshot(&self, request: Request<SnapshotRequest>) -> Answered<SnapshotAnswer> {
        let caller = self.caller(&request)?;
        answered(self.admin.snapshot(&caller).await)
    }

    async fn finalize(&self, request: Request<FinalizeRequest>) -> Answered<FinalizeAnswer> {
        let here = |admin: Arc<Admin>, caller, asked| async move { admin.finalize(&caller, asked).await };
        self.led(request, here, |mut leader, request| async move { leader.finalize(request).await }).await
    }

    /// The leader's, or this member's own while there is none: the chain tells whether it is whole.
    async fn audit(&self, request: Request<AuditRequest>) -> Answered<AuditAnswer> {
        if self.settled().await.leader.is_none() {
            let caller = self.caller(&request)?;
            return answered(self.admin.audit(&caller, request.into_inner()).await);
        }
        let here = |admin: Arc<Admin>, caller, asked| async move { admin.audit(&caller, asked).await };
        self.led(request, here, |mut leader, request| async move { leader.audit(request).await }).await
    }

    async fn forget_agent(&self, request: Request<ForgetAgentRequest>) -> Answered<ForgetAgentAnswer> {
        let here = |admin: Arc<Admin>, caller, asked| async move { admin.forget_agent(&caller, asked).await };
        self.led(request, here, |mut leader, request| async move { leader.forget_agent(request).await }).await
    }

    async fn link_detail(&self, request: Request<LinkRequest>) -> Answered<DocumentAnswer> {
        let here = |admin: Arc<Admin>, caller, asked| async move { admin.link_detail(&caller, asked).await };
        self.led(request, here, |mut leader, request| async move { leader.link_detail(request).await }).await
    }

    async fn history(&self, request: Request<LinkRequest>) -> Answered<DocumentAnswer> {
        let here = |admin: Arc<Admin>, caller, asked| async move { admin.history(&caller, asked).await };
        self.led(request, here, |mut leader, request| async move { leader.history(request).await }).await
    }

    async fn groups(&self, request: Request<LinkRequest>) -> Answered<DocumentAnswer> {
        let here = |admin: Arc<Admin>, caller, asked| async move { admin.groups(&caller, asked).await };
        self.led(request, here, |mut leader, request| async move { leader.groups(request).await }).await
    }

    async fn ready(&self, request: Request<LinkRequest>) -> Answered<DocumentAnswer> {
        let here = |admin: Arc<Admin>, caller, asked| async move { admin.ready(&caller, asked).await };
        self.led(request, here, |mut leader, request| async move { leader.ready(request).await }).await
    }
}
