//! One question to an agent over HTTP. Bounded in time and size; every failure names the address and the remedy.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(10);
/// A status names every partition: some 400 bytes for each.
const BODY_BYTES_MAX: usize = 256 << 20;

/// The body of a 200 answer.
///
/// # Errors
/// In words: nobody listens there, or the answer is another one.
pub(super) async fn ask(address: &str, path: &str) -> Result<String, String> {
    match tokio::time::timeout(PATIENCE, get(address, path)).await {
        Ok(Ok((StatusCode::OK, body))) => Ok(body),
        Ok(Ok((code, body))) => Err(format!("the agent at {address} answers {code}: {}", body.trim())),
        Ok(Err(words)) => Err(format!(
            "no agent answers at {address}: {words}\n  remedy  start `lockstep agent`, or name its `listen` address with --agent"
        )),
        Err(_) => Err(format!("the agent at {address} has not answered within {} s", PATIENCE.as_secs())),
    }
}

async fn get(address: &str, path: &str) -> Result<(StatusCode, String), String> {
    let words = |error: &dyn std::fmt::Display| error.to_string();
    let stream = TcpStream::connect(address).await.map_err(|error| words(&error))?;
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| words(&error))?;
    // It ends with the answer, or with us.
    tokio::spawn(connection);
    let request = Request::get(path).header("host", address).body(Empty::<Bytes>::new());
    let answer = sender.send_request(request.map_err(|error| words(&error))?).await;
    let answer = answer.map_err(|error| words(&error))?;
    let code = answer.status();
    let body =
        Limited::new(answer.into_body(), BODY_BYTES_MAX).collect().await.map_err(|error| words(&error))?;
    Ok((code, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}
