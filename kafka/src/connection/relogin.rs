//! Logs in again before the session ends (KIP-368), on the live connection: one task per connection that has a lifetime.
//! Promises: requests submitted before are answered before, those submitted meanwhile wait, their order stays. What a
//! login needs is fetched before the lane is closed, and again while there is time. When the broker refuses, the
//! connection is lost with that cause: the session would end anyway.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::login::{self, Session, begin};
use super::pipe::Pipe;
use super::{Connection, Link};
use crate::error::{ConnectFault, Error, Loss};
use crate::sasl::{Exchange, Login, LoginFault};

/// When, as a part of the lifetime: by chance between these, so that a thousand connections do not ask at once.
const EARLIEST: f64 = 0.7;
const LATEST: f64 = 0.9;
/// A broker takes a second login of a connection only a second after the first (Kafka: `SaslServerAuthenticator`).
const PAUSE_MIN: Duration = Duration::from_millis(1_050);
/// Between attempts to get token or ticket.
const RETRY: Duration = Duration::from_millis(500);

/// Keeps the session of `connection` alive until it is lost or dropped.
pub(super) fn keep(connection: &Connection, login: Arc<Login>, lifetime: Duration, patience: Duration) {
    let keeper = Keeper {
        link: Arc::downgrade(&connection.link),
        pipe: Arc::clone(&connection.link.pipe),
        login,
        patience,
    };
    // Ends by itself: the pipe is lost at the latest when the last handle goes.
    tokio::spawn(keeper.run(lifetime));
}

struct Keeper {
    /// Weak: waiting for the next login keeps no connection open.
    link: Weak<Link>,
    pipe: Arc<Pipe>,
    login: Arc<Login>,
    patience: Duration,
}

impl Keeper {
    async fn run(self, mut lifetime: Duration) {
        loop {
            let started = Instant::now();
            let due = started + due_after(lifetime, fastrand::f64());
            tokio::select! {
                biased;
                () = self.pipe.until_lost() => return,
                () = sleep_until(due) => {}
            }
            let renewed = tokio::select! {
                biased;
                () = self.pipe.until_lost() => return,
                renewed = self.renew(started + lifetime) => renewed,
            };
            match renewed {
                Ok(Session::Ends(next)) => {
                    tracing::debug!(peer = %self.pipe.peer, "session renewed");
                    lifetime = next;
                }
                Ok(Session::Unlimited) => return,
                Err(loss) => return self.pipe.lose(loss),
            }
        }
    }

    async fn renew(&self, ends: Instant) -> Result<Session, Loss> {
        let exchange = self.ready(ends).await.map_err(Loss::Login)?;
        let Some(link) = self.link.upgrade() else { return Err(Loss::ClosedByUs) };
        let connection = Connection { link };
        let lane = connection.own_lane().await.ok_or(Loss::ClosedByUs)?;
        let logged_in = login::log_in(&connection, &lane, &self.login, exchange, self.patience).await;
        logged_in.map_err(|error| match error {
            Error::Connect { fault: ConnectFault::Login(fault), .. } => Loss::Login(fault),
            other => Loss::Login(LoginFault::Interrupted { detail: other.to_string() }),
        })
    }

    /// Token or ticket in hand; tried again until the session ends.
    async fn ready(&self, ends: Instant) -> Result<Exchange, LoginFault> {
        loop {
            match begin(&self.login, &self.pipe.peer.host).await {
                Ok(exchange) => return Ok(exchange),
                Err(fault) if Instant::now() + RETRY >= ends => return Err(fault),
                Err(fault) => tracing::debug!(%fault, "no login at hand yet"),
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// `chance`: 0 to 1.
fn due_after(lifetime: Duration, chance: f64) -> Duration {
    lifetime.mul_f64(EARLIEST + (LATEST - EARLIEST) * chance).max(PAUSE_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_login_comes_in_time_and_not_at_once() {
        let minute = Duration::from_secs(60);
        assert_eq!(due_after(minute, 0.0), Duration::from_secs(42));
        assert!(due_after(minute, 1.0).as_secs_f64() < 54.001);
        assert_eq!(due_after(Duration::from_secs(1), 0.5), PAUSE_MIN);
    }
}
