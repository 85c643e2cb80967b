//! Events of the audit trail that this member never applied, because it took over another's snapshot: asked for from the
//! other members, and taken only where they continue the chain that is here.

use std::sync::Arc;
use std::time::Duration;

use lockstep_core::audit::{AuditEvent, verify};
use lockstep_proto::peer::TrailRequest;
use lockstep_proto::with_causes;
use tokio::time::{sleep, timeout};

use super::council::Council;
use crate::agreement::Agreement as _;
use crate::peers::Peers;

const LOOK: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(10);

/// Until the task is ended.
pub(super) async fn run(council: Council, peers: Arc<Peers>) {
    loop {
        sleep(LOOK).await;
        while council.trail().head().seq < council.state().audit().seq {
            if let Err(why) = page(&council, &peers).await {
                tracing::debug!("the audit trail is not whole yet: {why}");
                break;
            }
        }
    }
}

/// Whether the member at this address has the trail up to the event of this number.
///
/// # Errors
/// In words, why not.
pub(super) async fn has_trail(peers: &Peers, address: &str, seq: u64) -> Result<(), String> {
    if seq == 0 || !ask(peers, address, seq).await?.is_empty() {
        return Ok(());
    }
    Err(format!("it does not have the audit trail up to event {seq} yet"))
}

/// One page, from whichever member has it.
async fn page(council: &Council, peers: &Peers) -> Result<(), String> {
    let position = council.position();
    let others = position.seats.iter().filter(|seat| seat.member.id != position.id);
    let mut faults = Vec::new();
    for seat in others {
        let head = council.trail().head();
        match ask(peers, &seat.member.address, head.seq + 1).await {
            Ok(events) if !events.is_empty() => {
                verify(&events, head, None).map_err(|broken| format!("{}: {broken}", seat.member.name))?;
                for event in &events {
                    council.trail().put(event).map_err(|fault| fault.to_string())?;
                }
                return council.trail().sync().map_err(|fault| fault.to_string());
            }
            Ok(_) => faults.push(format!("{} has nothing more", seat.member.name)),
            Err(why) => faults.push(format!("{}: {why}", seat.member.name)),
        }
    }
    Err(faults.join("; "))
}

async fn ask(peers: &Peers, address: &str, from_seq: u64) -> Result<Vec<AuditEvent>, String> {
    let mut client = peers.peer(address).map_err(|error| with_causes(&error))?;
    let answer = timeout(PATIENCE, client.trail(TrailRequest { from_seq })).await;
    let answer = answer.map_err(|_| format!("no answer within {} s", PATIENCE.as_secs()))?;
    let answer = answer.map_err(|status| status.message().to_owned())?.into_inner();
    let read = |text: &String| serde_json::from_str(text).map_err(|error| error.to_string());
    answer.events.iter().map(read).collect()
}
