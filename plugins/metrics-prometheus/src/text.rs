//! Samples to the text exposition format, version 0.0.4. Pure.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use skymesh_plugin_api::{Histogram, Label, MetricsBatch, Sample, SampleValue};

/// Series of one metric, in the order of their first.
struct Family<'a> {
    first: &'a Sample<'a>,
    samples: Vec<&'a Sample<'a>>,
}

/// The whole text.
pub(crate) fn of(batch: &MetricsBatch<'_>) -> String {
    let mut text = String::with_capacity(128 * (batch.samples.len() + 2));
    let info = Sample {
        name: "target_info",
        help: "What labels the whole process",
        unit: "",
        labels: batch.resource,
        value: SampleValue::Gauge(1.0),
    };
    let started = Sample {
        name: "process_start_time_seconds",
        help: "Since when the counters count, in seconds since 1970",
        labels: &[],
        value: SampleValue::Gauge(batch.started_unix_ns as f64 / 1e9),
        ..info
    };
    let mut families: Vec<Family<'_>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for sample in [&info, &started].into_iter().chain(batch.samples) {
        let place = *places.entry(metric_name(sample.name)).or_insert(families.len());
        match families.get_mut(place) {
            // A metric is of one kind; what is of another would make the text invalid.
            Some(family) if kind(family.first) == kind(sample) => family.samples.push(sample),
            Some(_) => {}
            None => families.push(Family { first: sample, samples: vec![sample] }),
        }
    }
    for family in families {
        family.write(&mut text);
    }
    text
}

fn kind(sample: &Sample<'_>) -> &'static str {
    match sample.value {
        SampleValue::Counter(_) => "counter",
        SampleValue::Gauge(_) => "gauge",
        SampleValue::Histogram(_) => "histogram",
        _ => "untyped",
    }
}

impl Family<'_> {
    fn write(&self, text: &mut String) {
        let name = metric_name(self.first.name);
        let _ = writeln!(text, "# HELP {name} {}", escaped(self.first.help, false));
        let _ = writeln!(text, "# TYPE {name} {}", kind(self.first));
        let mut seen = HashSet::new();
        for sample in &self.samples {
            let labels = labels(sample.labels, sample_needs_le(sample));
            if !seen.insert(labels.clone()) {
                continue;
            }
            match &sample.value {
                SampleValue::Counter(count) => {
                    line(text, &name, "", &labels, "", &count.to_string())
                }
                SampleValue::Gauge(value) => line(text, &name, "", &labels, "", &number(*value)),
                SampleValue::Histogram(all) => distribution(text, &name, &labels, all),
                _ => {}
            }
        }
    }
}

fn sample_needs_le(sample: &Sample<'_>) -> bool {
    matches!(sample.value, SampleValue::Histogram(_))
}

fn distribution(text: &mut String, name: &str, labels: &str, all: &Histogram<'_>) {
    let mut cumulative = 0u64;
    for bucket in all.buckets.iter().filter(|bucket| bucket.upper_bound.is_finite()) {
        cumulative = cumulative.saturating_add(bucket.count);
        let le = format!("le=\"{}\"", number(bucket.upper_bound));
        line(text, name, "_bucket", labels, &le, &cumulative.to_string());
    }
    // Values may have been recorded between the reads of the buckets and of the count.
    let count = all.count.max(cumulative).to_string();
    line(text, name, "_bucket", labels, "le=\"+Inf\"", &count);
    line(text, name, "_sum", labels, "", &number(all.sum));
    line(text, name, "_count", labels, "", &count);
}

fn line(text: &mut String, name: &str, suffix: &str, labels: &str, le: &str, value: &str) {
    let comma = if labels.is_empty() || le.is_empty() { "" } else { "," };
    let _ = match labels.is_empty() && le.is_empty() {
        true => writeln!(text, "{name}{suffix} {value}"),
        false => writeln!(text, "{name}{suffix}{{{labels}{comma}{le}}} {value}"),
    };
}

/// The labels without braces. A name that comes twice counts once; `le` is a distribution's own.
fn labels(labels: &[Label<'_>], without_le: bool) -> String {
    let mut names: Vec<String> = Vec::new();
    let mut text = String::new();
    for label in labels {
        let name = label_name(label.key);
        if names.contains(&name) || (without_le && name == "le") {
            continue;
        }
        let comma = if text.is_empty() { "" } else { "," };
        let _ = write!(text, "{comma}{name}=\"{}\"", escaped(label.value, true));
        names.push(name);
    }
    text
}

/// In label values a quotation mark is escaped too; in a help text it must not be.
fn escaped(text: &str, quoted: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quoted => out.push_str("\\\""),
            char => out.push(char),
        }
    }
    out
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
fn metric_name(name: &str) -> String {
    allowed(name, |char| char == ':')
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`; two underscores at the start are Prometheus's own.
fn label_name(name: &str) -> String {
    let name = allowed(name, |_| false);
    if name.starts_with("__") { format!("key{name}") } else { name }
}

fn allowed(name: &str, also: fn(char) -> bool) -> String {
    let fits = |char: char| char.is_ascii_alphanumeric() || char == '_' || also(char);
    let mut out: String = name.chars().map(|char| if fits(char) { char } else { '_' }).collect();
    if out.is_empty() || out.starts_with(|char: char| char.is_ascii_digit()) {
        out.insert(0, '_');
    }
    out
}

fn number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "+Inf".to_owned() } else { "-Inf".to_owned() }
    } else {
        value.to_string()
    }
}

#[cfg(test)]
mod tests {
    use skymesh_plugin_api::Bucket;

    use super::*;

    fn show(samples: &[Sample<'_>], resource: &[Label<'_>]) -> String {
        of(&MetricsBatch { samples, resource, unix_ns: 2, started_unix_ns: 1_500_000_000 })
    }

    fn sample<'a>(name: &'a str, labels: &'a [Label<'a>], value: SampleValue<'a>) -> Sample<'a> {
        Sample { name, help: "help", unit: "", labels, value }
    }

    #[test]
    fn a_whole_text() {
        let labels =
            [Label { key: "service", value: "a.b.c" }, Label { key: "rpc.kind", value: "" }];
        let buckets = [
            Bucket { upper_bound: 0.005, count: 3 },
            Bucket { upper_bound: 1.0, count: 1 },
            Bucket { upper_bound: f64::INFINITY, count: 9 },
        ];
        let all = Histogram { count: 6, sum: 7.25, buckets: &buckets };
        let samples = [
            sample("sent_total", &labels, SampleValue::Counter(u64::MAX)),
            sample("sent_total", &[], SampleValue::Counter(0)),
            sample("depth", &[], SampleValue::Gauge(-1.5)),
            sample("took_seconds", &labels[..1], SampleValue::Histogram(all)),
            sample(
                "took_seconds",
                &[],
                SampleValue::Histogram(Histogram { count: 0, sum: 0.0, buckets: &[] }),
            ),
        ];
        let expected = r#"# HELP target_info What labels the whole process
# TYPE target_info gauge
target_info{app="game"} 1
# HELP process_start_time_seconds Since when the counters count, in seconds since 1970
# TYPE process_start_time_seconds gauge
process_start_time_seconds 1.5
# HELP sent_total help
# TYPE sent_total counter
sent_total{service="a.b.c",rpc_kind=""} 18446744073709551615
sent_total 0
# HELP depth help
# TYPE depth gauge
depth -1.5
# HELP took_seconds help
# TYPE took_seconds histogram
took_seconds_bucket{service="a.b.c",le="0.005"} 3
took_seconds_bucket{service="a.b.c",le="1"} 4
took_seconds_bucket{service="a.b.c",le="+Inf"} 6
took_seconds_sum{service="a.b.c"} 7.25
took_seconds_count{service="a.b.c"} 6
took_seconds_bucket{le="+Inf"} 0
took_seconds_sum 0
took_seconds_count 0
"#;
        assert_eq!(show(&samples, &[Label { key: "app", value: "game" }]), expected);
    }

    #[test]
    fn what_must_be_escaped_is() {
        let labels = [Label { key: "a", value: "\"\\\n€" }];
        let one = Sample { help: "\"a\" \\ b\nc", ..sample("x", &labels, SampleValue::Gauge(0.0)) };
        let text = show(&[one], &[]);
        assert!(text.contains("\n# HELP x \"a\" \\\\ b\\nc\n"), "{text}");
        assert!(text.contains("\nx{a=\"\\\"\\\\\\n€\"} 0\n"), "{text}");
    }

    #[test]
    fn names_and_numbers_become_what_prometheus_takes() {
        let names = [("a.b-c", "a_b_c"), ("9x", "_9x"), ("", "_"), ("a:b", "a:b"), ("é", "_")];
        for (name, expected) in names {
            assert_eq!(metric_name(name), expected);
        }
        for (name, expected) in [("a:b", "a_b"), ("__x", "key__x"), ("_x", "_x")] {
            assert_eq!(label_name(name), expected);
        }
        let numbers = [
            (f64::NAN, "NaN"),
            (f64::INFINITY, "+Inf"),
            (f64::NEG_INFINITY, "-Inf"),
            (0.1, "0.1"),
            (1e21, "1000000000000000000000"),
        ];
        for (value, expected) in numbers {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn what_would_make_the_text_invalid_is_left_out() {
        let le = [
            Label { key: "le", value: "x" },
            Label { key: "a", value: "1" },
            Label { key: "a", value: "2" },
        ];
        let samples = [
            sample("x", &[], SampleValue::Counter(1)),
            sample(
                "y",
                &le,
                SampleValue::Histogram(Histogram { count: 1, sum: 0.5, buckets: &[] }),
            ),
            sample("x", &[], SampleValue::Counter(2)),
            sample("x", &le, SampleValue::Gauge(3.0)),
            sample("x", &le[1..], SampleValue::Counter(4)),
        ];
        let text = show(&samples, &[]);
        assert_eq!(text.matches("# TYPE x ").count(), 1, "{text}");
        assert!(text.contains("\nx 1\nx{a=\"1\"} 4\n"), "{text}");
        assert!(text.contains("\ny_count{a=\"1\"} 1\n") && !text.contains("le=\"x\""), "{text}");
    }

    #[test]
    fn a_count_that_lags_behind_its_buckets_is_corrected() {
        let buckets = [Bucket { upper_bound: 1.0, count: 5 }];
        let all = Histogram { count: 4, sum: 1.0, buckets: &buckets };
        let text = show(&[sample("x", &[], SampleValue::Histogram(all))], &[]);
        assert!(
            text.contains("x_bucket{le=\"+Inf\"} 5\n") && text.contains("x_count 5\n"),
            "{text}"
        );
    }
}
