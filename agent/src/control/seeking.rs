//! Finds the coordinator that leads: asks one after the other, follows whoever names the leader, waits longer and longer
//! while nobody can be talked to. Ends never; what it cannot do it says in the status, and mirroring goes on meanwhile.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockstep_core::spec::agent::CoordinatorsSpec;
use lockstep_core::status::Conversation;
use lockstep_proto::agent::agents_client::AgentsClient;
use lockstep_proto::holder::{Holder, pem_valid_until};
use lockstep_proto::{MESSAGE_BYTES_MAX, with_causes};
use thiserror::Error;
use tokio::time::sleep;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

use super::desk::Control;
use super::probing::Seen;
use super::session::{End, Session};
use super::{Links, clock};

const CONNECT: Duration = Duration::from_secs(3);
const KEEPALIVE: Duration = Duration::from_secs(5);
const PAUSE_SHORTEST: Duration = Duration::from_millis(250);
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
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
        let (mut failures, mut next) = (0u32, 0);
        let mut named: Option<String> = None;
        loop {
            let address = match named.take() {
                Some(address) => address,
                None => {
                    let addresses = &self.spec.addresses;
                    next = (next + 1) % addresses.len().max(1);
                    // A checked file has at least one.
                    let Some(address) = addresses.get(next) else { return };
                    address.clone()
                }
            };
            let end = self.talk(&address).await;
            self.control.talks(Conversation::Seeking);
            match end {
                End::Elsewhere(leader) if !leader.is_empty() && leader != address => {
                    named = Some(leader);
                    // From one to the other and back is no progress.
                    failures += 1;
                }
                End::Elsewhere(_) => failures += 1,
                End::Lost { why, talked } => {
                    failures = if talked { 0 } else { failures + 1 };
                    tracing::warn!(address, "no conversation with the coordinator: {why}");
                    self.control.talks(Conversation::Without { why: format!("{address}: {why}") });
                }
            }
            if named.is_none() || failures > 3 {
                sleep(pause(failures)).await;
            }
        }
    }

    async fn talk(&self, address: &str) -> End {
        let lost = |why: String| End::Lost { why, talked: false };
        let channel = match self.channel(address).await {
            Ok(channel) => channel,
            Err(why) => return lost(why),
        };
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
            .connect_timeout(CONNECT)
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

/// Doubling, with a random part: agents that lost the same leader do not all come at once.
fn pause(failures: u32) -> Duration {
    let longest = PAUSE_SHORTEST.saturating_mul(1 << failures.min(6)).min(PAUSE_LONGEST);
    longest.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_vary_and_stay_bounded() {
        assert!(pause(0) <= PAUSE_SHORTEST && pause(0) >= PAUSE_SHORTEST / 2);
        for failures in 0..100 {
            assert!(pause(failures) <= PAUSE_LONGEST);
        }
        assert!(pause(50) >= PAUSE_LONGEST / 2);
    }
}
