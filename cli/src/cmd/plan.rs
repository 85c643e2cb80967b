//! `lockstep plan`: what an apply would change, asked of the coordinators. Changes nothing.
//! A saved plan holds the spec's texts, the revision and the system it was made for: `apply --plan` takes it or refuses.

use std::path::{Path, PathBuf};

use lockstep_core::code::Code;
use lockstep_core::status::PlanStatus;
use lockstep_proto::admin::{PlanAnswer, PlanRequest, SpecFile};
use serde::{Deserialize, Serialize};

use super::fail;
use super::failure::Failure;
use super::spec_files::SpecFiles;
use crate::exit::Exit;
use crate::operator::{Nature, Operator};
use crate::show::{Output, change, change::Change};

/// Show what applying a spec would change: links, clusters and sites key by key, and through the agents topics and groups.
///
/// `!` marks what weakens protection or needs a look; nothing is changed. Exit code 0: no change; 2: changes; 1: faults, or
/// no coordinator answers. In a pipeline: `plan --out` as the gate, `apply --plan` on merge (docs/GITOPS.md).
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep plan -f dr.yaml\n  \
lockstep plan -f specs/ --out plan.json && echo no change\n  \
lockstep plan -f dr.yaml -o json | jq '.things[].lines[] | select(.sign == \"attention\")'")]
pub(crate) struct Args {
    #[command(flatten)]
    files: SpecFiles,
    #[command(flatten)]
    operator: Operator,
    /// Keep the plan: `lockstep apply --plan FILE` applies exactly this, while nobody else has applied something
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// How the plan is written
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) async fn run(args: Args) -> Exit {
    match plan(&args).await {
        Ok(exit) => exit,
        Err(failure) => fail(failure),
    }
}

async fn plan(args: &Args) -> Result<Exit, Failure> {
    if !args.files.is_given() {
        return Err("name the spec: -f FILE, a folder, or - for standard input".into());
    }
    let files = args.files.read()?;
    let coordinators = args.operator.connect()?;
    let asked = PlanRequest { files: files.clone() };
    let answer: PlanAnswer = coordinators
        .call(Nature::AsksAgents, |mut client| {
            let asked = asked.clone();
            async move { client.plan(asked).await }
        })
        .await?;
    if !answer.faults.is_empty() {
        return faults(args.output, answer.revision, &answer.faults, &answer.warnings);
    }
    let plan: PlanStatus = super::document(&answer.document)?;
    let shown = Change { revision: answer.revision, plan: &plan, warnings: &answer.warnings };
    match args.output {
        Output::Json | Output::Yaml => {
            print!("{}", args.output.document(&change::json(&shown, answer.is_change)?));
        }
        Output::Table | Output::Wide => print!("{}{}", change::words(&shown), end(&answer, &plan, args)),
    }
    if let Some(path) = &args.out {
        let saved = Saved {
            format: FORMAT,
            cluster_id: coordinators.members().await?.cluster_id,
            revision: answer.revision,
            files: files.into_iter().map(SavedFile::from).collect(),
        };
        saved.write(path)?;
    }
    Ok(if answer.is_change { Exit::Differences } else { Exit::Ok })
}

fn end(answer: &PlanAnswer, plan: &PlanStatus, args: &Args) -> String {
    if !answer.is_change {
        return format!("no change: revision {} is what the spec says\n", answer.revision);
    }
    let attention = match change::needing_attention(plan) {
        0 => String::new(),
        1 => ", 1 line needs attention".to_owned(),
        count => format!(", {count} lines need attention"),
    };
    let summary = plan.summary.split(". ").next().unwrap_or_default();
    let apply = match &args.out {
        Some(path) => format!("--plan {}", path.display()),
        None => format!("{} --expected-revision {}", args.files.typed(), answer.revision),
    };
    format!("{summary}{attention}. Nothing was changed. Apply with: lockstep apply {apply}\n")
}

/// What both verbs say of a spec that cannot be meant.
pub(super) fn faults(
    output: Output,
    revision: u64,
    faults: &[String],
    warnings: &[String],
) -> Result<Exit, Failure> {
    match output {
        Output::Json | Output::Yaml => {
            print!("{}", output.document(&change::json_of_faults(revision, faults, warnings)));
            Ok(Exit::Error)
        }
        Output::Table | Output::Wide => {
            Err(Failure::coded(Code::Configuration, change::words_of_faults(faults)))
        }
    }
}

/// Of files of this form.
const FORMAT: u32 = 1;

/// A plan as a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Saved {
    #[serde(rename = "lockstep_plan")]
    format: u32,
    pub(super) cluster_id: String,
    pub(super) revision: u64,
    pub(super) files: Vec<SavedFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedFile {
    name: String,
    text: String,
}

impl From<SpecFile> for SavedFile {
    fn from(SpecFile { name, text }: SpecFile) -> Self {
        Self { name, text }
    }
}

impl From<SavedFile> for SpecFile {
    fn from(SavedFile { name, text }: SavedFile) -> Self {
        Self { name, text }
    }
}

impl Saved {
    fn write(&self, path: &Path) -> Result<(), String> {
        let text = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        std::fs::write(path, text + "\n").map_err(|error| format!("{}: {error}", path.display()))
    }

    /// # Errors
    /// In words: it is not there, or is no plan of this version.
    pub(super) fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let saved: Self = serde_json::from_str(&text).map_err(|error| {
            format!("{}: is no plan: {error}\n  remedy  make one with `lockstep plan --out`", path.display())
        })?;
        if saved.format != FORMAT {
            return Err(format!(
                "{}: is a plan of another version ({}): plan again",
                path.display(),
                saved.format
            ));
        }
        Ok(saved)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_plan_is_read_as_it_was_written_and_anything_else_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("plan.json");
        let file = SavedFile { name: "dr.yaml".to_owned(), text: "sites: {}\n".to_owned() };
        let saved = Saved { format: FORMAT, cluster_id: "0b6f".to_owned(), revision: 41, files: vec![file] };
        saved.write(&path).unwrap();
        assert_eq!(Saved::read(&path).unwrap(), saved);
        for (text, says) in [
            ("sites: {}", "is no plan"),
            (r#"{"lockstep_plan":9,"cluster_id":"","revision":1,"files":[]}"#, "another version"),
        ] {
            std::fs::write(&path, text).unwrap();
            assert!(Saved::read(&path).unwrap_err().contains(says));
        }
    }
}
