//! `log`: what has changed since the last flush, one line of the log each. For development, and for
//! places without anything that scrapes. Not for dashboards.
//!
//! # What is logged
//! At level `info`, under the target `skymesh_metrics_log`:
//!
//! ```text
//! skymesh_messages_total{service="game.test.room",direction="sent"} 1200 (+35)
//! skymesh_inbox_bytes{service="game.test.room",instance="1"} 64
//! skymesh_call_duration_seconds{service="game.test.room"} 500 (+20) mean 0.0012 p50 <= 0.001 p99 <= 0.01
//! ```
//!
//! Counters and distributions that did not move, and gauges that are what they were, are not said.
//! Quantiles are those of all values since the start, as exact as the buckets.
//!
//! # Cost
//! One line per series that moved, and the last value of each series in memory, about 150 bytes.
//!
//! # Configuration
//! See [`LogConfig`].

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use skymesh_plugin_api::{
    Histogram, Metrics, MetricsBatch, PluginError, Sample, SampleValue, export_plugin, tracing,
};

/// For tools, and for the check before the constructor runs.
const SCHEMA: &str = r#"{
  "type": "object",
  "additionalProperties": false,
  "properties": {
    "prefix": {
      "description": "only metrics whose name begins so are logged",
      "type": "string", "default": ""
    }
  }
}"#;

/// The plugin's table in the config file.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// Default empty: only metrics whose name begins so are logged, such as `skymesh_messages`.
    pub prefix: String,
}

/// The sink; see the crate's documentation.
#[derive(Debug)]
pub struct Log {
    prefix: String,
    /// What each series was at the last flush.
    last: Mutex<HashMap<String, f64>>,
}

impl Metrics for Log {
    const ID: &'static str = "log";
    const DESCRIPTION: &'static str = "what has changed, one line of the log each";
    const CONFIG_SCHEMA: &'static str = SCHEMA;
    type Config = LogConfig;

    fn new(config: LogConfig) -> Result<Self, PluginError> {
        Ok(Self { prefix: config.prefix, last: Mutex::default() })
    }

    fn flush(&self, batch: &MetricsBatch<'_>) -> Result<(), PluginError> {
        for line in self.lines(batch) {
            tracing::info!(target: "skymesh_metrics_log", "{line}");
        }
        Ok(())
    }
}

impl Log {
    fn lines(&self, batch: &MetricsBatch<'_>) -> Vec<String> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        // Series that are gone are forgotten, else they would add up.
        let mut now = HashMap::with_capacity(batch.samples.len());
        let mut lines = Vec::new();
        for sample in batch.samples.iter().filter(|one| one.name.starts_with(&self.prefix)) {
            let series = series(sample);
            let (value, moves) = match sample.value {
                SampleValue::Counter(count) => (count as f64, true),
                SampleValue::Histogram(all) => (all.count as f64, true),
                SampleValue::Gauge(value) => (value, false),
                _ => continue,
            };
            let before = last.get(&series).copied();
            // A counter that begins at 0 is no news; a gauge is.
            let is_news =
                if moves { value != before.unwrap_or(0.0) } else { before != Some(value) };
            if is_news {
                let mut line = format!("{series} {value}");
                if moves {
                    let _ = write!(line, " (+{})", value - before.unwrap_or(0.0));
                }
                if let SampleValue::Histogram(all) = sample.value {
                    describe(&mut line, &all);
                }
                lines.push(line);
            }
            now.insert(series, value);
        }
        *last = now;
        lines
    }
}

fn series(sample: &Sample<'_>) -> String {
    let mut text = sample.name.to_owned();
    for (at, label) in sample.labels.iter().enumerate() {
        let _ = write!(text, "{}{}={:?}", if at == 0 { '{' } else { ',' }, label.key, label.value);
    }
    if !sample.labels.is_empty() {
        text.push('}');
    }
    text
}

fn describe(line: &mut String, all: &Histogram<'_>) {
    let _ = write!(line, " mean {:.6}", all.sum / all.count.max(1) as f64);
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let wanted = all.count as f64 * share;
        let mut reached = 0.0;
        let bound = all.buckets.iter().find(|bucket| {
            reached += bucket.count as f64;
            reached >= wanted
        });
        let _ = match (bound, all.buckets.last()) {
            (Some(bucket), _) => write!(line, " {name} <= {}", bucket.upper_bound),
            (None, Some(last)) => write!(line, " {name} > {}", last.upper_bound),
            (None, None) => Ok(()),
        };
    }
}

export_plugin! { metrics: [Log] }

#[cfg(test)]
mod tests {
    use skymesh_plugin_api::{Bucket, Label, conformance};

    use super::*;

    fn flush(log: &Log, samples: &[(&str, SampleValue<'_>)]) -> Vec<String> {
        let labels = [Label { key: "service", value: "a.\"b\"" }];
        let samples: Vec<Sample<'_>> = samples
            .iter()
            .map(|(name, value)| Sample {
                name,
                help: "",
                unit: "",
                labels: &labels,
                value: *value,
            })
            .collect();
        log.lines(&MetricsBatch {
            samples: &samples,
            resource: &[],
            unix_ns: 1,
            started_unix_ns: 0,
        })
    }

    #[test]
    fn keeps_the_contract() {
        conformance::metrics_with::<Log>("{}");
        conformance::metrics_with::<Log>(r#"{"prefix": "no"}"#);
    }

    #[test]
    fn only_what_moved_is_said() {
        let log = Log::new(LogConfig { prefix: "my_".to_owned() }).unwrap();
        let (count, depth) = (SampleValue::Counter, SampleValue::Gauge);
        let first = flush(
            &log,
            &[("my_a", count(0)), ("my_b", count(5)), ("my_c", depth(0.0)), ("d", count(1))],
        );
        assert_eq!(first, [r#"my_b{service="a.\"b\""} 5 (+5)"#, r#"my_c{service="a.\"b\""} 0"#]);
        let second = flush(&log, &[("my_a", count(0)), ("my_b", count(7)), ("my_c", depth(0.0))]);
        assert_eq!(second, [r#"my_b{service="a.\"b\""} 7 (+2)"#]);
        assert_eq!(flush(&log, &[]), Vec::<String>::new());
        assert_eq!(log.last.lock().unwrap().len(), 0, "series that are gone are forgotten");
    }

    #[test]
    fn a_distribution_is_said_in_a_line() {
        let log = Log::new(LogConfig::default()).unwrap();
        let buckets =
            [Bucket { upper_bound: 0.1, count: 60 }, Bucket { upper_bound: 1.0, count: 30 }];
        let all = Histogram { count: 100, sum: 50.0, buckets: &buckets };
        let lines = flush(&log, &[("took", SampleValue::Histogram(all))]);
        assert_eq!(
            lines,
            [r#"took{service="a.\"b\""} 100 (+100) mean 0.500000 p50 <= 0.1 p99 > 1"#]
        );
    }
}
