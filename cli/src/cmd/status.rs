//! `lockstep status --local`: asks the agent of this machine how its links stand, over HTTP.

use std::io::IsTerminal;
use std::time::Duration;

use lockstep_agent::status::AgentStatus;

use super::ask::ask;
use super::fail;
use crate::exit::Exit;
use crate::show::status::{Arrow, Format, render};

/// How often `--watch` asks.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Show how the links of an agent stand: posture, exposure with the age of that knowledge, and why.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep status --local\n  \
lockstep status claims --local -o wide --watch\n  \
lockstep status --local --agent 10.0.0.7:9464 -o json | jq '.links[] | select(.posture != \"WITHIN_RPO\")'")]
pub(crate) struct Args {
    /// Only this link
    link: Option<String>,
    /// Ask an agent, not the coordinators (which do not exist yet: it has to be given)
    #[arg(long, required = true)]
    local: bool,
    /// Where the agent listens: `listen` in its file
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:9464")]
    agent: String,
    /// How the status is written
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
    /// Ask again every second until interrupted
    #[arg(long)]
    watch: bool,
}

pub(crate) async fn run(args: Args) -> Exit {
    loop {
        match show(&args).await {
            Ok(()) if args.watch => tokio::time::sleep(WATCH_INTERVAL).await,
            Ok(()) => return Exit::Ok,
            Err(words) => return fail(words),
        }
    }
}

async fn show(args: &Args) -> Result<(), String> {
    let body = ask(&args.agent, "/status").await?;
    let mut status: AgentStatus = serde_json::from_str(&body)
        .map_err(|error| format!("what listens at {} is no agent of this version: {error}", args.agent))?;
    if let Some(link) = &args.link {
        status.links.retain(|known| known.link == *link);
        if status.links.is_empty() {
            return Err(format!("the agent at {} has no link {link:?}", args.agent));
        }
    }
    let terminal = std::io::stdout().is_terminal();
    let text = render(&status, args.output, if terminal { Arrow::Unicode } else { Arrow::Ascii })?;
    if args.watch && terminal {
        // Home, then clear what is below: no flicker.
        print!("\x1b[H\x1b[J");
    }
    print!("{text}");
    Ok(())
}
