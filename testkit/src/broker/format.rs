//! Formatting a node's data folder as `kafka.tools.StorageTool` does, without a JVM per node (1 to 3 s each).
//! The tool runs once per Kafka version; what it writes for every node alike, the cluster's first metadata records, is
//! kept in the cache. The rest, `meta.properties`, is four lines of text.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::config::{Layout, Ports};
use super::node::{self, Node};
use crate::leash::Leash;
use crate::secured::{CLIENT, LIMITED};
use crate::{Error, Exit, jars};

const BOOTSTRAP_RECORDS: &str = "bootstrap.checkpoint";
/// With the users of secured clusters: whoever changes them changes this name.
const WITH_USERS: &str = "bootstrap-users-1.checkpoint";
const SCRAM: [&str; 2] = ["SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Who is known to a new cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Users {
    None,
    /// For both SCRAM mechanisms.
    Scram,
}
const LIMIT: Duration = Duration::from_secs(120);
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A random id as Kafka writes them: 16 bytes in URL-safe base64 without padding.
pub(super) fn random_id() -> String {
    let letter = |of: usize| char::from(ALPHABET[fastrand::usize(..of)]);
    // A leading `-` reads as an option on a command line; the last letter carries two bits only.
    let mut id = String::from(letter(62));
    id.extend((0..20).map(|_| letter(64)));
    id.push(char::from(ALPHABET[fastrand::usize(..4) * 16]));
    id
}

/// The first metadata records of a new cluster, from the cache or from Kafka's own tool.
pub(super) fn bootstrap_records(
    version: &str,
    libs: &Path,
    scratch: &Path,
    users: Users,
) -> Result<Vec<u8>, Error> {
    let name = if users == Users::Scram { WITH_USERS } else { BOOTSTRAP_RECORDS };
    let cached = jars::version_folder(version)?.join(name);
    if let Ok(records) = fs::read(&cached) {
        return Ok(records);
    }
    let made = run_the_tool(libs, &scratch.join("format"), users)?;
    let records = fs::read(&made).map_err(Error::io(format!("read {}", made.display())))?;
    // Written beside and renamed: another process reads all of it or nothing. That it cannot be kept costs time only.
    let beside = cached.with_extension(format!("{}-{}", std::process::id(), fastrand::u32(..)));
    let kept = fs::write(&beside, &records).and_then(|()| fs::rename(&beside, &cached));
    if let Err(cause) = kept {
        eprintln!("not kept: {} ({cause})", cached.display());
    }
    Ok(records)
}

fn run_the_tool(libs: &Path, home: &Path, users: Users) -> Result<std::path::PathBuf, Error> {
    let data = home.join("data");
    fs::create_dir_all(&data).map_err(Error::io(format!("create {}", data.display())))?;
    // The tool reads a configuration and opens no port.
    let ports = Ports { client: 1, controller: Some(2), proxied: None, internal: None, secured: None };
    let layout = Layout { realm: None, ports: [(1, ports)].into(), racks: [].into(), config: [].into() };
    let properties = home.join("server.properties");
    fs::write(&properties, layout.properties(1, &data))
        .map_err(Error::io(format!("write {}", properties.display())))?;
    let log = home.join("format.log");
    let mut command = node::java(libs);
    command.extend(["kafka.tools.StorageTool", "format", "-t"].map(str::to_owned));
    command.extend([random_id(), "-c".to_owned(), properties.display().to_string()]);
    if users == Users::Scram {
        for (mechanism, (user, password)) in SCRAM.iter().flat_map(|each| [(each, CLIENT), (each, LIMITED)]) {
            command.push("--add-scram".to_owned());
            command.push(format!("{mechanism}=[name={user},password={password}]"));
        }
    }
    match Leash::run(&command, &[], &log, &log)?.wait(LIMIT)? {
        Exit::Code(0) => Ok(data.join(BOOTSTRAP_RECORDS)),
        exit => Err(Error::Died {
            what: "kafka.tools.StorageTool".to_owned(),
            exit: exit.to_string(),
            log_tail: node::tail(&log),
        }),
    }
}

/// Makes a node's data folder that of a new member of a cluster.
pub(super) fn format(node: &Node, bootstrap_records: &[u8]) -> Result<(), Error> {
    let data = node.data();
    let what = || format!("format {}", data.display());
    let (id, cluster_id, directory_id) = (node.id, &node.cluster_id, random_id());
    let meta = format!("version=1\ncluster.id={cluster_id}\nnode.id={id}\ndirectory.id={directory_id}\n");
    fs::create_dir_all(&data).map_err(Error::io(what()))?;
    fs::write(data.join("meta.properties"), meta).map_err(Error::io(what()))?;
    fs::write(data.join(BOOTSTRAP_RECORDS), bootstrap_records).map_err(Error::io(what()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_look_like_kafkas() {
        for _ in 0..100 {
            let id = random_id();
            assert!(id.len() == 22 && !id.starts_with('-') && "AQgw".contains(&id[21..]), "{id}");
        }
    }
}
