//! Secrets never appear: one is planted in every place where a secret can be named, everything runs with every word of
//! its log, and what it said is searched for each of them, as it is and as it may be dressed up.

use std::process::Command;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use lockstep_testkit::lockstep::Finished;
use lockstep_testkit::secured::CLIENT;
use lockstep_testkit::{Exit, Realm, secured_pair, unique};

use crate::agent::{Agent, File};

use super::{Scene, Way, YEAR, end, endpoint, mtls_as, oauth, password, secret, shown, truststore};

const HOUR: Duration = Duration::from_secs(3_600);
/// What opens the key, and what a token endpoint is told.
const PLANTED: [&str; 2] = ["planted-key-5e1-opens", "planted/client-8b2-secret"];
/// The second of them form-encoded behind `mirror:`, in base64, as RFC 6749 wants it.
const BASIC: &str = "bWlycm9yOnBsYW50ZWQlMkZjbGllbnQtOGIyLXNlY3JldA==";
/// Held by the environment.
const VARIABLE: &str = "LOCKSTEP_TEST_SECRET";

/// A way that works, and what must not be seen of it.
struct Planted {
    way: Way,
    secrets: Vec<String>,
}

impl Planted {
    fn new(way: Way, secrets: &[&str]) -> Self {
        Self { way, secrets: secrets.iter().map(|&each| each.to_owned()).collect() }
    }
}

/// Where a way's secret lies; there is no third place.
#[derive(Clone, Copy)]
enum Place {
    File,
    Environment,
}

impl Place {
    /// The value of a key that names a secret, and the environment it needs.
    fn of(self, realm: &Realm, content: &str) -> (String, Vec<(String, String)>) {
        match self {
            Self::File => (format!("{{ file: {} }}", shown(&secret(realm, content))), Vec::new()),
            Self::Environment => {
                let variable = format!("{VARIABLE}_{:08x}", fastrand::u32(..));
                (format!("{{ env: {variable} }}"), vec![(variable, content.to_owned())])
            }
        }
    }
}

fn password_in(realm: &Realm, place: Place, mechanism: &str, word: &str) -> Way {
    let mut way = password(realm, mechanism, CLIENT);
    let (named, env) = place.of(realm, word);
    let at = way.yaml.find("{ file: ").unwrap();
    way.yaml.replace_range(at.., &format!("{named} }}\n"));
    Way { env, ..way }
}

fn token_in(realm: &Realm, place: Place, token: &str) -> Way {
    let (named, env) = place.of(realm, token);
    Way { env, ..oauth(realm, &format!("token: {named}")) }
}

fn endpoint_in(realm: &Realm, place: Place, url: &str, word: &str) -> Way {
    let (named, env) = place.of(realm, word);
    let how =
        format!("token_endpoint_url: \"{url}\", client_id: mirror, client_secret: {named}, scope: kafka");
    Way { env, ..oauth(realm, &how) }
}

/// A client certificate whose key `PLANTED[0]` opens, and a line of that key as it lies open.
fn sealed_key(realm: &Realm, place: Place, word: &str) -> (Way, String) {
    let mut issued = realm.pki.client(&unique("planted"), CLIENT.0, &realm.pki.ours, YEAR).unwrap();
    let open = std::fs::read_to_string(&issued.key).unwrap();
    let sealed = issued.key.with_extension("enc");
    let pass = format!("pass:{}", PLANTED[0]);
    let mut openssl = Command::new("openssl");
    openssl.args(["pkcs8", "-topk8", "-passout", &pass, "-v2", "aes-256-cbc", "-in"]).arg(&issued.key);
    assert!(openssl.arg("-out").arg(&sealed).status().unwrap().success());
    issued.key = sealed;
    let (named, env) = place.of(realm, word);
    let mut way = mtls_as(realm, &issued);
    way.yaml = format!(
        "  protocol: ssl\n  ssl: {{ truststore: {}, keystore: {}, key: {}, key_password: {named} }}\n",
        truststore(realm),
        shown(&issued.certificate),
        shown(&issued.key)
    );
    (Way { env, ..way }, open.lines().nth(1).unwrap().to_owned())
}

/// Everything that the product says of a scene, each with who said it. Wherever else it speaks is one more line here.
fn everything_said(scene: &Scene, exit: i32) -> Vec<(&'static str, String)> {
    let trace = [("LOCKSTEP_LOG".to_owned(), "trace".to_owned())];
    let words = |finished: Finished| {
        assert_eq!(finished.exit, Exit::Code(exit), "{}{}", finished.stdout, finished.stderr);
        finished.stdout + &finished.stderr
    };
    let file = scene.pair.realm.write(&unique("agent"), &agent_file(scene)).unwrap();
    let mut all = vec![
        ("mirror", words(scene.mirror_all(&trace))),
        ("verify", words(end(scene.spawn("verify", &[], &trace)))),
        ("groups", words(end(scene.spawn("groups", &["--groups", "of-nobody"], &trace)))),
        ("check", words(end(scene.run(&["check", &shown(&file), "--connect"], &trace)))),
    ];
    // Where the secrets are wrong it tries for ever.
    if exit == 0 {
        all.extend(agent_said(scene));
    }
    all
}

/// The scene as a link of a daemon.
fn agent_file(scene: &Scene) -> String {
    let cluster = |name: &str, bootstrap: String, way: &Way| {
        let security = way.yaml.lines().map(|line| format!("    {line}\n")).collect::<String>();
        format!("  {name}:\n    bootstrap: \"{bootstrap}\"\n    security:\n{security}")
    };
    let from = cluster("mi", scene.from.bootstrap(&scene.pair.source), &scene.from);
    let to = cluster("pr", scene.to.bootstrap(&scene.pair.destination), &scene.to);
    let topic = &scene.topic;
    format!(
        "site: test\nlisten: 127.0.0.1:0\nlog: {{ level: trace }}\nclusters:\n{from}{to}links:\n  {topic}: {{ from: mi, \
         to: pr, topics: '{topic}' }}\n"
    )
}

/// A daemon's log, and what it tells over HTTP.
fn agent_said(scene: &Scene) -> Vec<(&'static str, String)> {
    let env = scene.from.env.iter().chain(&scene.to.env);
    let env: Vec<_> = env.map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let agent = Agent::start_with(&File::of(&agent_file(scene)), &env);
    agent.wait_until_said("writing as producer");
    agent.wait_until_ready();
    let mut all: Vec<_> = ["/status", "/metrics", "/readyz"].map(|path| (path, agent.get(path).1)).into();
    let printed = agent.process.stdout();
    all.push(("agent", agent.stop(0) + &printed));
    all
}

/// A secret as it is, as bytes are shown, in hexadecimal and form-encoded, and inside whatever is in base64.
fn dressed(secret: &str) -> Vec<String> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    let bytes = format!("{:?}", secret.as_bytes());
    let mut all =
        vec![secret.to_owned(), hex, bytes.trim_matches(['[', ']']).to_owned(), secret.replace('/', "%2F")];
    for (before, partial) in [(0, 0), (1, 2), (2, 3)] {
        let padded = [vec![0; before], secret.as_bytes().to_vec()].concat();
        for encoded in [STANDARD.encode(&padded), URL_SAFE.encode(&padded)] {
            let whole = encoded.trim_end_matches('=');
            // The last character holds bits of what follows, where it is not whole itself.
            let end = whole.len() - usize::from(whole.len() < encoded.len());
            all.push(whole[partial..end].to_owned());
        }
    }
    all
}

/// The first secret that shows, and where.
fn found(said: &str, secrets: &[String]) -> Option<String> {
    let all = secrets.iter().flat_map(|secret| dressed(secret).into_iter().map(move |form| (secret, form)));
    all.into_iter().find(|(_, form)| said.contains(form)).map(|(secret, form)| format!("{secret} as {form}"))
}

fn none_shows(name: &str, exit: i32, ways: impl FnOnce(&Realm) -> [Planted; 2]) {
    let mut secrets = Vec::new();
    let scene = Scene::new(name, |realm| {
        let [from, to] = ways(realm);
        secrets = [from.secrets, to.secrets].concat();
        (from.way, to.way)
    });
    scene.write(30);
    for (who, said) in everything_said(&scene, exit) {
        let logs = exit == 0 && !who.starts_with('/');
        assert!(!logs || said.contains("DEBUG"), "{who} logs, else this proves nothing: {said}");
        assert_eq!(found(&said, &secrets), None, "{who} said {said}");
    }
}

#[test]
fn a_secret_is_found_however_it_is_dressed() {
    let secrets = [PLANTED[1].to_owned()];
    for plain in [PLANTED[1].to_owned(), format!("\0user\0{}", PLANTED[1]), format!("user:{}", PLANTED[1])] {
        let wrapped = [plain.clone(), STANDARD.encode(&plain), format!("{:?}", plain.as_bytes())];
        for said in wrapped {
            assert!(found(&format!("it says {said} here"), &secrets).is_some(), "{said}");
        }
    }
    assert_eq!(found("planted/client-8b2 and nothing else", &secrets), None);
    assert_eq!(STANDARD.encode("mirror:planted%2Fclient-8b2-secret"), BASIC);
}

#[test]
fn no_password() {
    none_shows("planted-password", 0, |realm| {
        let of = |place, mechanism| password_in(realm, place, mechanism, CLIENT.1);
        let (file, env) = (of(Place::File, "PLAIN"), of(Place::Environment, "SCRAM-SHA-512"));
        [file, env].map(|way| Planted::new(way, &[CLIENT.1]))
    });
}

#[test]
fn no_token() {
    none_shows("planted-token", 0, |realm| {
        [Place::File, Place::Environment].map(|place| {
            let token = realm.tokens.issue(CLIENT.0, HOUR);
            // What makes it one is its last part.
            let signature = token.rsplit('.').next().unwrap().to_owned();
            Planted::new(token_in(realm, place, &token), &[&token, &signature])
        })
    });
}

#[test]
fn no_client_secret_and_no_token_of_an_endpoint() {
    // Held: a pair that nobody holds is gone, and its realm's keys with it.
    let pair = secured_pair();
    let realm = &pair.realm;
    let endpoint = endpoint::start(realm, BASIC, HOUR);
    none_shows("planted-client", 0, |realm| {
        [Place::File, Place::Environment].map(|place| {
            // Of a token from there the head is known: every one of ours begins like this.
            let way = endpoint_in(realm, place, &endpoint.url, PLANTED[1]);
            Planted::new(way, &[PLANTED[1], BASIC, "eyJhbGciOi"])
        })
    });
}

#[test]
fn no_key_and_no_word_that_opens_it() {
    none_shows("planted-key", 0, |realm| {
        [Place::File, Place::Environment].map(|place| {
            let (way, line) = sealed_key(realm, place, PLANTED[0]);
            Planted::new(way, &[PLANTED[0], &line])
        })
    });
}

/// Wrong ones are secrets too: somebody's other password.
#[test]
fn no_wrong_secret_either() {
    const WRONG: &str = "planted-wrong-3d7-word";
    // Held: a pair that nobody holds is gone, and its realm's keys with it.
    let pair = secured_pair();
    let realm = &pair.realm;
    let endpoint = endpoint::start(realm, BASIC, HOUR);
    type Wrong<'a> = (&'static str, &'a dyn Fn(&Realm, Place) -> Way);
    let ways: [Wrong<'_>; 4] = [
        ("wrong-password", &|realm, place| password_in(realm, place, "SCRAM-SHA-256", WRONG)),
        ("wrong-token", &|realm, place| token_in(realm, place, WRONG)),
        ("wrong-client", &|realm, place| endpoint_in(realm, place, &endpoint.url, WRONG)),
        ("wrong-key", &|realm, place| sealed_key(realm, place, WRONG).0),
    ];
    for (name, way) in ways {
        none_shows(name, 1, |realm| {
            [Place::File, Place::Environment].map(|place| Planted::new(way(realm, place), &[WRONG]))
        });
    }
}
