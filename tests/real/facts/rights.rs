//! Which rights markers and empty transactions need (M12, M15), and how rights are asked about: a broker with an
//! authorizer, where clients are ANONYMOUS.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockstep_core::ids::{LeaderEpoch, TopicPartition};
use lockstep_core::plan::permissions::{Allowed, Operation, Resource};
use lockstep_kafka::ErrorCode;
use lockstep_kafka::admin::{
    At, EpochQuestion, Filled, FillerTransactions, describe_transactions, init_producer_id,
    learn_cluster_configs, learn_create_and_alter_configs, learn_describe_configs, learn_group_read,
    learn_groups_describe, learn_masks, learn_on_absent, learn_transactional_id, list_groups, list_offsets,
    offset_for_leader_epoch,
};
use lockstep_testkit::broker::CLIENTS;
use lockstep_testkit::{Kafka, unique, wait_until_async};

use super::PATIENCE;
use super::log::{Log, stranger};
use super::markers::mark;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A broker whose clients may do what a mirror needs on topics, and nothing on the cluster but to make topics.
fn guarded() -> Kafka {
    let kafka = Kafka::builder("guarded").authorized().start().unwrap();
    allow(&kafka, &["--operation", "All", "--topic", "*"]);
    kafka
}

fn allow(kafka: &Kafka, options: &[&str]) {
    kafka.acls(&[&["--add", "--allow-principal", CLIENTS], options].concat()).unwrap();
}

fn revoke(kafka: &Kafka, options: &[&str]) {
    kafka.acls(&[&["--remove", "--allow-principal", CLIENTS], options].concat()).unwrap();
}

async fn until_refused_with(log: &Log, code: Option<ErrorCode>) {
    let producer = stranger(0);
    wait_until_async(&format!("markers answered with {code:?}"), PATIENCE, async || {
        (mark(log, producer, [0]).await.err() == code).then_some(())
    })
    .await;
}

/// M12, M15: without ALTER or CLUSTER_ACTION on the cluster markers are refused (31) for every partition, and none is
/// written; each of the two is enough, while the broker runs. Relied on by `agent/src/pipeline/markers`.
#[tokio::test]
async fn markers_need_alter_or_cluster_action_on_the_cluster() {
    let kafka = guarded();
    let log = Log::create(&kafka.bootstrap(), "guarded").await;
    let refused = mark(&log, stranger(0), 0..100).await;
    assert_eq!(refused, Err(ErrorCode::CLUSTER_AUTHORIZATION_FAILED));
    assert_eq!(log.end().await, 0, "nothing was written");
    for operation in ["Alter", "ClusterAction"] {
        let right = ["--operation", operation, "--cluster"];
        let before = log.end().await;
        allow(&kafka, &right);
        until_refused_with(&log, None).await;
        assert_eq!(log.end().await, before + 1, "{operation} is enough");
        revoke(&kafka, &right);
        until_refused_with(&log, Some(ErrorCode::CLUSTER_AUTHORIZATION_FAILED)).await;
    }
}

/// M15: empty transactions need WRITE on the transactional id and on the topic, and say which is missing. Relied on by
/// `agent/src/pipeline/markers/filler.rs`.
#[tokio::test]
async fn empty_transactions_need_write_on_their_id_and_topics() {
    let kafka = guarded();
    let log = Log::create(&kafka.bootstrap(), "guarded").await;
    let id = unique("lockstep.filler");
    let without = init_producer_id(&log.cluster, &id, None, TIMEOUT).await.unwrap_err().code();
    assert_eq!(without, Some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));
    let unseen = describe_transactions(&log.cluster, &id).await.unwrap_err().code();
    assert_eq!(unseen, Some(ErrorCode::TRANSACTIONAL_ID_AUTHORIZATION_FAILED));

    allow(&kafka, &["--operation", "Write", "--transactional-id", &id]);
    let owner = wait_until_async("an identity", PATIENCE, async || {
        init_producer_id(&log.cluster, &id, None, TIMEOUT).await.ok()
    })
    .await;
    let mut filler = FillerTransactions::new(log.cluster.clone(), id.clone(), owner);
    assert_eq!(filler.run(std::slice::from_ref(&log.tp)).await.unwrap(), Filled::Ended);
    wait_until_async("its marker", PATIENCE, async || (log.end().await == 1).then_some(())).await;

    let denied = ["--add", "--deny-principal", CLIENTS, "--operation", "Write", "--topic", &log.tp.topic];
    kafka.acls(&denied).unwrap();
    let free = Log::create(&kafka.bootstrap(), "free").await;
    let both: [TopicPartition; 2] = [free.tp.clone(), log.tp.clone()];
    let refused =
        wait_until_async("the missing right", PATIENCE, async || match filler.run(&both).await.unwrap() {
            Filled::Refused(refused) => Some(refused),
            Filled::Ended => None,
        })
        .await;
    let blamed: Vec<_> = refused.into_iter().collect();
    assert_eq!(blamed, [(log.tp.clone(), ErrorCode::TOPIC_AUTHORIZATION_FAILED)]);
    assert_eq!(filler.run(&both[..1]).await.unwrap(), Filled::Ended);
}

/// Rights can be asked about without doing anything, of any broker, for topics that do not exist as well: nothing is
/// created, no transaction is ended, no group comes into being. Relied on by `kafka/src/admin/rights.rs`.
#[tokio::test]
async fn asking_what_is_allowed_does_nothing() {
    let kafka = Kafka::builder("guarded").authorized().start().unwrap();
    let cluster = lockstep_kafka::Cluster::connect(
        std::sync::Arc::new(lockstep_kafka::Tcp::default()),
        lockstep_kafka::Settings::new(&kafka.bootstrap()).unwrap(),
    )
    .await
    .unwrap();
    let (topic, id, group) = ("rights-topic", "rights-id", "rights-group");
    let ask = async || {
        let connection = cluster.any().await.unwrap();
        let mut allowed = Allowed::default();
        let topics = [topic.to_owned()];
        learn_describe_configs(&cluster, &topics, &mut allowed).await.unwrap();
        learn_create_and_alter_configs(&cluster, &topics, &mut allowed).await.unwrap();
        learn_masks(&connection, &topics, &mut allowed).await.unwrap();
        // Without DESCRIBE on the cluster there is no mask of it.
        assert_eq!(allowed.allows(&Resource::Cluster, Operation::ClusterAction), None);
        learn_cluster_configs(&cluster, &mut allowed).await.unwrap();
        // A topic that may be seen and is not there has no mask.
        learn_on_absent(&cluster, &topics, id, &mut allowed).await.unwrap();
        learn_transactional_id(&connection, id, &mut allowed).await.unwrap();
        learn_group_read(&connection, group, &mut allowed).await.unwrap();
        learn_groups_describe(&connection, &["rights-other"], &mut allowed).await.unwrap();
        allowed
    };
    let questions = [
        (Resource::Topic(topic.to_owned()), Operation::Read),
        (Resource::Topic(topic.to_owned()), Operation::Alter),
        (Resource::Topic(topic.to_owned()), Operation::Delete),
        (Resource::Topic(topic.to_owned()), Operation::Create),
        (Resource::Topic(topic.to_owned()), Operation::DescribeConfigs),
        (Resource::Topic(topic.to_owned()), Operation::AlterConfigs),
        (Resource::Cluster, Operation::DescribeConfigs),
        (Resource::TransactionalId(id.to_owned()), Operation::Describe),
        (Resource::TransactionalId(id.to_owned()), Operation::Write),
        (Resource::Group(group.to_owned()), Operation::Read),
        (Resource::Group("rights-other".to_owned()), Operation::Describe),
    ];
    let answers = |allowed: &Allowed| {
        questions.iter().map(|(resource, operation)| allowed.allows(resource, *operation)).collect::<Vec<_>>()
    };
    assert_eq!(answers(&ask().await), [Some(false); 11], "of nothing that exists");
    for internal in ["__transaction_state", "__consumer_offsets", topic] {
        assert!(!kafka.log_folder(1, internal, 0).unwrap().exists(), "{internal} came into being");
    }

    let operations = ["Read", "Create", "AlterConfigs", "Alter", "Delete"];
    let topic_rights: Vec<_> =
        operations.into_iter().flat_map(|operation| ["--operation", operation]).collect();
    let topic_rights = [&topic_rights[..], &["--topic", topic]].concat();
    allow(&kafka, &topic_rights);
    allow(&kafka, &["--operation", "DescribeConfigs", "--cluster"]);
    allow(&kafka, &["--operation", "Write", "--transactional-id", id]);
    allow(&kafka, &["--operation", "Read", "--group", group]);
    allow(&kafka, &["--operation", "Describe", "--group", "rights-other"]);
    wait_until_async("every right", PATIENCE, async || {
        (answers(&ask().await) == [Some(true); 11]).then_some(())
    })
    .await;

    let write = |allowed: &Allowed| allowed.allows(&Resource::Topic(topic.to_owned()), Operation::Write);
    assert_eq!(write(&ask().await), Some(false), "known since the id may be used");
    assert!(
        !kafka.log_folder(1, topic, 0).unwrap().exists()
            && !kafka.log_folder(1, "__transaction_state", 0).unwrap().exists()
    );

    // An id in use keeps its producer.
    let owner = init_producer_id(&cluster, id, None, TIMEOUT).await.unwrap();
    ask().await;
    let after = describe_transactions(&cluster, id).await.unwrap().unwrap();
    assert_eq!(after.producer, owner);
    let groups = list_groups(&cluster).await.unwrap();
    assert!(groups.iter().all(|listed| listed.group != group), "{groups:?}");
}

/// A list of all topics leaves out those that we may not describe; asked by name, a topic that is gone is unknown (3)
/// and one that may not be described is refused (29), whether it exists or not. OffsetForLeaderEpoch and
/// ListOffsets answer 29 per partition. Relied on by `agent/src/pipeline/probe.rs`:
/// a revoked ACL must not look like a deleted topic.
#[tokio::test]
async fn what_may_not_be_described_looks_gone_in_a_list_and_refused_by_name() {
    let kafka = guarded();
    let log = Log::create(&kafka.bootstrap(), "guarded").await;
    let gone: Arc<str> = unique("gone").into();
    let topic = Arc::clone(&log.tp.topic);
    let ask = async |names: &[Arc<str>]| log.cluster.named_topics(names).await.unwrap();
    let both = [Arc::clone(&topic), Arc::clone(&gone)];
    let known: BTreeMap<_, _> = ask(&both).await.into_iter().collect();
    assert_eq!((known[&topic], known[&gone]), (None, Some(ErrorCode::UNKNOWN_TOPIC_OR_PARTITION)));

    let deny = |action: &str| {
        let denied = [action, "--deny-principal", CLIENTS, "--operation", "All"];
        kafka.acls(&[&denied[..], &["--topic", &topic, "--topic", &gone]].concat()).unwrap();
    };
    let connection = log.connection().await;
    deny("--add");
    let refused = Some(ErrorCode::TOPIC_AUTHORIZATION_FAILED);
    wait_until_async("both to be refused", PATIENCE, async || {
        ask(&both).await.iter().all(|(_, code)| *code == refused).then_some(())
    })
    .await;
    assert!(!log.cluster.refresh().await.unwrap().topics.contains_key(&topic), "a list leaves it out");
    let question = EpochQuestion { tp: log.tp.clone(), current: LeaderEpoch(0), asked: LeaderEpoch(0) };
    let ends = offset_for_leader_epoch(&connection, &[question]).await.unwrap();
    assert_eq!(ends[0].1, Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED));
    let asked = [(log.tp.clone(), LeaderEpoch::UNKNOWN)];
    let marks = list_offsets(&connection, &asked, At::Latest).await.unwrap();
    assert_eq!(marks[0].1, Err(ErrorCode::TOPIC_AUTHORIZATION_FAILED));

    deny("--remove");
    wait_until_async("it to be listed again", PATIENCE, async || {
        log.cluster.refresh().await.unwrap().topics.contains_key(&topic).then_some(())
    })
    .await;
}
