//! The files of a `dr.yaml`, read as one: from their texts to the spec, or to every fault with its file and line.
//! A file may hold several documents, each behind a line `---`; so what [`joined`] makes of many files is one that means
//! the same. Nothing is read but the texts that are given.

use std::fmt;

use lockstep_core::spec::dr::{Checked, DrFile, RawDr, check};
use lockstep_core::spec::fault::Fault;

use crate::document::Document;

/// Files, and documents in them.
pub const FILES_MAX: usize = 256;
/// Of all texts together.
pub const BYTES_MAX: usize = 4 << 20;
const NAME_BYTES_MAX: usize = 1_024;

/// A file as it was read.
#[derive(Clone, Copy, Debug)]
pub struct SpecFile<'a> {
    /// As people know it: a path, or `standard input`.
    pub name: &'a str,
    pub text: &'a str,
}

/// Something to be put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpecFault {
    /// The file's name; empty where it is about all of them.
    pub file: String,
    /// Its key is empty where the file could not be looked into.
    pub fault: Fault,
}

impl fmt::Display for SpecFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.file.is_empty() {
            write!(f, "{}: ", self.file)?;
        }
        match self.fault.key.as_str() {
            "" => f.write_str(&self.fault.what),
            _ => self.fault.fmt(f),
        }
    }
}

/// One document of a file.
struct Part<'a> {
    name: &'a str,
    text: &'a str,
    /// Lines of the file before it.
    lines_before: u32,
}

/// What the files mean together.
///
/// # Errors
/// Every fault: in the order of the files and their lines.
pub fn read(files: &[SpecFile<'_>]) -> Result<Checked, Vec<SpecFault>> {
    let parts = parts(files)?;
    let mut found = Vec::new();
    let mut documents = Vec::new();
    for part in &parts {
        match raw(part) {
            Ok(document) => documents.push(document),
            Err(fault) => found.push(fault),
        }
    }
    if !found.is_empty() {
        // Of a part of the files no sense can be made: names that are missing may stand in the rest.
        return Err(found);
    }
    let titles: Vec<_> = parts.iter().map(title).collect();
    let raws: Vec<_> = titles.iter().zip(&documents).map(|(name, (_, raw))| DrFile { name, raw }).collect();
    let outcome = check(&raws);
    let mut faults: Vec<Vec<Fault>> = parts.iter().map(|_| Vec::new()).collect();
    for fault in outcome.as_ref().err().into_iter().flatten() {
        if let Some(of_part) = faults.get_mut(fault.file) {
            of_part.push(fault.fault.clone());
        }
    }
    for ((part, (document, _)), faults) in parts.iter().zip(&documents).zip(faults) {
        found.extend(document.placed(faults).into_iter().map(|fault| placed(part, fault)));
    }
    match outcome {
        Ok(checked) if found.is_empty() => Ok(checked),
        _ => Err(found),
    }
}

/// Several files as the text of one; a single one stays as it is.
#[must_use]
pub fn joined(files: &[SpecFile<'_>]) -> String {
    if let [only] = files {
        return only.text.to_owned();
    }
    let mut text = String::new();
    for file in files {
        text.push_str("---\n# ");
        text.push_str(file.name);
        text.push('\n');
        text.push_str(file.text);
        if !text.ends_with('\n') {
            text.push('\n');
        }
    }
    text
}

/// The documents that say something; where none does, the first.
fn parts<'a>(files: &[SpecFile<'a>]) -> Result<Vec<Part<'a>>, Vec<SpecFault>> {
    let refused = |what: String| vec![SpecFault { file: String::new(), fault: Fault::new("", what) }];
    let bytes: usize = files.iter().map(|file| file.text.len()).sum();
    if bytes > BYTES_MAX {
        return Err(refused(format!("the files have {bytes} bytes together; at most {BYTES_MAX} are read")));
    }
    let is_odd = |name: &str| name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control);
    if let Some(file) = files.iter().find(|file| is_odd(file.name)) {
        let shown: String = file.name.chars().take(40).collect();
        let what =
            format!("{shown:?} cannot be a file's name: at most {NAME_BYTES_MAX} bytes, no line breaks");
        return Err(refused(what));
    }
    let all: Vec<Part<'a>> = files.iter().flat_map(documents).take(FILES_MAX + 1).collect();
    if files.len() > FILES_MAX || all.len() > FILES_MAX {
        return Err(refused(format!("at most {FILES_MAX} files and documents in them are read as one")));
    }
    let (full, mut empty): (Vec<_>, Vec<_>) = all.into_iter().partition(|part| says_something(part.text));
    match (full.is_empty(), empty.is_empty()) {
        (false, _) => Ok(full),
        (true, false) => Ok(vec![empty.swap_remove(0)]),
        (true, true) => Err(refused("no file was given".to_owned())),
    }
}

/// A line that begins with `---` starts a document: what stands inside of texts is indented.
fn documents<'a>(file: &SpecFile<'a>) -> impl Iterator<Item = Part<'a>> + use<'a> {
    let (name, text) = (file.name, file.text);
    // Where each document begins, after how many lines; and where the line that ends it begins.
    let (mut starts, mut ends) = (vec![(0, 0)], Vec::new());
    let (mut at, mut line) = (0, 0);
    for each in text.split_inclusive('\n') {
        let marks = each.strip_prefix("---").is_some_and(|rest| {
            rest.trim().is_empty() || rest.trim_start_matches([' ', '\t']).starts_with('#')
        });
        if marks {
            ends.push(at);
            starts.push((at + each.len(), line + 1));
        }
        (at, line) = (at + each.len(), line + 1);
    }
    ends.push(text.len());
    starts.into_iter().zip(ends).map(move |((start, lines_before), end)| {
        let text = text.get(start..end).unwrap_or_default();
        Part { name, text, lines_before }
    })
}

fn says_something(text: &str) -> bool {
    text.lines().map(str::trim).any(|line| !line.is_empty() && !line.starts_with('#'))
}

fn raw(part: &Part<'_>) -> Result<(Document, RawDr), SpecFault> {
    if !says_something(part.text) {
        let document = Document::of_text("{}".to_owned()).map_err(|why| unreadable(part, &why))?;
        return Ok((document, RawDr::default()));
    }
    let document = Document::of_text(part.text.to_owned()).map_err(|why| unreadable(part, &why))?;
    let raw = document.parse().map_err(|why| unreadable(part, &why))?;
    Ok((document, raw))
}

fn unreadable(part: &Part<'_>, why: &dyn fmt::Display) -> SpecFault {
    let what = match part.lines_before {
        0 => why.to_string(),
        lines => format!("in the document that begins in line {}: {why}", lines + 1),
    };
    SpecFault { file: part.name.to_owned(), fault: Fault::new("", what) }
}

fn placed(part: &Part<'_>, fault: Fault) -> SpecFault {
    let line = fault.line.map(|line| line.saturating_add(part.lines_before));
    SpecFault { file: part.name.to_owned(), fault: Fault { line, ..fault } }
}

/// As faults name it.
fn title(part: &Part<'_>) -> String {
    match part.lines_before {
        0 => part.name.to_owned(),
        lines => format!("{} from line {}", part.name, lines + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SITES: &str = "sites:\n  mi: {}\n  pr: {}\n";
    const CLUSTERS: &str =
        "clusters:\n  a: { site: mi, bootstrap: \"a:9092\" }\n  b: { site: pr, bootstrap: \"b:9092\" }\n";
    const LINKS: &str = "# ours\nlinks:\n  claims: { clusters: [a, b], prefer: a, topics: \"claims.*\" }\n";

    fn file<'a>(name: &'a str, text: &'a str) -> SpecFile<'a> {
        SpecFile { name, text }
    }

    fn words(files: &[SpecFile<'_>]) -> Vec<String> {
        read(files).unwrap_err().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn several_files_and_their_joined_text_mean_the_same() {
        let files =
            [file("sites.yaml", SITES), file("b.yaml", CLUSTERS), file("links.yaml", LINKS.trim_end())];
        let checked = read(&files).unwrap();
        assert_eq!(
            (checked.spec.sites.len(), checked.spec.clusters.len(), checked.spec.links.len()),
            (2, 2, 1)
        );
        let text = joined(&files);
        assert_eq!(read(&[file("all.yaml", &text)]).unwrap(), checked);
        assert_eq!(joined(&[file("all.yaml", &text)]), text, "one file stays as it is");
        let crlf = text.replace('\n', "\r\n");
        assert_eq!(read(&[file("all.yaml", &crlf)]).unwrap(), checked);
    }

    #[test]
    fn a_fault_names_its_file_and_line_in_whatever_document_it_stands() {
        let links = LINKS.replace("prefer: a", "prefer: c");
        let found = words(&[file("sites.yaml", SITES), file("b.yaml", CLUSTERS), file("links.yaml", &links)]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with("links.yaml: line 3: links.claims.prefer: \"c\""), "{found:?}");
        let text = joined(&[file("s", SITES), file("c", CLUSTERS), file("l", &links)]);
        let found = words(&[file("dr.yaml", &text)]);
        let line = text.lines().position(|line| line.contains("prefer: c")).unwrap() + 1;
        assert!(found[0].starts_with(&format!("dr.yaml: line {line}: links.claims.prefer")), "{found:?}");
    }

    #[test]
    fn a_key_that_stands_twice_is_a_fault_in_one_file_and_in_several() {
        let twice = format!("{SITES}{CLUSTERS}{LINKS}sites: {{}}\n");
        let found = words(&[file("dr.yaml", &twice)]);
        assert_eq!(found, ["dr.yaml: line 10: sites: stands in line 1 already: write it once"]);
        let both = format!("{SITES}---\n{SITES}{CLUSTERS}{LINKS}");
        let found = words(&[file("dr.yaml", &both)]);
        assert_eq!(found.len(), 2, "{found:?}");
        let expected =
            "dr.yaml: line 6: sites.mi: is in dr.yaml and in dr.yaml from line 5: keep it in one of them";
        assert_eq!(found[0], expected);
    }

    #[test]
    fn what_is_no_spec_is_said_and_never_a_panic() {
        assert_eq!(words(&[]), ["no file was given"]);
        assert!(words(&[file("a.yaml", "")])[0].starts_with("a.yaml: sites: is missing"));
        assert!(words(&[file("a.yaml", "# nothing\n---\n")])[0].starts_with("a.yaml: sites: is missing"));
        assert!(words(&[file("a.yaml", "[1, 2")])[0].starts_with("a.yaml: "));
        assert!(words(&[file("a.yaml", "just words")])[0].starts_with("a.yaml: "));
        let second = words(&[file("a.yaml", &format!("{SITES}---\nlinks: [\n"))]);
        assert!(second[0].starts_with("a.yaml: in the document that begins in line 5: "), "{second:?}");
        assert!(words(&[file("a\nb", SITES)])[0].contains("cannot be a file's name"));
        let many = "---\n".repeat(FILES_MAX + 1);
        assert!(words(&[file("a.yaml", &many)])[0].starts_with("at most 256"));
        let large = format!("{SITES}# {}", "x".repeat(BYTES_MAX));
        assert!(words(&[file("a.yaml", &large)])[0].contains("bytes together"));
    }

    #[test]
    fn dashes_inside_of_a_text_begin_no_document() {
        let text = format!("{SITES}{CLUSTERS}{LINKS}---x: 1\n");
        assert!(words(&[file("a.yaml", &text)])[0].contains("is no key of ours"));
    }
}
