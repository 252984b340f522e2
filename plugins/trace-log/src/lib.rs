//! `log`: one line of the log per finished span. For development; not for looking at trees of spans.
//!
//! # What is logged
//! At level `info`, under the target `skymesh_trace_log`, in the order in which spans ended:
//!
//! ```text
//! echo client 1.204ms trace 0af7651916cd43dd8448eb211c80319c span b7ad6b7169203331 parent - rpc.method=echo
//! echo server 0.310ms trace 0af7651916cd43dd8448eb211c80319c span 00f067aa0ba902b7 parent b7ad6b7169203331 FAILED no such room
//! ```
//!
//! # Configuration
//! None.

use std::fmt::Write;

use skymesh_plugin_api::{
    AttributeValue, NoConfig, PluginError, Span, SpanKind, SpanStatus, Trace, TraceBatch,
    export_plugin, tracing,
};

/// The exporter; see the crate's documentation.
#[derive(Debug)]
pub struct Log;

impl Trace for Log {
    const ID: &'static str = "log";
    const DESCRIPTION: &'static str = "one line of the log per span";
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Ok(Self)
    }

    fn export(&self, batch: &TraceBatch<'_>) -> Result<(), PluginError> {
        for span in batch.spans {
            tracing::info!(target: "skymesh_trace_log", "{}", line(span));
        }
        if batch.dropped > 0 {
            tracing::warn!(target: "skymesh_trace_log", "{} spans were dropped", batch.dropped);
        }
        Ok(())
    }
}

fn line(span: &Span<'_>) -> String {
    let kind = match span.kind {
        SpanKind::Server => "server",
        SpanKind::Client => "client",
        SpanKind::Producer => "producer",
        SpanKind::Consumer => "consumer",
        _ => "internal",
    };
    let took_ms = span.end_unix_ns.saturating_sub(span.start_unix_ns) as f64 / 1e6;
    let mut line = format!("{} {kind} {took_ms:.3}ms trace ", span.name);
    for byte in span.trace_id {
        let _ = write!(line, "{byte:02x}");
    }
    let _ = write!(line, " span {:016x} parent ", span.span_id);
    let _ = match span.parent_id {
        0 => write!(line, "-"),
        parent => write!(line, "{parent:016x}"),
    };
    for attribute in span.attributes {
        let _ = match attribute.value {
            AttributeValue::Text(text) => write!(line, " {}={text}", attribute.key),
            AttributeValue::Integer(number) => write!(line, " {}={number}", attribute.key),
            AttributeValue::Number(number) => write!(line, " {}={number}", attribute.key),
            AttributeValue::Boolean(yes) => write!(line, " {}={yes}", attribute.key),
            _ => Ok(()),
        };
    }
    if let SpanStatus::Error(message) = span.status {
        let _ = write!(line, " FAILED {message}");
    }
    line
}

export_plugin! { traces: [Log] }

#[cfg(test)]
mod tests {
    use skymesh_plugin_api::{Attribute, conformance};

    use super::*;

    #[test]
    fn keeps_the_contract() {
        conformance::trace_with::<Log>("{}");
    }

    #[test]
    fn a_span_is_a_line() {
        let attributes = [
            Attribute { key: "rpc.method", value: AttributeValue::Text("echo") },
            Attribute { key: "n", value: AttributeValue::Integer(-1) },
        ];
        let span = Span {
            trace_id: *b"\x0a\xf7\x65\x19\x16\xcd\x43\xdd\x84\x48\xeb\x21\x1c\x80\x31\x9c",
            span_id: 0xb7ad_6b71_6920_3331,
            parent_id: 0,
            trace_flags: 1,
            trace_state: "",
            name: "echo",
            kind: SpanKind::Client,
            start_unix_ns: 1_000_000,
            end_unix_ns: 2_204_000,
            status: SpanStatus::Unset,
            attributes: &attributes,
            events: &[],
        };
        let head = "trace 0af7651916cd43dd8448eb211c80319c span b7ad6b7169203331 parent";
        assert_eq!(line(&span), format!("echo client 1.204ms {head} - rpc.method=echo n=-1"));
        let failed =
            Span { parent_id: 1, status: SpanStatus::Error("no"), attributes: &[], ..span };
        assert_eq!(line(&failed), format!("echo client 1.204ms {head} 0000000000000001 FAILED no"));
    }
}
