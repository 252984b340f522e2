//! An OTLP collector over HTTP, decoded by OpenTelemetry's own types.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::json;
use skymesh_agent::Agent;
use skymesh_telemetry::TraceConfig;
use skymesh_tests::{Mesh, SOON, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A span, and the service name of its process.
#[derive(Debug, Clone)]
pub(super) struct Taken {
    pub(super) process: String,
    pub(super) span: Span,
}

impl Taken {
    pub(super) fn kind(&self) -> &'static str {
        ["unspecified", "internal", "server", "client", "producer", "consumer"]
            [self.span.kind as usize]
    }

    /// What it says why it failed; `None` if it did not.
    pub(super) fn failure(&self) -> Option<&str> {
        let status = self.span.status.as_ref().filter(|status| status.code != 0)?;
        assert_eq!(status.code, 2, "nobody says of a span that it is fine");
        Some(&status.message)
    }

    /// An attribute that is text.
    pub(super) fn text(&self, key: &str) -> &str {
        let found = self.span.attributes.iter().find(|one| one.key == key);
        let value = found.and_then(|found| found.value.as_ref()?.value.as_ref());
        let Some(Value::StringValue(text)) = value else { panic!("no text {key}: {self:?}") };
        text
    }
}

/// A collector that takes everything, while it is open.
#[derive(Clone)]
pub(super) struct Collector {
    pub(super) endpoint: String,
    spans: watch::Sender<Vec<Taken>>,
    shut: Arc<AtomicBool>,
}

impl Collector {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let collector = Self { endpoint, spans: watch::Sender::default(), shut: Arc::default() };
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
            let answer = if self.shut.load(Relaxed) {
                "503 Service Unavailable\r\nRetry-After: 1"
            } else {
                self.note(ExportTraceServiceRequest::decode(&body[..]).unwrap());
                "200 OK"
            };
            let answer = format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.ok()?;
        }
    }

    /// While it is shut it takes nothing, and says to come again in a second.
    pub(super) fn shut(&self, shut: bool) {
        self.shut.store(shut, Relaxed);
    }

    fn note(&self, request: ExportTraceServiceRequest) {
        for of_process in request.resource_spans {
            let attributes = of_process.resource.unwrap().attributes;
            let name = attributes.iter().find(|one| one.key == "service.name").unwrap();
            let Some(Value::StringValue(name)) = name.value.clone().unwrap().value else {
                panic!("{attributes:?}")
            };
            let spans = of_process.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let named = spans.map(|span| Taken { process: name.clone(), span });
            self.spans.send_modify(|all| all.extend(named));
        }
    }

    /// Waits until there are so many; answers all that there are.
    pub(super) async fn spans(&self, count: usize) -> Vec<Taken> {
        within(SOON, self.has(count)).await;
        self.now()
    }

    /// Waits until there are so many.
    pub(super) async fn has(&self, count: usize) {
        let mut spans = self.spans.subscribe();
        spans.wait_for(|spans| spans.len() >= count).await.unwrap();
    }

    /// What is there now.
    pub(super) fn now(&self) -> Vec<Taken> {
        self.spans.borrow().clone()
    }

    /// For a process `name` that sends its spans here.
    pub(super) fn config(&self, name: &str) -> TraceConfig {
        let table = json!({ "endpoint": self.endpoint, "service_name": name });
        TraceConfig {
            plugin: Some("otlp".to_owned()),
            interval: std::time::Duration::from_millis(10),
            config: table.as_object().unwrap().clone(),
            ..TraceConfig::default()
        }
    }

    /// An agent that sends its spans here, as process `name`.
    pub(super) async fn agent(&self, mesh: &Mesh, name: &str) -> Agent {
        mesh.builder().trace(self.config(name)).connect().await.unwrap()
    }
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
