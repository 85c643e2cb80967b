//! The flags of every verb that works between two clusters: which ones, and which topics.

use lockstep_core::spec::select::TopicSelection;
use lockstep_kafka::Settings;

#[derive(Debug, clap::Args)]
pub(crate) struct Between {
    /// Source cluster: host:port, several separated by commas
    #[arg(long, value_name = "BOOTSTRAP")]
    from: String,
    /// Destination cluster: host:port, several separated by commas
    #[arg(long, value_name = "BOOTSTRAP")]
    to: String,
    /// Topics to take: a regular expression for the whole name
    #[arg(long, value_name = "REGEX")]
    topics: String,
    /// Topics to leave out although they match --topics
    #[arg(long, value_name = "REGEX")]
    exclude: Option<String>,
}

/// What the flags mean.
pub(crate) struct Checked {
    pub(crate) source: Settings,
    pub(crate) dest: Settings,
    pub(crate) selection: TopicSelection,
}

impl Between {
    /// # Errors
    /// The first flag that cannot be read, with its value and the remedy.
    pub(crate) fn check(&self) -> Result<Checked, String> {
        Ok(Checked {
            source: bootstrap("--from", &self.from)?,
            dest: bootstrap("--to", &self.to)?,
            selection: TopicSelection::new(&self.topics, self.exclude.as_deref())
                .map_err(|bad| bad.to_string())?,
        })
    }
}

fn bootstrap(flag: &str, text: &str) -> Result<Settings, String> {
    Settings::new(text).map_err(|error| format!("{flag} {text:?}: {error}"))
}
