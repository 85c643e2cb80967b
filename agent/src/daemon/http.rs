//! What the daemon tells over HTTP, in plain text and JSON. Reading changes nothing; nothing secret is ever in it.
//! Bound to loopback unless the file says otherwise: there is no login here.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lockstep_core::spec::daemon::Listen;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::board::Board;
use super::life::LinkState;
use super::tasks::{Task, Tasks};

/// A supervisor that has not come round for so long is stuck.
const STUCK: Duration = Duration::from_secs(30);

/// A listener; it ends when this is dropped.
pub(super) struct Http {
    number: u32,
    _stop: watch::Sender<bool>,
}

impl Http {
    /// Binds and serves.
    ///
    /// # Errors
    /// In words: the address cannot be bound.
    pub(super) async fn serve(
        number: u32,
        listen: &Listen,
        board: Board,
        tasks: &mut Tasks,
    ) -> Result<Self, String> {
        let (stop, mut stopped) = watch::channel(false);
        let http = Self { number, _stop: stop };
        let Listen::At(address) = listen else { return Ok(http) };
        let listener = TcpListener::bind(address.as_str()).await;
        let listener = listener.map_err(|error| format!("cannot listen at {address}: {error}"))?;
        if let Ok(bound) = listener.local_addr() {
            tracing::info!("listening at {bound}: /metrics /healthz /readyz /status");
        }
        let router = Router::new()
            .route("/", get(index))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/status", get(status))
            .route("/groups/{link}", get(groups))
            .route("/history/{link}", get(history))
            .route("/metrics", get(metrics))
            .with_state(board);
        let until = async move {
            // Changes only by being dropped.
            let _ = stopped.changed().await;
        };
        tasks.spawn(Task::Http(number), async move {
            if let Err(error) = axum::serve(listener, router).with_graceful_shutdown(until).await {
                tracing::error!(%error, "the HTTP listener failed");
            }
        });
        Ok(http)
    }

    pub(super) fn number(&self) -> u32 {
        self.number
    }
}

async fn index() -> &'static str {
    "lockstep agent\n/metrics  Prometheus\n/healthz  200: the daemon turns\n/readyz   200: every wanted link runs\n/status   JSON\n/groups/LINK  JSON\n/history/LINK  JSON: a day, and the last verdict\n"
}

/// Whether the process is alive. It does not ask how the links are: restarting would not help them.
async fn healthz(State(board): State<Board>) -> Response {
    let silent = board.last_beat().elapsed();
    if silent < STUCK {
        return (StatusCode::OK, "ok\n").into_response();
    }
    let words = format!("the supervisor has not come round for {} s\n", silent.as_secs());
    (StatusCode::SERVICE_UNAVAILABLE, words).into_response()
}

/// Whether every link that is wanted runs.
async fn readyz(State(board): State<Board>) -> Response {
    let mut words = String::new();
    for (name, link) in board.links() {
        match &*link.state.borrow() {
            LinkState::Running(_) | LinkState::Paused => {}
            LinkState::Starting => words.push_str(&format!("{name}: starting\n")),
            LinkState::Stopping => words.push_str(&format!("{name}: stopping\n")),
            LinkState::Waiting(trouble) => words.push_str(&format!("{name}: {}\n", trouble.why)),
        }
    }
    if words.is_empty() {
        return (StatusCode::OK, "ok\n").into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, words).into_response()
}

async fn status(State(board): State<Board>) -> Response {
    match serde_json::to_string(&board.status()) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn groups(State(board): State<Board>, Path(link): Path<String>) -> Response {
    let Some(found) = board.groups(&link) else {
        return (StatusCode::NOT_FOUND, format!("no link {link:?} here, or it does not run\n"))
            .into_response();
    };
    match serde_json::to_string(&found) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn history(State(board): State<Board>, Path(link): Path<String>) -> Response {
    let Some(found) = board.history(&link) else {
        return (StatusCode::NOT_FOUND, format!("no link {link:?} here\n")).into_response();
    };
    match serde_json::to_string(&found) {
        Ok(json) => ([(header::CONTENT_TYPE, "application/json")], json).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn metrics(State(board): State<Board>) -> Response {
    match board.metrics() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(words) => (StatusCode::INTERNAL_SERVER_ERROR, words).into_response(),
    }
}
