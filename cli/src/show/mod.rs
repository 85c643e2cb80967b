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

/// How results are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Table,
    /// For scripts: field names are stable and end in their unit
    Json,
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
