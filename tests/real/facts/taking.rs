//! The product's tasks that take offsets, driven directly against real brokers: by markers (M12, M13), and by empty
//! transactions where the right is missing (M15).

use std::time::Duration;

use lockstep_agent::pipeline::event::{Event, MarkerOutcome};
use lockstep_agent::pipeline::markers::{
    Filler, JOBS_WAITING_MAX, MarkerJob, MarkerRight, Markers, WantedRun,
};
use lockstep_agent::pipeline::names::Twin;
use lockstep_core::ids::{DestOffset, LeaderEpoch, ProducerIdentity};
use lockstep_core::mirror::markers::{MarkerAnswer, MarkerRun, SequenceBehind};
use lockstep_core::mirror::window::Ticket;
use lockstep_kafka::admin::{At, TransactionPhase, describe_transactions};
use lockstep_testkit::broker::CLIENTS;
use lockstep_testkit::proxy::Direction;
use lockstep_testkit::{Kafka, pair, unique, wait_until_async};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::PATIENCE;
use super::batches::Batch;
use super::log::{Log, connect, stranger};
use super::transactions::{transactional, write};

/// A task under test, for the broker that leads `log`.
struct Task {
    jobs: mpsc::Sender<MarkerJob>,
    events: mpsc::Receiver<Event>,
    right: MarkerRight,
    filler: Filler,
}

impl Task {
    fn start(log: &Log, link: &str, ours: ProducerIdentity) -> Self {
        let (jobs, receiver) = mpsc::channel(JOBS_WAITING_MAX);
        let (sender, events) = mpsc::channel(16);
        let right = MarkerRight::on(&log.cluster);
        let filler = Filler::new(log.cluster.clone(), link);
        let task = Markers {
            node: log.leader(),
            cluster: log.cluster.clone(),
            ours,
            right: right.clone(),
            filler: filler.clone(),
            jobs: receiver,
            events: sender,
        };
        tokio::spawn(task.run());
        Self { jobs, events, right, filler }
    }

    async fn ask(&self, runs: Vec<WantedRun>) {
        self.jobs.send(MarkerJob { runs }).await.unwrap();
    }

    /// The answers of the next request.
    async fn answers(&mut self) -> Vec<MarkerOutcome> {
        match timeout(PATIENCE, self.events.recv()).await.unwrap().unwrap() {
            Event::Marked { answers, .. } => answers,
            other => panic!("{other:?}"),
        }
    }
}

fn run(log: &Log, from: i64, count: u32, above: i32) -> WantedRun {
    let run = MarkerRun {
        ticket: Ticket(from.unsigned_abs()),
        from: DestOffset(from),
        count,
        above_coordinator_epoch: above,
    };
    WantedRun { twin: Twin::new(log.tp.clone(), &log.tp.topic), epoch: log.epoch(), run }
}

/// Runs of many partitions go into one request, each is answered with its own end, and one under a wrong leader epoch
/// has failed alone.
#[tokio::test]
async fn runs_are_answered_with_the_end_behind_them() {
    let logs = Log::create_several(&pair().destination.bootstrap(), "taking", 4).await;
    let ours = stranger(3);
    assert_eq!(logs[1].append(&Batch::new(ours, 0, 7)).await, Ok(0));
    let mut task = Task::start(&logs[0], "taking", ours);
    let stale = WantedRun { epoch: LeaderEpoch(logs[3].epoch().0 + 1), ..run(&logs[3], 0, 2, -1) };
    task.ask(vec![run(&logs[0], 0, 1, -1), run(&logs[1], 7, 3_000, -1), run(&logs[2], 0, 5, 20), stale])
        .await;
    let mut answers = task.answers().await;
    answers.sort_by(|a, b| a.partition.cmp(&b.partition));
    for (index, (count, end, coordinator_epoch, last)) in
        [(1, 1, 21, -1), (3_000, 3_007, 3_020, 6), (5, 5, 25, -1)].into_iter().enumerate()
    {
        let (end, sequence) = (DestOffset(end), SequenceBehind::After(last));
        let written = MarkerAnswer::Written { count, end, coordinator_epoch, sequence };
        assert_eq!(answers[index].answer, written, "{}", answers[index].partition);
        assert_eq!(logs[index].end().await, end.0);
        assert_eq!(logs[index].remembered(ours).await.unwrap().coordinator_epoch, coordinator_epoch);
    }
    let MarkerAnswer::Failed(trouble) = &answers[3].answer else { panic!("{:?}", answers[3]) };
    assert!(trouble.text.contains("UNKNOWN_LEADER_EPOCH") && answers[3].metadata_stale, "{trouble:?}");
    assert_eq!((task.right.missing(), task.filler.identity()), (None, None));

    // Data and markers in turn, at the places that were told.
    assert_eq!(logs[1].append(&Batch::new(ours, 7, 2)).await, Ok(3_007));
    task.ask(vec![run(&logs[1], 3_009, 1, 3_020)]).await;
    let answer = task.answers().await.remove(0).answer;
    let sequence = SequenceBehind::After(8);
    let written =
        MarkerAnswer::Written { count: 1, end: DestOffset(3_010), coordinator_epoch: 3_021, sequence };
    assert_eq!(answer, written);
}

/// A right that is missing: the same runs are answered by empty transactions, exactly, and by markers again once it is
/// granted.
#[tokio::test]
async fn without_the_right_empty_transactions_take_the_offsets_until_it_is_granted() {
    let kafka = Kafka::builder("poor").authorized().start().unwrap();
    let allow = |options: &[&str]| {
        kafka.acls(&[&["--add", "--allow-principal", CLIENTS], options].concat()).unwrap();
    };
    allow(&["--operation", "All", "--topic", "*"]);
    let logs = Log::create_several(&kafka.bootstrap(), "poor", 2).await;
    let ours = stranger(0);
    let mut task = Task::start(&logs[0], "poor", ours);
    task.filler.settle().await.unwrap();

    // Neither right: said, nothing written.
    task.ask(vec![run(&logs[0], 0, 1, -1)]).await;
    let answer = task.answers().await.remove(0).answer;
    let MarkerAnswer::Failed(trouble) = answer else { panic!("{answer:?}") };
    assert!(trouble.text.contains("WRITE on TransactionalId lockstep.poor.filler"), "{}", trouble.text);
    assert!(task.right.missing().unwrap().contains("needs ALTER on Cluster"));
    assert_eq!(logs[0].end().await, 0);

    allow(&["--operation", "Write", "--transactional-id", "lockstep.poor.filler"]);
    wait_until_async("the right to take effect", PATIENCE, async || task.filler.settle().await.ok()).await;
    // The broker may apply it slightly later.
    let (mut ends, wanted) = ([0i64; 2], [150, 40]);
    let deadline = Instant::now() + PATIENCE;
    let started = Instant::now();
    while ends != wanted {
        assert!(Instant::now() < deadline, "{ends:?} of {wanted:?}");
        let left = |index: usize| u32::try_from(wanted[index] - ends[index]).unwrap();
        let runs = (0..2).filter(|&index| left(index) > 0);
        task.ask(runs.map(|index| run(&logs[index], ends[index], left(index), 5)).collect()).await;
        for outcome in task.answers().await {
            let index = usize::try_from(outcome.partition.partition).unwrap();
            let MarkerAnswer::Written { count, end, coordinator_epoch, sequence } = outcome.answer else {
                continue;
            };
            assert_eq!(end.0, ends[index] + i64::from(count), "{}", outcome.partition);
            assert_eq!((coordinator_epoch, sequence), (5, SequenceBehind::AsBefore));
            ends[index] = end.0;
        }
    }
    eprintln!("150 offsets by empty transactions: {:?}", started.elapsed());
    let filler = task.filler.identity().unwrap();
    for (log, end) in logs.iter().zip(wanted) {
        assert_eq!((log.end().await, log.offset(At::LastStable).await), (end, end));
        assert_eq!(log.remembered(ours).await, None, "the link's own producer wrote nothing");
        assert_eq!(log.remembered(filler).await.unwrap().epoch, filler.epoch);
    }

    allow(&["--operation", "Alter", "--cluster"]);
    // A refusal counts for ten seconds.
    let mut end = ends[0];
    let deadline = Instant::now() + PATIENCE;
    let (coordinator_epoch, sequence) = loop {
        assert!(Instant::now() < deadline);
        task.ask(vec![run(&logs[0], end, 1, 5)]).await;
        let answer = task.answers().await.remove(0).answer;
        let MarkerAnswer::Written { end: at, coordinator_epoch, sequence, .. } = answer else {
            panic!("{answer:?}")
        };
        assert_eq!(at.0, end + 1);
        end = at.0;
        if sequence != SequenceBehind::AsBefore {
            break (coordinator_epoch, sequence);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    };
    assert_eq!((coordinator_epoch, sequence), (6, SequenceBehind::After(-1)));
    assert_eq!(task.right.missing(), None);
}

/// M3, M15: what a dead owner left open is ended before anything is opened, so that none of its markers comes later.
#[tokio::test]
async fn a_transaction_that_a_dead_owner_left_open_is_ended_by_settling() {
    let bootstrap = pair().destination.bootstrap();
    let log = Log::create(&bootstrap, "left-open").await;
    let link = unique("left");
    let id = format!("lockstep.{link}.filler");
    let dead = transactional(&bootstrap, &id);
    write(&dead, &log.tp.topic, 2);
    assert_eq!((log.end().await, log.offset(At::LastStable).await), (2, 0));
    let filler = Filler::new(connect(&bootstrap).await, &link);
    assert_eq!(filler.identity(), None);
    filler.settle().await.unwrap();
    assert_eq!((log.end().await, log.offset(At::LastStable).await), (3, 3));
    let state = describe_transactions(&log.cluster, &id).await.unwrap().unwrap();
    assert_eq!(filler.identity(), Some(state.producer));
    assert_ne!(state.phase, TransactionPhase::Ongoing);
    filler.settle().await.unwrap();
    assert_eq!(filler.identity(), Some(state.producer), "nothing to settle: nothing is raised");
}

/// M13: markers whose answer is lost are written all the same: the run has failed and is never repeated; what stands is
/// for the partition to ask.
#[tokio::test]
async fn a_run_whose_answer_is_lost_has_failed_and_is_not_repeated() {
    let kafka = Kafka::builder("lossy").proxied().start().unwrap();
    let direct = Log::create(&kafka.bootstrap(), "lossy").await;
    let cluster = connect(&kafka.proxied_bootstrap().unwrap()).await;
    let log = Log::of(&cluster, direct.tp.clone(), LeaderEpoch(0)).await;
    let mut task = Task::start(&log, "lossy", stranger(0));
    task.ask(vec![run(&log, 0, 1, -1)]).await;
    assert!(matches!(task.answers().await[0].answer, MarkerAnswer::Written { .. }));

    let proxy = kafka.proxy(1).unwrap();
    proxy.cut(Direction::ToClient);
    task.ask(vec![run(&log, 1, 500, 0)]).await;
    wait_until_async("the markers", PATIENCE, async || (direct.end().await == 501).then_some(())).await;
    assert!(task.events.try_recv().is_err(), "no answer came");
    proxy.heal();
    let answer = task.answers().await.remove(0);
    assert!(matches!(answer.answer, MarkerAnswer::Failed(_)) && answer.metadata_stale, "{answer:?}");
    assert_eq!(direct.end().await, 501);

    // Over a new connection it goes on.
    task.ask(vec![run(&log, 501, 2, 500)]).await;
    let answer = task.answers().await.remove(0).answer;
    let MarkerAnswer::Written { end, coordinator_epoch, .. } = answer else { panic!("{answer:?}") };
    assert_eq!((end, coordinator_epoch), (DestOffset(503), 502));
}
