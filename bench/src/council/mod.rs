//! Three coordinators as processes of the product on this machine, their files, and calls of an operator.
//!
//! | module | holds |
//! |---|---|
//! | `authority` | certificates of the system |
//! | `calls` | an operator's calls, over connections that stay open |
//! | `herd` | agents without engines that report links |

mod authority;
mod calls;
mod herd;

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, iter};

use lockstep_testkit::ports;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use authority::{Authority, Papers};
pub(crate) use calls::Operator;
pub(crate) use herd::Herd;

use crate::Result;
use crate::http::get;
use crate::meter::{Metered, SoFar};
use crate::watch::runtime;

pub(crate) const SITES: usize = 6;
const COORDINATORS: usize = 3;
const OPERATOR: &str = "bench";
const LIMIT: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

struct Seat {
    name: String,
    address: String,
    /// Where it tells of itself.
    http: String,
    config: String,
    running: Option<Metered>,
    starts: u32,
}

pub(crate) struct Council {
    seats: Vec<Seat>,
    authority: Authority,
    program: PathBuf,
    /// `operator.yaml`, for the binary.
    pub(crate) operator_file: String,
    operator: Papers,
    runtime: Runtime,
    folder: TempDir,
}

impl Council {
    /// Founded, with three votes. Its data lie below `at`.
    pub(crate) fn found(program: &Path, at: &Path) -> Result<Self> {
        let folder = TempDir::new_in(at)?;
        let authority = Authority::new(folder.path())?;
        let mut seats = Vec::new();
        for number in 0..COORDINATORS {
            let name = format!("c{number}");
            let papers = authority.issue(&name, &format!("lockstep://coordinator/{name}"))?;
            let address = format!("127.0.0.1:{}", ports::free()?);
            let http = format!("127.0.0.1:{}", ports::free()?);
            let text = format!(
                "name: {name}\nsite: s{number}\ndata: {name}-data\nlisten: {address}\nhttp: {http}\ntls: {}\naccess:\n  - {{ operator: {OPERATOR}, role: admin }}\n",
                section(&papers)
            );
            let config = write(folder.path(), &format!("{name}.yaml"), &text)?;
            seats.push(Seat { name, address, http, config, running: None, starts: 0 });
        }
        let operator = authority.issue("operator", &format!("lockstep://operator/{OPERATOR}"))?;
        let addresses: Vec<_> = seats.iter().map(|seat| seat.address.as_str()).collect();
        let text = format!("coordinators: [{}]\ntls: {}\n", addresses.join(", "), section(&operator));
        let operator_file = write(folder.path(), "operator.yaml", &text)?;
        let runtime = runtime()?;
        let program = program.to_owned();
        let mut council = Self { seats, authority, program, operator_file, operator, runtime, folder };
        council.assemble()?;
        Ok(council)
    }

    fn assemble(&mut self) -> Result<()> {
        let seat = |council: &Self, number: usize| {
            let seat = &council.seats[number];
            (seat.config.clone(), seat.address.clone())
        };
        let (config, first) = seat(self, 0);
        self.run(&["coordinator", "init", "--config", &config, "--address", &first])?;
        self.start(0)?;
        self.leader()?;
        for number in 1..COORDINATORS {
            let (config, address) = seat(self, number);
            let words = ["coordinator", "join", "--config", &config, "--address", &address, "--to", &first];
            let deadline = Instant::now() + LIMIT;
            // It asks in vain while the member before is just being given its vote.
            while let Err(why) = self.run(&words) {
                if Instant::now() > deadline {
                    return Err(why);
                }
                thread::sleep(PAUSE);
            }
            self.start(number)?;
        }
        let deadline = Instant::now() + LIMIT;
        loop {
            let leader = self.leader()?;
            let votes = self.wait(async { self.operator(leader).await?.votes().await })?;
            if votes == COORDINATORS {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(format!("{votes} of {COORDINATORS} coordinators vote after {LIMIT:?}").into());
            }
            thread::sleep(PAUSE);
        }
    }

    /// The product's binary, to its end; how long it took.
    pub(crate) fn run(&self, words: &[&str]) -> Result<Duration> {
        let started = Instant::now();
        let output = std::process::Command::new(&self.program).args(words).output()?;
        let took = started.elapsed();
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("`lockstep {}`: {}: {said}", words.join(" "), output.status).into());
        }
        Ok(took)
    }

    /// As [`run`](Self::run), asked of the coordinators.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<Duration> {
        let words: Vec<_> = words.iter().chain(&["--operator", &self.operator_file]).copied().collect();
        self.run(&words)
    }

    fn start(&mut self, number: usize) -> Result<()> {
        let seat = &mut self.seats[number];
        seat.starts += 1;
        let name = format!("{}-{}", seat.name, seat.starts);
        let words = ["coordinator", "--config", &seat.config];
        seat.running = Some(Metered::start(&self.program, &words, self.folder.path(), &name)?);
        Ok(())
    }

    /// All of them at once; returns when the last was told to.
    pub(crate) fn start_all(&mut self) -> Result<Instant> {
        (0..self.seats.len()).try_for_each(|number| self.start(number))?;
        Ok(Instant::now())
    }

    pub(crate) fn stop_all(&mut self) -> Result<()> {
        for running in self.seats.iter_mut().filter_map(|seat| seat.running.as_mut()) {
            running.interrupt()?;
        }
        for running in self.seats.iter_mut().filter_map(|seat| seat.running.take()) {
            running.finish(LIMIT)?;
        }
        Ok(())
    }

    /// Whoever leads, as soon as it answers that it does.
    pub(crate) fn leader(&self) -> Result<usize> {
        let deadline = Instant::now() + LIMIT;
        loop {
            for seat in &self.seats {
                if let Some(running) = &seat.running {
                    running.must_run()?;
                    let asked = self.wait(async { self.reach(seat).await?.leader().await });
                    let leader = asked.ok().flatten();
                    if let Some(found) =
                        self.seats.iter().position(|seat| Some(&seat.name) == leader.as_ref())
                    {
                        return Ok(found);
                    }
                }
            }
            if Instant::now() > deadline {
                return Err(format!("no coordinator leads after {LIMIT:?}").into());
            }
            thread::sleep(PAUSE);
        }
    }

    /// What one has taken so far.
    pub(crate) fn so_far(&self, number: usize) -> Result<SoFar> {
        self.seats[number].running.as_ref().ok_or("it does not run")?.so_far()
    }

    /// A figure that one tells of itself, without labels.
    pub(crate) fn told(&self, number: usize, name: &str) -> Result<f64> {
        let answer = get(&self.seats[number].http, "/metrics")?;
        let value = answer.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.ok_or_else(|| format!("a coordinator does not tell {name}").into())
    }

    pub(crate) fn count(&self) -> usize {
        self.seats.len()
    }

    /// What all of them have taken so far.
    pub(crate) fn all_so_far(&self) -> Result<Vec<SoFar>> {
        (0..self.seats.len()).map(|number| self.so_far(number)).collect()
    }

    /// The operator, connected to one of them.
    pub(crate) async fn operator(&self, number: usize) -> Result<Operator> {
        self.reach(&self.seats[number]).await
    }

    async fn reach(&self, seat: &Seat) -> Result<Operator> {
        Operator::connect(&seat.address, &self.operator).await
    }

    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Where data lie.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// One agent in each site.
    pub(crate) fn herd(&self, topics_each: usize) -> Result<Herd> {
        let agents = (0..SITES).map(|site| {
            self.authority.issue(&format!("a{site}"), &format!("lockstep://agent/s{site}/a{site}"))
        });
        let agents = agents.collect::<Result<Vec<_>>>()?;
        let addresses: Vec<_> = self.seats.iter().map(|seat| seat.address.clone()).collect();
        Herd::start(agents, &addresses, topics_each)
    }
}

fn section(papers: &Papers) -> String {
    let Papers { ca, certificate, key } = papers;
    format!("{{ ca: {}, certificate: {}, key: {} }}", ca.display(), certificate.display(), key.display())
}

fn write(folder: &Path, name: &str, text: &str) -> Result<String> {
    let path = folder.join(name);
    fs::write(&path, text)?;
    Ok(path.display().to_string())
}

pub(crate) fn link(number: usize) -> String {
    format!("link-{number:04}")
}

pub(crate) fn topic(link: usize, number: usize) -> String {
    format!("topic-{link:04}-{number}")
}

/// `dr.yaml`: a cluster in each site, two and two linked both ways, and links that name their topics one by one.
pub(crate) fn spec(links: usize, topics_each: usize) -> String {
    let sites = (0..SITES).map(|site| format!("  s{site}: {{}}\n"));
    let clusters = (0..SITES)
        .map(|site| format!("  k{site}: {{ site: s{site}, bootstrap: \"k{site}.invalid:9092\" }}\n"));
    let links = (0..links).map(|number| {
        let from = number % SITES;
        let to = from ^ 1;
        let topics: Vec<_> = (0..topics_each).map(|each| topic(number, each)).collect();
        format!(
            "  {}: {{ clusters: [k{from}, k{to}], prefer: k{from}, topics: [{}] }}\n",
            link(number),
            topics.join(", ")
        )
    });
    let head = |text: &str| iter::once(text.to_owned());
    head("sites:\n")
        .chain(sites)
        .chain(head("clusters:\n"))
        .chain(clusters)
        .chain(head("links:\n"))
        .chain(links)
        .collect()
}
