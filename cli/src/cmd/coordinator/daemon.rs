//! `lockstep coordinator --config F`: the daemon. SIGINT and SIGTERM hand the lead over and leave, a second one leaves at
//! once; SIGHUP reads `access` of the file again. A file with a fault changes nothing.

use std::path::PathBuf;
use std::sync::Arc;

use lockstep_coordinator::access::Access;
use lockstep_coordinator::consensus::Pace;
use lockstep_coordinator::member::{self, Surroundings};
use lockstep_core::dr::lease::Terms;
use lockstep_core::spec::coordinator::CoordinatorSpec;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::load;
use crate::cmd::failure::Failure;
use crate::cmd::signals::Signals;
use crate::exit::Exit;
use crate::logs;

pub(super) async fn run(config: PathBuf) -> Result<Exit, Failure> {
    let spec = load(&config)?;
    logs::of_a_daemon(&spec.log)?;
    let mut signals = Signals::new()?;
    let (grants, access) = watch::channel(Arc::new(Access::new(spec.access.clone())));
    follow_access(config, spec.clone(), grants)?;
    let name = spec.name.clone();
    let ready = move |address: std::net::SocketAddr, identity: &member::Identity| {
        let (system, incarnation) = (&identity.cluster_id, identity.incarnation);
        tracing::info!(%address, system, incarnation, "coordinator {name} listens");
    };
    let around = Surroundings { access, terms: Terms::default(), pace: Pace::default(), ready };
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        name = spec.name,
        site = spec.site,
        "lockstep coordinator"
    );
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = member::run(&spec, around, async { drop(stopped.await) });
    tokio::pin!(running);
    let ended = tokio::select! {
        ended = &mut running => return end(ended),
        () = signals.next() => {
            tracing::info!("stopping: another coordinator is to lead first");
            drop(stop);
            tokio::select! {
                ended = &mut running => ended,
                () = signals.next() => return Ok(Exit::Incomplete),
            }
        }
    };
    end(ended)
}

fn end(ended: Result<(), member::MemberFault>) -> Result<Exit, Failure> {
    ended.map(|()| Exit::Ok).map_err(|fault| fault.to_string().into())
}

/// What else is in the file takes effect at the next start, which is said.
fn follow_access(
    config: PathBuf,
    running: CoordinatorSpec,
    grants: watch::Sender<Arc<Access>>,
) -> Result<(), Failure> {
    let mut reloads =
        signal(SignalKind::hangup()).map_err(|error| format!("cannot listen for signals: {error}"))?;
    tokio::spawn(async move {
        while reloads.recv().await.is_some() {
            match load(&config) {
                Err(failure) => {
                    tracing::error!(%failure, "the file is not taken: everything goes on as before");
                }
                Ok(read) => {
                    let waits = CoordinatorSpec { access: Vec::new(), ..read.clone() }
                        != CoordinatorSpec { access: Vec::new(), ..running.clone() };
                    grants.send_replace(Arc::new(Access::new(read.access)));
                    tracing::info!(waits_for_start = waits, "access was read again");
                }
            }
        }
    });
    Ok(())
}
