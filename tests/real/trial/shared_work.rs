//! Two agents of a site share a link's work, take over from each other, and go on without coordinators: nothing is lost, nothing
//! is there twice, and what is known is said with what is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lockstep_testkit::client::{Record, Seed};
use lockstep_testkit::{Exit, Lockstep, unique, wait_until, wait_until_true};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType};
use serde_json::Value;

use super::{CALL, Trial};
use crate::mirror::{Ends, PATIENCE, assert_exact};

const PARTITIONS: i32 = 12;
const SECOND: &str = "a-west-2";

impl Trial {
    /// One more agent of the site west, by the trial's own authority.
    fn second_agent(&mut self) {
        let folder = self.path.join(SECOND);
        std::fs::create_dir_all(&folder).unwrap();
        let ca_key = std::fs::read_to_string(self.path.join("ca.key")).unwrap();
        let mut ca = CertificateParams::new(Vec::<String>::new()).unwrap();
        // As `init --dev` named it.
        ca.distinguished_name.push(DnType::CommonName, "Lockstep trial authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = Issuer::new(ca, KeyPair::from_pem(&ca_key).unwrap());
        let mut own = CertificateParams::new(Vec::<String>::new()).unwrap();
        let holder = format!("lockstep://agent/west/{SECOND}");
        own.subject_alt_names.push(SanType::URI(holder.as_str().try_into().unwrap()));
        let key = KeyPair::generate().unwrap();
        let certificate = own.signed_by(&key, &issuer).unwrap();
        let west = std::fs::read_to_string(self.path.join("a-west/agent.yaml")).unwrap();
        let listen = format!("listen: 127.0.0.1:{}", self.port + 4);
        assert!(west.contains(&listen), "{west}");
        std::fs::write(folder.join("agent.yaml"), west.replace(&listen, "listen: 127.0.0.1:0")).unwrap();
        std::fs::write(folder.join("certificate.pem"), certificate.pem()).unwrap();
        std::fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
        self.start_agent(SECOND);
    }

    /// As the agent west says by itself, once it listens.
    fn local(&self) -> Value {
        let url = format!("127.0.0.1:{}", self.port + 4);
        wait_until("the agent to tell its status", PATIENCE, || {
            let told = Lockstep::run(&["status", "--local", "--agent", &url, "-o", "json"], CALL).unwrap();
            (told.exit == Exit::Code(0)).then(|| serde_json::from_str(&told.stdout).unwrap())
        })
    }
}

/// Writes to every partition until it is told to stop; how many records there are then.
struct Traffic {
    stop: Arc<AtomicBool>,
    writer: thread::JoinHandle<u64>,
}

impl Traffic {
    fn start(ends: &Ends, topic: &str) -> Self {
        let (stop, from, topic) = (Arc::new(AtomicBool::new(false)), ends.from.clone(), topic.to_owned());
        let told = Arc::clone(&stop);
        let writer = thread::spawn(move || {
            let seeder = Seed::to(&from).open().unwrap();
            let mut next = 0;
            while !told.load(Ordering::Acquire) {
                let records = (next..next + 120)
                    .map(|n| Record::new(format!("record {n}")).partition(i32::try_from(n % 12).unwrap()));
                seeder.write(&topic, records).unwrap();
                next += 120;
                thread::sleep(Duration::from_millis(50));
            }
            next
        });
        Self { stop, writer }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        self.writer.join().unwrap()
    }
}

fn held(ends: &Ends, topic: &str) -> Vec<i64> {
    (0..PARTITIONS).map(|partition| ends.held(topic, partition)).collect()
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
    let spec = trial.file("dr.yaml");
    let text = std::fs::read_to_string(&spec).unwrap().replace("  trial:", &format!("  {topic}:"));
    let text = text.replace("topics: [\".*\"]", &format!("topics: {topic}"));
    std::fs::write(&spec, text.replace("    groups: [\".*\"]\n", "")).unwrap();
    trial.asked(0, &["apply", "-f", &spec]);
    let traffic = Traffic::start(&ends, &topic);
    let elsewhere =
        |trial: &Trial| trial.local()["links"][0]["partitions"]["elsewhere"].as_u64().unwrap_or(0);
    wait_until_true("both to have a share", PATIENCE, || (1..12).contains(&elsewhere(&trial)));
    wait_until_true("every partition to be copied", PATIENCE, || {
        held(&ends, &topic).iter().all(|end| *end > 0)
    });

    // One is killed: the other takes over what the brokers guard at once, and the rest when its lease is over.
    let before = held(&ends, &topic);
    trial.kill(SECOND);
    let killed = Instant::now();
    wait_until_true("the other to copy everything", PATIENCE, || {
        held(&ends, &topic).iter().zip(&before).all(|(now, before)| now > before) && elsewhere(&trial) == 0
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
    let before = held(&ends, &topic);
    wait_until_true("everything to be copied on", PATIENCE, || {
        held(&ends, &topic).iter().zip(&before).all(|(now, before)| now > before)
    });
    let written = traffic.stop();
    ends.wait_until_equal(&topic, PARTITIONS);
    assert_exact(&ends, &topic, PARTITIONS);
    let total: i64 = held(&ends, &topic).iter().sum();
    assert_eq!(total, i64::try_from(written).unwrap());

    // What an agent knows it tells, and what it cannot know it does not.
    let status = trial.local();
    assert_eq!(status["links"][0]["link"], *topic);
    assert!(status["coordinators"]["heard_age_ms"].as_u64().is_some_and(|age| age > 0), "{status}");
    let asked = trial.ask(&["status"]);
    assert!(asked.exit != Exit::Code(0) && asked.stderr.contains("--local"), "{asked:?}");
}
