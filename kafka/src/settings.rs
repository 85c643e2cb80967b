//! How a cluster is reached: addresses, patience and limits, as the code uses them.
//! Promises: an address that cannot be meant is refused with what was typed and what would be right.
//! Never resolves a name: that is the dialer's part, at every attempt anew.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::security::Security;

/// The address of a broker: a host name or IP address, and a port.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// Without brackets, also for IPv6.
    pub host: Arc<str>,
    pub port: u16,
}

impl HostPort {
    pub fn new(host: impl Into<Arc<str>>, port: u16) -> Self {
        Self { host: host.into(), port }
    }

    /// Parses `host:port`, `1.2.3.4:9092` or `[::1]:9092`.
    ///
    /// # Errors
    /// [`Error::Address`] with the remedy, for anything else.
    pub fn parse(given: &str) -> Result<Self, Error> {
        let refuse = |why: &'static str| Error::Address { given: given.to_owned(), why };
        let text = given.trim();
        if text.contains("://") {
            return Err(refuse("write host:port without a protocol in front"));
        }
        let (host, port) =
            text.rsplit_once(':').ok_or_else(|| refuse("the port is missing: write host:port"))?;
        let host = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(|| refuse("the closing bracket is missing"))?,
            None if host.contains(':') => {
                return Err(refuse("an IPv6 address belongs into brackets: [::1]:9092"));
            }
            None => host,
        };
        if host.is_empty() {
            return Err(refuse("the host is missing: write host:port"));
        }
        if host.contains(|c: char| c.is_whitespace() || c == '/' || c == ',') {
            return Err(refuse("the host contains a character no host name has"));
        }
        let port = port.parse().ok().filter(|port| *port != 0);
        Ok(Self::new(host, port.ok_or_else(|| refuse("the port must be a number from 1 to 65535"))?))
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Everything a [`Cluster`](crate::Cluster) needs to know before it dials.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Named in every request; brokers use it in logs and for quotas. At most 32,767 bytes.
    pub client_id: String,
    /// Asked in this order for the first metadata, and again when no known broker answers.
    pub bootstrap: Vec<HostPort>,
    /// Transport and login, for every broker of the cluster.
    pub security: Security,
    /// For resolving and dialling together, and once more for the first exchange on the new connection.
    pub connect_timeout: Duration,
    /// For requests that name no timeout of their own, from submission to the answer.
    pub request_timeout: Duration,
    /// [`Cluster::fresh_metadata`](crate::Cluster::fresh_metadata) asks again after this long.
    pub metadata_max_age: Duration,
    /// A longer frame poisons the connection, in either direction. At most 2 GiB (an i32 on the wire).
    pub frame_bytes_max: usize,
    /// The longest answer to anything but Fetch and ApiVersions; metadata of 700,000 partitions fit into the default.
    /// A longer one poisons the connection before a byte of it is read, so that no broker can fill our memory.
    pub control_bytes_max: usize,
    /// The longest answer to Fetch, unless more was asked for. One batch always comes whole, however large
    /// (KIP-74), so this is also the largest batch that can be fetched, less what frames it. The default is a MiB above
    /// the largest that a broker takes from a producer by its own default (`socket.request.max.bytes`, 100 MiB).
    pub fetch_bytes_max: usize,
    /// The wait after the first failed attempt to reach a broker; it doubles, with jitter, up to `backoff_max`.
    pub backoff_min: Duration,
    pub backoff_max: Duration,
}

impl Settings {
    /// Reads a comma-separated bootstrap list; everything else gets its default, plaintext included.
    ///
    /// # Errors
    /// [`Error::Address`] for the first address that cannot be meant, or an empty list.
    pub fn new(bootstrap: &str) -> Result<Self, Error> {
        let bootstrap = bootstrap
            .split(',')
            .filter(|part| !part.trim().is_empty())
            .map(HostPort::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if bootstrap.is_empty() {
            return Err(Error::Address {
                given: String::new(),
                why: "name at least one broker as host:port",
            });
        }
        Ok(Self {
            client_id: "lockstep".to_owned(),
            bootstrap,
            security: Security::default(),
            connect_timeout: Duration::from_secs(5),
            request_timeout: Duration::from_secs(30),
            metadata_max_age: Duration::from_secs(5),
            frame_bytes_max: 256 << 20,
            control_bytes_max: 32 << 20,
            fetch_bytes_max: 101 << 20,
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_list_is_read() {
        let settings = Settings::new("a.example:9092, 10.0.0.1:1,[::1]:9093,").unwrap();
        let shown: Vec<_> = settings.bootstrap.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["a.example:9092", "10.0.0.1:1", "[::1]:9093"]);
        assert_eq!(&*settings.bootstrap[2].host, "::1");
    }

    #[test]
    fn a_wrong_address_is_refused_with_the_remedy() {
        for (given, remedy) in [
            ("", "at least one"),
            (" , ", "at least one"),
            ("broker", "port is missing"),
            ("broker:", "1 to 65535"),
            ("broker:0", "1 to 65535"),
            ("broker:70000", "1 to 65535"),
            ("broker:http", "1 to 65535"),
            (":9092", "host is missing"),
            ("::1:9092", "brackets"),
            ("[::1:9092", "closing bracket"),
            ("http://broker:9092", "without a protocol"),
            ("bro ker:9092", "character"),
            ("a:1,b", "port is missing"),
        ] {
            let error = Settings::new(given).unwrap_err().to_string();
            assert!(error.contains(remedy), "{given:?}: {error}");
        }
    }
}
