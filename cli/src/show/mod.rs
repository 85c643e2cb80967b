//! One file per noun: figures in, words out. Numbers carry units and the age of what they rest on.

pub(crate) mod change;
pub(crate) mod check;
mod control;
mod drift;
pub(crate) mod groups;
pub(crate) mod history;
pub(crate) mod members;
pub(crate) mod mirror;
mod plan;
mod posture;
pub(crate) mod ready;
pub(crate) mod status;
pub(crate) mod system;
mod table;
pub(crate) mod units;
pub(crate) mod verify;
mod waits;

use std::time::Duration;

use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Table,
    /// For people, with what has no room in the table
    Wide,
    /// For scripts: field names are stable and end in their unit
    Json,
    /// The same as YAML
    Yaml,
}

impl Output {
    pub(crate) fn is_for_people(self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// For scripts: a line of JSON, or a YAML document.
    pub(crate) fn document(self, value: &Value) -> String {
        let json = || format!("{value}\n");
        match self {
            // JSON is YAML, too.
            Self::Yaml => serde_saphyr::to_string(value).unwrap_or_else(|_| json()),
            _ => json(),
        }
    }

    /// One of several that follow each other.
    pub(crate) fn one_of_many(self, value: &Value) -> String {
        let mark = if self == Self::Yaml { "---\n" } else { "" };
        mark.to_owned() + &self.document(value)
    }
}

/// One line on a terminal that is written over while work goes on.
fn live_line() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    // The template is a constant without variables that could fail.
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
