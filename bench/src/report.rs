//! What was found, as Markdown for people and JSON for scripts (field names are stable, ids end in their unit).
//! Pure text. Every table stands below the machine it was measured on.

use std::fmt::Write as _;

use serde::Serialize;

use crate::Settings;
use crate::figure::{Expected, Figure, Samples, Unit};
use crate::machine::Machine;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Build {
    Release,
    Dev,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    kafka: String,
    lockstep: &'static str,
    build: Build,
    settings: Settings,
    scenarios: Vec<Part>,
}

/// What one scenario found.
#[derive(Debug, Serialize)]
pub(crate) struct Part {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// What was done this time, in words with numbers.
    pub(crate) facts: String,
    pub(crate) figures: Vec<Figure>,
}

impl Report {
    pub(crate) fn new(machine: Machine, kafka: &str, settings: Settings) -> Self {
        let build = if cfg!(debug_assertions) { Build::Dev } else { Build::Release };
        let lockstep = env!("CARGO_PKG_VERSION");
        Self { machine, kafka: kafka.to_owned(), lockstep, build, settings, scenarios: Vec::new() }
    }

    pub(crate) fn add(&mut self, part: Part) {
        self.scenarios.push(part);
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = String::new();
        if self.build == Build::Dev {
            text.push_str("**A dev build: these figures mean nothing.**\n\n");
        }
        text.push_str(&self.machine_lines());
        for part in &self.scenarios {
            text.push_str(&part_lines(part));
        }
        text
    }

    fn machine_lines(&self) -> String {
        let machine = &self.machine;
        let cores = machine.cores.map_or_else(unknown, |cores| cores.to_string());
        let memory = machine.memory_gib.map_or_else(unknown, |gib| format!("{gib:.0} GiB"));
        let load = machine.load.map_or_else(unknown, |load| format!("{load:.2}"));
        let build = if self.build == Build::Dev { "dev" } else { "release" };
        [
            ("CPU", machine.cpu.clone()),
            ("cores, memory", format!("{cores}, {memory}")),
            ("kernel", format!("Linux {}", machine.kernel)),
            ("Kafka, Java", format!("{}, {}", self.kafka, machine.java)),
            ("Lockstep", format!("{}, {build} build", self.lockstep)),
            ("date, load before", format!("{}, {load}", machine.date)),
        ]
        .iter()
        .fold("| machine | |\n|---|---|\n".to_owned(), |mut text, (name, value)| {
            let _ = writeln!(text, "| {name} | {value} |"); // writing to a String cannot fail
            text
        })
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

fn part_lines(part: &Part) -> String {
    let mut text = format!("\n### {}: {}\n\n{}\n\n", part.name, part.what, part.facts);
    text.push_str(
        "| figure | unit | median (min–max) | expected | reference | its median (min–max) | ratio |\n",
    );
    text.push_str("|---|---|---|---|---|---|---|\n");
    for figure in &part.figures {
        let none = || "–".to_owned();
        let (what, beside, ratio) = match &figure.reference {
            Some(reference) => (
                &*reference.what,
                range(&reference.measured, decimals(figure.unit)),
                reference.ratio().map_or_else(none, |ratio| range(ratio, 2)),
            ),
            None => ("–", none(), none()),
        };
        let limit = figure.expected.map(|expected| match expected {
            Expected::AtMost(limit) => format!("≤ {limit}"),
            Expected::AtLeast(limit) => format!("≥ {limit}"),
        });
        let expected = match (limit, figure.is_met()) {
            (Some(limit), Some(true)) => format!("{limit}: met"),
            (Some(limit), _) => format!("{limit}: **missed**"),
            (None, _) => none(),
        };
        let measured = range(&figure.measured, decimals(figure.unit));
        let unit = figure.unit.name();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "| {} | {unit} | {measured} | {expected} | {what} | {beside} | {ratio} |",
            figure.what
        );
    }
    text
}

/// As many as say something: CPU time is read in ticks of 10 ms, time in steps of a few ms.
fn decimals(unit: Unit) -> usize {
    match unit {
        Unit::CpuSecondsPerGb | Unit::Seconds | Unit::Milliseconds | Unit::Share => 2,
        Unit::MbPerSecond | Unit::RecordsPerSecond | Unit::PerSecond | Unit::Records => 0,
        Unit::MiB | Unit::PercentOfCore | Unit::PercentOfTime => 1,
    }
}

fn range(samples: &Samples, decimals: usize) -> String {
    let (median, min, max) = (samples.median(), samples.min(), samples.max());
    format!("**{median:.decimals$}** ({min:.decimals$}–{max:.decimals$})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(build: Build) -> Report {
        let samples = |values: [f64; 3]| Samples::new(values).unwrap();
        let machine = Machine {
            cpu: "A CPU".to_owned(),
            cores: Some(2),
            memory_gib: None,
            kernel: "6.1".to_owned(),
            java: "openjdk 17".to_owned(),
            date: "2030-01-01T00:00:00Z".to_owned(),
            load: Some(0.25),
        };
        let settings = Settings { scenarios: Vec::new(), rounds: 3, size_mb: 10, json: None };
        let figures = vec![
            Figure::new("cpu_s_per_gb", "CPU", Unit::CpuSecondsPerGb, samples([1.0, 1.2, 1.1]))
                .beside("relay", samples([0.5, 0.6, 0.55]))
                .at_most(1.5),
            Figure::new("peak_mib", "memory", Unit::MiB, samples([99.0, 98.0, 97.0])).at_most(96.0),
            Figure::new("rate_mb_per_s", "rate", Unit::MbPerSecond, samples([120.4, 100.0, 130.0])),
        ];
        let mut report = Report::new(machine, "4.3.1", settings);
        report.build = build;
        report.add(Part { name: "backlog", what: "a topic", facts: "10 MB.".to_owned(), figures });
        report
    }

    #[test]
    fn a_row_names_figure_expectation_reference_and_ratio() {
        let text = report(Build::Release).markdown();
        for line in [
            "| cores, memory | 2, unknown |",
            "| date, load before | 2030-01-01T00:00:00Z, 0.25 |",
            "### backlog: a topic",
            "| CPU | CPU s/GB | **1.10** (1.00–1.20) | ≤ 1.5: met | relay | **0.55** (0.50–0.60) | **2.00** (2.00–2.00) |",
            "| memory | MiB | **98.0** (97.0–99.0) | ≤ 96: **missed** | – | – | – |",
            "| rate | MB/s | **120** (100–130) | – | – | – | – |",
        ] {
            assert!(text.lines().any(|each| each == line), "{line}\nis not in\n{text}");
        }
        assert!(!text.contains("dev build"));
    }

    #[test]
    fn a_dev_build_says_so_first() {
        assert!(report(Build::Dev).markdown().starts_with("**A dev build"));
    }

    #[test]
    fn json_has_every_figure_under_its_id() {
        let json = serde_json::to_value(report(Build::Release)).unwrap();
        let figure = &json["scenarios"][0]["figures"][0];
        assert_eq!(
            (figure["id"].as_str(), figure["unit"].as_str()),
            (Some("cpu_s_per_gb"), Some("CPU s/GB"))
        );
        assert_eq!(figure["measured"]["samples"], serde_json::json!([1.0, 1.2, 1.1]));
        assert_eq!(figure["reference"]["ratio"]["median"], serde_json::json!(2.0));
        assert_eq!(json["build"], "release");
    }
}
