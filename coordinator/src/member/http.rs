//! What a coordinator tells over HTTP: metrics, whether it lives, whether it is of use. Reading changes nothing; nothing secret is
//! in it. On loopback unless the file says otherwise: there is no login here.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use lockstep_core::state::known;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::council::Council;
use super::figures::{Figures, Led};
use crate::admin::Admin;
use crate::agreement::{Agreement as _, Position};
use crate::papers::Papers;

/// A consensus that has not come round for so long is stuck: on its disk, as a rule.
const STUCK: Duration = Duration::from_secs(30);
/// Entries that a member may have to make up for and still be called ready.
const BEHIND_MAX: u64 = 1_000;

/// Whom the answers come from.
pub(super) struct Told {
    pub(super) council: Council,
    pub(super) admin: Arc<Admin>,
    pub(super) papers: watch::Receiver<Arc<Papers>>,
}

/// Serves until it is dropped.
pub(super) async fn serve(listener: TcpListener, told: Told) {
    if let Ok(bound) = listener.local_addr() {
        tracing::info!("listening at {bound}: /metrics /healthz /readyz");
    }
    let router = Router::new()
        .route("/", get(index))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(told));
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the HTTP listener failed");
    }
}

async fn index() -> &'static str {
    "lockstep coordinator\n/metrics  Prometheus\n/healthz  200: the consensus turns\n/readyz   200: there is a leader, and this member keeps up\n"
}

fn answer(trouble: Option<String>) -> Response {
    match trouble {
        None => (StatusCode::OK, "ok\n").into_response(),
        Some(words) => (StatusCode::SERVICE_UNAVAILABLE, words + "\n").into_response(),
    }
}

/// Whether the process is of any use to itself. It does not ask for others: restarting would not bring them.
async fn healthz(State(told): State<Arc<Told>>) -> Response {
    answer(stuck(&told.council.position()))
}

async fn readyz(State(told): State<Arc<Told>>) -> Response {
    answer(not_ready(&told.council.position()))
}

fn stuck(position: &Position) -> Option<String> {
    if let Some(why) = &position.stopped {
        return Some(format!("the consensus has stopped: {why}"));
    }
    let silent = position.turned.map(|at| at.elapsed()).filter(|silent| *silent >= STUCK)?;
    Some(format!("the consensus has not come round for {} s: look at the disk", silent.as_secs()))
}

fn not_ready(position: &Position) -> Option<String> {
    if let Some(why) = stuck(position) {
        return Some(why);
    }
    if position.leader.is_none() {
        return Some("no leader is known: no majority is there, or it is being elected".to_owned());
    }
    let behind = position.committed.saturating_sub(position.applied);
    (behind > BEHIND_MAX).then(|| format!("{behind} entries are still to be applied"))
}

async fn metrics(State(told): State<Arc<Told>>) -> Response {
    let (position, state) = (told.council.position(), told.council.state());
    let led = position
        .leads()
        .then(|| Led { agents: told.admin.agents_here(), links: told.admin.postures(&state) });
    let expiry = told.papers.borrow().valid_until().duration_since(UNIX_EPOCH).unwrap_or_default();
    let figures = Figures {
        position: &position,
        proposals: told.council.proposals(),
        incarnation: state.incarnation(),
        level: state.level(),
        known_level: known(),
        revision: state.revision(),
        audit_seq: state.audit().seq,
        reports: told.admin.reports_taken(),
        certificate_expiry: expiry.as_secs_f64(),
        led,
    };
    match figures.text() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_no_leader_or_lags_or_stopped_is_not_ready_and_says_why() {
        let good = Position { leader: Some(1), committed: 5_000, applied: 4_990, ..Position::default() };
        assert_eq!(not_ready(&good), None);
        let why = |position: Position| not_ready(&position).unwrap_or_default();
        assert!(why(Position { leader: None, ..good.clone() }).starts_with("no leader is known"));
        assert_eq!(stuck(&Position { leader: None, ..good.clone() }), None, "a restart would not help");
        assert_eq!(why(Position { applied: 0, ..good.clone() }), "5000 entries are still to be applied");
        let stopped = Position { stopped: Some("the disk failed".to_owned()), ..good };
        assert_eq!(stuck(&stopped), Some("the consensus has stopped: the disk failed".to_owned()));
    }
}
