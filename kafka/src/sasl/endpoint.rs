//! A token from an OAuth 2.0 endpoint with client credentials (RFC 6749, 4.4): one POST over HTTP/1.1, our own TLS.
//! Promises: time and bytes are bounded; neither secret nor token reaches a message. Follows no redirect, keeps no
//! connection.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockstep_core::spec::fault::Fault;
use lockstep_core::spec::security::{EndpointSpec, HostNames, Scheme, TlsSpec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::LoginFault;
use crate::dial::{Dial, Stream, Tcp};
use crate::secret::{self, Secret};
use crate::tls::Tls;

const PATIENCE: Duration = Duration::from_secs(10);
/// Tokens of several kilobytes exist.
const ANSWER_BYTES_MAX: u64 = 256 << 10;
const KEY: &str = "security.sasl.oauthbearer";

pub(crate) struct Endpoint {
    spec: EndpointSpec,
    /// For an `https` address.
    tls: Option<Tls>,
}

impl Endpoint {
    pub(super) fn resolve(spec: &EndpointSpec) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        if let Err(what) = secret::read(&spec.client_secret) {
            faults.push(Fault::new(format!("{KEY}.client_secret"), what));
        }
        let tls = match spec.url.scheme {
            Scheme::Http => None,
            Scheme::Https => {
                let authorities = spec.authorities.clone();
                let tls = TlsSpec { authorities, client: None, host_names: HostNames::Verified };
                Tls::load(&tls, KEY).map_err(|more| faults.extend(more)).ok()
            }
        };
        if faults.is_empty() { Ok(Self { spec: spec.clone(), tls }) } else { Err(faults) }
    }

    /// A new token and its lifetime, if the endpoint tells.
    pub(super) async fn fetch(&self) -> Result<(Secret, Option<Duration>), LoginFault> {
        let url = &self.spec.url;
        let wrong = |why: String| LoginFault::TokenUnavailable {
            detail: format!("the endpoint at {}:{}{} {why}", url.host, url.port, url.path),
        };
        let request = self.request().map_err(|detail| LoginFault::Secret { detail })?;
        let asked = timeout(PATIENCE, self.ask(&request)).await;
        let answer = asked.unwrap_or_else(|_| Err(format!("did not answer within {PATIENCE:?}")));
        let (status, body) = answer.and_then(|answer| parse(&answer)).map_err(wrong)?;
        if status != 200 {
            return Err(wrong(format!("answered with status {status}{}", reason(&body))));
        }
        granted(&body).ok_or_else(|| wrong("answered without an access_token".to_owned()))
    }

    fn request(&self) -> Result<Secret, String> {
        let secret = secret::read(&self.spec.client_secret)?;
        // RFC 6749, 2.3.1: both parts are form-encoded before they are joined.
        let mut both = form(self.spec.client_id.as_bytes());
        both.push(':');
        both.push_str(&form(secret.reveal()));
        let mut body = "grant_type=client_credentials".to_owned();
        if let Some(scope) = &self.spec.scope {
            body.push_str("&scope=");
            body.push_str(&form(scope.as_bytes()));
        }
        let url = &self.spec.url;
        let host = if url.host.contains(':') { format!("[{}]", url.host) } else { url.host.clone() };
        let request = format!(
            "POST {} HTTP/1.1\r\nHost: {host}:{}\r\nAuthorization: Basic {}\r\nAccept: application/json\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            url.path,
            url.port,
            STANDARD.encode(both),
            body.len(),
        );
        Ok(Secret::new(request.into_bytes()))
    }

    async fn ask(&self, request: &Secret) -> Result<Vec<u8>, String> {
        let url = &self.spec.url;
        let dialled = Tcp::default().dial(&url.host, url.port).await;
        let stream = dialled.map_err(|error| format!("cannot be reached: {error}"))?;
        let mut stream: Box<dyn Stream> = match &self.tls {
            None => stream,
            Some(tls) => {
                tls.wrap(stream, &url.host).await.map_err(|fault| format!("cannot be trusted: {fault}"))?
            }
        };
        let failed = |error: std::io::Error| format!("broke off: {error}");
        stream.write_all(request.reveal()).await.map_err(failed)?;
        stream.flush().await.map_err(failed)?;
        let mut answer = Vec::new();
        match stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await {
            Ok(_) => Ok(answer),
            // Ending TLS without its good-bye is common; the length tells whether all has come.
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(answer),
            Err(error) => Err(failed(error)),
        }
    }
}

/// Status and body of an answer.
fn parse(answer: &[u8]) -> Result<(u16, Vec<u8>), String> {
    let nonsense = || "does not speak HTTP".to_owned();
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or_else(nonsense)?;
    let head = std::str::from_utf8(&answer[..end]).map_err(|_| nonsense())?;
    let body = &answer[end + 4..];
    let mut lines = head.split("\r\n");
    let first = lines.next().filter(|line| line.starts_with("HTTP/1.")).ok_or_else(nonsense)?;
    let status = first.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(nonsense)?;
    let header = |name: &str| {
        let found = head.split("\r\n").skip(1).filter_map(|line| line.split_once(':'));
        found.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    let cut_off = || "broke off in the middle of its answer".to_owned();
    if header("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        return Ok((status, unchunk(body).ok_or_else(cut_off)?));
    }
    match header("content-length").map(str::parse::<usize>) {
        None => Ok((status, body.to_vec())),
        Some(Ok(length)) => Ok((status, body.get(..length).ok_or_else(cut_off)?.to_vec())),
        Some(Err(_)) => Err(nonsense()),
    }
}

/// The chunks joined (RFC 9112, 7.1).
fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let size = std::str::from_utf8(&rest[..end]).ok()?.split(';').next()?.trim();
        let size = usize::from_str_radix(size, 16).ok()?;
        rest = &rest[end + 2..];
        if size == 0 {
            return Some(whole);
        }
        whole.extend_from_slice(rest.get(..size)?);
        rest = rest.get(size..)?.strip_prefix(b"\r\n")?;
    }
}

fn granted(body: &[u8]) -> Option<(Secret, Option<Duration>)> {
    let answer: serde_json::Value = serde_json::from_slice(body).ok()?;
    let token = answer.get("access_token")?.as_str()?;
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return None;
    }
    let seconds = answer.get("expires_in").and_then(|seconds| match seconds {
        // Some send it as text.
        serde_json::Value::String(text) => text.parse().ok(),
        number => number.as_u64(),
    });
    // A bound, so that no sum of times can overflow.
    let lifetime = seconds.map(|seconds: u64| Duration::from_secs(seconds.min(u64::from(u32::MAX))));
    Some((Secret::new(token.as_bytes().to_vec()), lifetime))
}

/// OAuth's own words for a refusal; nothing else of the body, which might echo what we sent.
fn reason(body: &[u8]) -> String {
    let parsed: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let error = parsed.as_ref().and_then(|answer| answer.get("error")?.as_str());
    let error =
        error.filter(|error| error.len() <= 64 && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
    error.map_or_else(String::new, |error| format!(" ({error})"))
}

/// Form-encoding of everything but what never needs it.
fn form(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(*byte));
            }
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use lockstep_core::spec::security::{SecretSpec, Url};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn answers_come_whole_or_not_at_all() {
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
        assert_eq!(parse(chunked).unwrap(), (200, b"abcde".to_vec()));
        assert!(parse(&chunked[..chunked.len() - 9]).is_err());
        assert_eq!(parse(b"HTTP/1.0 401 No\r\ncontent-length: 2\r\n\r\nabc").unwrap(), (401, b"ab".to_vec()));
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").is_err());
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\n\r\nabc").unwrap().1, b"abc");
        for nonsense in [b"".as_slice(), b"SSH-2.0\r\n\r\n", b"HTTP/1.1 x\r\n\r\n"] {
            assert!(parse(nonsense).is_err());
        }
        assert_eq!(form("a b+ü".as_bytes()), "a%20b%2B%C3%BC");
        assert_eq!(
            reason(br#"{"error":"invalid_client","error_description":"hunter2"}"#),
            " (invalid_client)"
        );
    }

    #[tokio::test]
    async fn a_token_is_fetched_and_a_refusal_hides_the_secret() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let path = std::env::temp_dir().join(format!("lockstep-client-{}", fastrand::u64(..)));
        std::fs::write(&path, "s/cret").unwrap();
        let spec = EndpointSpec {
            url: Url::parse(&format!("http://127.0.0.1:{port}/token?a=b")).unwrap(),
            client_id: "dr".to_owned(),
            client_secret: SecretSpec::File(path.clone()),
            scope: Some("kafka all".to_owned()),
            authorities: Vec::new(),
        };
        let server = tokio::spawn(async move {
            let mut seen = Vec::new();
            for answer in [
                "HTTP/1.1 200 OK\r\nContent-Length: 49\r\n\r\n{\"access_token\":\"a.b.c\",\"expires_in\":\"300\",\"x\":1}",
                "HTTP/1.1 401 Unauthorized\r\nContent-Length: 26\r\n\r\n{\"error\":\"invalid_client\"}",
            ] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = vec![0; 4_096];
                let read = stream.read(&mut request).await.unwrap();
                seen.push(String::from_utf8(request[..read].to_vec()).unwrap());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            seen
        });
        let endpoint = Endpoint::resolve(&spec).unwrap();
        let (token, lifetime) = endpoint.fetch().await.unwrap();
        assert_eq!((token.reveal(), lifetime), (b"a.b.c".as_slice(), Some(Duration::from_secs(300))));
        let refused = endpoint.fetch().await.unwrap_err().to_string();
        assert!(refused.contains("status 401 (invalid_client)") && !refused.contains("cret"), "{refused}");
        let request = server.await.unwrap().remove(0);
        assert!(request.starts_with("POST /token?a=b HTTP/1.1\r\n"), "{request}");
        assert!(request.contains(&format!("Basic {}\r\n", STANDARD.encode("dr:s%2Fcret"))), "{request}");
        assert!(request.ends_with("\r\n\r\ngrant_type=client_credentials&scope=kafka%20all"), "{request}");
        std::fs::remove_file(path).unwrap();
    }
}
