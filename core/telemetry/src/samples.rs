//! All series at one moment, as they are gathered for a flush.

use skymesh_plugin_api::{Bucket, Histogram, Label, MetricsBatch, Sample, SampleValue};

use crate::catalogue::{Metric, SERIES_LEFT_OUT};
use crate::histogram::Distribution;

/// Most series of one flush. What comes beyond it is left out and counted: an app with very many
/// services or instances must not make its process's monitoring fail as a whole.
pub const SERIES: usize = 20_000;

/// Who has something to tell at each flush.
pub trait Source: Send + Sync {
    /// Adds the present value of every series. Called off the message path; may take locks and
    /// allocate, and must not wait.
    fn collect(&self, samples: &mut Samples);
}

/// What was gathered.
#[derive(Debug, Default)]
pub struct Samples {
    series: Vec<Series>,
    left_out: u64,
}

#[derive(Debug)]
struct Series {
    metric: &'static Metric,
    labels: Vec<(&'static str, String)>,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Counter(u64),
    Gauge(f64),
    Histogram(Distribution),
}

impl Samples {
    /// A counter's value since the start.
    pub fn counter(
        &mut self,
        metric: &'static Metric,
        labels: &[(&'static str, &str)],
        count: u64,
    ) {
        self.add(metric, labels, Value::Counter(count));
    }

    /// A gauge's value now.
    pub fn gauge(&mut self, metric: &'static Metric, labels: &[(&'static str, &str)], value: f64) {
        self.add(metric, labels, Value::Gauge(value));
    }

    /// A distribution since the start.
    pub fn histogram(
        &mut self,
        metric: &'static Metric,
        labels: &[(&'static str, &str)],
        distribution: Distribution,
    ) {
        self.add(metric, labels, Value::Histogram(distribution));
    }

    fn add(&mut self, metric: &'static Metric, labels: &[(&'static str, &str)], value: Value) {
        if self.series.len() >= SERIES {
            self.left_out += 1;
            return;
        }
        let labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        self.series.push(Series { metric, labels, value });
    }

    /// Adds how many series there was no room for; for that one there is.
    pub(crate) fn note_left_out(&mut self) {
        let value = Value::Gauge(self.left_out as f64);
        self.series.push(Series { metric: &SERIES_LEFT_OUT, labels: Vec::new(), value });
    }

    /// Hands everything to `take` in the form that plugins get, those of one metric side by side.
    pub(crate) fn with_batch<R>(
        &mut self,
        resource: &[(String, String)],
        [started_unix_ns, unix_ns]: [u64; 2],
        take: impl FnOnce(&MetricsBatch<'_>) -> R,
    ) -> R {
        self.series.sort_by_key(|series| series.metric.name);
        let labels: Vec<Vec<Label<'_>>> = self
            .series
            .iter()
            .map(|series| series.labels.iter().map(|(key, value)| Label { key, value }).collect())
            .collect();
        let samples: Vec<Sample<'_>> =
            self.series.iter().zip(&labels).map(|(series, labels)| series.sample(labels)).collect();
        let resource: Vec<Label<'_>> =
            resource.iter().map(|(key, value)| Label { key, value }).collect();
        take(&MetricsBatch { samples: &samples, resource: &resource, unix_ns, started_unix_ns })
    }
}

impl Series {
    fn sample<'a>(&'a self, labels: &'a [Label<'a>]) -> Sample<'a> {
        let value = match &self.value {
            Value::Counter(count) => SampleValue::Counter(*count),
            Value::Gauge(value) => SampleValue::Gauge(*value),
            Value::Histogram(Distribution { count, sum_seconds, buckets }) => {
                let buckets: &[Bucket] = buckets;
                SampleValue::Histogram(Histogram { count: *count, sum: *sum_seconds, buckets })
            }
        };
        let Metric { name, help, unit, .. } = *self.metric;
        Sample { name, help, unit, labels, value }
    }
}
