//! Families of metrics put together by hand: every sample is taken from a status at the moment of the scrape, so there is
//! no registry that could keep the series of a link that is gone. Names, help texts and kinds come from the catalogue.

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use crate::pipeline::latency::{BOUNDS_MS, Latency};

/// One name with its samples.
pub(super) struct Family {
    family: MetricFamily,
    kind: MetricType,
    metrics: Vec<Metric>,
}

pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

impl Family {
    pub(super) fn gauge(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::GAUGE)
    }

    pub(super) fn counter(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::COUNTER)
    }

    pub(super) fn histogram(name: &str, help: &str) -> Self {
        Self::new(name, help, MetricType::HISTOGRAM)
    }

    fn new(name: &str, help: &str, kind: MetricType) -> Self {
        let mut family = MetricFamily::default();
        family.set_name(format!("lockstep_{name}"));
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        Self { family, kind, metrics: Vec::new() }
    }

    /// A sample of a gauge or a counter; what is not known has none.
    pub(super) fn set(&mut self, labels: Labels<'_>, value: Option<f64>) {
        let Some(value) = value else { return };
        let mut metric = labelled(labels);
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value);
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value);
            metric.set_gauge(gauge);
        }
        self.metrics.push(metric);
    }

    /// One series for each of `values`, 1 for the one that is true.
    pub(super) fn one_of<'a>(
        &mut self,
        link: &str,
        label: &str,
        values: impl IntoIterator<Item = &'a str>,
        is: &str,
    ) {
        for value in values {
            self.set(&[("link", link), (label, value)], Some(if value == is { 1.0 } else { 0.0 }));
        }
    }

    pub(super) fn observed(&mut self, labels: Labels<'_>, latency: &Latency) {
        let mut cumulative = 0;
        let buckets = BOUNDS_MS.iter().zip(latency.counts).map(|(bound, count)| {
            cumulative += count;
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(*bound as f64 / 1_000.0);
            bucket.set_cumulative_count(cumulative);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(latency.counts.iter().sum());
        histogram.set_sample_sum(latency.sum_ms as f64 / 1_000.0);
        let mut metric = labelled(labels);
        metric.set_histogram(histogram);
        self.metrics.push(metric);
    }

    /// `None`: nothing to say; a family without samples cannot be written.
    pub(super) fn done(mut self) -> Option<MetricFamily> {
        if self.metrics.is_empty() {
            return None;
        }
        self.family.set_metric(self.metrics);
        Some(self.family)
    }
}

fn labelled(labels: Labels<'_>) -> Metric {
    let pairs = labels.iter().map(|(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    let mut metric = Metric::default();
    metric.set_label(pairs.collect());
    metric
}
