//! `lockstep agent`: the daemon of a datacenter. SIGINT and SIGTERM drain and leave, a second one leaves at once; SIGHUP
//! reads the file again, and so does a change of it.

use std::path::PathBuf;
use std::sync::Arc;

use lockstep_agent::{config, daemon};
use lockstep_kafka::Tcp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::fail;
use super::failure::Failure;
use super::signals::Signals;
use crate::exit::Exit;
use crate::logs;

/// Orders that wait to be taken; more of them say nothing new.
const ORDERS: usize = 4;

/// Run the daemon of a datacenter: every link of the file, until told to stop.
///
/// It belongs into the datacenter of the links' destinations. A link that cannot work waits, says why and tries again;
/// the others do not notice. The file is read again on SIGHUP and when it changes: only what differs is restarted, and a
/// file with a fault changes nothing. /status, /metrics, /healthz and /readyz are served at the file's `listen`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep check /etc/lockstep/agent.yaml --connect\n  \
lockstep agent --config /etc/lockstep/agent.yaml\n  \
lockstep status --local")]
pub(crate) struct Args {
    /// The daemon's file; `lockstep check` explains what is wrong with it
    #[arg(long, value_name = "FILE", default_value = "/etc/lockstep/agent.yaml")]
    config: PathBuf,
}

pub(crate) async fn run(args: Args) -> Exit {
    let spec = match config::load_spec(&args.config) {
        Ok(spec) => spec,
        Err(unusable) => return fail(Failure::with(Some(unusable.page()), unusable)),
    };
    if let Err(error) = logs::of_a_daemon(&spec.log) {
        return fail(error);
    }
    let (orders_in, orders) = mpsc::channel(ORDERS);
    if let Err(error) = listen_for_signals(orders_in) {
        return fail(error);
    }
    tracing::info!(version = env!("CARGO_PKG_VERSION"), site = spec.site, "lockstep agent");
    match daemon::run(args.config, spec, Arc::new(Tcp::default()), orders).await {
        daemon::Ended::Stopped => Exit::Ok,
        daemon::Ended::DeadlinePassed => {
            tracing::warn!(
                "left before everything in flight was answered; the next start asks the destinations"
            );
            Exit::Incomplete
        }
        daemon::Ended::Failed(why) => fail(why),
    }
}

fn listen_for_signals(orders: mpsc::Sender<daemon::Order>) -> Result<(), String> {
    let mut stops = Signals::new()?;
    let mut reloads =
        signal(SignalKind::hangup()).map_err(|error| format!("cannot listen for signals: {error}"))?;
    tokio::spawn(async move {
        loop {
            let order = tokio::select! {
                () = stops.next() => daemon::Order::Stop,
                _ = reloads.recv() => daemon::Order::Reload,
            };
            if orders.send(order).await.is_err() {
                return;
            }
        }
    });
    Ok(())
}
