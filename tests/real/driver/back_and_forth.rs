//! Promotion and the way back, with clients that move along: the reverse mirror has nothing to copy, both sides are
//! identical, and the next promotion begins where this one ended (M24, M26, M27).

use lockstep_agent::driver::MirrorDriver;
use lockstep_core::dr::passport::Role;
use lockstep_testkit::client::{Admin, Record, Seed, assert_identical};
use lockstep_testkit::{Exit, pair, rounds, unique, wait_until_true};

use super::clients::Clients;
use super::{PATIENCE, SETTLE, caught_up, drain, driver, link, mirror, plain};
use crate::mirror::Ends;
use crate::mirror::compared::verify;

const PARTITIONS: i32 = 3;

/// Says how long each step took; shown for failing tests only.
struct Watch(u64, std::time::Instant);

impl Watch {
    fn new(generation: u64) -> Self {
        Self(generation, std::time::Instant::now())
    }

    fn lap(&mut self, what: &str) {
        eprintln!("generation {}: {what} {:?}", self.0, self.1.elapsed());
        self.1 = std::time::Instant::now();
    }
}

#[tokio::test]
async fn back_and_forth_with_nothing_to_copy() {
    let ends = Ends::shared();
    let topic = unique("forth");
    Admin::of(&ends.from).unwrap().create(&topic, PARTITIONS, &[("retention.ms", "777600000")]).unwrap();
    let seed = (0..3_000).map(|n| Record::new(format!("seed {n}")).partition(n % PARTITIONS));
    Seed::to(&ends.from).batch_records(50).write(&topic, seed).unwrap();
    let mut way = link(&topic, plain(&ends.from), plain(&ends.to)).await;
    let (mut primary, mut standby) = (ends.from.clone(), ends.to.clone());
    let mut running = mirror(&way).await;
    for generation in 1..=u64::from(2 * rounds(3, 20)) {
        let mut watch = Watch::new(generation);
        let driver = driver(&way);
        let clients = Clients::start(&primary, &topic, PARTITIONS, 1, &[]);
        wait_until_true("the clients to have begun", PATIENCE, || {
            clients.acknowledged().len() == PARTITIONS as usize
        });
        let settled = driver.settle(SETTLE).await.unwrap();
        watch.lap("clients begun, settled");
        let acknowledged = clients.acknowledged();
        clients.stop();
        watch.lap("clients stopped");
        // Aborts of those that went on trying have left markers: the ends of now count.
        let settled_again = driver.settle(SETTLE).await.unwrap();
        for (tp, end) in &settled.ends {
            assert!(acknowledged[&tp.partition] < *end, "{tp}: acknowledged beyond the fence");
        }
        watch.lap("settled again");
        drain(&driver, &settled_again, running).await;
        watch.lap("drained");

        let promoted = driver.promote(&settled_again).await.unwrap();
        assert_eq!((promoted.generation, &promoted.cuts), (generation, &settled_again.ends));
        assert_eq!(driver.promote(&settled_again).await.unwrap(), promoted, "a repeat changes nothing");
        assert!(driver.unfreeze().await.is_err(), "there is no way back to before");
        watch.lap("promoted");
        driver.open().await.unwrap();
        let state = driver.state().await.unwrap();
        assert_eq!(state.standby.role(), Some(Role::Primary));

        let reversed = driver.reverse().await.unwrap();
        assert_eq!(driver.reverse().await.unwrap().generation, reversed.generation, "once is enough");
        watch.lap("opened, reversed");
        way = reversed.reverse;
        running = mirror(&way).await;
        let report = caught_up(&running).await;
        assert_eq!((report.copied_records, report.copied_bytes), (0, 0), "generation {generation}");
        assert_eq!(report.aligned_offsets, PARTITIONS as u64, "the promotion's marker, once per partition");
        watch.lap("mirrored back");
        (primary, standby) = (standby, primary);
        Seed::to(&primary).write(&topic, [Record::new(format!("generation {generation}"))]).unwrap();
    }
    let settled = driver(&way).settle(SETTLE).await.unwrap();
    drain(&driver(&way), &settled, running).await;
    let sides = Ends { from: primary.clone(), to: standby.clone() };
    let compared = verify(&sides, &topic, &[]);
    assert_eq!(compared.exit, Exit::Code(0), "{}{}", compared.stdout, compared.stderr);
    assert_identical(&primary, &standby, &topic, PARTITIONS);
    driver(&way).unfreeze().await.unwrap();
    let _ = pair();
}
