//! How a byte stream to a broker comes about: a trait, and plain TCP behind it.
//! Promises: every resolved address is tried; a dead peer is noticed by the kernel, also when nobody writes.
//! Never speaks Kafka; TLS and simulated networks are other implementations of the same trait.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::BoxFuture;
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// What a connection runs over.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Opens streams to brokers.
///
/// The kind of the error tells what a person reads: `NotFound` an unknown host, `ConnectionRefused`, `TimedOut`,
/// `HostUnreachable` and `NetworkUnreachable` what they say; anything else is shown as it is.
pub trait Dial: Send + Sync {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>>;
}

/// Unacknowledged data after this long means the peer is gone, not after Linux's default of a quarter of an hour.
#[cfg(target_os = "linux")]
const USER_TIMEOUT: Duration = Duration::from_secs(30);
/// An idle connection is probed after this long, so that firewalls keep it and silent deaths are noticed.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// However many addresses a name has, each gets at least this long.
const ADDRESS_TIMEOUT_MIN: Duration = Duration::from_secs(1);

/// Plain TCP.
#[derive(Clone, Copy, Debug)]
pub struct Tcp {
    /// For all addresses of a name together; each gets its share, at least one second.
    pub connect_timeout: Duration,
}

impl Default for Tcp {
    /// Five seconds.
    fn default() -> Self {
        Self { connect_timeout: Duration::from_secs(5) }
    }
}

impl Dial for Tcp {
    fn dial<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let addresses = resolve(host, port).await?;
            let share = self.connect_timeout / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
            let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
            for address in addresses {
                match connect(address, share.max(ADDRESS_TIMEOUT_MIN)).await {
                    Ok(stream) => return Ok(Box::new(stream) as Box<dyn Stream>),
                    Err(error) => last = error,
                }
            }
            Err(last)
        })
    }
}

async fn resolve(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match lookup_host((host, port)).await {
        Ok(addresses) => Ok(addresses.collect()),
        // The resolver's own kinds differ from platform to platform.
        Err(error) => Err(io::Error::new(io::ErrorKind::NotFound, error.to_string())),
    }
}

async fn connect(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream =
        timeout(patience, TcpStream::connect(address)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_live_socket_notices_dead_peers() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = connect(listener.local_addr().unwrap(), Duration::from_secs(5)).await.unwrap();
        assert!(stream.nodelay().unwrap());
        let socket = SockRef::from(&stream);
        assert!(socket.keepalive().unwrap());
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
    }

    #[tokio::test]
    async fn each_failure_has_its_own_kind() {
        let free = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let kind_of = async |host: &'static str, port| match Tcp::default().dial(host, port).await {
            Ok(_) => None,
            Err(error) => Some(error.kind()),
        };
        assert_eq!(kind_of("127.0.0.1", free).await, Some(io::ErrorKind::ConnectionRefused));
        assert_eq!(kind_of("no-such-host.invalid", 9092).await, Some(io::ErrorKind::NotFound));
    }
}
