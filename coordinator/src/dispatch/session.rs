//! One agent's stream: hello → welcome and work → reports and heartbeats, until either side ends it.
//! Promises: the agent is who its certificate says, of this system, and speaks only of links it has a share in; it is sent
//! on as soon as this member no longer leads. An agent that is silent for lease and margin loses its session.
//! A report that cannot be taken is logged and changes nothing; the session goes on.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lockstep_proto::agent::from_agent::Message as From;
use lockstep_proto::agent::to_agent::Message as To;
use lockstep_proto::agent::{Beat, FromAgent, Hello, LinkReport, NotLeader, Refused, ToAgent, Welcome};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tonic::{Status, Streaming};

use super::seats::{OUTBOX_MAX, Taken};
use super::{Desk, Lead, Notice, Standing};
use crate::holder::Holder;
use crate::intake::Received;

/// How long a connection may stay without saying who it is.
const HELLO_PATIENCE: Duration = Duration::from_secs(10);

/// What the transport sends to the agent.
pub type Outbox = mpsc::Receiver<Result<ToAgent, Status>>;

/// Why a session ended; each is told to the agent, as far as it still listens.
enum End {
    /// It went away, or no longer takes what it is sent.
    Gone,
    Told(To),
}

struct Session {
    desk: Desk,
    agent: String,
    site: String,
    standing: watch::Receiver<Standing>,
    outbox: mpsc::Sender<Result<ToAgent, Status>>,
}

/// Starts the session of an agent whose certificate says `site` and `agent`.
///
/// # Errors
/// The holder is no agent.
pub fn open(desk: &Desk, holder: Holder, inbox: Streaming<FromAgent>) -> Result<Outbox, Box<Status>> {
    let Holder::Agent { site, name } = holder else {
        let words =
            format!("{holder} is no agent: only certificates lockstep://agent/SITE/NAME open a session");
        return Err(Box::new(Status::permission_denied(words)));
    };
    let (outbox, sent) = mpsc::channel(OUTBOX_MAX);
    let standing = desk.standing.clone();
    let session = Session { desk: desk.clone(), agent: name, site, standing, outbox };
    // It ends with its stream: when the agent hangs up, is silent for too long, or the server closes its connections.
    tokio::spawn(session.run(inbox));
    Ok(sent)
}

impl Session {
    async fn run(mut self, mut inbox: Streaming<FromAgent>) {
        let end = match self.converse(&mut inbox).await {
            Ok(()) => return,
            Err(end) => end,
        };
        let End::Told(last) = end else { return };
        if let To::Refused(refused) = &last {
            tracing::warn!(agent = %self.agent, site = %self.site, "an agent is refused: {}", refused.words);
        }
        // It may have gone already.
        let _ = self.send(last).await;
    }

    async fn converse(&mut self, inbox: &mut Streaming<FromAgent>) -> Result<(), End> {
        let hello = match timeout(HELLO_PATIENCE, inbox.message()).await {
            Ok(Ok(Some(FromAgent { message: Some(From::Hello(hello)) }))) => hello,
            Ok(Ok(Some(_))) => return Err(refused("identity", "the first message must be hello".to_owned())),
            Ok(_) | Err(_) => return Err(End::Gone),
        };
        let standing = self.standing.borrow_and_update().clone();
        self.admit(&hello, &standing)?;
        let mut taken = self.desk.seats.take(&self.agent, Instant::now());
        tracing::info!(agent = %self.agent, site = %self.site, version = %hello.version, "an agent is here");
        self.send(To::Welcome(welcome(&standing))).await?;
        self.assign(&standing).await?;
        let arrived = Notice::Arrived {
            agent: self.agent.clone(),
            site: self.site.clone(),
            version: hello.version,
            level: hello.level,
            holds: hello.holds,
        };
        self.notice(arrived).await?;
        self.attend(inbox, &mut taken).await
    }

    /// Whether it is who it says, of this system, and here is where it should be.
    fn admit(&self, hello: &Hello, standing: &Standing) -> Result<(), End> {
        if !hello.cluster_id.is_empty() && hello.cluster_id != standing.cluster_id {
            let (theirs, ours) = (&hello.cluster_id, &standing.cluster_id);
            let words = format!("the agent belongs to system {theirs:?}, these coordinators are {ours:?}");
            return Err(refused("cluster_id", words));
        }
        if (&hello.agent, &hello.site) != (&self.agent, &self.site) {
            let words = format!(
                "the agent calls itself {} of site {}, its certificate says {} of site {}",
                hello.agent, hello.site, self.agent, self.site
            );
            return Err(refused("identity", words));
        }
        if hello.incarnation > standing.incarnation {
            let words = format!(
                "the agent has seen incarnation {}, this coordinator is of {}: it was left behind by a forced recovery",
                hello.incarnation, standing.incarnation
            );
            return Err(refused("incarnation", words));
        }
        leads(standing)
    }

    async fn attend(&mut self, inbox: &mut Streaming<FromAgent>, taken: &mut Taken) -> Result<(), End> {
        let mut heard = Instant::now();
        loop {
            let terms = self.standing.borrow().terms;
            tokio::select! {
                message = inbox.message() => {
                    let Ok(Some(FromAgent { message })) = message else { return Err(End::Gone) };
                    heard = Instant::now();
                    if !taken.heard(heard) {
                        return Err(replaced());
                    }
                    // A message of a newer version: it was heard, and that is all.
                    if let Some(message) = message {
                        self.take(message, taken).await?;
                    }
                }
                changed = self.standing.changed() => {
                    // The coordinator stops.
                    changed.map_err(|_| not_leader(&Lead::Nobody))?;
                    self.follow().await?;
                }
                Some(message) = taken.inbox.recv() => self.send(message).await?,
                _ = &mut taken.replaced => return Err(replaced()),
                () = tokio::time::sleep_until(heard + Duration::from_millis(terms.certain_ms())) => {
                    tracing::warn!(agent = %self.agent, site = %self.site, "an agent is silent: its session ends");
                    return Err(End::Gone);
                }
            }
        }
    }

    /// What holds now, told to the agent; it is sent on if somebody else leads.
    async fn follow(&mut self) -> Result<(), End> {
        let standing = self.standing.borrow_and_update().clone();
        leads(&standing)?;
        self.assign(&standing).await
    }

    /// Grants the lease anew, by a majority's word given after the agent asked. Work that was given to others meanwhile is
    /// told first: an agent that hears itself granted has heard what it no longer owns.
    async fn grant(&mut self, number: u64) -> Result<(), End> {
        let patience = Duration::from_millis(self.standing.borrow().terms.lease_ms);
        match timeout(patience, self.desk.leadership.confirm()).await {
            Ok(Ok(())) => {}
            Ok(Err(lead)) => return Err(not_leader(&lead)),
            Err(_) => return Err(not_leader(&Lead::Nobody)),
        }
        if self.standing.has_changed().map_err(|_| not_leader(&Lead::Nobody))? {
            self.follow().await?;
        }
        self.send(To::Beat(Beat { number })).await
    }

    async fn take(&mut self, message: From, taken: &Taken) -> Result<(), End> {
        match message {
            From::Hello(_) => Err(refused("identity", "hello was said before".to_owned())),
            From::Heartbeat(beat) => self.grant(beat.number).await,
            From::LinkReport(report) => {
                self.report(report);
                Ok(())
            }
            From::Probes(probes) => {
                let told =
                    self.desk.with_intake(|intake| intake.take_probes(&self.agent, probes.probes, now()));
                if let Err(fault) = told {
                    tracing::warn!(agent = %self.agent, "its probes are not taken: {fault}");
                }
                Ok(())
            }
            From::Released(released) => {
                let (link, epoch) = (released.link, released.epoch);
                self.notice(Notice::Released { agent: self.agent.clone(), link, epoch }).await
            }
            From::Answer(answer) => {
                taken.answered(answer);
                Ok(())
            }
        }
    }

    /// An agent speaks only of what it was given.
    fn report(&self, report: LinkReport) {
        let wanted = self.standing.borrow().wanted.clone();
        if !wanted.is_work_of(&self.agent, &report.link) {
            tracing::debug!(agent = %self.agent, link = %report.link, "a report of a link that is not its work");
            return;
        }
        if let Err(fault) = self.desk.with_intake(|intake| intake.take(&self.agent, report, now())) {
            tracing::warn!(agent = %self.agent, "its report is not taken: {fault}");
        }
    }

    async fn assign(&self, standing: &Standing) -> Result<(), End> {
        let assignment = standing.wanted.assignment(&self.agent, standing.incarnation, Instant::now());
        self.send(To::Assignment(assignment)).await
    }

    async fn notice(&self, notice: Notice) -> Result<(), End> {
        self.desk.notices.send(notice).await.map_err(|_| not_leader(&Lead::Nobody))
    }

    /// An agent that takes nothing for a whole lease is as good as gone.
    async fn send(&self, message: To) -> Result<(), End> {
        let patience = Duration::from_millis(self.standing.borrow().terms.lease_ms);
        let sending = self.outbox.send(Ok(ToAgent { message: Some(message) }));
        match timeout(patience, sending).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Gone),
        }
    }
}

fn leads(standing: &Standing) -> Result<(), End> {
    match &standing.lead {
        Lead::Here => Ok(()),
        elsewhere => Err(not_leader(elsewhere)),
    }
}

fn not_leader(lead: &Lead) -> End {
    let address = match lead {
        Lead::At(address) => address.clone(),
        Lead::Here | Lead::Nobody => String::new(),
    };
    End::Told(To::NotLeader(NotLeader { address }))
}

fn refused(code: &str, words: String) -> End {
    End::Told(To::Refused(Refused { code: code.to_owned(), words }))
}

fn replaced() -> End {
    refused(
        "replaced",
        "another session of this agent has begun: is its certificate in use twice?".to_owned(),
    )
}

fn welcome(standing: &Standing) -> Welcome {
    Welcome {
        cluster_id: standing.cluster_id.clone(),
        incarnation: standing.incarnation,
        lease_ms: standing.terms.lease_ms,
        renew_ms: standing.terms.renew_ms,
        margin_ms: standing.terms.margin_ms,
    }
}

fn now() -> Received {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Received { at: Instant::now(), wall_seconds: wall.as_secs_f64() }
}
