//! A figure: what was measured round by round, beside a reference measured in the same rounds.
//! Pure arithmetic; the ratio is taken round by round, so that a minute in which the machine was slow counts for both.

use std::borrow::Cow;

use serde::Serialize;

/// What was measured, one value per round, in the order of the rounds; never empty, never NaN.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "Summary")]
pub(crate) struct Samples(Vec<f64>);

/// As it is reported.
#[derive(Clone, Debug, Serialize)]
struct Summary {
    median: f64,
    min: f64,
    max: f64,
    samples: Vec<f64>,
}

impl From<Samples> for Summary {
    fn from(samples: Samples) -> Self {
        let (median, min, max) = (samples.median(), samples.min(), samples.max());
        Self { median, min, max, samples: samples.0 }
    }
}

impl Samples {
    /// `None` when there is nothing, or something that is not a number.
    pub(crate) fn new(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let values: Vec<f64> = values.into_iter().collect();
        (!values.is_empty() && values.iter().all(|value| value.is_finite())).then_some(Self(values))
    }

    /// Of an even number of values: the middle between the two in the middle.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
    }

    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    /// Round by round. `None` when the rounds do not match or the reference is zero somewhere.
    fn over(&self, reference: &Self) -> Option<Self> {
        if self.0.len() != reference.0.len() {
            return None;
        }
        Self::new(self.0.iter().zip(&reference.0).map(|(ours, theirs)| ours / theirs))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) enum Unit {
    #[serde(rename = "CPU s/GB")]
    CpuSecondsPerGb,
    #[serde(rename = "MB/s")]
    MbPerSecond,
    #[serde(rename = "records/s")]
    RecordsPerSecond,
    /// Of anything.
    #[serde(rename = "1/s")]
    PerSecond,
    #[serde(rename = "records")]
    Records,
    #[serde(rename = "MiB")]
    MiB,
    #[serde(rename = "s")]
    Seconds,
    #[serde(rename = "ms")]
    Milliseconds,
    #[serde(rename = "% of a core")]
    PercentOfCore,
    #[serde(rename = "% of the time")]
    PercentOfTime,
    /// Ours over something else's, 1 being equal.
    #[serde(rename = "share")]
    Share,
}

impl Unit {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::CpuSecondsPerGb => "CPU s/GB",
            Self::MbPerSecond => "MB/s",
            Self::RecordsPerSecond => "records/s",
            Self::PerSecond => "1/s",
            Self::Records => "records",
            Self::MiB => "MiB",
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::PercentOfCore => "% of a core",
            Self::PercentOfTime => "% of the time",
            Self::Share => "share",
        }
    }
}

/// What the figure is to be read against.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reference {
    pub(crate) what: Cow<'static, str>,
    pub(crate) measured: Samples,
    /// Ours over the reference's, round by round.
    ratio: Option<Samples>,
}

impl Reference {
    pub(crate) fn ratio(&self) -> Option<&Samples> {
        self.ratio.as_ref()
    }
}

/// What a median is meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Expected {
    AtMost(f64),
    AtLeast(f64),
}

/// One row of the report.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// For scripts: stable, ends in the unit.
    pub(crate) id: Cow<'static, str>,
    pub(crate) what: Cow<'static, str>,
    pub(crate) unit: Unit,
    pub(crate) measured: Samples,
    pub(crate) reference: Option<Reference>,
    pub(crate) expected: Option<Expected>,
}

impl Figure {
    pub(crate) fn new(
        id: impl Into<Cow<'static, str>>,
        what: impl Into<Cow<'static, str>>,
        unit: Unit,
        measured: Samples,
    ) -> Self {
        Self { id: id.into(), what: what.into(), unit, measured, reference: None, expected: None }
    }

    pub(crate) fn beside(mut self, what: impl Into<Cow<'static, str>>, measured: Samples) -> Self {
        let ratio = self.measured.over(&measured);
        self.reference = Some(Reference { what: what.into(), measured, ratio });
        self
    }

    pub(crate) fn at_most(mut self, limit: f64) -> Self {
        self.expected = Some(Expected::AtMost(limit));
        self
    }

    pub(crate) fn at_least(mut self, limit: f64) -> Self {
        self.expected = Some(Expected::AtLeast(limit));
        self
    }

    /// Whether the median is as expected; `None` when nothing is.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let median = self.measured.median();
        self.expected.map(|expected| match expected {
            Expected::AtMost(limit) => median <= limit,
            Expected::AtLeast(limit) => median >= limit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: &[f64]) -> Samples {
        Samples::new(values.iter().copied()).unwrap()
    }

    #[test]
    fn median_and_range_do_not_depend_on_the_order() {
        let odd = samples(&[3.0, 1.0, 9.0]);
        assert_eq!((odd.median(), odd.min(), odd.max()), (3.0, 1.0, 9.0));
        assert_eq!(samples(&[4.0, 1.0, 9.0, 2.0]).median(), 3.0);
        assert_eq!(samples(&[7.0]).median(), 7.0);
    }

    #[test]
    fn nothing_and_not_a_number_are_no_samples() {
        assert_eq!(Samples::new([]), None);
        assert_eq!(Samples::new([1.0, f64::NAN]), None);
        assert_eq!(Samples::new([1.0 / 0.0]), None);
    }

    #[test]
    fn the_ratio_is_taken_round_by_round() {
        let figure = Figure::new("a_s", "a", Unit::Seconds, samples(&[2.0, 8.0, 3.0]))
            .beside("b", samples(&[1.0, 8.0, 1.0]));
        let ratio = figure.reference.unwrap().ratio().cloned();
        assert_eq!(ratio, Some(samples(&[2.0, 1.0, 3.0])));
        assert_eq!(samples(&[1.0]).over(&samples(&[1.0, 2.0])), None);
        assert_eq!(samples(&[1.0]).over(&samples(&[0.0])), None);
    }

    #[test]
    fn the_median_decides_whether_it_is_as_expected() {
        let figure = Figure::new("a_s", "a", Unit::Seconds, samples(&[1.0, 2.0, 30.0]));
        assert_eq!(figure.is_met(), None);
        assert_eq!(figure.clone().at_most(2.0).is_met(), Some(true));
        assert_eq!(figure.clone().at_most(1.9).is_met(), Some(false));
        assert_eq!(figure.clone().at_least(2.0).is_met(), Some(true));
        assert_eq!(figure.at_least(2.1).is_met(), Some(false));
    }

    #[test]
    fn json_carries_every_sample() {
        let json = serde_json::to_value(samples(&[3.0, 1.0])).unwrap();
        assert_eq!(json, serde_json::json!({"median": 2.0, "min": 1.0, "max": 3.0, "samples": [3.0, 1.0]}));
    }
}
