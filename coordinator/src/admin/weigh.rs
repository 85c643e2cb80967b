//! From the files of a spec to what they would change: read, checked, compared with what is in force, and tried on a copy
//! of the state. Every fault at once. Reading takes as long as the files are large, so it is done beside the others' work.

use std::collections::BTreeSet;
use std::sync::Arc;

use lockstep_core::audit::{Actor, WallMillis};
use lockstep_core::spec::dr::{Diff, DrSpec, majority_in_one_site, without_agents};
use lockstep_core::spec::fault::Warning;
use lockstep_core::state::{Command, Entry, State};
use lockstep_proto::admin::SpecFile;
use lockstep_yaml::dr;

use super::{Failure, voting_sites};
use crate::agreement::Position;

/// Faults that are told; one more line says how many there are beyond.
const FAULTS_MAX: usize = 1_000;

/// A spec without faults, against a state.
pub(super) struct Weighed {
    pub(super) text: String,
    pub(super) spec: DrSpec,
    pub(super) diff: Diff,
    pub(super) warnings: Vec<String>,
}

/// Every fault, in words: in the order of the files and their lines.
pub(super) type Faults = Vec<String>;

/// # Errors
/// The outer one: the work itself broke. The inner: every fault of the files.
pub(super) async fn weigh(
    state: &Arc<State>,
    position: &Position,
    files: &[SpecFile],
) -> Result<Result<Weighed, Faults>, Failure> {
    let (state, position, files) = (Arc::clone(state), position.clone(), files.to_vec());
    let work = tokio::task::spawn_blocking(move || weighed(&state, &position, &files));
    work.await.map_err(|error| Failure::Unwritable(format!("the spec could not be read: {error}")))
}

fn weighed(state: &State, position: &Position, files: &[SpecFile]) -> Result<Weighed, Faults> {
    let files: Vec<_> =
        files.iter().map(|file| dr::SpecFile { name: &file.name, text: &file.text }).collect();
    let checked = dr::read(&files).map_err(|faults| told(&faults))?;
    let text = dr::joined(&files);
    let refusal = tried(state, &text, &checked.spec);
    if let Some(refusal) = refusal {
        return Err(vec![refusal]);
    }
    let sites: BTreeSet<&str> = state.agents().values().map(|agent| agent.site.as_str()).collect();
    let warnings = checked
        .warnings
        .into_iter()
        .chain(without_agents(&checked.spec, &sites))
        .chain(majority_in_one_site(voting_sites(position)))
        .map(|warning: Warning| warning.to_string());
    let diff = Diff::between(state.spec(), &checked.spec);
    Ok(Weighed { text, diff, warnings: warnings.collect(), spec: checked.spec })
}

fn told(faults: &[dr::SpecFault]) -> Faults {
    let mut words: Faults = faults.iter().take(FAULTS_MAX).map(ToString::to_string).collect();
    if faults.len() > FAULTS_MAX {
        words.push(format!("and {} more", faults.len() - FAULTS_MAX));
    }
    words
}

/// What the state's rules would say: some know more than the files, as who is primary now.
fn tried(state: &State, text: &str, spec: &DrSpec) -> Option<String> {
    let command = Command::ApplySpec { text: text.to_owned(), spec: spec.clone(), expected_revision: None };
    let nobody =
        Actor { name: String::new(), kind: lockstep_core::audit::ActorKind::Coordinator, from: None };
    let mut copy = state.clone();
    match copy.apply(&Entry::new(WallMillis(0), nobody, None, command)) {
        Ok(applied) => applied.outcome.err().map(|refusal| refusal.to_string()),
        Err(not_understood) => Some(not_understood.to_string()),
    }
}
