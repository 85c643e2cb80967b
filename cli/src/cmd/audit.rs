//! `lockstep audit verify|export`: the chain of who changed what, page by page. Verifying needs no trust in whoever keeps
//! it: every hash is computed here. Exit 2: the trail was tampered with; 1: it could not be read.

use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};

use lockstep_core::audit::{AuditEvent, Hash, Head, verify};
use lockstep_proto::admin::{AuditAnswer, AuditRequest};
use serde_json::json;

use super::fail;
use super::failure::Failure;
use crate::exit::Exit;
use crate::operator::{Coordinators, Nature, Operator};
use crate::show::{Output, units};

#[derive(Debug, clap::Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Compute every hash of the trail: was an event changed, removed, added or moved?
    Verify(VerifyArgs),
    /// Write the events as JSON lines
    Export(ExportArgs),
}

/// Compute every hash of the audit trail: was an event changed, removed, added or moved?
///
/// Without --trail the coordinators are asked, and the end is compared with the one they have agreed on. Note the end that
/// is printed, somewhere else: --known then finds a trail that was written anew from its beginning. Exit code 0: whole; 2:
/// it is not; 1: it could not be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep audit verify\n  \
lockstep audit verify --known 118:68269c30e772bb69a95c201dbf7e1395b04473868cbbfc74fba5da30b0fc9ca7\n  \
lockstep audit export > trail.jsonl && lockstep audit verify --trail trail.jsonl")]
struct VerifyArgs {
    #[command(flatten)]
    operator: Operator,
    /// An exported trail instead of the coordinators'; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "operator")]
    trail: Option<PathBuf>,
    /// An event that is known to be in the trail: its number and hash, as an earlier run printed them
    #[arg(long, value_name = "SEQ:HASH", value_parser = head)]
    known: Option<Head>,
    /// How the outcome is written
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

/// Write the events of the audit trail to standard output, one JSON object a line, oldest first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
lockstep audit export > trail.jsonl\n  \
lockstep audit export --from 100 | jq 'select(.outcome | startswith(\"refused\"))'")]
struct ExportArgs {
    #[command(flatten)]
    operator: Operator,
    /// The first event to write
    #[arg(long, value_name = "SEQ", default_value_t = 1)]
    from: u64,
}

pub(crate) async fn run(Args { command }: Args) -> Exit {
    let ended = match command {
        Command::Verify(args) => verified(&args).await,
        Command::Export(args) => export(&args).await.map(|()| Exit::Ok),
    };
    ended.unwrap_or_else(fail)
}

async fn verified(args: &VerifyArgs) -> Result<Exit, Failure> {
    let mut chain = Chain { known: args.known, ..Chain::default() };
    let outcome = match &args.trail {
        Some(path) => of_file(path, &mut chain)?,
        None => of_coordinators(&args.operator.connect()?, &mut chain).await?,
    };
    let broken = outcome.or_else(|| chain.missing());
    let Head { seq, hash } = chain.head;
    match args.output {
        Output::Json | Output::Yaml => {
            let told =
                json!({ "ok": broken.is_none(), "events": seq, "head": hash.to_string(), "fault": broken });
            print!("{}", args.output.document(&told));
        }
        Output::Table | Output::Wide => match &broken {
            None => println!("whole: {} events, the end is {seq}:{hash}", units::count(seq)),
            Some(words) => println!("NOT WHOLE: {words} ({} events before it are)", units::count(seq)),
        },
    }
    Ok(if broken.is_some() { Exit::Differences } else { Exit::Ok })
}

/// Events as they come, and how far they are good.
#[derive(Debug, Default)]
struct Chain {
    head: Head,
    /// What somebody noted earlier.
    known: Option<Head>,
}

impl Chain {
    /// What is wrong with the next event, in words.
    fn next(&mut self, line: &str) -> Result<(), String> {
        let event: AuditEvent = serde_json::from_str(line)
            .map_err(|error| format!("what follows event {} cannot be read: {error}", self.head.seq))?;
        self.head = verify([&event], self.head, None).map_err(|broken| broken.to_string())?;
        match self.known {
            Some(known) if known.seq == event.seq && known.hash != event.hash => {
                Err(format!("event {} is not the one that was noted: the trail was written anew", known.seq))
            }
            _ => Ok(()),
        }
    }

    /// Where the end is not as far as it was noted to be.
    fn missing(&self) -> Option<String> {
        let known = self.known.filter(|known| known.seq > self.head.seq)?;
        Some(format!("event {} was noted and is missing: the end was cut off", known.seq))
    }
}

async fn of_coordinators(coordinators: &Coordinators, chain: &mut Chain) -> Result<Option<String>, Failure> {
    let mut end = Head::default();
    let mut from = 1;
    while from != 0 {
        let page = page(coordinators, from).await?;
        for line in &page.events {
            if let Err(words) = chain.next(line) {
                return Ok(Some(words));
            }
        }
        end = of_page(&page)?;
        from = next(&page, from)?;
    }
    Ok(verify([], chain.head, Some(end)).err().map(|broken| broken.to_string()))
}

fn of_file(path: &Path, chain: &mut Chain) -> Result<Option<String>, Failure> {
    let failed = |error: std::io::Error| Failure::from(format!("{}: {error}", path.display()));
    let lines: Box<dyn BufRead> = if path.as_os_str() == "-" {
        Box::new(BufReader::new(std::io::stdin()))
    } else {
        Box::new(BufReader::new(std::fs::File::open(path).map_err(failed)?))
    };
    for line in lines.lines() {
        if let Err(words) = chain.next(&line.map_err(failed)?) {
            return Ok(Some(words));
        }
    }
    Ok(None)
}

async fn export(args: &ExportArgs) -> Result<(), Failure> {
    let coordinators = args.operator.connect()?;
    let mut out = std::io::stdout().lock();
    let mut from = args.from.max(1);
    while from != 0 {
        let page = page(&coordinators, from).await?;
        for line in &page.events {
            writeln!(out, "{line}").map_err(|error| format!("standard output: {error}"))?;
        }
        from = next(&page, from)?;
    }
    Ok(())
}

async fn page(coordinators: &Coordinators, from_seq: u64) -> Result<AuditAnswer, Failure> {
    let answer = coordinators
        .call(Nature::Reads, |mut client| async move { client.audit(AuditRequest { from_seq }).await })
        .await?;
    Ok(answer)
}

/// Never the same page again, whatever a coordinator says.
fn next(page: &AuditAnswer, from: u64) -> Result<u64, String> {
    match page.next_seq {
        0 => Ok(0),
        next if next > from => Ok(next),
        next => {
            Err(format!("the coordinator names event {next} as the one behind event {from}: it is at fault"))
        }
    }
}

fn of_page(page: &AuditAnswer) -> Result<Head, String> {
    match page.head_seq {
        0 => Ok(Head::default()),
        seq => Ok(Head { seq, hash: hash(&page.head)? }),
    }
}

fn head(text: &str) -> Result<Head, String> {
    let (seq, digits) = text.split_once(':').ok_or("write SEQ:HASH")?;
    let seq = seq.parse().map_err(|_| format!("{seq:?} is no number"))?;
    Ok(Head { seq, hash: hash(digits)? })
}

fn hash(digits: &str) -> Result<Hash, String> {
    serde_json::from_value(json!(digits)).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use lockstep_core::audit::{Actor, ActorKind, Draft, WallMillis};

    use super::*;
    use crate::operator::testing::{Fake, Trust};

    fn trail(count: u64) -> (Vec<String>, Head) {
        let mut head = Head::default();
        let draft = |number| Draft {
            at: WallMillis(number),
            actor: Actor { name: "ada".to_owned(), kind: ActorKind::Operator, from: None },
            what: "apply_spec".to_owned(),
            subject: String::new(),
            reason: None,
            before: None,
            after: None,
            outcome: "done".to_owned(),
        };
        let events = (0..count).map(|number| serde_json::to_string(&head.chain(draft(number))).unwrap());
        let events = events.collect();
        (events, head)
    }

    async fn asked(fake: Fake, known: Option<Head>) -> (Option<String>, Head) {
        let trust = Trust::new();
        let fake = fake.serve(&trust).await;
        let mut chain = Chain { known, ..Chain::default() };
        let outcome = of_coordinators(&trust.coordinators(&[&fake.address]), &mut chain).await;
        let outcome = outcome.unwrap_or_else(|failure| panic!("{failure}"));
        (outcome.or_else(|| chain.missing()), chain.head)
    }

    #[tokio::test]
    async fn every_page_is_looked_at_and_the_end_compared() {
        let (events, head) = trail(5);
        let mut fake = Fake { events, head: (head.hash.to_string(), head.seq), ..Fake::good() };
        assert_eq!(asked(fake.clone(), None).await, (None, head));
        assert_eq!(asked(fake.clone(), Some(head)).await.0, None);
        let later = Head { seq: 9, ..head };
        assert!(
            asked(fake.clone(), Some(later)).await.0.unwrap().contains("event 9 was noted and is missing")
        );
        let other = Head { seq: 4, ..head };
        assert!(asked(fake.clone(), Some(other)).await.0.unwrap().contains("written anew"));
        let cut = Fake { events: fake.events[..4].to_vec(), ..fake.clone() };
        assert!(asked(cut, None).await.0.unwrap().contains("was cut off"));
        fake.events.swap(2, 3);
        let (fault, good) = asked(fake, None).await;
        assert!(fault.unwrap().contains("event 3 is missing") && good.seq == 2);
    }

    #[test]
    fn an_exported_trail_is_looked_at_the_same_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trail.jsonl");
        let (mut events, head) = trail(3);
        std::fs::write(&path, events.join("\n") + "\n").unwrap();
        let mut chain = Chain::default();
        assert_eq!(of_file(&path, &mut chain).map_err(|f| f.to_string()), Ok(None));
        assert_eq!(chain.head, head);
        events[1] = events[1].replace("ada", "eve");
        std::fs::write(&path, events.join("\n")).unwrap();
        let fault = of_file(&path, &mut Chain::default()).map_err(|f| f.to_string()).unwrap().unwrap();
        assert!(fault.contains("event 2 was changed"), "{fault}");
    }

    #[test]
    fn a_noted_end_is_a_number_and_a_hash() {
        let (_, last) = trail(2);
        assert_eq!(head(&format!("2:{}", last.hash)), Ok(last));
        for text in ["2", "x:00", "2:00"] {
            assert!(head(text).is_err(), "{text}");
        }
    }
}
