//! All series at one moment, as they are gathered for a flush.

use skymesh_plugin_api::{Bucket, Histogram, Label, MetricsBatch, Sample, SampleValue};

use crate::catalogue::{Metric, SERIES_LEFT_OUT};
use crate::histogram::Distribution;

/// Most series of one flush. What comes beyond it is left out and counted
/// ([`SERIES_LEFT_OUT`]): an app with very many services or instances must not make its process's
/// monitoring fail as a whole. Whatever the order in which sources tell theirs, series of single
/// instances and peers make room for those of services, and these for those of the whole process.
pub const SERIES: usize = 20_000;

/// All bits of a whole number that a floating-point number holds exactly.
const EXACT: u64 = (1 << f64::MANTISSA_DIGITS) - 1;

/// Who has something to tell at each flush.
pub trait Source: Send + Sync {
    /// Adds the present value of every series. Called off the message path; may take locks and
    /// allocate, and must not wait.
    fn collect(&self, samples: &mut Samples);
}

/// What was gathered.
#[derive(Debug)]
pub struct Samples {
    /// By their [`Breadth`].
    series: [Vec<Series>; 3],
    most: usize,
    left_out: u64,
}

/// How many series a metric may have. The narrower, the more its series count each.
#[derive(Debug, Clone, Copy)]
enum Breadth {
    Process,
    Services,
    Instances,
}

impl Breadth {
    fn of(metric: &Metric) -> Self {
        let has = |label| metric.labels.contains(&label);
        match () {
            () if has("instance") || has("peer") => Self::Instances,
            () if has("service") => Self::Services,
            () => Self::Process,
        }
    }
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

impl Default for Samples {
    fn default() -> Self {
        Self::with_room(SERIES)
    }
}

impl Samples {
    fn with_room(most: usize) -> Self {
        Self { series: Default::default(), most, left_out: 0 }
    }

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

    /// A gauge of a number that may have 64 bits, such as a term: its lowest 53 are shown, because sinks
    /// hold values as floating-point numbers. So equal numbers look equal, and others differ.
    pub fn number(
        &mut self,
        metric: &'static Metric,
        labels: &[(&'static str, &str)],
        number: u64,
    ) {
        self.gauge(metric, labels, (number & EXACT) as f64);
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
        debug_assert!(
            labels.iter().map(|(key, _)| key).eq(metric.labels),
            "{}: {labels:?} are not the labels that the catalogue says",
            metric.name
        );
        let breadth = Breadth::of(metric) as usize;
        if self.series.iter().map(Vec::len).sum::<usize>() >= self.most {
            self.left_out += 1;
            let narrower = &mut self.series[breadth + 1..];
            if !narrower.iter_mut().rev().any(|series| series.pop().is_some()) {
                return;
            }
        }
        let labels = labels.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
        self.series[breadth].push(Series { metric, labels, value });
    }

    /// Every series that was gathered: its metric's name, the values of its labels, and its value (of a
    /// distribution its count). For the tests of sources, which are in other crates: a sink gets more.
    #[doc(hidden)]
    pub fn shown(&self) -> Vec<(&'static str, Vec<&str>, f64)> {
        self.series.iter().flatten().map(Series::shown).collect()
    }

    /// Adds how many series there was no room for; for that one there is.
    pub(crate) fn note_left_out(&mut self) {
        let value = Value::Gauge(self.left_out as f64);
        let series = Series { metric: &SERIES_LEFT_OUT, labels: Vec::new(), value };
        self.series[Breadth::Process as usize].push(series);
    }

    /// Hands everything to `take` in the form that plugins get, those of one metric side by side.
    pub(crate) fn with_batch<R>(
        &self,
        resource: &[(String, String)],
        [started_unix_ns, unix_ns]: [u64; 2],
        take: impl FnOnce(&MetricsBatch<'_>) -> R,
    ) -> R {
        let mut series: Vec<&Series> = self.series.iter().flatten().collect();
        series.sort_by_key(|series| series.metric.name);
        let labels: Vec<Vec<Label<'_>>> = series
            .iter()
            .map(|series| series.labels.iter().map(|(key, value)| Label { key, value }).collect())
            .collect();
        let samples: Vec<Sample<'_>> =
            series.iter().zip(&labels).map(|(series, labels)| series.sample(labels)).collect();
        let resource: Vec<Label<'_>> =
            resource.iter().map(|(key, value)| Label { key, value }).collect();
        take(&MetricsBatch { samples: &samples, resource: &resource, unix_ns, started_unix_ns })
    }
}

impl Series {
    fn shown(&self) -> (&'static str, Vec<&str>, f64) {
        let labels = self.labels.iter().map(|(_, value)| value.as_str()).collect();
        let value = match &self.value {
            Value::Counter(count) => *count as f64,
            Value::Gauge(value) => *value,
            Value::Histogram(distribution) => distribution.count as f64,
        };
        (self.metric.name, labels, value)
    }

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{INBOX_BYTES, PICKS, ROUTER_DEGRADED, UPLINKS_LOST};

    /// What is shown: names with their number of series, and how many were left out.
    fn shown(mut samples: Samples) -> (Vec<(String, usize)>, f64) {
        samples.note_left_out();
        samples.with_batch(&[], [0, 1], |batch| {
            let names = batch.samples.chunk_by(|one, next| one.name == next.name);
            let shown = names.map(|same| (same[0].name.to_owned(), same.len()));
            let is_left_out = |sample: &&Sample<'_>| sample.name == SERIES_LEFT_OUT.name;
            match batch.samples.iter().find(is_left_out).map(|sample| sample.value) {
                Some(SampleValue::Gauge(count)) => (shown.collect(), count),
                other => panic!("{other:?}"),
            }
        })
    }

    fn fill(samples: &mut Samples, instances: usize, services: usize, process: usize) {
        for number in 0..instances {
            let (metric, number) = ([&PICKS, &INBOX_BYTES][number % 2], number.to_string());
            let labels = [("service", "a.b.c"), ("instance", number.as_str())];
            samples.gauge(metric, &labels, 1.0);
        }
        for number in 0..services {
            samples.gauge(&ROUTER_DEGRADED, &[("service", &number.to_string())], 0.0);
        }
        for _ in 0..process {
            samples.counter(&UPLINKS_LOST, &[], 0);
        }
    }

    #[test]
    fn the_many_make_room_for_the_few_whoever_comes_first() {
        // (instances, services, process) added; then the same again; what of each is left.
        let cases = [
            ([4, 2, 1], [0, 0, 0], [4, 2, 1], 0.0),
            ([20, 0, 0], [0, 0, 0], [10, 0, 0], 10.0),
            ([20, 2, 1], [0, 0, 0], [7, 2, 1], 13.0),
            ([0, 2, 1], [20, 0, 0], [7, 2, 1], 13.0),
            ([8, 9, 3], [0, 1, 0], [0, 7, 3], 11.0),
            ([0, 0, 12], [5, 5, 0], [0, 0, 10], 12.0),
        ];
        for (first, then, left, left_out) in cases {
            let mut samples = Samples::with_room(10);
            for [instances, services, process] in [first, then] {
                fill(&mut samples, instances, services, process);
            }
            let (shown, count) = shown(samples);
            let of = |names: &[&Metric]| {
                let is_of = |name: &str| names.iter().any(|metric| metric.name == name);
                shown.iter().filter(|(name, _)| is_of(name)).map(|(_, count)| count).sum::<usize>()
            };
            let found =
                [of(&[&PICKS, &INBOX_BYTES]), of(&[&ROUTER_DEGRADED]), of(&[&UPLINKS_LOST])];
            assert_eq!((found, count), (left, left_out), "{first:?} {then:?}");
        }
    }

    #[test]
    fn numbers_of_64_bits_that_follow_each_other_differ() {
        // As terms are: milliseconds since 1970, shifted by 20 bits, and a count.
        let term = 1_795_427_000_123 << 20;
        assert_eq!(term as f64, (term + 1) as f64, "a float can't tell them apart");
        let shown = |number| {
            let mut samples = Samples::default();
            samples.number(&UPLINKS_LOST, &[], number);
            samples.with_batch(&[], [0, 1], |batch| match batch.samples[0].value {
                SampleValue::Gauge(value) => value,
                other => panic!("{other:?}"),
            })
        };
        assert_eq!(shown(term + 1) - shown(term), 1.0);
        assert_eq!(shown(term), shown(term));
        assert_eq!((shown(7), shown(u64::MAX)), (7.0, EXACT as f64));
    }

    #[test]
    #[should_panic(expected = "are not the labels that the catalogue says")]
    fn labels_that_are_not_in_the_catalogue_fail_every_test_that_counts() {
        Samples::default().counter(&PICKS, &[("service", "a.b.c")], 1);
    }
}
