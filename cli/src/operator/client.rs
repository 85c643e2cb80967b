//! Calls to the coordinators, over mTLS: each in its turn until one answers for all of them.
//! Promises: what was never taken in is tried at the next one; what may have been is not sent again if it changes
//! something. Bounded in time and size.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::future::Future;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use lockstep_agent::control::staggered::staggered;
use lockstep_core::spec::operator::OperatorSpec;
use lockstep_proto::admin::admin_client::AdminClient;
use lockstep_proto::admin::{MembersAnswer, MembersRequest};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Response, Status};

use super::refused::{Attempt, Refused};
use super::transport;
use super::turns::Turns;

/// For name service, connection and TLS: a name server that is gone takes five seconds.
const DIAL: Duration = Duration::from_secs(8);
/// A plan waits ten seconds for agents.
const ANSWER: Duration = Duration::from_secs(60);
/// The status of a thousand links with their topics.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// What a call does, and so whether it may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// Answered by the leader at once.
    Reads,
    /// The leader asks agents, who may take ten seconds.
    AsksAgents,
    Changes,
}

/// All that are known, and who asks.
#[derive(Clone, Debug)]
pub(crate) struct Coordinators {
    file: PathBuf,
    endpoints: Vec<(String, Endpoint)>,
    /// With each, for name service, connection and TLS.
    pub(super) patience: Duration,
}

impl Coordinators {
    /// # Errors
    /// In words: a certificate or key that cannot be read or used, an address that none can have.
    pub(crate) fn new(spec: &OperatorSpec, file: &Path) -> Result<Self, String> {
        let pem = |key: &str, path: &Path| {
            let read = std::fs::read_to_string(path);
            read.map_err(|error| format!("{}: tls.{key}: {}: {error}", file.display(), path.display()))
        };
        let tls =
            ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem("ca", &spec.tls.ca)?)).identity(
                Identity::from_pem(pem("certificate", &spec.tls.certificate)?, pem("key", &spec.tls.key)?),
            );
        let mut endpoints = Vec::new();
        for address in &spec.coordinators {
            let unusable =
                |error: tonic::transport::Error| format!("{}: {}", file.display(), transport::words(&error));
            let endpoint = Channel::from_shared(format!("https://{address}"))
                .map_err(|error| format!("{}: coordinators: {address:?}: {error}", file.display()))?
                .timeout(ANSWER)
                .tls_config(tls.clone())
                .map_err(unusable)?;
            endpoints.push((address.clone(), endpoint));
        }
        Ok(Self { file: file.to_owned(), endpoints, patience: DIAL })
    }

    /// The answer of the first one that answers for all.
    ///
    /// # Errors
    /// [`Refused`]: one of them said no, or none could be asked.
    pub(crate) async fn call<T, F, Answered>(&self, nature: Nature, call: F) -> Result<T, Refused>
    where
        F: Fn(AdminClient<Channel>) -> Answered,
        Answered: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_one(nature, call).await.map(|(_, answer)| answer)
    }

    /// The same, and the address of who answered.
    ///
    /// # Errors
    /// As there.
    pub(crate) async fn call_one<T, F, Answered>(&self, nature: Nature, call: F) -> Result<(&str, T), Refused>
    where
        F: Fn(AdminClient<Channel>) -> Answered,
        Answered: Future<Output = Result<Response<T>, Status>>,
    {
        self.first(nature, call, |_| true).await
    }

    /// Who the coordinators are. Each tells what it knows by itself: one that knows a leader is believed before one that was
    /// left behind.
    ///
    /// # Errors
    /// As [`call`](Self::call).
    pub(crate) async fn members(&self) -> Result<MembersAnswer, Refused> {
        let call = |mut client: AdminClient<Channel>| async move { client.members(MembersRequest {}).await };
        self.first(Nature::Reads, call, |answer| answer.leader != 0).await.map(|(_, answer)| answer)
    }

    /// The first answer that is good, or else the first one.
    async fn first<T, F, Answered>(
        &self,
        nature: Nature,
        call: F,
        is_good: impl Fn(&T) -> bool,
    ) -> Result<(&str, T), Refused>
    where
        F: Fn(AdminClient<Channel>) -> Answered,
        Answered: Future<Output = Result<Response<T>, Status>>,
    {
        let turns = Turns::new(nature);
        let (turns, call) = (&turns, &call);
        let attempts = self.endpoints.iter().enumerate().map(|(at, (address, endpoint))| async move {
            (at, address, self.one(endpoint, turns, call).await)
        });
        let attempts: Vec<_> = attempts.collect();
        let (mut second_best, mut missed) = (None, BTreeMap::new());
        let end = staggered(attempts, |(at, address, outcome)| {
            match outcome {
                Ok(answer) if is_good(&answer) => return ControlFlow::Break(Ok((address.as_str(), answer))),
                Ok(answer) => drop(second_best.get_or_insert((address.as_str(), answer))),
                Err(Missed::Next(words)) => {
                    missed.insert(at, Attempt { address: address.clone(), words });
                }
                Err(Missed::End(refused)) if second_best.is_none() => {
                    return ControlFlow::Break(Err(*refused));
                }
                Err(Missed::End(_)) => {}
            }
            ControlFlow::Continue(())
        });
        if let Some(end) = end.await {
            return end;
        }
        let attempts = missed.into_values().collect();
        second_best.ok_or_else(|| Refused::Nobody { file: self.file.clone(), attempts })
    }

    async fn one<T, F, Answered>(&self, endpoint: &Endpoint, turns: &Turns, call: &F) -> Result<T, Missed>
    where
        F: Fn(AdminClient<Channel>) -> Answered,
        Answered: Future<Output = Result<Response<T>, Status>>,
    {
        let dialled = tokio::time::timeout(self.patience, endpoint.connect()).await;
        let channel = match dialled {
            Ok(Ok(channel)) => channel,
            Ok(Err(error)) => return Err(Missed::Next(transport::words(&error))),
            Err(_) => {
                return Err(Missed::Next(format!("no connection within {} s", self.patience.as_secs())));
            }
        };
        let client = AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let _turn = turns.take().await;
        match call(client).await {
            Ok(answer) => Ok(answer.into_inner()),
            Err(status) => Err(missed(&status, turns.nature, &self.file)),
        }
    }
}

/// What an attempt without an answer means for the ones after it.
enum Missed {
    Next(String),
    End(Box<Refused>),
}

fn missed(status: &Status, nature: Nature, file: &Path) -> Missed {
    // With TLS 1.3 a server judges our certificate after we believe the handshake over.
    if let Some(words) = transport::alert(status).or_else(|| transport::closed_before(status)) {
        return Missed::Next(words);
    }
    match (status.code(), nature) {
        // It says so itself: nothing was done.
        (Code::Unavailable, _) => Missed::Next(status.message().to_owned()),
        (Code::DeadlineExceeded, _) if status.source().is_none() => {
            Missed::End(Box::new(Refused::of(status, file)))
        }
        (Code::Unknown | Code::Cancelled | Code::DeadlineExceeded, Nature::Reads | Nature::AsksAgents) => {
            Missed::Next(transport::of_status(status))
        }
        _ => Missed::End(Box::new(Refused::of(status, file))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use lockstep_proto::admin::ApplyRequest;

    use super::super::testing::{Fake, Trust};
    use super::*;

    async fn members(coordinators: &Coordinators) -> Result<String, Refused> {
        let answer = coordinators
            .call(Nature::Reads, |mut client| async move { client.members(MembersRequest {}).await })
            .await;
        answer.map(|answer| answer.cluster_id)
    }

    async fn apply(coordinators: &Coordinators) -> Result<u64, Refused> {
        let answer = coordinators
            .call(Nature::Changes, |mut client| async move { client.apply(ApplyRequest::default()).await })
            .await;
        answer.map(|answer| answer.revision)
    }

    #[tokio::test]
    async fn the_next_one_is_asked_when_one_is_away_or_knows_no_leader() {
        let trust = Trust::new();
        let mut lost = Fake::good();
        lost.fails_with = Some(Status::unavailable("no coordinator leads: nothing was done"));
        let (lost, good) = (lost.serve(&trust).await, Fake::good().serve(&trust).await);
        // Nobody has listened at port 1 of this machine.
        let coordinators = trust.coordinators(&["127.0.0.1:1", &lost.address, &good.address]);
        assert_eq!(members(&coordinators).await.unwrap(), "0b6f");
        assert_eq!(apply(&coordinators).await.unwrap(), 7);
        let nobody = trust.coordinators(&["127.0.0.1:1", &lost.address]);
        let words = members(&nobody).await.unwrap_err().to_string();
        assert!(words.contains("127.0.0.1:1: nobody listens there"), "{words}");
        assert!(words.contains("no coordinator leads: nothing was done"), "{words}");
        assert!(words.contains("lockstep status --local"), "{words}");
    }

    /// Story: one that came back with its old folder after a forced recovery told of members that were gone.
    #[tokio::test]
    async fn one_that_knows_a_leader_is_believed_before_one_that_knows_none() {
        let trust = Trust::new();
        let lost = Fake { leader: 0, ..Fake::good() }.serve(&trust).await;
        let good = Fake { leader: 9, ..Fake::good() }.serve(&trust).await;
        let leader = async |addresses: &[&str]| {
            let asked = trust.coordinators(addresses).members().await;
            asked.map(|answer| answer.leader)
        };
        assert_eq!(leader(&[&lost.address, "127.0.0.1:1", &good.address]).await, Ok(9));
        assert_eq!(leader(&["127.0.0.1:1", &lost.address]).await, Ok(0));
        assert!(matches!(leader(&["127.0.0.1:1"]).await, Err(Refused::Nobody { .. })));
    }

    /// Story: the first address of the file was that of the site that the network had lost.
    #[tokio::test]
    async fn nobody_waits_for_one_that_says_nothing() {
        let trust = Trust::new();
        // Connections come about, and no handshake does.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = silent.local_addr().map(|address| (address.to_string(), silent)).unwrap();
        let good = Fake::good().serve(&trust).await;
        let mut coordinators = trust.coordinators(&[&silent.0, &good.address]);
        coordinators.patience = Duration::from_secs(86_400);
        assert_eq!(members(&coordinators).await.unwrap(), "0b6f");
        assert_eq!(apply(&coordinators).await.unwrap(), 7);
        assert_eq!(good.calls.load(Ordering::Relaxed), 2);
        coordinators.patience = Duration::from_millis(1_000);
        let mut alone = trust.coordinators(&[&silent.0]);
        alone.patience = coordinators.patience;
        let words = members(&alone).await.unwrap_err().to_string();
        assert!(words.contains("no connection within 1 s"), "{words}");
    }

    /// One that was asked is silent: a question is put to the next one, a change is not.
    #[tokio::test]
    async fn a_question_that_stays_unanswered_is_put_to_the_next_one_and_a_change_never_is() {
        let trust = Trust::new();
        let mute = Fake { is_mute: true, ..Fake::good() }.serve(&trust).await;
        let good = Fake::good().serve(&trust).await;
        let coordinators = trust.coordinators(&[&mute.address, &good.address]);
        assert_eq!(members(&coordinators).await.unwrap(), "0b6f");
        assert_eq!(good.calls.load(Ordering::Relaxed), 1);
        let waited = tokio::time::timeout(Duration::from_secs(3), apply(&coordinators)).await;
        assert!(waited.is_err(), "{waited:?}");
        assert_eq!(mute.calls.load(Ordering::Relaxed), 2);
        assert_eq!(good.calls.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_change_whose_fate_is_not_known_is_not_sent_to_another_one() {
        let trust = Trust::new();
        let mut torn = Fake::good();
        torn.fails_with = Some(Status::unknown("the leader went away"));
        let (torn, good) = (torn.serve(&trust).await, Fake::good().serve(&trust).await);
        let coordinators = trust.coordinators(&[&torn.address, &good.address]);
        let refused = apply(&coordinators).await.unwrap_err();
        assert!(matches!(refused, Refused::FateUnknown(_)), "{refused}");
        assert_eq!(good.calls.load(Ordering::Relaxed), 0);
        assert_eq!(members(&coordinators).await.unwrap(), "0b6f", "a question may be asked again");
        let words = members(&trust.coordinators(&[&torn.address])).await.unwrap_err().to_string();
        assert!(words.contains(&format!("{}: the leader went away\n", torn.address)), "{words}");
    }

    #[tokio::test]
    async fn certificates_that_are_not_taken_say_whose_fault_it_is() {
        let (trust, stranger) = (Trust::new(), Trust::new());
        let good = Fake::good().serve(&trust).await;
        // Our certificate is a stranger's to them.
        let words =
            members(&trust.coordinators_as(&stranger, &[&good.address])).await.unwrap_err().to_string();
        assert!(words.contains("does not take our certificate"), "{words}");
        // Theirs is a stranger's to us.
        let words = members(&stranger.coordinators(&[&good.address])).await.unwrap_err().to_string();
        assert!(words.contains("another authority than tls.ca"), "{words}");
        let expired = trust.coordinators_expired(&[&good.address]);
        let words = members(&expired).await.unwrap_err().to_string();
        let is_told = ["our certificate has expired", "of another authority, or expired"];
        assert!(is_told.iter().any(|told| words.contains(told)), "{words}");
        // The certificate is for 127.0.0.1.
        let renamed = good.address.replace("127.0.0.1", "localhost");
        let words = members(&trust.coordinators(&[&renamed])).await.unwrap_err().to_string();
        assert!(words.contains("its certificate is not for"), "{words}");
    }

    #[tokio::test]
    async fn a_no_is_an_end_with_its_exit_code_and_remedy() {
        use crate::exit::Exit;
        let trust = Trust::new();
        for (status, exit, says) in [
            (
                Status::permission_denied("operator \"eve\" lacks the role admin"),
                Exit::Error,
                "lacks the role",
            ),
            (Status::failed_precondition("claims waits for a run"), Exit::Refused, "claims waits"),
            (Status::aborted("revision 42 stands, 41 was expected"), Exit::Refused, "plan again"),
            (Status::unimplemented("x"), Exit::Error, "older"),
            (Status::deadline_exceeded("a1 has not answered"), Exit::Error, "ask again"),
            (Status::unauthenticated("an agent's certificate"), Exit::Error, "lockstep://operator/NAME"),
        ] {
            let mut fake = Fake::good();
            fake.fails_with = Some(status);
            let (fake, good) = (fake.serve(&trust).await, Fake::good().serve(&trust).await);
            let refused = apply(&trust.coordinators(&[&fake.address, &good.address])).await.unwrap_err();
            assert_eq!(refused.exit(), exit, "{refused}");
            assert!(refused.to_string().contains(says), "{refused}");
            assert_eq!(good.calls.load(Ordering::Relaxed), 0);
        }
    }
}
