//! Words that only one place may say: each foreign world is named once, and core asks nobody for time, chance or bytes.
//! Manifests cannot tell this, because a whole crate shares one list of dependencies.

use crate::tree::{self, Fault, Text};

/// A word and the only places, by path prefix, that may say it.
struct Owned {
    word: &'static str,
    by: &'static [&'static str],
    instead: &'static str,
}

const OWNED: &[Owned] = &[
    Owned { word: "kafka_protocol", by: &["kafka/"], instead: "ask the types of lockstep-kafka" },
    Owned { word: "sled", by: &["agent/src/store"], instead: "use the Store trait" },
    Owned {
        word: "rdkafka",
        by: &["agent/src/canary", "testkit/", "tests/", "bench/", "chaos/"],
        instead: "it is the tests' independent client; the product's is lockstep-kafka",
    },
    Owned { word: "raft", by: &["coordinator/src/consensus"], instead: "use the consensus module" },
    Owned { word: "redb", by: &["coordinator/src/consensus"], instead: "use the consensus module" },
    Owned { word: "slog", by: &["coordinator/src/consensus"], instead: "log with tracing" },
];

/// The in-memory broker speaks the protocol too.
const BROKER: &str = "broker/";

/// What the deciding crate never says outside its tests; time is an argument there.
const NOT_IN_CORE: &[&str] = &[
    "tokio",
    "Instant::now",
    "SystemTime::now",
    "std::net",
    "std::fs",
    "std::thread",
    "std::env",
    "rand",
    "fastrand",
];

/// Whether `line` says `word` as a whole word (`_` belongs to words, `-` does not).
fn says(line: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !inside(line[..at].chars().next_back()) && !inside(line[at + word.len()..].chars().next())
    })
}

/// A crate is named by a path or a `use`; prose and variables may carry its word.
fn names_crate(line: &str, word: &str) -> bool {
    [format!("{word}::"), format!("use {word};"), format!("use {word} as")].iter().any(|form| {
        line.match_indices(form.as_str()).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            // `crate::raft::…` and `self::raft::…` are modules of ours.
            !before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':')
        })
    })
}

fn owner_faults(file: &Text) -> Vec<Fault> {
    let mut faults = Vec::new();
    for owned in OWNED {
        let allowed = owned.by.iter().any(|prefix| file.path.starts_with(prefix))
            || (owned.word == "kafka_protocol" && file.path.starts_with(BROKER));
        if allowed {
            continue;
        }
        for (number, line) in file.lines().filter(|(_, line)| names_crate(line, owned.word)) {
            let what = format!(
                "only {} may name `{}`: {} ({})",
                owned.by.join(", "),
                owned.word,
                owned.instead,
                line.trim()
            );
            faults.push(file.fault(number, what));
        }
    }
    faults
}

fn core_faults(file: &Text) -> Vec<Fault> {
    if file.member() != "core" {
        return Vec::new();
    }
    let mut faults = Vec::new();
    for (number, line) in file.product_code() {
        for word in NOT_IN_CORE.iter().filter(|word| says(line, word)) {
            let what = format!("core decides and never asks: take what `{word}` gives as an argument");
            faults.push(file.fault(number, what));
        }
    }
    faults
}

#[test]
fn each_foreign_world_is_named_in_one_place() {
    let planted = Text::new(
        "agent/src/link.rs",
        "//! x\nuse kafka_protocol::messages;\nlet raft = crate::raft::x();\n",
    );
    let found = owner_faults(&planted);
    assert_eq!((found.len(), found[0].line), (1, 2), "{found:?}");
    assert_eq!(owner_faults(&Text::new("kafka/src/link.rs", &planted.text)), []);
    assert_eq!(owner_faults(&Text::new("cli/src/main.rs", "    rdkafka::version();")).len(), 1);
    assert_eq!(owner_faults(&Text::new("tests/real/main.rs", "    rdkafka::version();")), []);

    let sources = tree::sources();
    tree::none(
        &sources
            .iter()
            .filter(|file| !file.path.starts_with("tests/tidy/"))
            .flat_map(owner_faults)
            .collect::<Vec<_>>(),
    );
}

#[test]
fn core_asks_nobody() {
    let text = "//! tokio in prose\nuse std::time::Instant;\nlet now = Instant::now();\n// fastrand\nlet operand = 1;\n\
        let n = fastrand::u8(..);\n#[cfg(test)]\nmod tests {\nuse tokio;\n}\n";
    let lines: Vec<_> =
        core_faults(&Text::new("core/src/a.rs", text)).iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [3, 6]);

    tree::none(&tree::sources().iter().flat_map(core_faults).collect::<Vec<_>>());
}
