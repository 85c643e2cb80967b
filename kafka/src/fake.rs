//! A scripted broker on a loopback port, for tests of this crate: it reads requests and does what the script says.
//! Never more than a script: the strict in-memory broker is another crate's.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::messages::api_versions_response::ApiVersion;
use kafka_protocol::messages::{ApiVersionsResponse, RequestHeader};
use kafka_protocol::protocol::{Decodable, Encodable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::settings::{HostPort, Settings};
use crate::versions::Api;

/// A listening port and how often it was dialled.
pub(crate) struct Fake {
    pub(crate) address: HostPort,
    pub(crate) dials: Arc<AtomicUsize>,
}

impl Fake {
    /// Runs `script` on every connection; its number counts from 0.
    pub(crate) async fn start<F>(script: impl Fn(Peer, usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = HostPort::new("127.0.0.1", listener.local_addr().unwrap().port());
        let dials = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&dials);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(script(Peer { stream }, number));
            }
        });
        Self { address, dials }
    }

    pub(crate) fn settings(&self) -> Settings {
        settings(&self.address.to_string())
    }
}

/// Settings with a test's patience.
pub(crate) fn settings(bootstrap: &str) -> Settings {
    let mut settings = Settings::new(bootstrap).unwrap();
    settings.connect_timeout = std::time::Duration::from_millis(500);
    settings.request_timeout = std::time::Duration::from_secs(2);
    settings.backoff_min = std::time::Duration::from_millis(10);
    settings.backoff_max = std::time::Duration::from_millis(40);
    settings
}

/// The broker's end of one connection.
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) key: i16,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    pub(crate) body: Bytes,
}

impl Peer {
    /// The next request; `None` when the client has gone.
    pub(crate) async fn read(&mut self) -> Option<Asked> {
        let length = self.stream.read_i32().await.ok()?;
        let mut frame = vec![0; usize::try_from(length).unwrap()];
        self.stream.read_exact(&mut frame).await.ok()?;
        let mut body = Bytes::from(frame);
        let (key, version) = (body.clone().get_i16(), body.slice(2..).get_i16());
        let api = Api::ALL.into_iter().find(|api| api.key() == key).unwrap();
        let header = if api.is_flexible(version) { 2 } else { 1 };
        let header = RequestHeader::decode(&mut body, header).unwrap();
        assert_eq!(header.client_id.as_ref().unwrap().as_str(), "lockstep");
        Some(Asked { key, version, correlation: header.correlation_id, body })
    }

    /// Answers a request with `body`.
    pub(crate) async fn answer(&mut self, asked: &Asked, body: &impl Encodable) {
        let api = Api::ALL.into_iter().find(|api| api.key() == asked.key).unwrap();
        let mut frame = BytesMut::new();
        frame.put_i32(asked.correlation);
        if api.answers_with_header_tags(asked.version) {
            frame.put_u8(0);
        }
        body.encode(&mut frame, asked.version).unwrap();
        self.frame(&frame).await;
    }

    pub(crate) async fn frame(&mut self, frame: &[u8]) {
        self.stream.write_i32(i32::try_from(frame.len()).unwrap()).await.unwrap();
        self.stream.write_all(frame).await.unwrap();
    }

    /// The first exchange, offering all we speak.
    pub(crate) async fn greet(&mut self) -> Option<()> {
        let asked = self.read().await?;
        assert_eq!((asked.key, asked.version), (18, 3));
        self.answer(&asked, &all_we_speak()).await;
        Some(())
    }
}

pub(crate) fn all_we_speak() -> ApiVersionsResponse {
    let apis = Api::ALL.into_iter().map(|api| {
        ApiVersion::default()
            .with_api_key(api.key())
            .with_min_version(api.ours().min)
            .with_max_version(api.ours().max)
    });
    ApiVersionsResponse::default().with_api_keys(apis.collect())
}
