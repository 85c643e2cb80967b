//! One connection to one broker: an ordered pipeline of requests, each with a deadline.
//! Promises: requests reach the wire in the order of their submission, answers are matched by correlation id, and when
//! framing, order or an answer is lost the connection is poisoned and every waiter gets the same cause.
//! Never reconnects (that is the cluster's part), never copies a payload. Dropping the last handle closes the socket.

mod login;
mod memory;
mod negotiate;
mod pipe;
mod reader;
mod relogin;
mod writer;

#[cfg(test)]
mod tests;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use kafka_protocol::protocol::{Decodable, Request};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::bounds;
use crate::dial::{Dial, Stream};
use crate::error::{Error, Loss};
use crate::settings::{HostPort, Settings};
use crate::versions::{Api, Offered, Versions};
use memory::Frame;
use pipe::Pipe;

/// Requests that wait to be written, per connection. Beyond it `submit` waits, within the request's deadline.
const OUTGOING_MAX: usize = 64;

/// The longest first answer: a broker of today sends 600 bytes, and whoever answers may be anybody.
const GREETING_BYTES_MAX: usize = 1 << 20;

/// A handle to an open connection. Cheap to clone; the last one dropped closes the socket.
#[derive(Clone)]
pub struct Connection {
    link: Arc<Link>,
}

/// What all handles share; its end is the end of the connection.
struct Link {
    pipe: Arc<Pipe>,
    outgoing: mpsc::Sender<Turn>,
    /// Set once, by the first exchange.
    offered: OnceLock<Offered>,
    client_id: String,
    request_timeout: Duration,
    frame_bytes_max: usize,
    control_bytes_max: usize,
    fetch_bytes_max: usize,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.pipe.lose(Loss::ClosedByUs);
    }
}

/// A request on its way to the writer, complete but for length, number and correlation id.
struct Outgoing {
    api: Api,
    version: i16,
    segments: Vec<Bytes>,
    answer_bytes_max: usize,
    answer: oneshot::Sender<Frame>,
}

/// What comes next on the wire.
enum Turn {
    One(Outgoing),
    /// Nothing but what comes from here, until its senders are gone.
    Only(mpsc::Receiver<Outgoing>),
}

/// The way a request takes to the writer.
enum Lane {
    /// In turn with everybody.
    Shared,
    /// Alone: the others wait until this is dropped.
    Own(mpsc::Sender<Outgoing>),
}

impl Connection {
    /// Dials `at` and agrees on versions (ApiVersions v3, then v0 for brokers that do not know v3).
    ///
    /// # Errors
    /// [`Error::Connect`] with the fault a person can act on; nothing is left open.
    pub async fn open(dial: &dyn Dial, at: HostPort, settings: &Settings) -> Result<Self, Error> {
        negotiate::open(dial, at, settings).await
    }

    /// Starts the two tasks of a connection over `stream`; versions are not agreed yet.
    fn start(stream: Box<dyn Stream>, peer: HostPort, settings: &Settings) -> Self {
        let (read, write) = tokio::io::split(stream);
        let pipe = Arc::new(Pipe::new(peer));
        let (outgoing, queue) = mpsc::channel(OUTGOING_MAX);
        // Both end by themselves: the pipe is lost at the latest when the last handle goes.
        tokio::spawn(reader::run(Arc::clone(&pipe), read));
        tokio::spawn(writer::run(Arc::clone(&pipe), write, queue));
        let link = Link {
            pipe,
            outgoing,
            offered: OnceLock::new(),
            client_id: settings.client_id.clone(),
            request_timeout: settings.request_timeout,
            frame_bytes_max: settings.frame_bytes_max,
            control_bytes_max: settings.control_bytes_max,
            fetch_bytes_max: settings.fetch_bytes_max,
        };
        Self { link: Arc::new(link) }
    }

    /// The address this connection was dialled under.
    #[must_use]
    pub fn peer(&self) -> &HostPort {
        &self.link.pipe.peer
    }

    /// Whether requests may still be answered. `false` is final.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.link.pipe.cause().is_none()
    }

    /// Waits until the connection is lost, and says why ([`Error::Closed`]). Does not keep it from working.
    pub async fn closed(&self) -> Error {
        self.link.pipe.until_lost().await;
        self.loss()
    }

    /// Closes it for every handle, at once: requests not yet answered fail with [`Error::Closed`].
    pub fn close(&self) {
        self.link.pipe.lose(Loss::ClosedByUs);
    }

    /// The broker's versions of an API, if it has it.
    #[must_use]
    pub fn offers(&self, api: Api) -> Option<Versions> {
        self.link.offered.get()?.range(api)
    }

    /// The highest version both sides speak.
    pub(crate) fn version(&self, api: Api) -> Result<i16, Error> {
        self.version_within(api, api.ours())
    }

    /// The highest version both sides speak inside `needs`.
    pub(crate) fn version_within(&self, api: Api, needs: Versions) -> Result<i16, Error> {
        let chosen = self.link.offered.get().and_then(|offered| offered.choose(api, needs));
        chosen.ok_or_else(|| Error::Unsupported {
            api,
            peer: self.peer().clone(),
            needs: needs.common(api.ours()).unwrap_or(needs),
            broker: self.offers(api),
        })
    }

    /// How long a request without a timeout of its own may take.
    pub(crate) fn request_timeout(&self) -> Duration {
        self.link.request_timeout
    }

    /// Sends a request in `version` and waits for the decoded answer.
    pub(crate) async fn call<R: Request>(
        &self,
        api: Api,
        version: i16,
        request: &R,
        timeout: Duration,
    ) -> Result<R::Response, Error> {
        let body = self.encode(api, version, request)?;
        self.submit(api, version, vec![body], timeout).await?.decoded::<R::Response>().await
    }

    /// The request's header (from the client id on) and body as one segment.
    pub(crate) fn encode<R: Request>(&self, api: Api, version: i16, request: &R) -> Result<Bytes, Error> {
        debug_assert_eq!(api.key(), R::KEY);
        let mut out = BytesMut::with_capacity(256);
        self.put_header(&mut out, api, version);
        match request.encode(&mut out, version) {
            Ok(()) => Ok(out.freeze()),
            Err(error) => {
                Err(self.protocol(api, format!("the request cannot be written as v{version}: {error}")))
            }
        }
    }

    /// The part of the request header behind the correlation id.
    pub(crate) fn put_header(&self, out: &mut BytesMut, api: Api, version: i16) {
        let name = self.link.client_id.as_bytes();
        let length = i16::try_from(name.len()).unwrap_or(i16::MAX);
        out.put_i16(length);
        out.put_slice(&name[..length as usize]);
        if api.is_flexible(version) {
            out.put_u8(0);
        }
    }

    /// The longest answer to `api`. A fetch may be asked for more: `asked` bytes.
    fn answer_bytes_max(&self, api: Api, asked: usize) -> usize {
        let most = match api {
            Api::ApiVersions | Api::SaslHandshake | Api::SaslAuthenticate => GREETING_BYTES_MAX,
            // Half as much again for what frames the records of many small partitions.
            Api::Fetch => self.link.fetch_bytes_max.max(asked.saturating_add(asked / 2)),
            _ => self.link.control_bytes_max,
        };
        most.min(self.link.frame_bytes_max)
    }

    /// Queues a request now: the order of submissions is the order on the wire. `segments` start with
    /// [`put_header`](Self::put_header). Waits only for room in the queue, within the deadline.
    pub(crate) async fn submit(
        &self,
        api: Api,
        version: i16,
        segments: Vec<Bytes>,
        timeout: Duration,
    ) -> Result<Pending, Error> {
        self.submit_for(api, version, segments, timeout, 0).await
    }

    /// As [`submit`](Self::submit); the answer was asked to have up to `answer_bytes`.
    pub(crate) async fn submit_for(
        &self,
        api: Api,
        version: i16,
        segments: Vec<Bytes>,
        timeout: Duration,
        answer_bytes: usize,
    ) -> Result<Pending, Error> {
        let bytes: usize = segments.iter().map(Bytes::len).sum();
        if bytes > self.link.frame_bytes_max {
            let max = self.link.frame_bytes_max;
            return Err(
                self.protocol(api, format!("a request of {bytes} bytes is longer than the limit of {max}"))
            );
        }
        self.submit_within(&Lane::Shared, api, version, segments, timeout, answer_bytes).await
    }

    /// As [`submit`](Self::submit), on a lane.
    async fn submit_on(
        &self,
        lane: &Lane,
        api: Api,
        version: i16,
        segments: Vec<Bytes>,
        timeout: Duration,
    ) -> Result<Pending, Error> {
        self.submit_within(lane, api, version, segments, timeout, 0).await
    }

    async fn submit_within(
        &self,
        lane: &Lane,
        api: Api,
        version: i16,
        segments: Vec<Bytes>,
        timeout: Duration,
        answer_bytes: usize,
    ) -> Result<Pending, Error> {
        let deadline = Instant::now() + timeout;
        let (answer, wait) = oneshot::channel();
        let answer_bytes_max = self.answer_bytes_max(api, answer_bytes);
        let request = Outgoing { api, version, segments, answer_bytes_max, answer };
        let sending = async {
            match lane {
                Lane::Shared => self.link.outgoing.send(Turn::One(request)).await.map_err(drop),
                Lane::Own(own) => own.send(request).await.map_err(drop),
            }
        };
        match timeout_at(deadline, sending).await {
            Ok(Ok(())) => {
                Ok(Pending { wait, connection: self.clone(), api, version, deadline, after: timeout })
            }
            Ok(Err(())) => Err(self.loss()),
            Err(_) => Err(self.expired(api, timeout)),
        }
    }

    /// A lane of the caller's own, behind everything submitted so far. `None` when the connection is lost.
    async fn own_lane(&self) -> Option<Lane> {
        let (own, queue) = mpsc::channel(1);
        self.link.outgoing.send(Turn::Only(queue)).await.ok()?;
        Some(Lane::Own(own))
    }

    /// Poisons the connection because `api` was not answered in time.
    fn expired(&self, api: Api, after: Duration) -> Error {
        self.link.pipe.lose(Loss::Expired { api, after });
        Error::Timeout { api, peer: self.peer().clone(), after }
    }

    /// Why the connection is lost. Only asked once it is.
    fn loss(&self) -> Error {
        let cause = self.link.pipe.cause().unwrap_or_else(|| Arc::new(Loss::ClosedByUs));
        Error::Closed { peer: self.peer().clone(), cause }
    }

    /// An answer, or a question, that makes no sense.
    pub(crate) fn protocol(&self, api: Api, why: impl Into<String>) -> Error {
        Error::Protocol { api, peer: self.peer().clone(), why: why.into() }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = if self.is_open() { "open" } else { "lost" };
        write!(f, "Connection({}, {state})", self.peer())
    }
}

/// A request that has been submitted and not answered yet. Dropping it discards the answer, not the request.
#[must_use]
pub(crate) struct Pending {
    wait: oneshot::Receiver<Frame>,
    /// Keeps the connection open while somebody waits.
    connection: Connection,
    api: Api,
    version: i16,
    deadline: Instant,
    after: Duration,
}

impl Pending {
    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The answer's frame, from the correlation id on, not yet checked.
    async fn frame(&mut self) -> Result<Frame, Error> {
        match timeout_at(self.deadline, &mut self.wait).await {
            Ok(Ok(frame)) => Ok(frame),
            // The pipe drops its waiters when it is lost.
            Ok(Err(_)) => Err(self.connection.loss()),
            Err(_) => Err(self.connection.expired(self.api, self.after)),
        }
    }

    /// The answer, its shape checked before it is decoded.
    pub(crate) async fn decoded<A: Decodable>(self) -> Result<A, Error> {
        self.decoded_with_size().await.map(|(answer, _)| answer)
    }

    /// The answer and the bytes its frame takes in memory (slices of it keep all of it alive).
    pub(crate) async fn decoded_with_size<A: Decodable>(self) -> Result<(A, usize), Error> {
        let unread = self.unread().await?;
        let held_bytes = unread.frame.held_bytes;
        Ok((unread.decoded()?, held_bytes))
    }

    /// The answer as it came.
    pub(crate) async fn unread(mut self) -> Result<Unread, Error> {
        let frame = self.frame().await?;
        Ok(Unread { frame, connection: self.connection, api: self.api, version: self.version })
    }
}

/// An answer that nobody has looked into yet.
#[derive(Debug)]
pub(crate) struct Unread {
    frame: Frame,
    connection: Connection,
    api: Api,
    version: i16,
}

impl Unread {
    /// The same for the same bytes, within one process. Whose correlation it answers does not count.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.frame.bytes.get(reader::CORRELATION_BYTES..).hash(&mut hasher);
        hasher.finish()
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Its shape is checked before it is decoded.
    pub(crate) fn decoded<A: Decodable>(&self) -> Result<A, Error> {
        decode(self.api, self.version, &self.frame.bytes).map_err(|why| {
            // Whoever sends what cannot be read has lost framing, or is no broker.
            let loss = Loss::Undecodable { api: self.api, version: self.version, why };
            self.connection.link.pipe.lose(loss);
            self.connection.loss()
        })
    }
}

fn decode<A: Decodable>(api: Api, version: i16, frame: &Bytes) -> Result<A, String> {
    // The reader has checked that the correlation id is there.
    let mut body = frame.slice(reader::CORRELATION_BYTES..);
    if api.answers_with_header_tags(version) {
        let tags = bounds::tags_length(&body).map_err(|flaw| flaw.to_string())?;
        body = body.slice(tags..);
    }
    bounds::walk(api, version, &body).map_err(|flaw| flaw.to_string())?;
    A::decode(&mut body, version).map_err(|error| error.to_string())
}
