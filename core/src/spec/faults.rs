//! Collects what is wrong, so that everything is said at once. Values shown are those of keys that hold no secret.

use super::fault::Fault;
use super::names::unknown_key;
use super::written::{Text, Texts, Unknown, Written};

#[derive(Default)]
pub(super) struct Faults(Vec<Fault>);

impl Faults {
    pub(super) fn add(&mut self, key: impl Into<String>, what: impl Into<String>) {
        self.0.push(Fault::new(key, what));
    }

    pub(super) fn extend(&mut self, more: Vec<Fault>) {
        self.0.extend(more);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_vec(self) -> Vec<Fault> {
        self.0
    }

    pub(super) fn unknown(&mut self, key: &str, unknown: &Unknown, known: &[&str]) {
        for name in unknown.keys() {
            self.add(join(key, name), unknown_key(name, known.iter().copied()));
        }
    }

    /// A section or flag of the right shape; `None` with a fault if it has another one, without if it is absent.
    pub(super) fn shape<'a, T>(
        &mut self,
        key: &str,
        given: Option<&'a Written<T>>,
        expected: &str,
    ) -> Option<&'a T> {
        let given = given?;
        if given.right().is_none() {
            self.add(key, format!("cannot be read: write {expected}"));
        }
        given.right()
    }

    /// A text that `parse` understands; its refusal is shown behind the value.
    pub(super) fn parsed<T>(
        &mut self,
        key: &str,
        given: Option<&Written<Text>>,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Text(text) = self.shape(key, given, expected)?;
        match parse(text) {
            Ok(value) => Some(value),
            Err(why) => {
                self.add(key, format!("{text:?}: {why}; write {expected}"));
                None
            }
        }
    }

    /// As [`parsed`](Self::parsed), and a fault if it is absent.
    pub(super) fn needed<T>(
        &mut self,
        key: &str,
        given: Option<&Written<Text>>,
        expected: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        if given.is_none() {
            self.add(key, format!("is missing: write {expected}"));
        }
        self.parsed(key, given, expected, parse)
    }

    /// Each text of a list with its key; those of another shape become faults.
    pub(super) fn texts(&mut self, key: &str, given: &Texts, expected: &str) -> Vec<(String, String)> {
        match given {
            Texts::One(Text(text)) => vec![(key.to_owned(), text.clone())],
            Texts::Many(many) => {
                let keyed = many.iter().enumerate().map(|(index, text)| (format!("{key}[{index}]"), text));
                let found = keyed.filter_map(|(key, text)| {
                    let Text(text) = self.shape(&key, Some(text), expected)?;
                    Some((key, text.clone()))
                });
                found.collect()
            }
        }
    }
}

/// A key below another; the document itself has none.
pub(super) fn join(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") }
}
