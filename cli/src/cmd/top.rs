//! `lockstep top`: asks the coordinators every second and draws what they say, until a key or a signal ends it.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use lockstep_core::status::{LinkStatus, SystemStatus};
use ratatui::DefaultTerminal;
use tokio::sync::mpsc;

use super::fail;
use super::failure::Failure;
use super::signals::Signals;
use super::status::{detail_of, of_coordinators};
use crate::exit::Exit;
use crate::operator::{Coordinators, Operator};
use crate::top::{Key, Next, Picture, View, draw, read_keys};

/// How often the coordinators are asked.
const ASK: Duration = Duration::from_secs(1);
/// How often ages are drawn anew while nobody answers.
const DRAW: Duration = Duration::from_millis(500);

/// Watch links, clusters, agents and coordinators on the whole terminal.
///
/// Arrows choose a link, enter opens it with its reasons, topics and partitions, q leaves. While no coordinator answers, the
/// last picture stays and grows old.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep top\n  \
lockstep status --watch      the same for terminals that cannot, and for logs")]
pub(crate) struct Args {
    #[command(flatten)]
    operator: Operator,
}

pub(crate) async fn run(args: Args) -> Exit {
    if !std::io::stdout().is_terminal() {
        return fail("top needs a terminal\n  remedy  lockstep status --watch writes lines");
    }
    let (coordinators, signals) = match args.operator.connect().and_then(|c| Ok((c, Signals::new()?))) {
        Ok(both) => both,
        Err(failure) => return fail(failure),
    };
    let terminal = match ratatui::try_init() {
        Ok(terminal) => terminal,
        Err(error) => return fail(format!("the terminal cannot be used: {error}")),
    };
    let ended = watch(terminal, coordinators, signals).await;
    ratatui::restore();
    match ended {
        Ok(()) => Exit::Ok,
        Err(error) => fail(format!("the terminal cannot be used: {error}")),
    }
}

async fn watch(
    mut terminal: DefaultTerminal,
    coordinators: Coordinators,
    mut signals: Signals,
) -> std::io::Result<()> {
    let (mut view, mut picture) = (View::default(), Picture::default());
    let mut keys = read_keys();
    let (wanted, wants) = tokio::sync::watch::channel(None);
    let (told, mut answers) = mpsc::channel(1);
    let asking = tokio::spawn(ask_on(coordinators, wants, told));
    let mut tick = tokio::time::interval(DRAW);
    loop {
        let now = Instant::now();
        terminal.draw(|frame| draw(frame, &mut view, &picture, now))?;
        let pressed: Option<Key> = tokio::select! {
            key = keys.recv() => match key {
                Some(key) => key,
                // The terminal is gone.
                None => break,
            },
            Some(answer) = answers.recv() => {
                take(&mut picture, answer);
                None
            }
            _ = tick.tick() => None,
            () = signals.next() => break,
        };
        if pressed.is_some_and(|key| view.press(key, &picture) == Next::Leave) {
            break;
        }
        wanted.send_if_modified(|link: &mut Option<String>| {
            let open = view.open().map(str::to_owned);
            let changed = *link != open;
            *link = open;
            changed
        });
    }
    asking.abort();
    Ok(())
}

/// The system, the link that is looked at, and when that was answered.
type Seen = (SystemStatus, Option<LinkStatus>, Instant);
type Answer = Result<Seen, String>;

fn take(picture: &mut Picture, answer: Answer) {
    match answer {
        Ok((status, detail, at)) => {
            picture.answered(status, at);
            picture.detailed(detail);
        }
        Err(words) => picture.failed(words),
    }
}

/// Every second, and at once when another link is looked at. Ends with whoever listens.
async fn ask_on(
    coordinators: Coordinators,
    mut wants: tokio::sync::watch::Receiver<Option<String>>,
    told: mpsc::Sender<Answer>,
) {
    loop {
        let open = wants.borrow_and_update().clone();
        let answer = ask(&coordinators, open.as_deref()).await.map_err(|failure| failure.words().to_owned());
        if told.send(answer).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(ASK) => {}
            changed = wants.changed() => if changed.is_err() { return },
        }
    }
}

async fn ask(coordinators: &Coordinators, open: Option<&str>) -> Result<Seen, Failure> {
    let status = of_coordinators(coordinators, None).await?;
    let at = Instant::now();
    // Without its agents a link is shown as the leader knows it.
    let detail = match open {
        Some(link) => detail_of(coordinators, link).await.ok().and_then(|detail| detail.link),
        None => None,
    };
    Ok((status, detail, at))
}
