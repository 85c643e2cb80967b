//! Two agents of a site share a link's work, take over from each other, and go on without coordinators: nothing is lost, nothing
//! is there twice, and what is known is said with what is not.

use std::time::Instant;

use lockstep_testkit::{Exit, unique, wait_until_true};

use super::Trial;
use super::traffic::{Traffic, held};
use crate::mirror::{Ends, PATIENCE, assert_exact};

const PARTITIONS: i32 = 12;
const SECOND: &str = "a-west-2";

impl Trial {
    /// One more agent of the site west, by the trial's own authority.
    fn second_agent(&mut self) {
        let folder = self.path.join(SECOND);
        std::fs::create_dir_all(&folder).unwrap();
        let west = std::fs::read_to_string(self.path.join("a-west/agent.yaml")).unwrap();
        let listen = format!("listen: 127.0.0.1:{}", self.port + 4);
        assert!(west.contains(&listen), "{west}");
        std::fs::write(folder.join("agent.yaml"), west.replace(&listen, "listen: 127.0.0.1:0")).unwrap();
        self.certify(SECOND, &format!("lockstep://agent/west/{SECOND}"), &[]);
        self.start_agent(SECOND);
    }
}

#[test]
fn agents_share_the_work_take_over_and_go_on_without_coordinators() {
    let ends = Ends::shared();
    let topic = unique("shared");
    ends.create(&topic, PARTITIONS, &[]);
    let mut trial = Trial::with(&["--east", &ends.from, "--west", &ends.to]);
    trial.start_three();
    for agent in ["a-east", "a-west"] {
        trial.start_agent(agent);
    }
    trial.second_agent();
    let spec = trial.only(&topic);
    trial.asked(0, &["apply", "-f", &spec]);
    let traffic = Traffic::start(&ends, &topic, PARTITIONS);
    let elsewhere =
        |trial: &Trial| trial.local()["links"][0]["partitions"]["elsewhere"].as_u64().unwrap_or(0);
    wait_until_true("both to have a share", PATIENCE, || (1..12).contains(&elsewhere(&trial)));
    wait_until_true("every partition to be copied", PATIENCE, || {
        held(&ends, &topic, PARTITIONS).iter().all(|end| *end > 0)
    });

    // One is killed: the other takes over what the brokers guard at once, and the rest when its lease is over.
    let before = held(&ends, &topic, PARTITIONS);
    trial.kill(SECOND);
    let killed = Instant::now();
    wait_until_true("the other to copy everything", PATIENCE, || {
        held(&ends, &topic, PARTITIONS).iter().zip(&before).all(|(now, before)| now > before)
            && elsewhere(&trial) == 0
    });
    println!("taken over {:.1} s after the kill", killed.elapsed().as_secs_f64());

    // It comes back: shared again, by agents that hear of it at different moments.
    trial.start_agent(SECOND);
    wait_until_true("it to have its share again", PATIENCE, || (1..12).contains(&elsewhere(&trial)));

    // The coordinators are gone: what is guarded goes on.
    for name in ["c-east", "c-west", "c-witness"] {
        trial.kill(name);
    }
    wait_until_true("the agent to say so", PATIENCE, || {
        trial.local()["coordinators"]["conversation"]["state"] != "with"
    });
    let before = held(&ends, &topic, PARTITIONS);
    wait_until_true("everything to be copied on", PATIENCE, || {
        held(&ends, &topic, PARTITIONS).iter().zip(&before).all(|(now, before)| now > before)
    });
    let written = traffic.stop();
    ends.wait_until_equal(&topic, PARTITIONS);
    assert_exact(&ends, &topic, PARTITIONS);
    let total: i64 = held(&ends, &topic, PARTITIONS).iter().sum();
    assert_eq!(total, i64::try_from(written).unwrap());

    // What an agent knows it tells, and what it cannot know it does not.
    let status = trial.local();
    assert_eq!(status["links"][0]["link"], *topic);
    assert!(status["coordinators"]["heard_age_ms"].as_u64().is_some_and(|age| age > 0), "{status}");
    let asked = trial.ask(&["status"]);
    assert!(asked.exit != Exit::Code(0) && asked.stderr.contains("--local"), "{asked:?}");
}
