//! Changing the sides of a link by library calls, on real Kafka, with clients that do not know of it (M23 to M27).
//!
//! | file | what must hold |
//! |---|---|
//! | `frozen` | a fence stops everybody, wedges nobody, and is lifted without a trace |
//! | `back_and_forth` | promotion and the way back, again and again: nothing to copy, both sides identical |
//! | `refused` | zombies, tails, wrong directions, half promotions |
//! | `authorized` | with an authorizer: ordinary principals are kept out of every standby |
//! | `clients` | producers that go on whatever they are told |

mod authorized;
mod back_and_forth;
mod clients;
mod frozen;
mod refused;

use std::sync::Arc;
use std::time::Duration;

use lockstep_agent::driver::ours::{LinkDriver, MirrorRights, Way};
use lockstep_agent::driver::{Drained, MirrorDriver, SettlePatience, Settled};
use lockstep_agent::link::prepare::prepare;
use lockstep_agent::link::running::Running;
use lockstep_agent::link::watched::Ends;
use lockstep_agent::link::{DRAIN_DEFAULT, LinkSettings, Unfit};
use lockstep_agent::pipeline::budget::Budget;
use lockstep_agent::pipeline::report::LinkReport;
use lockstep_core::mirror::cost::AlignmentBudget;
use lockstep_core::mirror::partition::Phase;
use lockstep_core::mirror::retention::Propagation;
use lockstep_core::plan::owners::TopicSettingsPolicy;
use lockstep_core::spec::pace::Pace;
use lockstep_core::spec::rename::Rename;
use lockstep_core::spec::select::{Patterns, TopicSelection};
use lockstep_kafka::{Settings, Tcp};
use lockstep_testkit::wait_until_async;

/// Long enough for a machine with other things to do; nothing passes by waiting longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Transactions get a moment, the machine all the time it needs.
const SETTLE: SettlePatience =
    SettlePatience { finish_within: Duration::from_secs(1), settle_within: PATIENCE };

/// A link named after its only topic.
async fn link(topic: &str, source: Settings, dest: Settings) -> Way {
    let ends = Ends::connect(Arc::new(Tcp::default()), source, dest).await.unwrap();
    Way { ends, settings: settings_of(topic) }
}

pub(crate) fn settings_of(topic: &str) -> LinkSettings {
    LinkSettings {
        name: Some(topic.to_owned()),
        selection: TopicSelection { include: Patterns::new([topic]).unwrap(), exclude: Patterns::default() },
        propagation: Propagation::None,
        alignment: AlignmentBudget::default(),
        rename: Rename::Keep,
        pace: Pace::default(),
        topic_settings: TopicSettingsPolicy::default(),
        groups: None,
        owned: lockstep_agent::pipeline::owned::Owned::alone(),
        unfit: Unfit::RefuseLink,
        drain: DRAIN_DEFAULT,
        budget: Budget::new(32 << 20),
    }
}

fn plain(bootstrap: &str) -> Settings {
    Settings::new(bootstrap).unwrap()
}

fn driver(way: &Way) -> LinkDriver {
    let rights = MirrorRights::Ordinary;
    LinkDriver::new(way.clone(), rights.clone(), rights).unwrap()
}

/// A mirror inside this process.
async fn mirror(way: &Way) -> Running {
    prepare(way.ends.clone(), way.settings.clone()).await.unwrap().start().await.unwrap()
}

/// Waits until everything that can be copied has been.
async fn caught_up(running: &Running) -> Arc<LinkReport> {
    let report = running.report.clone();
    wait_until_async("the mirror to catch up", PATIENCE, async || {
        let now = Arc::clone(&report.borrow());
        assert_eq!(now.stopped().map(|p| &p.phase).collect::<Vec<_>>(), [] as [&Phase; 0]);
        now.is_caught_up().then_some(now)
    })
    .await
}

/// Waits until the standby holds all that is settled, then stops the mirror.
async fn drain(driver: &LinkDriver, settled: &Settled, running: Running) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let drained = driver.drained(settled).await.unwrap();
        if drained == Drained::Yes {
            break;
        }
        let report = Arc::clone(&running.report.borrow());
        let stuck = report.partitions.iter().map(|p| (&p.tp, &p.phase, &p.trouble)).collect::<Vec<_>>();
        assert!(
            tokio::time::Instant::now() < deadline,
            "{drained:?} of {settled:?}: {stuck:?} {:?}",
            report.silent
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    running.stop().await;
}
