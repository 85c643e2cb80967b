//! A cluster with an authorizer: clients are ANONYMOUS and may do what ACLs allow them; brokers are a super user, over
//! listeners of their own with passwords. ACLs are given with Kafka's own tool, as an operator would.

use std::fs;
use std::time::Duration;

use super::{Kafka, node};
use crate::leash::Leash;
use crate::{Error, Exit};

const LIMIT: Duration = Duration::from_secs(120);
const TRIES: u32 = 3;

/// The principal of every client of the ordinary listener.
pub const CLIENTS: &str = "User:ANONYMOUS";

const JAAS: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"broker\" \
                    password=\"broker\" user_broker=\"broker\" user_mirror=\"mirror\" user_alice=\"alice\" \
                    user_bob=\"bob\" user_carol=\"carol\";";

/// Ordinary users of the brokers' own listener (PLAIN), each with its name as the password. They may do what ACLs allow.
pub const USERS: [&str; 4] = ["mirror", "alice", "bob", "carol"];

/// The lines of `server.properties` that make a cluster authorize. `INTERNAL` is the brokers' own listener.
pub(super) fn properties() -> Vec<(String, String)> {
    let mut lines = vec![
        ("authorizer.class.name".to_owned(), "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
        ("super.users".to_owned(), "User:broker"),
        ("inter.broker.listener.name".to_owned(), "INTERNAL"),
        ("sasl.mechanism.inter.broker.protocol".to_owned(), "PLAIN"),
        ("sasl.mechanism.controller.protocol".to_owned(), "PLAIN"),
        (
            "listener.security.protocol.map".to_owned(),
            "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:SASL_PLAINTEXT,INTERNAL:SASL_PLAINTEXT",
        ),
    ];
    for listener in ["controller", "internal"] {
        lines.push((format!("listener.name.{listener}.sasl.enabled.mechanisms"), "PLAIN"));
        lines.push((format!("listener.name.{listener}.plain.sasl.jaas.config"), JAAS));
    }
    lines.into_iter().map(|(key, value)| (key, value.to_owned())).collect()
}

impl Kafka {
    /// Where [`USERS`] log in with PLAIN.
    ///
    /// # Errors
    /// When the cluster was built without [`Builder::authorized`](super::Builder::authorized).
    pub fn login_bootstrap(&self) -> Result<String, Error> {
        let ports = self.nodes.iter().filter_map(|node| node.ports.internal);
        let addresses: Vec<_> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
        if addresses.is_empty() {
            return Err(Error::Refused(format!("`{}` was built without an authorizer", self.name)));
        }
        Ok(addresses.join(","))
    }

    /// Runs `kafka-acls` with these options, as in `["--add", "--allow-principal", CLIENTS, "--operation", "Alter",
    /// "--cluster"]`; takes two to three seconds. Brokers apply it slightly later.
    ///
    /// # Errors
    /// When the cluster was built without [`Builder::authorized`](super::Builder::authorized), or the tool fails.
    pub fn acls(&self, options: &[&str]) -> Result<(), Error> {
        let first = self.nodes.first().and_then(|node| Some((node, node.ports.internal?)));
        let Some((node, port)) = first else {
            return Err(Error::Refused(format!("`{}` was built without an authorizer", self.name)));
        };
        let properties = self.folder().join("operator.properties");
        let lines =
            format!("security.protocol=SASL_PLAINTEXT\nsasl.mechanism=PLAIN\nsasl.jaas.config={JAAS}\n");
        fs::write(&properties, lines).map_err(Error::io(format!("write {}", properties.display())))?;
        let log = self.folder().join("acls.log");
        let mut command = node::java(node.libs());
        command.extend(["org.apache.kafka.tools.AclCommand", "--bootstrap-server"].map(str::to_owned));
        command.extend([format!("127.0.0.1:{port}"), "--command-config".to_owned()]);
        command.extend([properties.display().to_string(), "--force".to_owned()]);
        command.extend(options.iter().map(|&option| option.to_owned()));
        let mut tries = 1;
        loop {
            match Leash::run(&command, &[], &log, &log)?.wait(LIMIT)? {
                Exit::Code(0) => return Ok(()),
                // On a busy machine the tool may give up before the broker answers it; what it does twice is done once.
                exit if tries < TRIES => eprintln!("kafka-acls ended with {exit}: once more"),
                exit => {
                    let (what, exit) = ("kafka-acls".to_owned(), exit.to_string());
                    return Err(Error::Died { what, exit, log_tail: node::tail(&log) });
                }
            }
            tries += 1;
        }
    }
}
