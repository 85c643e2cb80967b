//! What every daemon's file has: how it writes its log, and where it answers over HTTP.
//! Promises: every fault is reported, never only the first.

use schemars::JsonSchema;
use serde::Deserialize;

use super::faults::Faults;
use super::written::{Text, Unknown, Written};

const LOG_KEYS: &[&str] = &["format", "level"];
const FILTER_DEFAULT: &str = "info";
const LEVELS: &[&str] = &["error", "warn", "info", "debug", "trace", "off"];

/// Where the daemon answers over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    Off,
    /// `host:port`; port 0 leaves the choice to the system.
    At(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSpec {
    pub format: LogFormat,
    /// In the words of `tracing`: `info,lockstep_agent=debug`.
    pub filter: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// How the daemon writes its log, to standard error.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[schemars(deny_unknown_fields, rename = "Log")]
pub(crate) struct RawLog {
    /// text or json. Default: text.
    format: Option<Written<Text>>,
    /// error, warn, info, debug or trace, also by module: info,lockstep_agent=debug. Default: info.
    level: Option<Written<Text>>,
    #[serde(flatten)]
    #[schemars(skip)]
    unknown: Unknown,
}

/// What the section `log` means.
pub(super) fn log_spec(faults: &mut Faults, raw: Option<&RawLog>) -> LogSpec {
    let raw = raw.cloned().unwrap_or_default();
    faults.unknown("log", &raw.unknown, LOG_KEYS);
    let format = faults.parsed("log.format", raw.format.as_ref(), "text or json", |text| match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("is no format".to_owned()),
    });
    let filter = faults.parsed(
        "log.level",
        raw.level.as_ref(),
        "error, warn, info, debug or trace, also by module: info,lockstep_agent=debug",
        filter,
    );
    LogSpec {
        format: format.unwrap_or_default(),
        filter: filter.unwrap_or_else(|| FILTER_DEFAULT.to_owned()),
    }
}

/// What `host:port` or `off` means. YAML reads `off` as false in its old dialect.
pub(super) fn listen(text: &str) -> Result<Listen, String> {
    if ["off", "false"].contains(&text) {
        return Ok(Listen::Off);
    }
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') {
        return Err("the host is missing or contains a character no host name has".to_owned());
    }
    port.parse::<u16>().map_err(|_| "the port must be a number from 0 to 65535")?;
    Ok(Listen::At(text.to_owned()))
}

/// Levels, and modules with a level: what `tracing` filters by, less its fields and spans.
fn filter(text: &str) -> Result<String, String> {
    for directive in text.split(',').map(str::trim) {
        let (module, level) = directive.rsplit_once('=').map_or((None, directive), |(m, l)| (Some(m), l));
        let good_module = module.is_none_or(|module| {
            !module.is_empty() && module.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c))
        });
        if !good_module || !LEVELS.contains(&level.to_ascii_lowercase().as_str()) {
            return Err(format!("{directive:?} is no level"));
        }
    }
    Ok(text.to_owned())
}
