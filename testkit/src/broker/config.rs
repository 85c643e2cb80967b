//! `server.properties` of every node of a cluster, from its layout. Pure text: decides nothing, touches no file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use super::acls;
use crate::secured::{self, Realm, SecuredPorts};

/// Where a node listens, all on the loopback address.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ports {
    pub(super) client: u16,
    /// Only on nodes that are controllers.
    pub(super) controller: Option<u16>,
    /// The listener behind the proxy, and the proxy's own port, which is advertised in its stead.
    pub(super) proxied: Option<(u16, u16)>,
    /// The brokers' own listener, where there is an authorizer.
    pub(super) internal: Option<u16>,
    /// The secured listeners, in a realm.
    pub(super) secured: Option<SecuredPorts>,
}

#[derive(Debug)]
pub(super) struct Layout {
    pub(super) realm: Option<Arc<Realm>>,
    pub(super) ports: BTreeMap<i32, Ports>,
    pub(super) racks: BTreeMap<i32, String>,
    pub(super) config: BTreeMap<String, String>,
}

impl Layout {
    pub(super) fn properties(&self, id: i32, data: &Path) -> String {
        let mut lines = self.defaults();
        let mut set = |key: &str, value: String| lines.insert(key.to_owned(), value);
        if let Some(ports) = self.ports.get(&id) {
            set("process.roles", roles(*ports).to_owned());
            set("listeners", listeners(*ports) + &self.secured(*ports, "127.0.0.1"));
            // By name: Kerberos tickets and certificates are for `localhost`.
            set("advertised.listeners", advertised(*ports) + &self.secured(*ports, "localhost"));
            if ports.internal.is_some() {
                for (key, value) in acls::properties() {
                    set(&key, value);
                }
            }
        }
        if let Some(realm) = &self.realm {
            for (key, value) in secured::properties(realm) {
                set(&key, value);
            }
            let protocols =
                "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:SASL_PLAINTEXT,INTERNAL:SASL_PLAINTEXT";
            set("listener.security.protocol.map", format!("{protocols}{}", secured::protocols(realm)));
        }
        set("node.id", id.to_string());
        set("log.dirs", data.display().to_string());
        if let Some(rack) = self.racks.get(&id) {
            set("broker.rack", rack.clone());
        }
        lines.extend(self.config.clone());
        lines.iter().fold(String::new(), |mut text, (key, value)| {
            let _ = writeln!(text, "{key}={value}"); // writing to a String cannot fail
            text
        })
    }

    /// The secured listeners, to be put behind the others.
    fn secured(&self, ports: Ports, host: &str) -> String {
        let (Some(realm), Some(ports)) = (&self.realm, ports.secured) else { return String::new() };
        ports.named(realm).iter().map(|(name, port)| format!(",{name}://{host}:{port}")).collect()
    }

    fn defaults(&self) -> BTreeMap<String, String> {
        let brokers = self.ports.len();
        let replicas = brokers.min(3).to_string();
        // With two replicas one may die, as with three: a test that kills a broker goes on.
        let in_sync = if brokers >= 3 { "2" } else { "1" };
        // A killed broker's partitions move within seconds; alone, Kafka's own patience: nobody could take over.
        let session = if brokers > 1 { "4000" } else { "9000" };
        let voters: Vec<_> = self
            .ports
            .iter()
            .filter_map(|(id, ports)| ports.controller.map(|port| format!("{id}@127.0.0.1:{port}")))
            .collect();
        [
            ("controller.quorum.voters", voters.join(",").as_str()),
            ("controller.listener.names", "CONTROLLER"),
            ("inter.broker.listener.name", "PLAINTEXT"),
            ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT"),
            ("offsets.topic.replication.factor", &replicas),
            ("offsets.topic.num.partitions", "4"),
            ("transaction.state.log.replication.factor", &replicas),
            ("transaction.state.log.min.isr", in_sync),
            ("transaction.state.log.num.partitions", "4"),
            ("share.coordinator.state.topic.replication.factor", &replicas),
            ("share.coordinator.state.topic.min.isr", in_sync),
            ("group.initial.rebalance.delay.ms", "0"),
            ("auto.create.topics.enable", "false"),
            // Tests write records of all ages: nothing expires in the middle unless a topic says so.
            ("log.retention.ms", "-1"),
            ("broker.heartbeat.interval.ms", "500"),
            ("broker.session.timeout.ms", session),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }
}

fn roles(ports: Ports) -> &'static str {
    if ports.controller.is_some() { "broker,controller" } else { "broker" }
}

fn listeners(ports: Ports) -> String {
    let controller = ports.controller.map(|port| ("CONTROLLER", port));
    let proxied = ports.proxied.map(|(behind, _)| ("PROXIED", behind));
    named([Some(("PLAINTEXT", ports.client)), controller, proxied, internal(ports)])
}

fn advertised(ports: Ports) -> String {
    let proxied = ports.proxied.map(|(_, proxy)| ("PROXIED", proxy));
    named([Some(("PLAINTEXT", ports.client)), proxied, internal(ports), None])
}

fn internal(ports: Ports) -> Option<(&'static str, u16)> {
    ports.internal.map(|port| ("INTERNAL", port))
}

fn named(listeners: [Option<(&str, u16)>; 4]) -> String {
    let all = listeners.into_iter().flatten();
    all.map(|(name, port)| format!("{name}://127.0.0.1:{port}")).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proxied_controller_and_a_plain_broker() {
        let first =
            Ports { client: 1, controller: Some(2), proxied: Some((3, 4)), internal: None, secured: None };
        let second = Ports { client: 5, controller: None, proxied: None, internal: Some(6), secured: None };
        let layout = Layout {
            realm: None,
            ports: [(1, first), (2, second)].into(),
            racks: [(2, "north".to_owned())].into(),
            config: [("auto.create.topics.enable".to_owned(), "true".to_owned())].into(),
        };
        let one = layout.properties(1, Path::new("/d"));
        for line in [
            "process.roles=broker,controller\n",
            "listeners=PLAINTEXT://127.0.0.1:1,CONTROLLER://127.0.0.1:2,PROXIED://127.0.0.1:3\n",
            "advertised.listeners=PLAINTEXT://127.0.0.1:1,PROXIED://127.0.0.1:4\n",
            "controller.quorum.voters=1@127.0.0.1:2\n",
            "offsets.topic.replication.factor=2\n",
            "auto.create.topics.enable=true\n",
            "log.dirs=/d\n",
        ] {
            assert!(one.contains(line), "{line} in\n{one}");
        }
        let two = layout.properties(2, Path::new("/e"));
        assert!(two.contains("process.roles=broker\n") && two.contains("broker.rack=north\n"), "{two}");
        assert!(two.contains("listeners=PLAINTEXT://127.0.0.1:5,INTERNAL://127.0.0.1:6\n"), "{two}");
        assert!(two.contains("super.users=User:broker\n") && !one.contains("super.users"), "{two}");
        assert!(!one.contains("broker.rack"));
    }
}
