//! What is in the repository: members, their files, and a source file cut into product and test lines.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// Something to be put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) file: String,
    /// From 1; 0 for the file as a whole.
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

/// Fails with every fault on a line of its own.
#[track_caller]
pub(crate) fn none(faults: &[Fault]) {
    let lines: Vec<_> = faults.iter().map(Fault::to_string).collect();
    assert!(faults.is_empty(), "{} to put right:\n{}", faults.len(), lines.join("\n"));
}

/// From here on a file holds unit tests.
pub(crate) const TESTS: &str = "mod tests {";

/// A text file of the repository, by its path from the root.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) path: String,
    pub(crate) text: String,
}

impl Text {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The folder of the crate: the first part of the path.
    pub(crate) fn member(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// Numbered from 1.
    pub(crate) fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }

    /// The lines of code before the unit tests at the end, without blank lines and comments; none in a file of tests.
    pub(crate) fn product_code(&self) -> impl Iterator<Item = (usize, &str)> {
        // `tests.rs`, `model_tests.rs`: modules that only tests compile.
        let tests = if self.path.ends_with("tests.rs") {
            0
        } else {
            self.lines().find(|(_, line)| *line == TESTS).map_or(usize::MAX, |(number, _)| number)
        };
        let code = |line: &&str| !matches!(line.trim_start(), "" | "#[cfg(test)]") && !is_comment(line);
        self.lines().take_while(move |(number, _)| *number < tests).filter(move |(_, line)| code(line))
    }

    pub(crate) fn fault(&self, line: usize, what: impl Into<String>) -> Fault {
        Fault { file: self.path.clone(), line, what: what.into() }
    }
}

pub(crate) fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}

fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap().to_owned()
}

/// The workspace's own manifest.
pub(crate) fn workspace() -> Text {
    read("Cargo.toml")
}

pub(crate) fn exists(path: &str) -> bool {
    root().join(path).exists()
}

/// Folders of the members, as the workspace lists them.
pub(crate) fn members() -> Vec<String> {
    let manifest: toml::Table = workspace().text.parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}

/// Every Rust file of every member.
pub(crate) fn sources() -> Vec<Text> {
    members().iter().flat_map(|member| files(member, &["rs"])).collect()
}

/// Every file of the repository that people write, with one of these extensions (`""`: none).
pub(crate) fn files(folder: &str, extensions: &[&str]) -> Vec<Text> {
    let mut found = Vec::new();
    collect(&root(), &root().join(folder), extensions, &mut found);
    found.sort();
    found.iter().map(|path| read(path)).collect()
}

fn read(path: &str) -> Text {
    let bytes = fs::read(root().join(path)).unwrap_or_else(|cause| panic!("{path}: {cause}"));
    Text::new(path, &String::from_utf8_lossy(&bytes))
}

fn collect(root: &Path, folder: &Path, extensions: &[&str], found: &mut Vec<String>) {
    // Build output and what git or runs keep is not ours to judge.
    const SKIPPED: [&str; 3] = [".git", "target", "run"];
    for entry in fs::read_dir(folder).unwrap_or_else(|cause| panic!("{}: {cause}", folder.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // Only at the root: a source folder may well be called `run`. In a worktree `.git` is a file.
        if folder == root && SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            collect(root, &path, extensions, found);
        } else {
            let extension = path.extension().map(|extension| extension.to_string_lossy().into_owned());
            if extensions.contains(&extension.unwrap_or_default().as_str()) {
                found.push(path.strip_prefix(root).unwrap().to_string_lossy().into_owned());
            }
        }
    }
}

#[test]
fn the_tree_is_really_read() {
    assert!(members().contains(&"core".to_owned()));
    let sources = sources();
    assert!(
        sources.iter().any(|source| source.path == "core/src/ids.rs" && source.text.contains("SourceOffset"))
    );
    assert!(!files("", &["md", ""]).iter().any(|file| file.path.starts_with("target/")));
}

#[test]
fn product_code_ends_where_tests_begin() {
    let file = Text::new("core/src/a.rs", "//! a\n\nfn a() {}\n    // why\n#[cfg(test)]\nmod tests {\n}\n");
    assert_eq!(file.product_code().collect::<Vec<_>>(), [(3, "fn a() {}")]);
    assert_eq!(Text::new("core/src/a/model_tests.rs", "fn a() {}").product_code().count(), 0);
    assert_eq!(file.member(), "core");
}
