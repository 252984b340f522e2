//! Spans while their exporter is exchanged: none is lost, none comes twice.

use std::collections::BTreeSet;
use std::time::Duration;

use skymesh_agent::config::{AgentConfig, ServicesConfig};
use skymesh_agent::{Agent, FreshConfig, ReloadOutcome};
use skymesh_plugin_host::PluginsConfig;
use skymesh_rpc::{Methods, Request, Response, Rpc, Status};
use skymesh_telemetry::TraceConfig;
use skymesh_tests::{Mesh, SOON, within};

use super::collector::Collector;

async fn reload(agent: &Agent, trace: TraceConfig) -> Vec<String> {
    let (config, services) = (AgentConfig::default(), ServicesConfig::default());
    let fresh = FreshConfig::new(config, services, PluginsConfig::default()).trace(trace);
    let reload = within(SOON, agent.reload_with(fresh)).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    assert!(reload.faults.is_empty(), "{reload}");
    reload.changed.iter().map(ToString::to_string).collect()
}

/// Calls itself, which makes two spans.
async fn call(rpc: &Rpc) {
    let call = rpc.call("app.test.echo/1", Request::new("echo", "why"));
    within(SOON, call).await.unwrap();
}

#[tokio::test]
async fn no_span_is_lost_or_doubled_while_exporters_are_exchanged() {
    let mesh = Mesh::start().await;
    let collector = Collector::start().await;
    let agent = mesh.builder().trace(collector.config("0")).connect().await.unwrap();
    let (instance, inbox) = agent.register("app.test.echo/1").await.unwrap();
    let echo = Methods::new().method("echo", |request: Request| async move {
        Ok::<_, Status>(Response::new(request.into_payload()))
    });
    let (rpc, _rest) = Rpc::builder(instance, inbox).serve(echo).attach();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let calling = tokio::spawn({
        let (rpc, collector) = (rpc.clone(), collector.clone());
        async move {
            let mut calls = 0usize;
            while stopped.try_recv().is_err() {
                call(&rpc).await;
                calls += 1;
                // Within what queues and last words hold, however busy the machine is.
                within(SOON, collector.has((2 * calls).saturating_sub(1000))).await;
            }
            calls
        }
    });
    for turn in 1..=10 {
        let changed = reload(&agent, collector.config(&turn.to_string())).await;
        let line = |line: &String| line.starts_with("trace sink: skymesh_trace_otlp/otlp ");
        assert!(changed.iter().any(line), "{changed:?}");
    }
    // Settings alone exchange nothing.
    let slower =
        TraceConfig { queue: 9000, interval: Duration::from_millis(20), ..collector.config("10") };
    let changed = reload(&agent, slower).await;
    assert_eq!(changed, ["trace.interval: \"10ms\" -> \"20ms\"", "trace.queue: 8192 -> 9000"]);
    stop.send(()).unwrap();
    let calls: usize = within(SOON, calling).await.unwrap();
    assert!(calls > 0);
    collector.spans(2 * calls).await;

    // Off: no spans are made. On again: they are. What is not sampled is not recorded.
    reload(&agent, TraceConfig::default()).await;
    assert!(!rpc.instance().tracer().is_on());
    call(&rpc).await;
    reload(&agent, collector.config("on")).await;
    call(&rpc).await;
    collector.spans(2 * calls + 2).await;
    reload(&agent, TraceConfig { sample: 0.0, ..collector.config("on") }).await;
    call(&rpc).await;
    within(SOON, agent.shutdown()).await;

    let spans = collector.now();
    let ids: BTreeSet<Vec<u8>> = spans.iter().map(|one| one.span.span_id.clone()).collect();
    assert_eq!((spans.len(), ids.len()), (2 * calls + 2, 2 * calls + 2));
    let processes: BTreeSet<&str> = spans.iter().map(|one| one.process.as_str()).collect();
    assert!(processes.contains("on") && processes.len() > 2, "{processes:?}");
    assert_eq!(rpc.instance().tracer().dropped(), 0);
}
