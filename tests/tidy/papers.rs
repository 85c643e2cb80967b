//! What is written for people: rules cited in the docs are cited in code, links lead somewhere, nothing tells of the
//! place where it was written.

use std::collections::BTreeSet;

use crate::tree::{self, Fault, Text};

/// Docs that promise rules of the mirror protocol.
const PROMISING: [&str; 2] = ["docs/GUARANTEES.md", "docs/ARCHITECTURE.md"];
const RULES: std::ops::RangeInclusive<u32> = 1..=35;

/// Paths and places that mean nothing on anybody else's machine. Composed, so that this file does not accuse itself.
fn private_words() -> Vec<String> {
    [["/wo", "rk/"], ["../sha", "red"], ["/ro", "ot/"], ["/ho", "me/"]]
        .iter()
        .map(|parts| parts.concat())
        .collect()
}

/// Rule ids in a text with their lines: `M` and a number, as a word; `M4–M8` cites both ends.
fn rules(file: &Text) -> Vec<(usize, u32)> {
    let mut found = Vec::new();
    for (number, line) in file.lines() {
        for word in line.split(|c: char| !c.is_alphanumeric() && c != '_') {
            let id = word.strip_prefix('M').filter(|id| id.len() <= 2).and_then(|id| id.parse().ok());
            found.extend(id.filter(|id| RULES.contains(id)).map(|id| (number, id)));
        }
    }
    found
}

fn rule_faults(docs: &[Text], sources: &[Text]) -> Vec<Fault> {
    let in_code: BTreeSet<u32> = sources.iter().flat_map(rules).map(|(_, id)| id).collect();
    let mut faults = Vec::new();
    for doc in docs {
        for (line, id) in rules(doc).into_iter().filter(|(_, id)| !in_code.contains(id)) {
            let what = format!(
                "rule M{id} is promised and no source cites it: cite it where it is kept, or promise less"
            );
            faults.push(doc.fault(line, what));
        }
    }
    faults
}

/// Targets of `](…)` and of reference definitions, without anchors; those with a scheme lead elsewhere.
fn links(line: &str) -> Vec<&str> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let definition = line.starts_with('[').then(|| line.split("]: ").nth(1)).flatten();
    inline
        .chain(definition)
        .filter_map(|target| target.split([' ', '#']).next())
        .filter(|target| !target.is_empty() && !target.contains("://") && !target.starts_with("mailto:"))
        .collect()
}

/// The path that a relative link in `file` points at, from the repository's root; `None` when it leaves it.
fn target(file: &str, link: &str) -> Option<String> {
    let mut parts: Vec<&str> = file.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    Some(parts.join("/"))
}

fn link_faults(file: &Text, exists: impl Fn(&str) -> bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, line) in file.lines() {
        for link in links(line) {
            if !target(&file.path, link).is_some_and(|path| exists(&path)) {
                faults.push(
                    file.fault(
                        number,
                        format!("`{link}` points at nothing: mend the link or write the file"),
                    ),
                );
            }
        }
    }
    faults
}

fn private_faults(file: &Text, words: &[String]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (number, line) in file.lines() {
        for word in words.iter().filter(|word| line.contains(word.as_str())) {
            faults.push(file.fault(
                number,
                format!("`{word}` means nothing elsewhere: use a relative or configured path"),
            ));
        }
    }
    faults
}

#[test]
fn promised_rules_are_kept_in_code() {
    let doc = Text::new("docs/GUARANTEES.md", "as by M4–M6 (M1), not MM2 or M99\nand M7");
    let code = Text::new("core/src/a.rs", "// M4, M6\n/// M1: one producer");
    let found = rule_faults(std::slice::from_ref(&doc), std::slice::from_ref(&code));
    assert!(found.len() == 1 && found[0].line == 2 && found[0].what.contains("M7"), "{found:?}");

    let docs: Vec<_> =
        tree::files("", &["md"]).into_iter().filter(|doc| PROMISING.contains(&doc.path.as_str())).collect();
    let sources: Vec<_> =
        tree::sources().into_iter().filter(|file| !file.path.starts_with("tests/tidy/")).collect();
    tree::none(&rule_faults(&docs, &sources));
}

#[test]
fn links_in_papers_lead_somewhere() {
    let text = "see [a](b.md#x), [c](../gone.md) and [d](https://example.org/e.md)\n[ref]: missing.md\n";
    let found = link_faults(&Text::new("docs/x.md", text), |path| path == "docs/b.md");
    let lines: Vec<_> = found.iter().map(|fault| fault.line).collect();
    assert_eq!(lines, [1, 2], "{found:?}");
    assert_eq!(target("docs/decisions/1.md", "../../README.md").as_deref(), Some("README.md"));
    assert_eq!(target("README.md", "../other/x.md"), None);

    tree::none(
        &tree::files("", &["md"]).iter().flat_map(|file| link_faults(file, tree::exists)).collect::<Vec<_>>(),
    );
}

#[test]
fn nothing_tells_of_the_machine_it_was_written_on() {
    let words = private_words();
    let planted = Text::new("dev", &format!("cd {}main", words[0]));
    assert_eq!(private_faults(&planted, &words).len(), 1);

    let all = tree::files("", &["", "rs", "toml", "md", "sh", "xml", "yml", "yaml", "json"]);
    assert!(all.iter().any(|file| file.path == "dev"), "the scripts are among them");
    tree::none(&all.iter().flat_map(|file| private_faults(file, &words)).collect::<Vec<_>>());
}
