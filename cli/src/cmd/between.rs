//! The flags of every verb that works between two clusters: which ones, how they are reached, and which topics.

use std::path::{Path, PathBuf};

use lockstep_core::spec::rename::Rename;
use lockstep_core::spec::select::{Patterns, TopicSelection};
use lockstep_kafka::{Security, Settings};

use super::config;
use super::failure::Failure;

#[derive(Debug, clap::Args)]
pub(crate) struct Between {
    /// Source cluster: host:port, several separated by commas
    #[arg(long, value_name = "BOOTSTRAP")]
    from: String,
    /// Destination cluster: host:port, several separated by commas
    #[arg(long, value_name = "BOOTSTRAP")]
    to: String,
    /// How the source is reached: a YAML file with a `security` section [default: plaintext]
    #[arg(long, value_name = "FILE")]
    from_config: Option<PathBuf>,
    /// How the destination is reached: a YAML file with a `security` section [default: plaintext]
    #[arg(long, value_name = "FILE")]
    to_config: Option<PathBuf>,
    /// Topics to take: a regular expression for the whole name
    #[arg(long, value_name = "REGEX")]
    topics: String,
    /// Topics to leave out although they match --topics
    #[arg(long, value_name = "REGEX")]
    exclude: Option<String>,
    /// What topics are called on the destination: a prefix (east.), or a regular expression for the whole name and what
    /// becomes of it ('orders-(.*)=>east.$1'); names that it does not match stay. Offsets stay the same either way
    #[arg(long, value_name = "PREFIX|REGEX=>NAME", value_parser = rename)]
    rename: Option<Rename>,
}

/// What the flags mean.
pub(crate) struct Checked {
    pub(crate) source: Settings,
    pub(crate) dest: Settings,
    pub(crate) selection: TopicSelection,
    pub(crate) rename: Rename,
}

impl Between {
    /// # Errors
    /// The first flag that cannot be read, with its value and the remedy; all faults of a file at once.
    pub(crate) fn check(&self) -> Result<Checked, Failure> {
        let mut source = bootstrap("--from", &self.from)?;
        let mut dest = bootstrap("--to", &self.to)?;
        let selection = TopicSelection {
            include: patterns("--topics", Some(&self.topics))?,
            exclude: patterns("--exclude", self.exclude.as_deref())?,
        };
        source.security = security(self.from_config.as_deref())?;
        dest.security = security(self.to_config.as_deref())?;
        let rename = self.rename.clone().unwrap_or_default();
        Ok(Checked { source, dest, selection, rename })
    }
}

fn rename(text: &str) -> Result<Rename, String> {
    Rename::parse(text).map_err(|bad| bad.to_string())
}

pub(super) fn patterns(flag: &str, pattern: Option<&str>) -> Result<Patterns, String> {
    Patterns::new(pattern).map_err(|bad| format!("{flag} {bad}"))
}

fn security(file: Option<&Path>) -> Result<Security, Failure> {
    file.map_or_else(|| Ok(Security::default()), config::security)
}

fn bootstrap(flag: &str, text: &str) -> Result<Settings, String> {
    Settings::new(text).map_err(|error| format!("{flag} {text:?}: {error}"))
}
