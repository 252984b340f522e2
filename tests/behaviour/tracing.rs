//! Spans of calls, as a collector gets them: decoded by OpenTelemetry's own types.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;
use skymesh_agent::Agent;
use skymesh_rpc::{Code, Methods, Request, Response, Rest, Rpc, Status, TraceParent};
use skymesh_telemetry::TraceConfig;
use skymesh_tests::{Mesh, SOON, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A collector that takes everything. Spans with the service name of their process.
#[derive(Clone)]
struct Collector {
    endpoint: String,
    spans: Arc<Mutex<Vec<(String, Span)>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let collector = Self { endpoint, spans: Arc::default() };
        let shared = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                tokio::spawn(async move { shared.serve(stream).await });
            }
        });
        collector
    }

    /// Requests of one connection, until it is closed.
    async fn serve(&self, mut stream: TcpStream) -> Option<()> {
        let mut got = Vec::new();
        loop {
            let end = loop {
                if let Some(end) = got.windows(4).position(|end| end == b"\r\n\r\n") {
                    break end;
                }
                (stream.read_buf(&mut got).await.ok()? > 0).then_some(())?;
            };
            let head = String::from_utf8(got.drain(..end + 4).collect()).unwrap().to_lowercase();
            assert!(head.starts_with("post /v1/traces http/1.1\r\n"), "{head}");
            assert!(head.contains("\r\ncontent-type: application/x-protobuf\r\n"), "{head}");
            let (_, length) = head.split_once("\r\ncontent-length: ").unwrap();
            let length: usize = length.split("\r\n").next().unwrap().parse().unwrap();
            while got.len() < length {
                (stream.read_buf(&mut got).await.ok()? > 0).then_some(())?;
            }
            let body: Vec<u8> = got.drain(..length).collect();
            self.note(ExportTraceServiceRequest::decode(&body[..]).unwrap());
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.ok()?;
        }
    }

    fn note(&self, request: ExportTraceServiceRequest) {
        for of_process in request.resource_spans {
            let attributes = of_process.resource.unwrap().attributes;
            let name = attributes.iter().find(|one| one.key == "service.name").unwrap();
            let Some(Value::StringValue(name)) = name.value.clone().unwrap().value else {
                panic!("{attributes:?}")
            };
            let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let named = spans.map(|span| (name.clone(), span));
            self.spans.lock().unwrap().extend(named);
        }
    }

    /// Waits until there are so many.
    async fn spans(&self, count: usize) -> Vec<(String, Span)> {
        let there = async {
            loop {
                let spans = self.spans.lock().unwrap().clone();
                if spans.len() >= count {
                    return spans;
                }
                tokio::task::yield_now().await;
            }
        };
        within(SOON, there).await
    }

    /// An agent that sends its spans here, as process `name`.
    async fn agent(&self, mesh: &Mesh, name: &str) -> Agent {
        let table = json!({ "endpoint": self.endpoint, "service_name": name });
        let config = TraceConfig {
            plugin: Some("otlp".to_owned()),
            interval: std::time::Duration::from_millis(10),
            config: table.as_object().unwrap().clone(),
            ..TraceConfig::default()
        };
        mesh.builder().trace(config).connect().await.unwrap()
    }
}

async fn caller(agent: &Agent, url: &str) -> (Rpc, Rest) {
    let (instance, inbox) = agent.register(url).await.unwrap();
    Rpc::attach(instance, inbox)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
    let by_id: BTreeMap<Vec<u8>, &(String, Span)> =
        spans.iter().map(|named| (named.1.span_id.clone(), named)).collect();
    let line = |(process, span): &(String, Span)| {
        let parent = by_id.get(&span.parent_span_id).map(|(_, parent)| parent);
        let of = parent.map_or("-".to_owned(), |parent| format!("{}/{}", parent.name, parent.kind));
        format!("{process} {}/{} of {of}", span.name, span.kind)
    };
    let mut tree: Vec<String> = spans.iter().map(line).collect();
    tree.sort();
    // Kinds: 2 serves, 3 calls.
    let expected = [
        "back answer/2 of answer/3",
        "client ask/3 of -",
        "front answer/3 of ask/2",
        "front ask/2 of ask/3",
    ];
    assert_eq!(tree, expected);
    let trace = &spans[0].1.trace_id;
    assert!(trace.len() == 16 && spans.iter().all(|(_, span)| span.trace_id == *trace));
    for (_, span) in &spans {
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano && span.status.is_none());
        let parent = by_id.get(&span.parent_span_id);
        assert!(
            parent.is_none_or(|parent| parent.1.start_time_unix_nano <= span.start_time_unix_nano)
        );
        let method = span.attributes.iter().find(|one| one.key == "rpc.method").unwrap();
        let value = method.value.clone().unwrap().value;
        assert_eq!(value, Some(Value::StringValue(span.name.clone())));
    }
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
    let error = within(SOON, client.call("app.test.front", request)).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);

    let spans = collector.spans(2).await;
    for (_, span) in &spans {
        assert_eq!(hex(&span.trace_id), "0af7651916cd43dd8448eb211c80319c");
        let status = span.status.clone().unwrap();
        assert!(status.code == 2 && status.message.contains("nothing was asked"), "{status:?}");
    }
    let served = spans.iter().find(|(_, span)| span.kind == 2).unwrap();
    assert_eq!(hex(&served.1.parent_span_id), "b7ad6b7169203331");

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
    assert_eq!(collector.spans.lock().unwrap().len(), 2);
}
