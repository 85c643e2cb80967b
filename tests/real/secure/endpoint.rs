//! A token endpoint on the loopback address: client credentials in, a token out. Ends with the process.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use lockstep_testkit::Realm;
use lockstep_testkit::secured::CLIENT;

pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) asked: Arc<AtomicU32>,
}

/// Grants tokens of this life to whoever sends `Authorization: Basic` with these credentials, already encoded.
pub(super) fn start(realm: &Arc<Realm>, basic: &'static str, lifetime: Duration) -> Endpoint {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/oauth2/token", listener.local_addr().unwrap());
    let asked = Arc::new(AtomicU32::new(0));
    // Weak: the thread shall not keep the realm alive.
    let (realm, counter) = (Arc::downgrade(realm), Arc::clone(&asked));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), Some(realm)) = (stream, realm.upgrade()) else { return };
            let mut request = vec![0; 8_192];
            let read = stream.read(&mut request).unwrap_or(0);
            let request = String::from_utf8_lossy(&request[..read]).into_owned();
            let known = request.contains(&format!("Authorization: Basic {basic}\r\n"))
                && request.ends_with("grant_type=client_credentials&scope=kafka");
            let (status, body) = if known {
                let token = realm.tokens.issue(CLIENT.0, lifetime);
                let seconds = lifetime.as_secs();
                (
                    "200 OK",
                    format!(
                        "{{\"access_token\":\"{token}\",\"token_type\":\"Bearer\",\"expires_in\":{seconds}}}"
                    ),
                )
            } else {
                ("401 Unauthorized", "{\"error\":\"invalid_client\"}".to_owned())
            };
            counter.fetch_add(1, Ordering::SeqCst);
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    Endpoint { url, asked }
}
