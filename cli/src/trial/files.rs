//! The files of a trial: who there is, at which ports, and what each is told. Texts only: nothing is written here.

use std::path::PathBuf;

use rcgen::Error;

use super::authority::{Authority, VALID_DAYS};
use super::{FileKind, TrialFile};

/// The coordinator that the system begins with.
pub(crate) const FOUNDER: &str = "c-east";
const OPERATOR: &str = "trial";
const LOOPBACK: [&str; 2] = ["127.0.0.1", "localhost"];

/// Where everything listens.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// The first coordinator's port; the others have the next two.
    pub(crate) port: u16,
    /// The first agent's port for its status; the other has the next one.
    pub(crate) agent_port: u16,
    /// The first coordinator's port for its metrics; the others have the next two.
    pub(crate) metrics_port: u16,
    /// The Kafka cluster of each site, host:port, plaintext.
    pub(crate) east: String,
    pub(crate) west: String,
    /// The binary that starts it where there is none on the path.
    pub(crate) program: String,
}

impl Default for Layout {
    fn default() -> Self {
        Self {
            port: 9470,
            agent_port: 9464,
            metrics_port: 9480,
            east: "127.0.0.1:9092".to_owned(),
            west: "127.0.0.1:9192".to_owned(),
            program: "lockstep".to_owned(),
        }
    }
}

/// Name and site of each, with its place in the row of ports.
const COORDINATORS: [(&str, &str); 3] = [(FOUNDER, "east"), ("c-west", "west"), ("c-witness", "witness")];
const AGENTS: [(&str, &str); 2] = [("a-east", "east"), ("a-west", "west")];

impl Layout {
    /// Name and address of each coordinator; the founder first.
    pub(crate) fn coordinators(&self) -> Vec<(&'static str, String)> {
        let named = COORDINATORS.iter().zip(self.port..);
        named.map(|((name, _), port)| (*name, format!("127.0.0.1:{port}"))).collect()
    }
}

/// All of them.
pub(super) fn plan(layout: &Layout) -> Result<Vec<TrialFile>, Error> {
    let authority = Authority::new()?;
    let addresses: Vec<String> = layout.coordinators().into_iter().map(|(_, address)| address).collect();
    let quoted: Vec<String> = addresses.iter().map(|address| format!("{address:?}")).collect();
    let quoted = quoted.join(", ");
    let mut files = vec![
        file("ca.pem", FileKind::Plain, authority.pem.clone()),
        file("ca.key", FileKind::Key, authority.key_pem.clone()),
        file("dr.yaml", FileKind::Plain, spec(layout)),
        file("start.sh", FileKind::Script, script(layout)),
        file("operator/operator.yaml", FileKind::Plain, operator(&quoted)),
    ];
    for (((name, site), address), metrics) in COORDINATORS.iter().zip(&addresses).zip(layout.metrics_port..) {
        let path = format!("{name}/coordinator.yaml");
        files.push(file(&path, FileKind::Plain, coordinator(name, site, address, metrics)));
        files.extend(pair(&authority, name, &format!("lockstep://coordinator/{name}"), &LOOPBACK)?);
    }
    for ((name, site), port) in AGENTS.iter().zip(layout.agent_port..) {
        files.push(file(&format!("{name}/agent.yaml"), FileKind::Plain, agent(site, port, &quoted)));
        files.extend(pair(&authority, name, &format!("lockstep://agent/{site}/{name}"), &[])?);
    }
    files.extend(pair(&authority, "operator", &format!("lockstep://operator/{OPERATOR}"), &[])?);
    Ok(files)
}

fn file(path: &str, kind: FileKind, text: String) -> TrialFile {
    TrialFile { path: PathBuf::from(path), text, kind }
}

fn pair(authority: &Authority, folder: &str, holder: &str, hosts: &[&str]) -> Result<[TrialFile; 2], Error> {
    let issued = authority.issue(holder, hosts)?;
    Ok([
        file(&format!("{folder}/certificate.pem"), FileKind::Plain, issued.pem),
        file(&format!("{folder}/key.pem"), FileKind::Key, issued.key_pem),
    ])
}

fn coordinator(name: &str, site: &str, address: &str, metrics: u16) -> String {
    format!(
        "# One of the three coordinators of a trial; its certificate is valid for {VALID_DAYS} days.
name: {name}
site: {site}
data: data
listen: {address}
http: 127.0.0.1:{metrics}
tls:
  ca: ../ca.pem
  certificate: certificate.pem
  key: key.pem
access:
  - {{ operator: {OPERATOR}, role: admin }}
"
    )
}

fn agent(site: &str, port: u16, coordinators: &str) -> String {
    format!(
        "# The agent of {site}: what it carries, the coordinators say.
site: {site}
listen: 127.0.0.1:{port}
data: data
coordinators:
  addresses: [{coordinators}]
  ca: ../ca.pem
  certificate: certificate.pem
  key: key.pem
"
    )
}

fn operator(coordinators: &str) -> String {
    format!(
        "# Where the coordinators are, and who you are to them.
coordinators: [{coordinators}]
tls:
  ca: ../ca.pem
  certificate: certificate.pem
  key: key.pem
"
    )
}

fn spec(layout: &Layout) -> String {
    format!(
        "# What is wanted: change it, then `lockstep plan -f dr.yaml` and `lockstep apply -f dr.yaml`.
sites:
  east: {{}}
  west: {{}}
  witness: {{ witness: true }}
clusters:
  kafka-east: {{ site: east, bootstrap: {:?} }}
  kafka-west: {{ site: west, bootstrap: {:?} }}
links:
  trial:
    clusters: [kafka-east, kafka-west]
    prefer: kafka-east
    topics: [\".*\"]
    groups: [\".*\"]
    rpo: 5s
",
        layout.east, layout.west
    )
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Starts what is there: each coordinator joins when it has no data yet.
fn script(layout: &Layout) -> String {
    let coordinators = layout.coordinators();
    let founder = coordinators.first().map(|(_, address)| address.clone()).unwrap_or_default();
    let mut joins = String::new();
    for (name, address) in coordinators.iter().skip(1) {
        joins.push_str(&format!("coordinator {name} {address}\n"));
    }
    let program = quoted(&layout.program);
    let agents: String = AGENTS.iter().map(|(name, _)| format!("agent {name}\n")).collect();
    format!(
        "#!/bin/sh
# Starts the coordinators and agents of this trial and waits; Ctrl-C stops them all. Logs: NAME/log.
set -eu
cd \"$(dirname \"$0\")\"
: \"${{LOCKSTEP:=lockstep}}\"
command -v \"$LOCKSTEP\" >/dev/null || LOCKSTEP={program}
export LOCKSTEP_OPERATOR=\"$PWD/operator/operator.yaml\"
trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT
trap 'exit 130' INT TERM

# Each asks in vain until a majority runs: give it some seconds.
patiently() {{
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do
    if \"$@\" >join.log 2>&1; then return 0; fi
    sleep 1
  done
  cat join.log >&2
  return 1
}}

coordinator() {{
  if [ ! -e \"$1/data/identity.json\" ]; then
    patiently \"$LOCKSTEP\" coordinator join --config \"$1/coordinator.yaml\" --address \"$2\" --to {founder}
  fi
  \"$LOCKSTEP\" coordinator --config \"$1/coordinator.yaml\" >>\"$1/log\" 2>&1 &
}}

agent() {{
  \"$LOCKSTEP\" agent --config \"$1/agent.yaml\" >>\"$1/log\" 2>&1 &
}}

\"$LOCKSTEP\" coordinator --config {FOUNDER}/coordinator.yaml >>{FOUNDER}/log 2>&1 &
{joins}{agents}
patiently \"$LOCKSTEP\" coordinator members
cat join.log
rm -f join.log
cat <<WORDS

It runs. In another terminal:
  export LOCKSTEP_OPERATOR=$LOCKSTEP_OPERATOR
  lockstep apply -f $PWD/dr.yaml
  lockstep status --watch
Ctrl-C here stops everything.
WORDS
wait
"
    )
}
