//! One conversation with a coordinator: hello, then heartbeats, reports, probes and releases on our side, assignments, beats
//! and questions on theirs. Bounded: what finds no room is said again later; nothing here ever holds up mirroring.

use std::collections::BTreeMap;
use std::time::Duration;

use lockstep_core::state::known;
use lockstep_core::status::Conversation;
use lockstep_proto::agent::agents_client::AgentsClient;
use lockstep_proto::agent::from_agent::Message as From;
use lockstep_proto::agent::to_agent::Message as To;
use lockstep_proto::agent::{Answer, FromAgent, Heartbeat, Hello, Probes, Released, ToAgent};
use lockstep_proto::with_causes;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until, timeout};
use tonic::Streaming;
use tonic::codegen::tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::answering::Asked;
use super::desk::Control;
use super::probing::Seen;
use super::reporting::Reports;
use super::seeking::Name;
use super::{Links, clock};

/// Messages between us and the socket.
const OUTBOX: usize = 256;
/// Questions whose answers are on their way.
const ANSWERS: usize = 16;
const HELLO_PATIENCE: Duration = Duration::from_secs(3);
/// How often it is looked whether there is something to report of a link.
const GLANCE: Duration = Duration::from_millis(250);
const PROBE: Duration = Duration::from_secs(2);

/// How a conversation ended.
pub enum End {
    /// The leader is there; empty: nobody is known.
    Elsewhere(String),
    Lost {
        why: String,
        talked: bool,
    },
}

/// See the module's description.
pub(super) struct Session<'a> {
    pub(super) control: &'a Control,
    pub(super) name: &'a Name,
    pub(super) links: &'a dyn Links,
    pub(super) seen: &'a Seen,
    pub(super) asked: &'a Asked,
    pub(super) address: &'a str,
}

/// What was said so far.
struct Said {
    out: mpsc::Sender<FromAgent>,
    /// The epoch of each link's last release.
    released: BTreeMap<String, u64>,
    /// Links that were held, with the epoch: once one is gone and drained, that is said.
    held: BTreeMap<String, u64>,
    reports: Reports,
}

impl Session<'_> {
    pub(super) async fn run(&self, mut client: AgentsClient<Channel>) -> End {
        let lost = |why: String, talked| End::Lost { why, talked };
        let (out, stream) = mpsc::channel(OUTBOX);
        let hello = Hello {
            // Empty until a coordinator has told it; the certificate's authority is the system's own.
            cluster_id: self.control.cluster_id(),
            agent: self.name.agent.clone(),
            site: self.name.site.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            level: known(),
            incarnation: self.control.incarnation(),
            holds: self.control.holds(),
        };
        // The channel is new and has room.
        let _ = out.try_send(FromAgent { message: Some(From::Hello(hello)) });
        let opened = timeout(HELLO_PATIENCE, client.session(ReceiverStream::new(stream))).await;
        let mut inbox = match opened {
            Err(_) => return lost(format!("no answer within {} s", HELLO_PATIENCE.as_secs()), false),
            Ok(Err(status)) => return lost(refusal(&status), false),
            Ok(Ok(inbox)) => inbox.into_inner(),
        };
        match timeout(HELLO_PATIENCE, inbox.message()).await {
            Ok(Ok(Some(ToAgent { message: Some(To::Welcome(welcome)) }))) => {
                let known = self.control.cluster_id();
                if !known.is_empty() && welcome.cluster_id != known {
                    let why = format!(
                        "it is of system {:?}, this agent has worked for {known:?}: set the agent's data folder aside if it \
                         is to work for another one",
                        welcome.cluster_id
                    );
                    return lost(why, false);
                }
                if welcome.incarnation < self.control.incarnation() {
                    let why = format!(
                        "it is of incarnation {}, {} has been seen: it was left behind by a forced recovery",
                        welcome.incarnation,
                        self.control.incarnation()
                    );
                    return lost(why, false);
                }
                self.control.welcome(&welcome);
            }
            Ok(Ok(Some(ToAgent { message: Some(other) }))) => return self.ended(other, false),
            Ok(Ok(_)) => return lost("it hung up".to_owned(), false),
            Ok(Err(status)) => return lost(refusal(&status), false),
            Err(_) => return lost(format!("no welcome within {} s", HELLO_PATIENCE.as_secs()), false),
        }
        self.control.heard();
        tracing::info!(address = self.address, "talking to the coordinator that leads");
        self.control.talks(Conversation::With { address: self.address.to_owned() });
        let said =
            Said { out, released: BTreeMap::new(), held: BTreeMap::new(), reports: Reports::default() };
        self.converse(inbox, said).await
    }

    async fn converse(&self, mut inbox: Streaming<ToAgent>, mut said: Said) -> End {
        let ticking = |period| {
            let mut ticks = interval(period);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        };
        let (mut glances, mut probes) = (ticking(GLANCE), ticking(PROBE));
        let mut beat = Instant::now();
        let mut heard = Instant::now();
        let (answers_in, mut answers) = mpsc::channel::<Answer>(ANSWERS);
        loop {
            tokio::select! {
                biased;
                () = sleep_until(beat) => {
                    let number = self.control.ask();
                    said.say(From::Heartbeat(Heartbeat { number }));
                    beat = Instant::now() + Duration::from_millis(self.control.terms().renew_ms.max(100));
                }
                message = inbox.message() => match message {
                    Ok(Some(ToAgent { message: Some(message) })) => {
                        heard = Instant::now();
                        self.control.heard();
                        if let Some(end) = self.take(message, &mut said, &answers_in) {
                            return end;
                        }
                    }
                    // A message of a newer version.
                    Ok(Some(ToAgent { message: None })) => self.control.heard(),
                    Ok(None) => return End::Lost { why: "it hung up".to_owned(), talked: true },
                    Err(status) => return End::Lost { why: refusal(&status), talked: true },
                },
                // Beats are answered; where the network is cut nothing else tells. Another one is found before the lease ends.
                () = sleep_until(heard + Duration::from_millis(self.control.terms().silence_ms())) => {
                    return End::Lost { why: "it has fallen silent".to_owned(), talked: true };
                }
                Some(answer) = answers.recv() => drop(said.say(From::Answer(answer))),
                _ = glances.tick() => {
                    said.reports.glance(&self.control.assigned(), self.links, &said.out, Instant::now());
                    self.release(&mut said);
                }
                _ = probes.tick() => {
                    let probes = self.seen.now();
                    if !probes.is_empty() {
                        said.say(From::Probes(Probes { probes }));
                    }
                }
            }
        }
    }

    fn take(&self, message: To, said: &mut Said, answers: &mpsc::Sender<Answer>) -> Option<End> {
        match message {
            To::Assignment(assignment) => {
                for hold in self.control.holds() {
                    said.held.insert(hold.link, hold.epoch);
                }
                if let Err(overtaken) = self.control.follow(assignment, clock::now()) {
                    tracing::warn!(address = self.address, "an assignment is not followed: {overtaken}");
                }
                None
            }
            To::Beat(beat) => {
                self.control.granted(beat.number);
                self.control.look(clock::now());
                None
            }
            To::Ask(ask) => {
                self.asked.answer(ask, answers.clone());
                None
            }
            To::Welcome(_) => None,
            end => Some(self.ended(end, true)),
        }
    }

    fn ended(&self, message: To, talked: bool) -> End {
        match message {
            To::NotLeader(other) => End::Elsewhere(other.address),
            To::Refused(refused) => {
                let why = format!("refused ({}): {}", refused.code, refused.words);
                End::Lost { why, talked: false }
            }
            _ => End::Lost { why: "it does not keep to the protocol".to_owned(), talked },
        }
    }

    /// What is certainly over is said once for each epoch: others wait for it.
    fn release(&self, said: &mut Said) {
        let assigned = self.control.assigned();
        let mut over = Vec::new();
        for (link, assigned) in &assigned.links {
            said.held.insert(link.clone(), assigned.work.epoch);
            if self.links.settled(link) == Some(assigned.work.epoch) {
                over.push((link.clone(), assigned.work.epoch));
            }
        }
        for (link, epoch) in &said.held {
            // Its last task has ended: nothing of any epoch is in flight.
            if !assigned.links.contains_key(link) && !self.links.has(link) {
                over.push((link.clone(), epoch + 1));
            }
        }
        for (link, epoch) in over {
            let is_new = said.released.get(&link).is_none_or(|released| *released < epoch);
            if is_new && said.say(From::Released(Released { link: link.clone(), epoch })) {
                said.released.insert(link.clone(), epoch);
            }
            if !assigned.links.contains_key(&link) && said.released.get(&link) == Some(&epoch) {
                said.held.remove(&link);
            }
        }
    }
}

impl Said {
    /// `false`: no room; it is said again.
    fn say(&self, message: From) -> bool {
        self.out.try_send(FromAgent { message: Some(message) }).is_ok()
    }
}

/// What a status of gRPC says, in words.
fn refusal(status: &tonic::Status) -> String {
    match std::error::Error::source(status) {
        Some(error) => with_causes(error),
        None => status.message().to_owned(),
    }
}
