//! Several files as one: what each names is put together, and every fault goes back to the file it stands in.
//! Promises: the same name twice is a fault that names both files; the order of the files does not matter otherwise.

use std::collections::BTreeMap;

use super::Checked;
use super::check::{meaning, unknown_sections};
use super::raw::RawDr;
use crate::spec::fault::Fault;
use crate::spec::faults::{Faults, join};
use crate::spec::written::{Named, Unknown, Written};

/// One file that was read.
#[derive(Clone, Copy, Debug)]
pub struct DrFile<'a> {
    /// As people know it: a path, or `standard input`.
    pub name: &'a str,
    pub raw: &'a RawDr,
}

/// A fault and the file it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// The place in the files as they were given.
    pub file: usize,
    pub fault: Fault,
}

pub(super) fn together(files: &[DrFile<'_>]) -> Result<Checked, Vec<FileFault>> {
    let mut merging = Merging::default();
    for (index, file) in files.iter().enumerate() {
        merging.add(index, file, files);
    }
    let Merging { raw, homes, mut faults } = merging;
    let mut found = Faults::default();
    let checked = meaning(&mut found, &raw);
    let placed =
        found.into_vec().into_iter().map(|fault| FileFault { file: home(&homes, &fault.key), fault });
    faults.extend(placed);
    match checked {
        Some(checked) if faults.is_empty() => Ok(checked),
        _ => {
            faults.sort_by(|a, b| (a.file, &a.fault.key).cmp(&(b.file, &b.fault.key)));
            Err(faults)
        }
    }
}

#[derive(Default)]
struct Merging {
    raw: RawDr,
    /// Where each section and each name in it stands.
    homes: BTreeMap<String, usize>,
    faults: Vec<FileFault>,
}

impl Merging {
    fn add(&mut self, index: usize, file: &DrFile<'_>, files: &[DrFile<'_>]) {
        let RawDr { defaults, sites, clusters, links, unknown } = file.raw;
        let faults = unknown_sections(unknown);
        self.faults.extend(faults.into_iter().map(|fault| FileFault { file: index, fault }));
        if let Some(given) = defaults {
            match self.homes.insert("defaults".to_owned(), index) {
                None => self.raw.defaults = Some(given.clone()),
                Some(first) => self.twice("defaults", first, index, files),
            }
        }
        let mut merged = std::mem::take(&mut self.raw);
        self.section("sites", &mut merged.sites, sites, index, files);
        self.section("clusters", &mut merged.clusters, clusters, index, files);
        self.section("links", &mut merged.links, links, index, files);
        self.raw = RawDr { unknown: Unknown::new(), ..merged };
    }

    fn section<T: Clone>(
        &mut self,
        key: &str,
        into: &mut Named<T>,
        given: &Named<T>,
        index: usize,
        files: &[DrFile<'_>],
    ) {
        let Some(given) = given else { return };
        self.homes.entry(key.to_owned()).or_insert(index);
        let Written::Right(given) = given else {
            let what = "cannot be read: write names and their keys below it";
            self.faults.push(FileFault { file: index, fault: Fault::new(key, what) });
            // It is there, whatever it is: that it is missing would be said besides.
            into.get_or_insert_with(|| Written::Right(BTreeMap::new()));
            return;
        };
        let into = into.get_or_insert_with(|| Written::Right(BTreeMap::new()));
        let Written::Right(into) = into else { return };
        for (name, value) in given {
            let key = join(key, name);
            match self.homes.get(&key).copied() {
                Some(first) => self.twice(&key, first, index, files),
                None => {
                    self.homes.insert(key, index);
                    into.insert(name.clone(), value.clone());
                }
            }
        }
    }

    fn twice(&mut self, key: &str, first: usize, second: usize, files: &[DrFile<'_>]) {
        let name = |index: usize| files.get(index).map_or("", |file| file.name);
        let what = format!("is in {} and in {}: keep it in one of them", name(first), name(second));
        self.faults.push(FileFault { file: second, fault: Fault::new(key, what) });
    }
}

/// The file of a key: that of the nearest thing around it that stands in one.
fn home(homes: &BTreeMap<String, usize>, key: &str) -> usize {
    // A name may hold dots itself: the longest one that fits is meant.
    let fits = |known: &str| {
        key.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let nearest = homes.iter().filter(|(known, _)| fits(known)).max_by_key(|(known, _)| known.len());
    nearest.map_or(0, |(_, index)| *index)
}
