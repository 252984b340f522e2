//! What it costs to hand a batch to a metrics or trace sink: the host's thread waits for that, and no
//! message does. What the sink does later, by threads of its own, is not in it.

use std::hint::black_box;

use skymesh_plugin_api::{
    Attribute, AttributeValue, Bucket, Histogram, Label, MetricsBatch, Sample, SampleValue, Span,
    SpanKind, SpanStatus, TraceBatch,
};

use super::Effort;
use crate::command::strategy::Chosen;
use crate::failure::{Failure, failed};
use crate::table::Table;

/// 2024-01-01, in nanoseconds of Unix time.
const THEN_NS: u64 = 1_704_067_200_000_000_000;
/// How long the measured calls took.
const SPAN_NS: u64 = 1_500_000;

pub(super) fn metrics(chosen: &Chosen, sizes: &[u32], effort: Effort) -> Result<String, Failure> {
    let sink = chosen.host.metrics(&chosen.strategy).map_err(failed)?;
    let sink = sink.ok_or_else(|| failed("the metrics sink can't be had"))?;
    let mut table = Table::new(["SERIES", "PER BATCH", "PER SERIES"]);
    let resource = [Label { key: "app", value: "game" }];
    let buckets =
        [0.001, 0.01, 0.1, 1.0, f64::INFINITY].map(|upper_bound| Bucket { upper_bound, count: 20 });
    for size in sizes {
        let services: Vec<String> = (0..*size).map(|one| format!("game.prod.room{one}")).collect();
        let labels: Vec<[Label<'_>; 2]> = services
            .iter()
            .map(|one| [Label { key: "service", value: one }, Label { key: "to", value: "out" }])
            .collect();
        // Mostly counters, as an agent's are.
        let value = |at: usize, count: u64| match at % 8 {
            0 => SampleValue::Histogram(Histogram { count: 100, sum: 1.5, buckets: &buckets }),
            1 => SampleValue::Gauge(count as f64),
            _ => SampleValue::Counter(count),
        };
        let name = |at: usize| match at % 8 {
            0 => "skymesh_bench_seconds",
            1 => "skymesh_bench_depth",
            _ => "skymesh_bench_total",
        };
        let mut samples: Vec<Sample<'_>> = (0..labels.len())
            .map(|at| Sample {
                name: name(at),
                help: "for a benchmark",
                unit: "",
                labels: &labels[at],
                value: value(at, 0),
            })
            .collect();
        samples.sort_by_key(|sample| sample.name);
        let mut count = 0;
        let [batch] = effort.medians([&mut |calls| {
            (0..calls).for_each(|_| {
                count += 1;
                let counters = samples.iter_mut().map(|sample| &mut sample.value);
                for value in counters {
                    if let SampleValue::Counter(counter) = value {
                        *counter = count;
                    }
                }
                let (unix_ns, started_unix_ns) = (THEN_NS + count, THEN_NS);
                let batch = MetricsBatch {
                    samples: &samples,
                    resource: &resource,
                    unix_ns,
                    started_unix_ns,
                };
                black_box(sink.flush(black_box(&batch)));
            })
        }]);
        table.row(cells(*size, batch));
    }
    Ok(format!("{}{}", table.text(), told(sink.failures())))
}

pub(super) fn trace(chosen: &Chosen, sizes: &[u32], effort: Effort) -> Result<String, Failure> {
    let sink = chosen.host.trace(&chosen.strategy).map_err(failed)?;
    let sink = sink.ok_or_else(|| failed("the trace sink can't be had"))?;
    let mut table = Table::new(["SPANS", "PER BATCH", "PER SPAN"]);
    let attributes = [
        Attribute { key: "rpc.method", value: AttributeValue::Text("join") },
        Attribute { key: "skymesh.instance", value: AttributeValue::Integer(7) },
    ];
    for size in sizes {
        let span = |at: u64| Span {
            trace_id: (u128::from(at) + 1).to_be_bytes(),
            span_id: at + 1,
            parent_id: at,
            trace_flags: 1,
            trace_state: "",
            name: "game.prod.room/join",
            kind: SpanKind::Client,
            start_unix_ns: THEN_NS + at,
            end_unix_ns: THEN_NS + at + SPAN_NS,
            status: SpanStatus::Ok,
            attributes: &attributes,
            events: &[],
        };
        let spans: Vec<Span<'_>> = (0..u64::from(*size)).map(span).collect();
        let batch = TraceBatch { spans: &spans, resource: &attributes, dropped: 0 };
        let [cost] = effort.medians([&mut |calls| {
            (0..calls).for_each(|_| {
                black_box(sink.export(black_box(&batch)));
            })
        }]);
        table.row(cells(*size, cost));
    }
    Ok(format!("{}{}", table.text(), told(sink.failures())))
}

fn cells(size: u32, batch: f64) -> [String; 3] {
    let each = batch / f64::from(size.max(1));
    [size.to_string(), format!("{batch:.1}"), format!("{each:.1}")]
}

fn told(failures: u64) -> String {
    match failures {
        0 => String::new(),
        failures => {
            format!("  {failures} batches failed: what a failure costs is in the figures\n")
        }
    }
}
