//! Spans that the exporter has no room for: each is at the collector, or counted.

use std::collections::BTreeSet;

use serde_json::json;
use skymesh_rpc::Request;
use skymesh_tests::exposition::{Exposition, endpoint, scrape};
use skymesh_tests::scraping::{scraped, shown_at};
use skymesh_tests::{Mesh, SOON, within};

use super::caller;
use super::collector::Collector;

fn dropped(read: &Exposition) -> usize {
    read.value("skymesh_telemetry_spans_dropped_total", &[]).unwrap_or_default() as usize
}

#[tokio::test]
async fn what_a_full_exporter_refuses_is_counted() {
    let mesh = Mesh::start().await;
    let collector = Collector::start().await;
    let endpoint = endpoint();
    collector.shut(true);
    let mut trace = collector.config("client");
    // The least that there is: some hundred spans.
    trace.config.insert("queue_bytes".to_owned(), json!(65_536));
    let agent = shown_at(mesh.builder(), endpoint).trace(trace).connect().await.unwrap();
    let (rpc, _rest) = caller(&agent, "app.test.client/1").await;
    // Each call makes two spans, its own and the callee's, which has no such method.
    let calls = async {
        let mut calls = 0;
        loop {
            rpc.call("app.test.client/1", Request::new("nothing", "")).await.unwrap_err();
            calls += 1;
            if calls % 100 == 0
                && let Some(text) = scrape(endpoint).await
                && text.ends_with('\n')
                && dropped(&Exposition::read(&text)) > 0
            {
                return calls;
            }
        }
    };
    let made = 2 * within(3 * SOON, calls).await;
    collector.shut(false);
    // All that it took arrives, the rest is counted, and nothing is both.
    let seen = scraped(endpoint, |read| collector.now().len() + dropped(read) >= made).await;
    let spans = collector.now();
    let ids: BTreeSet<&[u8]> = spans.iter().map(|one| one.span.span_id.as_slice()).collect();
    assert_eq!((ids.len(), spans.len() + dropped(&seen)), (spans.len(), made));
    assert!(!spans.is_empty(), "the first batch is taken, however large it is");
    assert!(rpc.instance().tracer().is_on(), "a refusal is no failure");
    // The one that was full takes spans again.
    rpc.call("app.test.client/1", Request::new("nothing", "")).await.unwrap_err();
    collector.spans(spans.len() + 2).await;
    assert_eq!(rpc.instance().tracer().dropped() as usize, dropped(&seen));
}
