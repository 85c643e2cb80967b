//! `lockstep spec show`: the spec that is in force, as it was written.

use lockstep_proto::admin::{ShowSpecAnswer, ShowSpecRequest};
use serde_json::json;

use super::fail;
use super::failure::Failure;
use crate::exit::Exit;
use crate::operator::{Nature, Operator};
use crate::show::Output;

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Write the spec that is in force to standard output
    Show(ShowArgs),
}

/// Write the spec that is in force to standard output, as it was applied.
///
/// It begins with its revision in a comment, so that it can be edited and applied again. Exit code 4: none was ever applied.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep spec show > dr.yaml\n  \
lockstep spec show -o json | jq .revision")]
struct ShowArgs {
    #[command(flatten)]
    operator: Operator,
    /// As it was written, or as one object with `revision` and `text`
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) async fn run(Args { command: Command::Show(args) }: Args) -> Exit {
    match show(&args).await {
        Ok(()) => Exit::Ok,
        Err(failure) => fail(failure),
    }
}

async fn show(args: &ShowArgs) -> Result<(), Failure> {
    let coordinators = args.operator.connect()?;
    let ShowSpecAnswer { revision, text } = coordinators
        .call(Nature::Reads, |mut client| async move { client.show_spec(ShowSpecRequest {}).await })
        .await?;
    match (args.output, revision) {
        (Output::Json | Output::Yaml, _) => {
            print!("{}", args.output.document(&json!({ "revision": revision, "text": text })));
        }
        (_, 0) => {}
        (Output::Table | Output::Wide, _) => {
            let text = without_mark(&text);
            print!("{MARK}{revision}\n{text}{}", if text.ends_with('\n') { "" } else { "\n" });
        }
    }
    match revision {
        0 => Err(Failure::ending(
            Exit::NotReady,
            "no spec was ever applied\n  remedy  lockstep apply -f dr.yaml",
        )),
        _ => Ok(()),
    }
}

const MARK: &str = "# lockstep revision ";

/// What was shown, edited and applied again carries an older revision's mark.
fn without_mark(text: &str) -> &str {
    match text.split_once('\n') {
        Some((first, rest)) if first.starts_with(MARK) => rest,
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_older_revision_is_not_shown_beside_the_present_one() {
        assert_eq!(without_mark("# lockstep revision 41\nsites: {}\n"), "sites: {}\n");
        assert_eq!(without_mark("sites: {}\n"), "sites: {}\n");
        assert_eq!(without_mark("# ours\nsites: {}\n"), "# ours\nsites: {}\n");
    }
}
