//! The other coordinators, dialled with this one's certificate of the moment: to pass calls on to the leader, and to ask what each runs.
//! One connection for each address, made when it is needed; who does not answer is waited for briefly.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lockstep_proto::admin::admin_client::AdminClient;
use lockstep_proto::peer::peers_client::PeersClient;
use lockstep_proto::peer::{IdentifyAnswer, IdentifyRequest};
use lockstep_proto::{MESSAGE_BYTES_MAX, with_causes};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tonic::transport::{Channel, Endpoint, Error};

use crate::agreement::Seat;
use crate::papers::Papers;

/// A message between coordinators may carry the whole agreed state.
pub const STATE_BYTES_MAX: usize = 512 << 20;
/// Addresses that are remembered; members are at most fifteen, and addresses change.
const CHANNELS_MAX: usize = 64;
/// Name service and TLS, too: a name server that is gone takes five seconds.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(3);
const KEEPALIVE: Duration = Duration::from_secs(10);

/// All of them.
pub struct Peers {
    papers: watch::Receiver<Arc<Papers>>,
    channels: Mutex<Channels>,
}

/// Connections, and the papers they were made with: others make new ones.
struct Channels {
    papers: Arc<Papers>,
    by_address: BTreeMap<String, Channel>,
}

impl Peers {
    #[must_use]
    pub fn new(papers: watch::Receiver<Arc<Papers>>) -> Self {
        let channels = Channels { papers: Arc::clone(&papers.borrow()), by_address: BTreeMap::new() };
        Self { papers, channels: Mutex::new(channels) }
    }

    /// Ours, as they are now.
    #[must_use]
    pub fn papers(&self) -> Arc<Papers> {
        Arc::clone(&self.papers.borrow())
    }

    /// The operators' service of a coordinator.
    ///
    /// # Errors
    /// The address or our certificate cannot be used; whether anybody answers shows later.
    pub fn admin(&self, address: &str) -> Result<AdminClient<Channel>, Error> {
        let client = AdminClient::new(self.channel(address)?);
        Ok(client.max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX))
    }

    /// The coordinators' own service of a coordinator.
    ///
    /// # Errors
    /// As [`Peers::admin`].
    pub fn peer(&self, address: &str) -> Result<PeersClient<Channel>, Error> {
        let client = PeersClient::new(self.channel(address)?);
        Ok(client.max_decoding_message_size(STATE_BYTES_MAX).max_encoding_message_size(STATE_BYTES_MAX))
    }

    /// What each of these says of itself, all at once; in words why one does not.
    pub async fn identify(&self, seats: Vec<Seat>) -> Vec<(Seat, Result<IdentifyAnswer, String>)> {
        let mut asking = JoinSet::new();
        let mut answers = BTreeMap::new();
        for seat in &seats {
            let id = seat.member.id;
            match self.channel(&seat.member.address) {
                Err(error) => drop(answers.insert(id, Err(with_causes(&error)))),
                Ok(channel) => drop(asking.spawn(async move { (id, identify(channel).await) })),
            }
        }
        while let Some(answered) = asking.join_next().await {
            // One that panicked has no answer.
            answers.extend(answered);
        }
        let none = || Err("the question came to no end".to_owned());
        let answer = |seat: Seat| {
            let answer = answers.remove(&seat.member.id).unwrap_or_else(none);
            (seat, answer)
        };
        seats.into_iter().map(answer).collect()
    }

    fn channel(&self, address: &str) -> Result<Channel, Error> {
        // Every change is one step: a panic elsewhere leaves it whole.
        let mut channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let papers = self.papers();
        if !Arc::ptr_eq(&papers, &channels.papers) {
            *channels = Channels { papers: Arc::clone(&papers), by_address: BTreeMap::new() };
        }
        if let Some(channel) = channels.by_address.get(address) {
            return Ok(channel.clone());
        }
        let endpoint = Endpoint::from_shared(format!("https://{address}"))?
            .tls_config(papers.client())?
            .connect_timeout(CONNECT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true);
        let channel = endpoint.connect_lazy();
        if channels.by_address.len() >= CHANNELS_MAX {
            channels.by_address.clear();
        }
        channels.by_address.insert(address.to_owned(), channel.clone());
        Ok(channel)
    }
}

async fn identify(channel: Channel) -> Result<IdentifyAnswer, String> {
    let mut client = PeersClient::new(channel);
    match timeout(ANSWER, client.identify(IdentifyRequest {})).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(status.message().to_owned()),
        Err(_) => Err(format!("no answer within {} s", ANSWER.as_secs())),
    }
}
