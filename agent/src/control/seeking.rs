//! Finds the coordinator that leads: dials one beside the other, follows whoever names the leader, waits longer and longer
//! while nobody can be talked to. Ends never; what it cannot do it says in the status, and mirroring goes on meanwhile.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockstep_core::spec::agent::CoordinatorsSpec;
use lockstep_core::status::Conversation;
use lockstep_proto::agent::agents_client::AgentsClient;
use lockstep_proto::holder::{Holder, pem_valid_until};
use lockstep_proto::{MESSAGE_BYTES_MAX, with_causes};
use thiserror::Error;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::desk::Control;
use super::probing::Seen;
use super::session::{End, Session};
use super::staggered::staggered;
use super::{Links, clock};

/// For name service, connection and TLS; others are dialled beside one that is silent.
const CONNECT: Duration = Duration::from_secs(10);
const KEEPALIVE: Duration = Duration::from_secs(5);
const PAUSE_SHORTEST: Duration = Duration::from_millis(250);
/// A network that is whole again should not be waited for.
const PAUSE_LONGEST: Duration = Duration::from_secs(2);
/// The same reason of the same coordinator is told in the log once in so long.
const TOLD_AGAIN: Duration = Duration::from_secs(60);
const TOLD_MAX: usize = 64;
/// How often divisions are looked at: a lease that is over must not be believed in for long.
const LOOK: Duration = Duration::from_millis(100);

/// Who this agent is to the coordinators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    pub site: String,
    pub agent: String,
}

/// Why the section `coordinators` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unfit {
    #[error("{path}: {why}")]
    File { path: String, why: String },
    #[error("{path} was given to {holder}, an agent needs lockstep://agent/SITE/NAME")]
    NoAgent { path: String, holder: String },
    #[error("the file says site {says:?}, the certificate {path} is for site {site:?}")]
    OtherSite { path: String, says: String, site: String },
}

/// Who the certificate says that this agent is.
///
/// # Errors
/// [`Unfit`].
pub fn name(spec: &CoordinatorsSpec, site: &str) -> Result<Name, Unfit> {
    let path = spec.certificate.display().to_string();
    let unfit = |why: String| Unfit::File { path: path.clone(), why };
    let pem = std::fs::read_to_string(&spec.certificate).map_err(|error| unfit(error.to_string()))?;
    match Holder::of_pem(&pem).map_err(|nobody| unfit(nobody.to_string()))? {
        Holder::Agent { site: of, name } if of == site => Ok(Name { site: of, agent: name }),
        Holder::Agent { site: of, .. } => Err(Unfit::OtherSite { path, says: site.to_owned(), site: of }),
        other => Err(Unfit::NoAgent { path, holder: other.to_string() }),
    }
}

/// Everything that conversations need.
pub struct Seeking {
    pub control: Control,
    pub name: Name,
    pub spec: CoordinatorsSpec,
    pub links: Arc<dyn Links>,
    pub seen: Seen,
    pub asked: super::answering::Asked,
}

impl Seeking {
    /// For ever.
    pub async fn run(self) {
        let (mut failures, mut first) = (0u32, 0);
        let mut named: Option<String> = None;
        let mut told = Told::default();
        loop {
            first += 1;
            let order = order(&self.spec.addresses, first, named.take());
            match self.dial(order, &mut told).await {
                Ok((address, channel)) => match self.talk(&address, channel).await {
                    End::Elsewhere(leader) => {
                        self.control.talks(Conversation::Seeking);
                        named = Some(leader).filter(|leader| !leader.is_empty() && *leader != address);
                        // From one to the other and back is no progress.
                        failures += 1;
                    }
                    End::Lost { why, talked } => {
                        failures = if talked { 0 } else { failures + 1 };
                        if talked {
                            told.forget(&address);
                        }
                        told.tell(&address, &why);
                        self.control.talks(Conversation::Without { why: format!("{address}: {why}") });
                    }
                },
                Err(why) => {
                    failures += 1;
                    self.control.talks(Conversation::Without { why });
                }
            }
            if named.is_none() || failures > 3 {
                sleep(pause(failures)).await;
            }
        }
    }

    /// The first that can be talked to, or why none can.
    async fn dial(&self, order: Vec<String>, told: &mut Told) -> Result<(String, Channel), String> {
        let attempts = order.into_iter().map(|address| async move {
            let outcome = timeout(CONNECT, self.channel(&address)).await;
            let silent = || Err(format!("no connection within {} s", CONNECT.as_secs()));
            (address, outcome.unwrap_or_else(|_| silent()))
        });
        let attempts: Vec<_> = attempts.collect();
        let mut whys = Vec::new();
        let found = staggered(attempts, |(address, outcome)| match outcome {
            Ok(channel) => ControlFlow::Break((address, channel)),
            Err(why) => {
                told.tell(&address, &why);
                whys.push(format!("{address}: {why}"));
                ControlFlow::Continue(())
            }
        });
        found.await.ok_or_else(|| whys.join("; "))
    }

    async fn talk(&self, address: &str, channel: Channel) -> End {
        let client = AgentsClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let session = Session {
            control: &self.control,
            name: &self.name,
            links: &*self.links,
            seen: &self.seen,
            asked: &self.asked,
            address,
        };
        session.run(client).await
    }

    /// The files are read anew each time: certificates that were renewed are used at the next conversation.
    async fn channel(&self, address: &str) -> Result<Channel, String> {
        let read = |path: &std::path::Path| {
            std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
        };
        let spec = &self.spec;
        let certificate = read(&spec.certificate)?;
        // The far end's refusal is often lost with the connection.
        let until = pem_valid_until(&certificate).map_err(|nobody| nobody.to_string())?;
        if until <= SystemTime::now() {
            return Err(format!("{} has expired: renew it", spec.certificate.display()));
        }
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(read(&spec.ca)?))
            .identity(Identity::from_pem(certificate, read(&spec.key)?));
        let endpoint =
            Endpoint::from_shared(format!("https://{address}")).map_err(|error| with_causes(&error))?;
        let endpoint = endpoint
            .tls_config(tls)
            .map_err(|error| with_causes(&error))?
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true);
        endpoint.connect().await.map_err(|error| with_causes(&error))
    }
}

/// Looks again and again whether what may be written has changed by time alone. For ever.
pub async fn look(control: Control) {
    loop {
        sleep(LOOK).await;
        control.look(clock::now());
    }
}

/// Whoever was named as the leader, then all, each time from another one on: agents are spread over coordinators.
fn order(addresses: &[String], first: usize, named: Option<String>) -> Vec<String> {
    let start = first % addresses.len().max(1);
    let (before, after) = addresses.split_at(start.min(addresses.len()));
    let others = after.iter().chain(before).filter(|address| named.as_ref() != Some(address)).cloned();
    let others: Vec<_> = others.collect();
    named.into_iter().chain(others).collect()
}

/// What the log was told last of each coordinator.
#[derive(Default)]
struct Told(BTreeMap<String, (String, Instant)>);

impl Told {
    fn tell(&mut self, address: &str, why: &str) {
        if self.is_news(address, why, Instant::now()) {
            tracing::warn!(address, "no conversation with the coordinator: {why}");
        }
    }

    /// It was talked to: whatever comes is news.
    fn forget(&mut self, address: &str) {
        self.0.remove(address);
    }

    fn is_news(&mut self, address: &str, why: &str, now: Instant) -> bool {
        let known = self.0.get(address);
        if known.is_some_and(|(told, at)| told == why && now.duration_since(*at) < TOLD_AGAIN) {
            return false;
        }
        // Addresses that leaders name come and go with members.
        if self.0.len() >= TOLD_MAX {
            self.0.clear();
        }
        self.0.insert(address.to_owned(), (why.to_owned(), now));
        true
    }
}

/// Doubling, with a random part: agents that lost the same leader do not all come at once.
fn pause(failures: u32) -> Duration {
    let longest = PAUSE_SHORTEST.saturating_mul(1 << failures.min(6)).min(PAUSE_LONGEST);
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_named_one_is_first_and_then_everybody_in_turn() {
        let addresses = ["a", "b", "c"].map(str::to_owned);
        let order = |first, named: Option<&str>| order(&addresses, first, named.map(str::to_owned)).join("");
        assert_eq!(
            (order(0, None), order(1, None), order(5, None)),
            ("abc".into(), "bca".into(), "cab".into())
        );
        assert_eq!((order(1, Some("a")), order(1, Some("x"))), ("abc".into(), "xbca".into()));
    }

    #[test]
    fn the_log_is_told_once_a_minute_or_when_something_is_new() {
        let (mut told, start) = (Told::default(), Instant::now());
        let later = |seconds| start + Duration::from_secs(seconds);
        assert!(told.is_news("c1:1", "nobody listens", later(0)));
        assert!(!told.is_news("c1:1", "nobody listens", later(30)));
        assert!(told.is_news("c2:1", "nobody listens", later(30)));
        assert!(told.is_news("c1:1", "expired", later(31)));
        assert!(!told.is_news("c1:1", "expired", later(80)));
        assert!(told.is_news("c1:1", "expired", later(92)));
        for number in 0..10 * TOLD_MAX {
            assert!(told.is_news(&number.to_string(), "x", later(100)));
        }
        assert!(told.0.len() <= TOLD_MAX);
    }

    #[test]
    fn pauses_grow_vary_and_stay_bounded() {
        assert!(pause(0) <= PAUSE_SHORTEST && pause(0) >= PAUSE_SHORTEST / 2);
        for failures in 0..100 {
            assert!(pause(failures) <= PAUSE_LONGEST);
        }
        assert!(pause(50) >= PAUSE_LONGEST / 2);
    }
}
