//! Answers that are shown once, or with `--watch` again every second until interrupted.

use std::io::IsTerminal;
use std::time::Duration;

use super::fail;
use super::failure::Failure;
use crate::exit::Exit;

const INTERVAL: Duration = Duration::from_secs(1);

/// For verbs that only look.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct Watch {
    /// Ask again every second until interrupted
    #[arg(long)]
    watch: bool,
}

impl Watch {
    /// Shows what `ask` brings. The exit code is that of the first answer without `--watch`; with it there is none until
    /// it is interrupted, or cannot even begin.
    pub(crate) async fn show(self, ask: impl AsyncFn() -> Result<(String, Exit), Failure>) -> Exit {
        let mut was_shown = false;
        loop {
            match ask().await {
                Ok((text, exit)) => {
                    self.print(&text);
                    if !self.watch {
                        return exit;
                    }
                }
                // Who watches wants to see it come back.
                Err(failure) if self.watch && was_shown => eprintln!("{failure}"),
                Err(failure) => return fail(failure),
            }
            was_shown = true;
            tokio::time::sleep(INTERVAL).await;
        }
    }

    fn print(self, text: &str) {
        if self.watch && std::io::stdout().is_terminal() {
            // Home, then clear what is below: no flicker.
            print!("\x1b[H\x1b[J");
        }
        print!("{text}");
    }
}
