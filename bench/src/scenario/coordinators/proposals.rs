//! From an operator's call to an entry that a majority has on disk, one call after the other; beside it as many bytes as the
//! entry has, written and synchronized by a single thread on the same disk.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use lockstep_core::audit::{Actor, ActorKind, WallMillis};
use lockstep_core::state::{Command, Entry};

use super::super::age::{Quantiles, quantiles};
use super::super::samples;
use crate::council::{Council, Operator};
use crate::figure::{Figure, Unit};
use crate::{Result, Settings};

const CALLS: usize = 300;

/// In ms.
struct Round {
    agreed: Quantiles,
    synchronized: Quantiles,
}

pub(super) fn facts() -> String {
    format!(
        "Proposals: {CALLS} calls to the leader per round, one after the other, each of which becomes one entry of {} bytes; \
         a call also asks a majority whether the leader still leads, and ends in a no.",
        entry(0).map_or(0, |entry| entry.len())
    )
}

fn agent(number: usize) -> String {
    format!("nobody-{number:04}")
}

/// As the leader proposes it.
fn entry(number: usize) -> Result<Vec<u8>> {
    let actor = Actor {
        name: "bench".to_owned(),
        kind: ActorKind::Operator,
        from: Some("127.0.0.1:40000".to_owned()),
    };
    let command = Command::ForgetAgent { agent: agent(number) };
    Ok(serde_json::to_vec(&Entry::new(WallMillis(1_700_000_000_000), actor, None, command))?)
}

pub(super) fn measure(council: &Council, settings: &Settings) -> Result<Vec<Figure>> {
    let leader = council.leader()?;
    let mut operator = council.wait(council.operator(leader))?;
    let mut rounds = Vec::new();
    for number in 1..=settings.rounds {
        let synchronized = quantiles(synchronize(council.folder())?)?;
        let agreed = quantiles(council.wait(propose(&mut operator))?)?;
        eprintln!(
            "  round {number} of {}: agreed on in {:.1} ms (p99 {:.1}), bare fsync {:.1} ms (p99 {:.1})",
            settings.rounds, agreed.p50, agreed.p99, synchronized.p50, synchronized.p99
        );
        rounds.push(Round { agreed, synchronized });
    }
    let figure = |id: &'static str, what: &'static str, value: fn(&Quantiles) -> f64| -> Result<Figure> {
        let agreed = samples(&rounds, |round: &Round| value(&round.agreed))?;
        let bare = samples(&rounds, |round: &Round| value(&round.synchronized))?;
        Ok(Figure::new(id, what, Unit::Milliseconds, agreed).beside("bare fsync of as many bytes", bare))
    };
    Ok(vec![
        figure("coordinators_proposal_p50_ms", "a small entry, call to answer: median", |q| q.p50)?,
        figure("coordinators_proposal_p99_ms", "a small entry, call to answer: p99", |q| q.p99)?,
    ])
}

fn synchronize(folder: &Path) -> Result<Vec<f64>> {
    let mut file = File::create(folder.join("bare"))?;
    (0..CALLS)
        .map(|number| {
            let (bytes, began) = (entry(number)?, Instant::now());
            file.write_all(&bytes)?;
            file.sync_data()?;
            Ok(milliseconds(began.elapsed()))
        })
        .collect()
}

async fn propose(operator: &mut Operator) -> Result<Vec<f64>> {
    let mut took = Vec::with_capacity(CALLS);
    for number in 0..CALLS {
        let began = Instant::now();
        operator.propose(&agent(number)).await?;
        took.push(milliseconds(began.elapsed()));
    }
    Ok(took)
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1_000.0
}
