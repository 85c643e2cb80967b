//! Two clusters with authorizers, three ordinary principals and a mirror that is one, too: whoever may write is kept out
//! of every standby, comes back where clients belong, and is not wedged on the way (M23, M25).

use std::sync::Arc;
use std::thread;

use lockstep_agent::driver::{AclReport, Closure, MirrorDriver};
use lockstep_core::dr::acl::{AclBinding, Operations, PatternKind, Permission, ResourceKind};
use lockstep_core::plan::permissions::Operation;
use lockstep_core::spec::security::{LoginSpec, SecretSpec, SecuritySpec};
use lockstep_kafka::admin::{NewTopic, create_acls, create_topics, describe_acls};
use lockstep_kafka::{Cluster, Security, Settings, Tcp};
use lockstep_testkit::broker::{CLIENTS, start_all};
use lockstep_testkit::client::{Record, Seed, assert_identical};
use lockstep_testkit::{Kafka, rounds, unique, wait_until_async, wait_until_true};

use super::clients::Clients;
use super::{PATIENCE, SETTLE, caught_up, drain, driver, link, mirror};

const PARTITIONS: i32 = 2;

fn settings(kafka: &Kafka, user: &str) -> Settings {
    let file = kafka.folder().join(format!("{user}.password"));
    std::fs::write(&file, user).unwrap();
    let password = SecretSpec::File(file);
    let login = LoginSpec::Plain { username: user.to_owned(), password };
    let security = Security::resolve(&SecuritySpec { tls: None, login: Some(login) }).unwrap();
    Settings { security, ..Settings::new(&kafka.login_bootstrap().unwrap()).unwrap() }
}

fn login(user: &str) -> Vec<(&'static str, String)> {
    let fixed = [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "PLAIN")];
    let fixed = fixed.map(|(key, value)| (key, value.to_owned()));
    fixed
        .into_iter()
        .chain([("sasl.username", user.to_owned()), ("sasl.password", user.to_owned())])
        .collect()
}

/// Everything to the mirror, reading to everybody; then each ordinary principal by another kind of pattern.
async fn grant(kafka: &Kafka, topic: &str) -> Cluster {
    let cluster = Cluster::connect(Arc::new(Tcp::default()), settings(kafka, "mirror")).await.unwrap();
    let allow = |principal: &str, name: &str| AclBinding {
        permission: Permission::Allow,
        ..AclBinding::deny_write(principal, name)
    };
    let anything =
        |principal: &str, resource, operation| AclBinding { resource, operation, ..allow(principal, "*") };
    let entries = [
        allow("User:alice", topic),
        AclBinding { pattern: PatternKind::Prefixed, ..allow("User:bob", &topic[..3]) },
        AclBinding { operation: Operations::All, ..allow("User:carol", "*") },
        anything("User:*", ResourceKind::TransactionalId, Operations::All),
        anything(CLIENTS, ResourceKind::Topic, Operations::One(Operation::Read)),
        anything(CLIENTS, ResourceKind::Group, Operations::One(Operation::Read)),
    ];
    create_acls(&cluster, &entries).await.unwrap();
    cluster
}

fn allow_the_mirror(kafka: &Kafka) {
    let who = ["--add", "--allow-principal", "User:mirror", "--operation", "All"];
    let all = ["--cluster", "--topic", "*", "--group", "*", "--transactional-id", "*"];
    kafka.acls(&[&who[..], &all].concat()).unwrap();
}

async fn create(cluster: &Cluster, topic: &str) {
    let (name, partitions) = (topic.to_owned(), PARTITIONS);
    let new = NewTopic { name, partitions, replication_factor: 1, configs: Vec::new() };
    create_topics(cluster, &[new], PATIENCE, false).await.unwrap().remove(0).1.unwrap();
}

/// Whether the user's write is taken.
fn writes(kafka: &Kafka, topic: &str, user: &str) -> bool {
    let mut seed = Seed::to(&kafka.login_bootstrap().unwrap()).patience(std::time::Duration::from_secs(4));
    for (key, value) in login(user) {
        seed = seed.config(key, &value);
    }
    seed.write(topic, [Record::new("x")]).is_ok()
}

fn nobody_writes(kafka: &Kafka, topic: &str) {
    thread::scope(|scope| {
        for user in ["alice", "bob", "carol"] {
            scope.spawn(move || assert!(!writes(kafka, topic, user), "{user} wrote to {topic}"));
        }
    });
}

#[tokio::test]
async fn ordinary_principals_are_kept_out_of_every_standby() {
    let of = |name| Kafka::builder(name).authorized();
    let clusters = start_all([of("east"), of("west")]).unwrap();
    thread::scope(|scope| {
        for kafka in &clusters {
            scope.spawn(|| allow_the_mirror(kafka));
        }
    });
    let topic = unique("orders");
    let [east, west] = [grant(&clusters[0], &topic).await, grant(&clusters[1], &topic).await];
    create(&east, &topic).await;
    let before = describe_acls(&east.any().await.unwrap(), ResourceKind::Topic).await.unwrap();

    let mut way = link(&topic, settings(&clusters[0], "mirror"), settings(&clusters[1], "mirror")).await;
    let (mut primary, mut standby) = (0, 1);
    let mut running = mirror(&way).await;
    for generation in 1..=u64::from(rounds(2, 20)) {
        let driver = driver(&way);
        // M23: a topic that is new on the standby, principals that may write everywhere.
        wait_until_async("the standby's topic", PATIENCE, async || {
            let topics = &west.refresh().await.unwrap().topics;
            topics.contains_key(topic.as_str()).then_some(())
        })
        .await;
        assert!(driver.protect().await.unwrap().is_complete());
        nobody_writes(&clusters[standby], &topic);
        let at = clusters[primary].login_bootstrap().unwrap();
        let clients = Clients::start(&at, &topic, PARTITIONS, 1, &login("alice"));
        wait_until_true("the clients to have begun", PATIENCE, || {
            clients.acknowledged().len() == PARTITIONS as usize
        });

        let settled = driver.settle(SETTLE).await.unwrap();
        assert!(matches!(settled.acls, AclReport::Denied { .. }), "{:?}", settled.acls);
        assert_eq!(settled.closure, Closure::Full, "nobody can begin a transaction there");
        nobody_writes(&clusters[primary], &topic);
        for (tp, end) in &settled.ends {
            assert!(clients.acknowledged()[&tp.partition] < *end, "{tp}: acknowledged beyond the fence");
        }
        clients.stop();
        drain(&driver, &settled, running).await;
        driver.promote(&settled).await.unwrap();
        nobody_writes(&clusters[standby], &topic);
        let opened = driver.open().await.unwrap();
        assert_eq!((opened.generation, opened.lifted.len()), (generation, 3));
        let reversed = driver.reverse().await.unwrap();
        assert!(reversed.protection.is_complete());
        nobody_writes(&clusters[primary], &topic);

        way = reversed.reverse;
        running = mirror(&way).await;
        let report = caught_up(&running).await;
        assert_eq!((report.copied_records, report.copied_bytes), (0, 0), "generation {generation}");
        (primary, standby) = (standby, primary);
        for user in ["alice", "bob", "carol"] {
            assert!(writes(&clusters[primary], &topic, user), "{user} belongs there now");
        }
    }
    let last = driver(&way);
    let settled = last.settle(SETTLE).await.unwrap();
    drain(&last, &settled, running).await;
    let [from, to] = [&clusters[primary], &clusters[standby]].map(Kafka::bootstrap);
    assert_identical(&from, &to, &topic, PARTITIONS);
    last.unfreeze().await.unwrap();
    if primary == 0 {
        let after = describe_acls(&east.any().await.unwrap(), ResourceKind::Topic).await.unwrap();
        assert_eq!(after, before, "nothing is left of two changes of sides");
    }
}
