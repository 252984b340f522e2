//! Spans of calls, as a collector gets them: decoded by OpenTelemetry's own types. Here of agents in this
//! process; of processes of their own in `tracing/processes.rs`.

mod catalogue;
mod collector;
mod endings;
mod grpc;
mod processes;
mod refused;
mod reload;

use std::collections::BTreeMap;

use collector::{Collector, Taken, hex};
use skymesh_agent::Agent;
use skymesh_rpc::{Code, Methods, Request, Response, Rest, Rpc, Status, TraceParent};
use skymesh_tests::{Mesh, SOON, within};

async fn caller(agent: &Agent, url: &str) -> (Rpc, Rest) {
    let (instance, inbox) = agent.register(url).await.unwrap();
    Rpc::attach(instance, inbox)
}

/// A front and a back with an agent each; the front's handler calls the back.
async fn chain(agents: [&Agent; 2]) -> [(Rpc, Rest); 3] {
    let (calls, rest) = caller(agents[0], "app.test.front_caller/1").await;
    let onward = calls.clone();
    let ask = Methods::new().method("ask", move |request: Request| {
        let onward = onward.clone();
        async move {
            // Nothing of the trace is said here, and waiting in between does not lose it.
            tokio::task::yield_now().await;
            onward.call("app.test.back", Request::new("answer", request.into_payload())).await
        }
    });
    let (front, inbox) = agents[0].register("app.test.front/1").await.unwrap();
    let front = Rpc::builder(front, inbox).serve(ask).attach();
    let answer = Methods::new().method("answer", |request: Request| async move {
        match request.payload().is_empty() {
            true => Err(Status::not_found("nothing was asked")),
            false => Ok(Response::new(request.into_payload())),
        }
    });
    let (back, inbox) = agents[1].register("app.test.back/1").await.unwrap();
    let back = Rpc::builder(back, inbox).serve(answer).attach();
    [front, back, (calls, rest)]
}

#[tokio::test]
async fn a_call_across_three_processes_is_one_tree() {
    let mesh = Mesh::start().await;
    let collector = Collector::start().await;
    let client_agent = collector.agent(&mesh, "client").await;
    let (front_agent, back_agent) =
        (collector.agent(&mesh, "front").await, collector.agent(&mesh, "back").await);
    let _servers = chain([&front_agent, &back_agent]).await;
    let (client, _rest) = caller(&client_agent, "app.test.client/1").await;
    let call = client.call("app.test.front", Request::new("ask", "why"));
    assert_eq!(within(SOON, call).await.unwrap().payload(), "why");

    let spans = collector.spans(4).await;
    let expected = [
        "back answer server of answer client",
        "client ask client of -",
        "front answer client of ask server",
        "front ask server of ask client",
    ];
    assert_eq!(trees(&spans), [expected]);
    assert!(spans.iter().all(|span| span.failure().is_none()), "{spans:?}");
}

/// Each trace's spans with their parents, in order. Checks what holds of any tree: one root or
/// one foreign parent, and each span within its parent's time.
fn trees(spans: &[Taken]) -> Vec<Vec<String>> {
    let mut traces: BTreeMap<&[u8], Vec<&Taken>> = BTreeMap::new();
    spans.iter().for_each(|span| traces.entry(&span.span.trace_id).or_default().push(span));
    let mut trees: Vec<Vec<String>> = traces.values().map(|spans| tree(spans)).collect();
    trees.sort();
    trees
}

fn tree(spans: &[&Taken]) -> Vec<String> {
    let by_id: BTreeMap<&[u8], &Taken> =
        spans.iter().map(|one| (one.span.span_id.as_slice(), *one)).collect();
    assert_eq!(by_id.len(), spans.len(), "an id came twice");
    let outside: Vec<_> = spans
        .iter()
        .filter(|one| !by_id.contains_key(one.span.parent_span_id.as_slice()))
        .collect();
    assert_eq!(outside.len(), 1, "one tree has one root: {outside:?}");
    let line = |one: &&Taken| {
        let (span, kind) = (&one.span, one.kind());
        assert!(
            span.trace_id.len() == 16
                && span.span_id.len() == 8
                && span.name == one.text("rpc.method")
        );
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        let Some(parent) = by_id.get(span.parent_span_id.as_slice()) else {
            return format!("{} {} {kind} of -", one.process, span.name);
        };
        let whole = parent.span.start_time_unix_nano..=parent.span.end_time_unix_nano;
        let within = whole.contains(&span.start_time_unix_nano)
            && (kind == "consumer" || whole.contains(&span.end_time_unix_nano));
        assert!(within, "{one:?} within {parent:?}");
        format!("{} {} {kind} of {} {}", one.process, span.name, parent.span.name, parent.kind())
    };
    let mut lines: Vec<String> = spans.iter().map(line).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn failures_and_a_trace_from_outside_show() {
    let mesh = Mesh::start().await;
    let collector = Collector::start().await;
    let agent = collector.agent(&mesh, "front").await;
    // The back has no trace plugin: what travels through it stays whole.
    let back = mesh.agent().await;
    let _servers = chain([&agent, &back]).await;
    let (client, _rest) = caller(&mesh.agent().await, "app.test.client/1").await;
    let parent: TraceParent =
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
    let mut request = Request::new("ask", "");
    request.metadata_mut().set_trace_parent(Some(parent));
    request.metadata_mut().set_trace_state("vendor=a1").unwrap();
    let error = within(SOON, client.call("app.test.front", request)).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);

    let spans = collector.spans(2).await;
    for one in &spans {
        assert_eq!(hex(&one.span.trace_id), "0af7651916cd43dd8448eb211c80319c");
        // The handler's own call says nothing of it.
        assert_eq!(one.span.trace_state, "vendor=a1");
        assert!(one.failure().unwrap().contains("nothing was asked"), "{one:?}");
        assert_eq!(one.text("rpc.response.status_code"), "NOT_FOUND");
    }
    let served = spans.iter().find(|one| one.kind() == "server").unwrap();
    assert_eq!(hex(&served.span.parent_span_id), "b7ad6b7169203331");

    // What its maker does not record is not recorded here either.
    let mut unsampled = Request::new("ask", "why");
    unsampled.metadata_mut().set_trace_parent(Some(TraceParent { flags: 0, ..parent }));
    within(SOON, client.call("app.test.front", unsampled)).await.unwrap();
    within(SOON, client.call("app.test.front", Request::new("ask", "why"))).await.unwrap();
    let spans = collector.spans(4).await;
    assert_eq!(spans.len(), 4, "two of the failed call, two of the last one: {spans:?}");
}

#[tokio::test]
async fn what_is_left_is_sent_when_the_agent_stops() {
    let mesh = Mesh::start().await;
    let collector = Collector::start().await;
    let agent = collector.agent(&mesh, "client").await;
    let (client, _rest) = caller(&agent, "app.test.client/1").await;
    let call = client.call("app.test.client/1", Request::new("nothing", ""));
    assert!(within(SOON, call).await.is_err());
    within(SOON, agent.shutdown()).await;
    assert_eq!(collector.now().len(), 2);
}
