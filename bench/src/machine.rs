//! What the figures hold for: the machine, its systems and its load before the first measurement.
//! What cannot be found out is reported as unknown; nothing fails for it.

use std::process::Command;
use std::time::SystemTime;
use std::{fs, thread};

use serde::Serialize;

use crate::proc;

/// More than this much of a core was busy before we began: the figures are somebody else's, too.
const BUSY_LOAD: f64 = 0.5;

#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: Option<usize>,
    pub(crate) memory_gib: Option<f64>,
    pub(crate) kernel: String,
    pub(crate) java: String,
    /// UTC, when the run began.
    pub(crate) date: String,
    /// Of the minute before the run.
    pub(crate) load: Option<f64>,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let unknown = || "unknown".to_owned();
        let kib = proc::value(&read("/proc/meminfo"), "MemTotal")
            .and_then(|value| value.strip_suffix("kB")?.trim().parse::<f64>().ok());
        let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
        Self {
            cpu: proc::value(&read("/proc/cpuinfo"), "model name").map_or_else(unknown, str::to_owned),
            cores: thread::available_parallelism().ok().map(Into::into),
            memory_gib: kib.map(|kib| kib / (1024.0 * 1024.0)),
            kernel: if kernel.is_empty() { unknown() } else { kernel },
            java: java().unwrap_or_else(unknown),
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            load: read("/proc/loadavg").split_whitespace().next().and_then(|first| first.parse().ok()),
        }
    }

    pub(crate) fn warn_if_busy(&self) {
        if let Some(load) = self.load.filter(|load| *load > BUSY_LOAD) {
            eprintln!(
                "WARNING: this machine was not idle (load {load} in the last minute): figures will be worse"
            );
        }
    }
}

/// The first line of `java -version`, which is written to standard error.
fn java() -> Option<String> {
    let said = Command::new("java").arg("-version").output().ok()?.stderr;
    Some(String::from_utf8_lossy(&said).lines().next()?.trim().to_owned())
}
