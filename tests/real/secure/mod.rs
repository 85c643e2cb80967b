//! Secured clusters as their users reach them: `--from-config`, `--to-config`, real brokers, a real Kerberos.
//!
//! | file | what must hold |
//! |---|---|
//! | `mechanisms` | every mechanism mirrors, verifies and copies groups |
//! | `refused` | everything that can be wrong has its own code and page, and shows no secret |
//! | `rights` | a missing ACL is named with the command that grants it |
//! | `sessions` | sessions end and tokens expire under load, the KDC is away: nothing lost, nothing twice |
//! | `rotation` | certificates change while a mirror runs |
//! | `secrets` | no secret appears in anything that is said, wherever it was named |

mod endpoint;
mod mechanisms;
mod refused;
mod rights;
mod rotation;
mod secrets;
mod sessions;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use lockstep_testkit::client::{Admin, Record, Seed, assert_identical, commit_offsets, committed};
use lockstep_testkit::lockstep::Finished;
use lockstep_testkit::secured::{CLIENT, Issued, LIMITED};
use lockstep_testkit::{Exit, Kafka, Listener, Lockstep, Realm, SecuredPair, secured_pair, unique};

use crate::mirror::PATIENCE;

/// Of encrypted keys.
const KEY_PASSWORD: &str = "planted-keypw";
const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);

/// How one cluster is reached.
#[derive(Clone, Debug)]
struct Way {
    listener: Option<Listener>,
    /// The section, without its first line.
    yaml: String,
    env: Vec<(String, String)>,
}

impl Way {
    fn new(listener: Listener, yaml: String) -> Self {
        Self { listener: Some(listener), yaml, env: Vec::new() }
    }

    /// The plain listener, without a file.
    fn plain() -> Self {
        Self { listener: None, yaml: String::new(), env: Vec::new() }
    }

    fn bootstrap(&self, kafka: &Kafka) -> String {
        self.listener.map_or_else(|| kafka.bootstrap(), |listener| kafka.secured_bootstrap(listener).unwrap())
    }

    /// The flag with its file, unless it is plain.
    fn flag(&self, realm: &Realm, flag: &str) -> Vec<String> {
        if self.yaml.is_empty() {
            return Vec::new();
        }
        let text = format!("security:\n{}", self.yaml);
        vec![flag.to_owned(), shown(&realm.write(&unique("config"), &text).unwrap())]
    }
}

fn shown(path: &std::path::Path) -> String {
    path.display().to_string()
}

fn truststore(realm: &Realm) -> String {
    shown(&realm.pki.ours.file)
}

/// A file of its own with a secret.
fn secret(realm: &Realm, content: &str) -> PathBuf {
    realm.write(&unique("secret"), content).unwrap()
}

fn tls(realm: &Realm) -> Way {
    Way::new(Listener::Tls, format!("  protocol: ssl\n  ssl: {{ truststore: {} }}\n", truststore(realm)))
}

fn mtls_as(realm: &Realm, issued: &Issued) -> Way {
    let (certificate, key) = (shown(&issued.certificate), shown(&issued.key));
    let ssl = format!("truststore: {}, keystore: {certificate}, key: {key}", truststore(realm));
    Way::new(Listener::Mtls, format!("  protocol: ssl\n  ssl: {{ {ssl} }}\n"))
}

fn mtls(realm: &Realm) -> Way {
    let name = unique("client");
    mtls_as(realm, &realm.pki.client(&name, CLIENT.0, &realm.pki.ours, YEAR).unwrap())
}

/// PLAIN or SCRAM, over TLS.
fn password(realm: &Realm, mechanism: &str, (user, password): (&str, &str)) -> Way {
    let file = shown(&secret(realm, password));
    Way::new(
        Listener::Scram,
        format!(
            "  protocol: sasl_ssl\n  ssl: {{ truststore: {} }}\n  sasl: {{ mechanism: {mechanism}, username: {user}, \
             password: {{ file: {file} }} }}\n",
            truststore(realm)
        ),
    )
}

fn oauth(realm: &Realm, how: &str) -> Way {
    Way::new(
        Listener::Oauth,
        format!(
            "  protocol: sasl_ssl\n  ssl: {{ truststore: {} }}\n  sasl:\n    mechanism: OAUTHBEARER\n    \
             oauthbearer: {{ {how} }}\n",
            truststore(realm)
        ),
    )
}

/// With a token from a file.
fn token(realm: &Realm, user: &str, lifetime: Duration) -> Way {
    let file = secret(realm, &realm.tokens.issue(user, lifetime));
    oauth(realm, &format!("token: {{ file: {} }}", shown(&file)))
}

/// One test stops the KDC that all share: it takes this for itself, the others share it.
static KDC: RwLock<()> = RwLock::new(());

/// Keeps the KDC running.
fn kdc_stays() -> RwLockReadGuard<'static, ()> {
    KDC.read().unwrap_or_else(PoisonError::into_inner)
}

/// `None` where Kerberos is not installed (with `CI=true` the realm would not have started).
fn kerberos(realm: &Realm) -> Option<Way> {
    let kdc = realm.kdc()?;
    let yaml = "  protocol: sasl_plaintext\n  sasl: { mechanism: GSSAPI }\n".to_owned();
    Some(Way { env: kdc.environment(CLIENT.0), ..Way::new(Listener::Kerberos, yaml) })
}

/// A topic on two secured clusters, each reached its own way.
struct Scene {
    pair: Arc<SecuredPair>,
    topic: String,
    from: Way,
    to: Way,
}

impl Scene {
    /// A topic of three partitions on the source.
    fn new(name: &str, ways: impl FnOnce(&Realm) -> (Way, Way)) -> Self {
        let pair = secured_pair();
        let topic = unique(name);
        Admin::of(&pair.source.bootstrap()).unwrap().create(&topic, 3, &[]).unwrap();
        let (from, to) = ways(&pair.realm);
        Self { pair, topic, from, to }
    }

    fn write(&self, count: i32) {
        write(&self.pair.source, &self.topic, count);
    }

    fn arguments(&self, verb: &str, more: &[&str]) -> Vec<String> {
        let realm = &self.pair.realm;
        let (from, to) = (self.from.bootstrap(&self.pair.source), self.to.bootstrap(&self.pair.destination));
        let mut all: Vec<String> =
            [verb, "--from", &from, "--to", &to, "--topics", &self.topic, "-o", "json"]
                .map(str::to_owned)
                .into();
        all.extend(self.from.flag(realm, "--from-config"));
        all.extend(self.to.flag(realm, "--to-config"));
        all.extend(more.iter().map(|&each| each.to_owned()));
        all
    }

    fn spawn(&self, verb: &str, more: &[&str], env: &[(String, String)]) -> Lockstep {
        let arguments = self.arguments(verb, more);
        self.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), env)
    }

    /// Anything in the environment that both ways need.
    fn run(&self, arguments: &[&str], env: &[(String, String)]) -> Lockstep {
        let env = self.from.env.iter().chain(&self.to.env).chain(env);
        let env: Vec<_> = env.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Lockstep::spawn_with(arguments, &env).unwrap()
    }

    /// Mirrors until caught up, whatever comes of it.
    fn mirror_all(&self, env: &[(String, String)]) -> Finished {
        end(self.spawn("mirror", &["--link", &self.topic, "--until-caught-up"], env))
    }

    /// Every column of the matrix, and an independent look.
    fn must_work(&self) {
        self.write(300);
        let group = format!("{}-group", self.topic);
        let source = self.pair.source.bootstrap();
        commit_offsets(&source, &group, &[(&self.topic, 0, 17), (&self.topic, 2, 100)], "").unwrap();
        let everything = [("LOCKSTEP_LOG".to_owned(), "trace".to_owned())];
        let mirror = ["--link", &self.topic, "--until-caught-up", "--groups", &group];
        let groups = ["--groups", &group];
        for (column, more) in [("mirror", &mirror[..]), ("verify", &groups), ("groups", &groups)] {
            let finished = end(self.spawn(column, more, &everything));
            assert_eq!(finished.exit, Exit::Code(0), "{column}: {}{}", finished.stdout, finished.stderr);
        }
        let there = committed(&self.pair.destination.bootstrap(), &group, &self.topic, 3).unwrap();
        assert_eq!(there, [Some(17), None, Some(100)]);
        assert_eq!(self.identical(), 300);
    }

    /// Compares with librdkafka; how many records.
    fn identical(&self) -> usize {
        let (source, destination) = (&self.pair.source, &self.pair.destination);
        usize::try_from(
            assert_identical(&source.bootstrap(), &destination.bootstrap(), &self.topic, 3).records,
        )
        .unwrap()
    }
}

fn write(kafka: &Kafka, topic: &str, count: i32) {
    let records = (0..count).map(|n| Record::new(format!("record {n}")).key(format!("{n}")).partition(n % 3));
    Seed::to(&kafka.bootstrap()).write(topic, records).unwrap();
}

fn end(mut child: Lockstep) -> Finished {
    let exit = child.wait(PATIENCE).unwrap();
    let finished = Finished { exit, stdout: child.stdout(), stderr: child.stderr() };
    // Passwords, the secret of the token endpoint, the start of every token.
    for secret in [CLIENT.1, LIMITED.1, KEY_PASSWORD, "s/cret", "eyJ"] {
        assert!(
            !finished.stdout.contains(secret) && !finished.stderr.contains(secret),
            "{secret} in {finished:?}"
        );
    }
    finished
}
