//! Calls between our instances and an agent of the origin, played frame by frame.

use std::time::Duration;

use bytes::Bytes;
use skymesh_proto::msg::Body;
use skymesh_proto::{AgentInfo, Info, Message, Msg};
use skymesh_rpc::v1::Packet;
use skymesh_rpc::{Code, Method, Methods, Processing, Request, Status};
use skymesh_tests::{Mesh, SOON, within};
use skymesh_types::Handle;
use skymesh_wire::{decode_msg, encode_msg};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::{SERVER, echo, serve};

const HANDLE: u64 = 0x0100_0012_3456_789a;

/// An agent as the origin's: it dials whom it sends to, and never reads from what it dialled.
struct Origin {
    listener: TcpListener,
    dialled: TcpStream,
    /// The connection that our agent dialled.
    accepted: Option<TcpStream>,
}

fn frame(msg: impl Into<Msg>) -> Vec<u8> {
    let mut out = Vec::new();
    encode_msg(&msg.into(), &mut out);
    out
}

impl Origin {
    async fn start(agent: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut dialled = TcpStream::connect(agent).await.unwrap();
        let server_address = listener.local_addr().unwrap().to_string();
        let info = AgentInfo { server_address, app: "app".to_owned(), ..AgentInfo::default() };
        dialled.write_all(&frame(info)).await.unwrap();
        Self { listener, dialled, accepted: None }
    }

    async fn send(&mut self, to: Handle, packet: &Packet) {
        let mut payload = Vec::new();
        packet.append(&mut payload).unwrap();
        let source =
            Info { service_name: "app.origin.client".to_owned(), instance: 101, handle: HANDLE };
        let message = Message {
            source: Some(source),
            destination: to.get(),
            payload: payload.into(),
            ..Message::default()
        };
        self.dialled.write_all(&frame(message)).await.unwrap();
    }

    /// The next call or answer of ours; what it does not know is skipped.
    async fn hears(&mut self) -> Packet {
        if self.accepted.is_none() {
            self.accepted = Some(within(SOON, self.listener.accept()).await.unwrap().0);
        }
        let stream = self.accepted.as_mut().unwrap();
        loop {
            let len = within(SOON, stream.read_u32()).await.unwrap();
            let mut body = vec![0; len as usize];
            within(SOON, stream.read_exact(&mut body)).await.unwrap();
            if let Some(Body::Message(message)) = decode_msg(body).unwrap().body {
                assert_eq!(message.destination, HANDLE);
                assert_eq!((message.kind, message.correlation), (0, 0), "v1 knows no envelope");
                return Packet::read(&message.payload).expect("the origin's layout");
            }
        }
    }
}

fn packet(method: Option<&'static str>, seq: u64, body: &'static [u8]) -> Packet {
    let body = Bytes::from_static(body);
    Packet { method: method.map(Method::from), seq, sent_micros: 1, body }
}

#[tokio::test]
async fn a_v1_peer_calls_notifies_and_is_called() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (told, mut heard) = mpsc::unbounded_channel();
    let methods = Methods::new()
        .method("SayHello", echo)
        .method("fail", |_| async { Err(Status::internal("v1 has no word for it")) })
        .method("tell", move |request: Request| {
            told.send(request.into_payload()).unwrap();
            async { Ok(Default::default()) }
        });
    let (server, _rest) = serve(&agent, SERVER, methods).await;
    let handle = server.instance().handle();
    let mut origin = Origin::start(agent.address()).await;

    origin.send(handle, &packet(Some("tell"), 0, b"one way")).await;
    assert_eq!(within(SOON, heard.recv()).await.unwrap(), "one way");
    origin.send(handle, &packet(Some("fail"), 6, b"")).await;
    origin.send(handle, &packet(Some("SayHello"), 7, b"\x0a\x03Bob")).await;
    let answer = origin.hears().await;
    assert_eq!((answer.method, answer.seq), (None, 7), "a failure is not answered");
    assert_eq!(&answer.body[..], b"\x0a\x03Bob");
    assert_eq!(server.counters().v1_failures_untold.get(), 1);

    let theirs = Handle::new(HANDLE).unwrap();
    let call = tokio::spawn(server.call(theirs, Request::new("Greet", "ping")));
    let asked = origin.hears().await;
    assert_eq!(asked.method.unwrap(), "Greet");
    assert_eq!(&asked.body[..], b"ping");
    // An answer to a call that was never made reaches nobody.
    origin.send(handle, &packet(None, asked.seq + (1 << 32), b"wrong")).await;
    origin.send(handle, &packet(None, asked.seq, b"pong")).await;
    assert_eq!(within(SOON, call).await.unwrap().unwrap().payload(), "pong");
    assert_eq!(server.counters().late_responses.get(), 1);

    server.notify(theirs, Request::new("Note", "")).await.unwrap();
    let noted = origin.hears().await;
    assert_eq!((noted.method.unwrap(), noted.seq), ("Note".into(), 0));
    for request in [Request::new("m".repeat(33), ""), Request::new("m", vec![0; 4096])] {
        let refused = server.call(theirs, request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert_eq!(refused.processing(), Processing::NotProcessed);
    }
}

#[tokio::test]
async fn answers_of_a_v1_peer_find_their_calls_in_any_order_and_none_waits_for_a_dead_peer() {
    const CALLS: usize = 64;
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (server, _rest) = serve(&agent, SERVER, Methods::new().method("echo", echo)).await;
    let handle = server.instance().handle();
    let mut origin = Origin::start(agent.address()).await;
    // It is known by its first call.
    origin.send(handle, &packet(Some("echo"), 1, b"")).await;
    origin.hears().await;
    let theirs = Handle::new(HANDLE).unwrap();
    let call = |payload: String| tokio::spawn(server.call(theirs, Request::new("Greet", payload)));
    let calls: Vec<_> = (0..CALLS).map(|number| call(number.to_string())).collect();
    let mut asked = Vec::new();
    for _ in 0..CALLS {
        asked.push(origin.hears().await);
    }
    let mut seqs: Vec<u64> = asked.iter().map(|packet| packet.seq).collect();
    seqs.sort_unstable();
    seqs.dedup();
    assert_eq!(seqs.len(), CALLS, "each call has a number of its own");
    while let Some(packet) = asked.pop() {
        let answer = Packet { method: None, ..packet };
        origin.send(handle, &answer).await;
    }
    for (number, call) in calls.into_iter().enumerate() {
        let answer = within(SOON, call).await.unwrap().unwrap();
        assert_eq!(answer.payload(), number.to_string().as_bytes());
    }
    // One that is silent: the caller's own deadline ends the call, as v1 has no word for any other end.
    let silent = Request::new("Greet", "").timeout(Duration::from_millis(50));
    let late = within(SOON, server.call(theirs, silent)).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    let open = call("the last".to_owned());
    while origin.hears().await.body != "the last" {}
    drop(origin);
    let lost = within(SOON, open).await.unwrap().unwrap_err();
    assert_eq!((lost.code(), lost.processing()), (Code::Unavailable, Processing::MaybeProcessed));
}
