//! How a Rust file looks: it opens by saying what it is, stays short, is named for what it does, and is safe.

use crate::tree::{self, Fault, Text};

/// Lines of code, without comments, blank lines and unit tests.
const FILE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;
/// Of a file; the roots of crates and modules may draw their map in more.
const OPENING_LINES_MAX: usize = 5;
const ROOTS: [&str; 3] = ["lib.rs", "main.rs", "mod.rs"];
/// Names that say nothing.
const EMPTY_NAMES: [&str; 5] = ["utils", "common", "helpers", "manager", "misc"];

fn opening_faults(file: &Text) -> Vec<Fault> {
    let opening = file.text.lines().take_while(|line| line.starts_with("//!")).count();
    if opening == 0 {
        vec![
            file.fault(1, "open with `//!`: what this file is, what it promises, what happens when it fails"),
        ]
    } else if opening > OPENING_LINES_MAX && !ROOTS.iter().any(|root| file.path.ends_with(root)) {
        let what = format!(
            "the opening has {opening} lines, {OPENING_LINES_MAX} are enough: move details to where they matter"
        );
        vec![file.fault(OPENING_LINES_MAX + 1, what)]
    } else {
        Vec::new()
    }
}

fn size_faults(file: &Text) -> Vec<Fault> {
    match file.product_code().count() {
        lines if lines > FILE_LINES_MAX => {
            vec![file.fault(
                0,
                format!("{lines} lines of code, {FILE_LINES_MAX} allowed: give a second idea its own file"),
            )]
        }
        _ => Vec::new(),
    }
}

fn name_faults(file: &Text) -> Vec<Fault> {
    let parts = file.path.split('/').map(|part| part.trim_end_matches(".rs"));
    let as_file = parts.filter(|part| EMPTY_NAMES.contains(part)).map(|part| (0, part.to_owned()));
    let inline = file.lines().filter_map(|(number, line)| {
        let name = line.trim_start().trim_start_matches("pub ").strip_prefix("mod ")?;
        let name = name.trim_end_matches(|c: char| !c.is_alphanumeric());
        EMPTY_NAMES.contains(&name).then(|| (number, name.to_owned()))
    });
    as_file
        .chain(inline)
        .map(|(line, name)| {
            file.fault(line, format!("`{name}` says nothing: name the module for what it does"))
        })
        .collect()
}

fn safety_faults(file: &Text) -> Vec<Fault> {
    let says = |line: &str| {
        let words: Vec<_> = line.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
        // The lint's name is another word.
        words.contains(&"unsafe")
    };
    let code = file.lines().filter(|(_, line)| !tree::is_comment(line) && says(line));
    // In a string it is not code.
    code.filter(|(_, line)| !line.contains('"'))
        .map(|(number, _)| file.fault(number, "no unsafe code, here or in tests"))
        .collect()
}

/// A plain counter: rustfmt puts the closing brace of an item under its first letter.
fn function_faults(file: &Text) -> Vec<Fault> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut faults = Vec::new();
    for (start, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = &line[..line.len() - line.trim_start().len()];
        let closing = format!("{indent}}}");
        // A body on one line, or a declaration without one.
        if line.ends_with('}') || line.ends_with(';') {
            continue;
        }
        let Some(length) = lines[start..].iter().position(|each| *each == closing) else { continue };
        let code = lines[start..=start + length]
            .iter()
            .filter(|line| !line.trim().is_empty() && !tree::is_comment(line));
        let count = code.count();
        if count > FUNCTION_LINES_MAX {
            let what = format!("`{name}` has {count} lines, {FUNCTION_LINES_MAX} allowed: name its parts");
            faults.push(file.fault(start + 1, what));
        }
    }
    faults
}

fn function_name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let words_before: &str = line.split("fn ").next()?;
    let only_modifiers = words_before.split_whitespace().all(|word| {
        matches!(word, "async" | "const" | "extern" | "default")
            || word.starts_with("pub")
            || word.ends_with(')')
    });
    let rest = line.get(words_before.len()..)?.strip_prefix("fn ")?;
    let name = rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()?;
    (only_modifiers && !name.is_empty()).then_some(name)
}

fn run(check: impl Fn(&Text) -> Vec<Fault>) {
    tree::none(&tree::sources().iter().flat_map(check).collect::<Vec<_>>());
}

#[test]
fn every_file_opens_by_saying_what_it_is() {
    assert_eq!(opening_faults(&Text::new("a.rs", "use std::fmt;\n")).len(), 1);
    assert_eq!(opening_faults(&Text::new("a.rs", &"//! x\n".repeat(6)))[0].line, 6);
    assert_eq!(opening_faults(&Text::new("a.rs", &"//! x\n".repeat(5))), []);
    assert_eq!(opening_faults(&Text::new("a/mod.rs", &"//! x\n".repeat(6))), []);
    run(opening_faults);
}

#[test]
fn files_stay_short() {
    let long = "let a = 1;\n".repeat(FILE_LINES_MAX);
    assert_eq!(size_faults(&Text::new("a.rs", &format!("//! x\n\n// y\n{long}"))), []);
    assert_eq!(size_faults(&Text::new("a.rs", &format!("{long}let b = 2;\n"))).len(), 1);
    assert_eq!(size_faults(&Text::new("a.rs", &format!("#[cfg(test)]\nmod tests {{\n{long}{long}"))), []);
    run(size_faults);
}

#[test]
fn functions_stay_short() {
    let body = |lines: usize| {
        let body = "        call();\n".repeat(lines);
        Text::new(
            "a.rs",
            &format!(
                "impl A {{\n    pub(crate) async fn long(\n        &self,\n    ) {{\n{body}    }}\n}}\n"
            ),
        )
    };
    assert_eq!(function_faults(&body(FUNCTION_LINES_MAX - 4)), []);
    let found = function_faults(&body(FUNCTION_LINES_MAX));
    assert!(found.len() == 1 && found[0].line == 2 && found[0].what.contains("`long`"), "{found:?}");
    assert_eq!(function_name("    let f: fn () = x;"), None);
    assert_eq!(function_name("pub const fn of<T>(t: T) {"), Some("of"));
    run(function_faults);
}

#[test]
fn modules_are_named_for_what_they_do() {
    assert_eq!(name_faults(&Text::new("core/src/utils.rs", "")).len(), 1);
    assert_eq!(name_faults(&Text::new("core/src/common/mod.rs", "")).len(), 1);
    assert_eq!(name_faults(&Text::new("core/src/a.rs", "//! x\npub mod helpers {\n")).len(), 1);
    assert_eq!(name_faults(&Text::new("core/src/miscellany.rs", "mod manager_of_none;")), []);
    run(name_faults);
}

#[test]
fn no_unsafe_code() {
    // Composed, so that this file does not accuse itself.
    let planted = format!("    {} {{ *pointer }}", ["un", "safe"].concat());
    assert_eq!(safety_faults(&Text::new("a.rs", &planted)).len(), 1);
    assert_eq!(safety_faults(&Text::new("a.rs", "#![forbid(unsafe_code)]\n// unsafe in prose")), []);
    run(safety_faults);
}
