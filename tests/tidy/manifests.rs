//! Every Cargo.toml: arrows between crates point one way, dependencies come from the one table, licences are inherited.

use toml::Table;

use crate::tree::{self, Fault, Text};

/// What a crate may depend on: the table of docs/ARCHITECTURE.md, one row per folder.
struct Row {
    folder: &'static str,
    may: &'static [&'static str],
}

/// Crates without a row may use everything: cli (but what proves the product, below), testkit, tests, bench, chaos.
const TABLE: &[Row] = &[
    Row { folder: "batch", may: &["bytes", "crc32c", "flate2", "lz4_flex", "snap", "thiserror", "zstd"] },
    Row {
        folder: "core",
        may: &["lockstep-batch", "bytes", "regex", "schemars", "serde", "sha2", "thiserror"],
    },
    Row {
        folder: "kafka",
        may: &[
            "lockstep-batch",
            "lockstep-core",
            "base64", // SCRAM, tokens
            "bytes",
            "fastrand", // jitter of reconnects
            "futures-util",
            "kafka-protocol",
            "libgssapi",
            "pkcs8", // encrypted keys
            "ring",
            "serde_json", // answers of token endpoints
            "socket2",
            "thiserror",
            "tokio",
            "tokio-rustls",
            "tracing",
            "uuid",      // topic ids, as kafka-protocol spells them
            "x509-cert", // until when a certificate is valid, and whose it is
            "zeroize",
        ],
    },
    Row { folder: "yaml", may: &["lockstep-core", "serde", "serde-saphyr", "thiserror"] },
    Row {
        folder: "proto",
        may: &["lockstep-core", "prost", "thiserror", "tonic", "tonic-prost", "x509-cert"],
    },
    Row {
        folder: "agent",
        may: &[
            "lockstep-batch",
            "lockstep-core",
            "lockstep-kafka",
            "lockstep-proto",
            "lockstep-yaml",
            "axum", // what the daemon tells over HTTP
            "bytes",
            "fastrand", // jitter of retries
            "futures-util",
            "prometheus",
            "prost", // the last assignment, kept as it came
            "rdkafka",
            "regex",
            "rustix",    // a clock that counts while the machine is suspended
            "sd-notify", // systemd
            "serde",
            "serde_json",
            "sled",
            "thiserror",
            "tokio",
            "tonic",
            "tracing",
        ],
    },
    Row {
        folder: "coordinator",
        may: &[
            "axum",
            "crc32c",
            "fastrand",
            "lockstep-core",
            "lockstep-proto",
            "lockstep-yaml",
            "prometheus",
            "protobuf",
            "raft",
            "redb",
            "serde",
            "serde_json",
            "slog",
            "thiserror",
            "tokio",
            "tokio-rustls",
            "tonic",
            "tracing",
            "uuid",
            "x509-cert",
        ],
    },
    Row {
        folder: "broker",
        may: &["lockstep-batch", "lockstep-core", "bytes", "kafka-protocol", "thiserror", "tokio", "uuid"],
    },
];

/// What no product crate may use, in tests or outside.
const PROVING: [&str; 4] = ["lockstep-testkit", "lockstep-chaos", "lockstep-tests", "lockstep-bench"];
const PROVING_FOLDERS: [&str; 4] = ["testkit", "chaos", "tests", "bench"];

/// Crates whose tests, too, run without a runtime.
const PURE: [&str; 2] = ["batch", "core"];

fn names(manifest: &Table, kind: &str) -> Vec<String> {
    let plain = manifest.get(kind).and_then(|table| table.as_table()).into_iter();
    let targets = manifest.get("target").and_then(|targets| targets.as_table()).into_iter();
    let targeted = targets
        .flat_map(Table::values)
        .filter_map(|target| target.get(kind))
        .filter_map(|table| table.as_table());
    plain.chain(targeted).flat_map(|table| table.keys().cloned()).collect()
}

fn line_of(file: &Text, word: &str) -> usize {
    file.lines().find(|(_, line)| line.starts_with(word)).map_or(0, |(number, _)| number)
}

fn arrow_faults(file: &Text) -> Vec<Fault> {
    let manifest: Table = file.text.parse().unwrap();
    let mut faults = Vec::new();
    for name in names(&manifest, "dependencies") {
        let refused = match TABLE.iter().find(|row| row.folder == file.member()) {
            Some(row) => !row.may.contains(&name.as_str()),
            None => false,
        };
        if refused {
            let what = format!(
                "`{}` may not depend on `{name}`: change the design first, then this table",
                file.member()
            );
            faults.push(file.fault(line_of(file, &name), what));
        }
    }
    if PURE.contains(&file.member()) {
        for name in names(&manifest, "dev-dependencies").iter().filter(|name| *name == "tokio") {
            faults.push(file.fault(line_of(file, name), "pure rules need no runtime, not even in tests"));
        }
    }
    if !PROVING_FOLDERS.contains(&file.member()) {
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for name in names(&manifest, kind).iter().filter(|name| PROVING.contains(&name.as_str())) {
                let what = format!("a product crate may not use `{name}`: put the test into tests/real");
                faults.push(file.fault(line_of(file, name), what));
            }
        }
    }
    faults
}

fn inheritance_faults(file: &Text) -> Vec<Fault> {
    let manifest: Table = file.text.parse().unwrap();
    let inherits = |value: Option<&toml::Value>| {
        value.and_then(|value| value.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
    };
    let mut faults = Vec::new();
    let package = manifest.get("package").and_then(|package| package.as_table());
    for key in ["license", "version", "edition", "rust-version", "publish"] {
        if !inherits(package.and_then(|package| package.get(key))) {
            faults.push(file.fault(line_of(file, "[package]"), format!("write `{key}.workspace = true`")));
        }
    }
    if !inherits(Some(manifest.get("lints").unwrap_or(&toml::Value::Boolean(false)))) {
        faults.push(file.fault(0, "write `[lints]` and `workspace = true`"));
    }
    let expected = format!("lockstep-{}", file.member());
    let name = package.and_then(|package| package.get("name")).and_then(|name| name.as_str());
    if name != Some(expected.as_str()) {
        faults.push(
            file.fault(line_of(file, "name"), format!("call the package `{expected}`, after its folder")),
        );
    }
    for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
        let table = manifest.get(kind).and_then(|table| table.as_table());
        for (name, value) in table.into_iter().flatten() {
            if !inherits(Some(value)) {
                let what =
                    format!("write `{name}.workspace = true`: versions stand in the root's table only");
                faults.push(file.fault(line_of(file, name), what));
            }
        }
    }
    faults
}

fn manifests() -> Vec<Text> {
    let all = tree::members();
    all.iter()
        .flat_map(|member| tree::files(member, &["toml"]))
        .filter(|file| file.path.ends_with("/Cargo.toml"))
        .collect()
}

#[test]
fn arrows_between_crates_point_one_way() {
    let found = arrow_faults(&Text::new(
        "core/Cargo.toml",
        "[dependencies]\nserde.workspace = true\ntokio.workspace = true\n",
    ));
    assert_eq!((found.len(), found[0].line), (1, 3), "{found:?}");
    let found =
        arrow_faults(&Text::new("core/Cargo.toml", "[target.'cfg(unix)'.dependencies]\ntokio = '1'\n"));
    assert_eq!(found.len(), 1, "{found:?}");
    let found = arrow_faults(&Text::new("batch/Cargo.toml", "[dev-dependencies]\ntokio = '1'\n"));
    assert_eq!(found.len(), 1, "{found:?}");
    let found = arrow_faults(&Text::new("kafka/Cargo.toml", "[dev-dependencies]\nlockstep-testkit = {}\n"));
    assert!(found[0].what.contains("tests/real"), "{found:?}");

    tree::none(&manifests().iter().flat_map(arrow_faults).collect::<Vec<_>>());
}

#[test]
fn manifests_inherit_licence_versions_and_lints() {
    let good = "[package]\nname = 'lockstep-core'\nlicense.workspace = true\nversion.workspace = true\n\
        edition.workspace = true\nrust-version.workspace = true\npublish.workspace = true\n[lints]\nworkspace = true\n";
    assert_eq!(inheritance_faults(&Text::new("core/Cargo.toml", good)), []);
    for (from, to) in [
        ("license.workspace = true", "license = 'MIT'"),
        ("[lints]\nworkspace = true", "[lints]\n"),
        ("lockstep-core", "core"),
        ("[lints]", "[dependencies]\nserde = '1'\n[lints]"),
    ] {
        let found = inheritance_faults(&Text::new("core/Cargo.toml", &good.replace(from, to)));
        assert_eq!(found.len(), 1, "{to}: {found:?}");
    }

    tree::none(&manifests().iter().flat_map(inheritance_faults).collect::<Vec<_>>());
}

#[test]
fn members_are_the_folders_that_hold_a_crate() {
    let members = tree::members();
    assert!(
        !members.is_empty() && members.iter().all(|member| tree::exists(&format!("{member}/Cargo.toml")))
    );
    let on_disk = tree::files("", &["toml"]);
    let strangers: Vec<_> = on_disk
        .iter()
        .filter(|file| {
            file.path.ends_with("/Cargo.toml") && !members.iter().any(|member| member == file.member())
        })
        .map(|file| file.fault(0, "not a member of the workspace: list its folder in the root Cargo.toml"))
        .collect();
    tree::none(&strangers);
}
