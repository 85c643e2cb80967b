//! Coordinators' doors with nothing behind them but what a test says, and agents' conversations with them: real TLS on
//! loopback, certificates of authorities of our own. What agents are told goes through the agreed state, as in a system.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use lockstep_agent::control::answering::Asked;
use lockstep_agent::control::probing::Seen;
use lockstep_agent::control::seeking::{self, Name, Seeking};
use lockstep_agent::control::{Control, Figures, Links};
use lockstep_agent::pipeline::owned::{Duty, Licence};
use lockstep_agent::store::Store;
use lockstep_coordinator::agreed::{Replica, clusters, encode, links};
use lockstep_coordinator::dispatch::{Desk, Lead, Leadership, Notice, Standing, Wanted};
use lockstep_coordinator::grpc::{Services, serve};
use lockstep_coordinator::papers::{Papers, Pem};
use lockstep_core::audit::{Actor, ActorKind, WallMillis};
use lockstep_core::dr::lease::Terms;
use lockstep_core::ids::TopicPartition;
use lockstep_core::spec::agent::CoordinatorsSpec;
use lockstep_core::spec::dr::{DrFile, DrSpec, RawDr, check};
use lockstep_core::state::{Command, Entry, LEVEL};
use lockstep_core::status::{AgentStatus, GroupsStatus, HistoryStatus, LinkStatus};
use lockstep_kafka::Tcp;
use lockstep_testkit::holders::{Authority, Issued};
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

pub(crate) const SYSTEM: &str = "0b6f";
const LOCALHOST: &str = "127.0.0.1";
pub(crate) const TERMS: Terms = Terms { lease_ms: 2_000, renew_ms: 300, margin_ms: 500 };

/// What coordinators agreed on: clusters `mi` and `pr`, and the link `claims` of `agents`.
pub(crate) struct Agreed(Replica, u64);

fn spec() -> DrSpec {
    let raw: RawDr = serde_json::from_value(json!({
        "sites": { "paris": {}, "praha": {}, "wien": { "witness": true } },
        "clusters": {
            "mi": { "site": "paris", "bootstrap": "mi:1,mi:2" },
            "pr": { "site": "praha", "bootstrap": "pr:1" },
        },
        "links": { "claims": { "clusters": ["mi", "pr"], "prefer": "mi", "topics": "claims.*", "rpo": "7s" } },
    }))
    .unwrap();
    check(&[DrFile { name: "dr.yaml", raw: &raw }]).unwrap().spec
}

impl Agreed {
    pub(crate) fn on(agents: &[&str]) -> Self {
        let mut agreed = Self(Replica::default(), 0);
        agreed.agree(Command::Found { cluster_id: SYSTEM.to_owned(), level: LEVEL });
        agreed.agree(Command::ApplySpec { text: String::new(), spec: spec(), expected_revision: None });
        for agent in ["a1", "a2"] {
            agreed.agree(Command::RegisterAgent {
                agent: agent.to_owned(),
                site: "paris".to_owned(),
                version: "0.1.0".to_owned(),
                level: LEVEL,
            });
        }
        agreed.share(agents);
        agreed
    }

    pub(crate) fn share(&mut self, agents: &[&str]) {
        let shares: BTreeMap<_, _> = agents.iter().map(|agent| ((*agent).to_owned(), 1)).collect();
        self.agree(Command::Share { link: "claims".to_owned(), shares });
    }

    fn agree(&mut self, command: Command) {
        self.1 += 1;
        let actor = Actor { name: "anna".to_owned(), kind: ActorKind::Operator, from: None };
        let entry = encode(&Entry::new(WallMillis(1_700_000_000_000), actor, None, command)).unwrap();
        let applied = self.0.apply(self.1, &entry).unwrap();
        assert!(applied.outcome.is_ok(), "{applied:?}");
    }

    pub(crate) fn standing(&self) -> Standing {
        let state = self.0.state();
        let (links, clusters) = (links(&state, |_, _, _| None), clusters(&state));
        Standing {
            cluster_id: SYSTEM.to_owned(),
            incarnation: 1,
            lead: Lead::Here,
            terms: TERMS,
            wanted: Arc::new(Wanted { revision: state.revision(), links, clusters }),
        }
    }
}

/// A majority that always agrees.
struct Majority;

#[tonic::async_trait]
impl Leadership for Majority {
    async fn confirm(&self) -> Result<(), Lead> {
        Ok(())
    }
}

/// A coordinator on a thread of its own, so that it can be killed with everything it does.
pub(crate) struct Coordinator {
    pub(crate) address: String,
    pub(crate) standing: watch::Sender<Standing>,
    pub(crate) notices: mpsc::Receiver<Notice>,
    /// Until it is dropped, or given what holds it up.
    life: oneshot::Sender<std::sync::mpsc::Receiver<()>>,
    thread: JoinHandle<()>,
}

impl Coordinator {
    pub(crate) async fn start(authority: &Authority, standing: Standing) -> Self {
        Self::start_at(authority, standing, "127.0.0.1:0").await
    }

    pub(crate) async fn start_at(authority: &Authority, standing: Standing, at: &str) -> Self {
        let Issued { pem, key_pem } = authority.issue("lockstep://coordinator/c1", &[LOCALHOST]).unwrap();
        let pem = Pem { authority: authority.pem.clone(), certificate: pem, key: key_pem };
        let papers = Papers::new(pem).unwrap().fixed();
        let (standing, followed) = watch::channel(standing);
        let (noticed, notices) = mpsc::channel(64);
        let desk = Desk::new(Arc::new(Majority), followed, noticed);
        let (bound, address) = oneshot::channel();
        let (life, over) = oneshot::channel::<std::sync::mpsc::Receiver<()>>();
        let at = at.to_owned();
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = TcpListener::bind(at).await.unwrap();
                bound.send(listener.local_addr().unwrap().to_string()).unwrap();
                let services = Services { desk, admin: None, peers: None };
                tokio::select! {
                    ended = serve(listener, papers, services, std::future::pending()) => ended.unwrap(),
                    // Nothing else of it runs meanwhile: connections stay open, and nobody answers.
                    held_up = over => drop(held_up.map(|until| until.recv())),
                }
            });
        });
        Self { address: address.await.unwrap(), standing, notices, life, thread }
    }

    /// As behind a network that was cut, until what comes back is dropped; then it ends.
    pub(crate) fn silence(self) -> std::sync::mpsc::SyncSender<()> {
        let (end, until) = std::sync::mpsc::sync_channel(1);
        self.life.send(until).unwrap();
        end
    }

    /// At once, without a word to anybody: what its runtime does ends with it.
    pub(crate) async fn kill(self) {
        drop(self.life);
        tokio::task::spawn_blocking(|| self.thread.join().unwrap()).await.unwrap();
    }
}

/// An agent's links as a test says: those that are here, and the epoch that each has settled.
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) settled: Mutex<BTreeMap<String, u64>>,
    pub(crate) here: Mutex<BTreeSet<String>>,
}

impl Links for Table {
    fn figures(&self, _link: &str) -> Option<Figures> {
        None
    }

    fn status(&self, _link: &str) -> Option<LinkStatus> {
        None
    }

    fn settled(&self, link: &str) -> Option<u64> {
        self.settled.lock().unwrap().get(link).copied()
    }

    fn has(&self, link: &str) -> bool {
        self.here.lock().unwrap().contains(link)
    }

    fn detail(&self, _link: &str) -> Option<AgentStatus> {
        None
    }

    fn groups(&self, _link: &str) -> Option<GroupsStatus> {
        None
    }

    fn history(&self, _link: &str) -> Option<HistoryStatus> {
        None
    }
}

/// An agent's side of the conversation, without engines. Ends with its owner.
pub(crate) struct Agent {
    pub(crate) control: Control,
    pub(crate) links: Arc<Table>,
    _tasks: JoinSet<()>,
    _folder: TempDir,
}

/// The agent's files, with what `authority` issued.
pub(crate) fn files(authority: &Authority, own: &Issued, at: &[&str]) -> (CoordinatorsSpec, TempDir) {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let spec = CoordinatorsSpec {
        addresses: at.iter().map(|address| (*address).to_owned()).collect(),
        ca: write("ca.pem", &authority.pem),
        certificate: write("agent.pem", &own.pem),
        key: write("agent.key", &own.key_pem),
    };
    (spec, folder)
}

impl Agent {
    /// `a1` of site `paris`.
    pub(crate) fn start(authority: &Authority, at: &[&str], store: &Arc<dyn Store>) -> Self {
        let own = authority.issue("lockstep://agent/paris/a1", &[]).unwrap();
        let (spec, folder) = files(authority, &own, at);
        let name = seeking::name(&spec, "paris").unwrap();
        Self::start_as(name, spec, folder, store)
    }

    pub(crate) fn start_as(
        name: Name,
        spec: CoordinatorsSpec,
        folder: TempDir,
        store: &Arc<dyn Store>,
    ) -> Self {
        let control = Control::new(name.agent.clone(), BTreeMap::new(), Arc::clone(store));
        let links = Arc::new(Table::default());
        let asked =
            Asked::new(Arc::clone(&links) as Arc<dyn Links>, Arc::new(Tcp::default()), BTreeMap::new());
        let seeking = Seeking {
            control: control.clone(),
            name,
            spec,
            links: Arc::clone(&links) as Arc<dyn Links>,
            seen: Seen::default(),
            asked,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(seeking.run());
        tasks.spawn(seeking::look(control.clone()));
        Self { control, links, _tasks: tasks, _folder: folder }
    }

    /// Of 64 partitions of the link: how many it may write whatever they are, and how many only guarded.
    pub(crate) fn duties(&self) -> (usize, usize) {
        let owned = self.control.owned("claims");
        let owned = owned.borrow();
        let count = |licence| {
            let duty = |n: &i32| owned.duty(&TopicPartition::new("claims.new", *n)) == Duty::Ours(licence);
            (0..64).filter(duty).count()
        };
        (count(Licence::Everything), count(Licence::Guarded))
    }
}
