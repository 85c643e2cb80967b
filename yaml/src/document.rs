//! A YAML file: its text, and the line of every key in it. Messages name places, never what stands there.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use lockstep_core::spec::fault::Fault;
use lockstep_core::spec::lines::Lines;
use lockstep_core::spec::written::Text;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Spanned};
use thiserror::Error;

/// The largest file we read; a thousand links are some 300 kB.
const BYTES_MAX: u64 = 16 << 20;

/// Why a file could not be looked into.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NotRead {
    #[error("cannot be read: {0}")]
    Unreadable(String),
    #[error("{0}")]
    NoYaml(String),
}

/// A file that is YAML.
pub struct Document {
    folder: PathBuf,
    text: String,
    lines: Lines,
    keys: Vec<String>,
    /// Keys that stand twice in one place: the first one is read.
    repeated: Vec<Fault>,
}

impl Document {
    /// # Errors
    /// [`NotRead`]: it is not there, is larger than 16 MiB, or is no YAML.
    pub fn read(path: &Path) -> Result<Self, NotRead> {
        let unreadable = |error: std::io::Error| NotRead::Unreadable(error.to_string());
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > BYTES_MAX {
            let why = format!("it has {size} bytes; no file of ours has more than {BYTES_MAX}");
            return Err(NotRead::Unreadable(why));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        let document = Self::of_text(text)?;
        Ok(Self { folder: path.parent().unwrap_or(Path::new(".")).to_owned(), ..document })
    }

    /// What came from elsewhere; relative paths in it start at the present folder.
    ///
    /// # Errors
    /// [`NotRead::NoYaml`].
    pub fn of_text(text: String) -> Result<Self, NotRead> {
        let root: Spanned<Node> = parse(&text, DuplicateKeyPolicy::PassThrough)?;
        let mut lines = Lines::default();
        let mut keys = Vec::new();
        if let Node::Map(entries) = &root.value {
            keys.extend(entries.iter().map(|(key, _)| key.value.0.clone()));
        }
        let mut repeated = Vec::new();
        root.value.number("", &mut lines, &mut repeated);
        Ok(Self { folder: PathBuf::from("."), text, lines, keys, repeated })
    }

    /// The document's own keys, in its order.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Relative paths in the file start here.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// # Errors
    /// [`NotRead::NoYaml`]: its shape is none that `T` takes; the raw types of `core::spec` take every map.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, NotRead> {
        parse(&self.text, DuplicateKeyPolicy::FirstWins)
    }

    /// What a check says, unless the document itself has faults: then those, and the check's.
    ///
    /// # Errors
    /// Every fault with its line, in the order of the file.
    pub fn checked<T>(&self, outcome: Result<T, Vec<Fault>>) -> Result<T, Vec<Fault>> {
        match outcome {
            Ok(checked) if self.repeated.is_empty() => Ok(checked),
            Ok(_) => Err(self.placed(Vec::new())),
            Err(faults) => Err(self.placed(faults)),
        }
    }

    /// Faults that somebody found, and the document's own, with their lines, in the order of the file.
    #[must_use]
    pub fn placed(&self, faults: Vec<Fault>) -> Vec<Fault> {
        self.lines.place(self.repeated.iter().cloned().chain(faults).collect())
    }
}

fn parse<T: DeserializeOwned>(text: &str, duplicate_keys: DuplicateKeyPolicy) -> Result<T, NotRead> {
    let options = serde_saphyr::options! { with_snippet: false, duplicate_keys: duplicate_keys };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| NotRead::NoYaml(error.to_string()))
}

/// What has keys, and what has not.
enum Node {
    Leaf,
    List(Vec<Spanned<Node>>),
    Map(Vec<(Spanned<Text>, Spanned<Node>)>),
}

impl Node {
    /// A key stands where its name does; an element of a list where it begins.
    fn number(&self, path: &str, lines: &mut Lines, repeated: &mut Vec<Fault>) {
        match self {
            Self::Leaf => {}
            Self::List(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    lines.insert(path.clone(), line(element));
                    element.value.number(&path, lines, repeated);
                }
            }
            Self::Map(entries) => {
                let mut first: BTreeMap<&str, u32> = BTreeMap::new();
                for (key, value) in entries {
                    let name = &key.value.0;
                    let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                    if let Some(before) = first.get(name.as_str()) {
                        let what = format!("stands in line {before} already: write it once");
                        repeated.push(Fault { line: Some(line(key)), ..Fault::new(path, what) });
                        // What stands below it is not read.
                        continue;
                    }
                    first.insert(name, line(key));
                    lines.insert(path.clone(), line(key));
                    value.value.number(&path, lines, repeated);
                }
            }
        }
    }
}

fn line<T>(spanned: &Spanned<T>) -> u32 {
    u32::try_from(spanned.referenced.line()).unwrap_or(u32::MAX)
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl<'de> Visitor<'de> for Any {
            type Value = Node;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("YAML")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Node::Map(entries))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
                let mut elements = Vec::new();
                while let Some(element) = seq.next_element()? {
                    elements.push(element);
                }
                Ok(Node::List(elements))
            }

            fn visit_str<E>(self, _: &str) -> Result<Node, E> {
                Ok(Node::Leaf)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Node, E> {
                Ok(Node::Leaf)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Node, E> {
                Ok(Node::Leaf)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Node, E> {
                Ok(Node::Leaf)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Node, E> {
                Ok(Node::Leaf)
            }

            fn visit_unit<E>(self) -> Result<Node, E> {
                Ok(Node::Leaf)
            }

            fn visit_none<E>(self) -> Result<Node, E> {
                Ok(Node::Leaf)
            }
        }
        deserializer.deserialize_any(Any)
    }
}
