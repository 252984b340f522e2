//! What the origin's gRPC programs said to each other, byte for byte, said to tonic over our virtual
//! connections: their client to our server, and their server to our client.

use skymesh_grpc::v1::{Command, Packet};
use skymesh_proto::msg::Body;
use skymesh_tests::v1::{V1Agent, V1Lines, captured, info};
use skymesh_tests::{Mesh, SOON, within};
use tonic::{Request, Response, Status};

use super::attach;

/// tonic's output for the service that the origin's example has.
#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic, clippy::str_to_string)]
#[rustfmt::skip]
mod helloworld {
    include!("../../../examples/grpc_helloworld/gen/helloworld.rs");
}

use helloworld::greeter_client::GreeterClient;
use helloworld::greeter_server::{Greeter, GreeterServer};
use helloworld::{HelloReply, HelloRequest};

const NAME: &str = "app.test.greeter";
const THEIRS: u64 = 0x0100_0012_3456_789a;

/// Who answers in the capture: the handle of instance 50051.
const SERVER: u64 = 72_058_139_974_987_807;

/// Frames of HTTP/2.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const END_STREAM: u8 = 1;

struct Host;

#[tonic::async_trait]
impl Greeter for Host {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let message = format!("Hello {}", request.into_inner().name);
        Ok(Response::new(HelloReply { message }))
    }
}

/// All packets between the client and that server: what it was told, and what it said.
fn packets() -> (Vec<Packet>, Vec<Packet>) {
    let (mut told, mut said) = (Vec::new(), Vec::new());
    for captured in captured("grpc.jsonl") {
        let Body::Message(message) = captured.body else { continue };
        let packet = Packet::read(&message.payload).expect("the origin's layout");
        if message.destination == SERVER {
            told.push(packet);
        } else if message.source.is_some_and(|source| source.handle == SERVER) {
            said.push(packet);
        }
    }
    (told, said)
}

/// The frames of a stream of HTTP/2, without the client's preface: kind, flags, content.
fn frames(stream: &[u8]) -> Vec<(u8, u8, &[u8])> {
    let mut rest = stream.strip_prefix(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap_or(stream);
    let mut frames = Vec::new();
    while let Some((head, tail)) = rest.split_at_checked(9) {
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((content, tail)) = tail.split_at_checked(length) else { break };
        frames.push((head[3], head[4], content));
        rest = tail;
    }
    frames
}

#[tokio::test]
async fn our_server_understands_the_origins_client_and_answers_what_its_server_did() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (grpc, incoming) = attach(&agent, "app.test.greeter/1").await;
    let server = tonic::transport::Server::builder().add_service(GreeterServer::new(Host));
    tokio::spawn(server.serve_with_incoming(incoming));
    let mut origin = V1Agent::start(&mesh.address().to_string(), "app").await;
    assert_eq!(origin.register("app.test.caller", 101, THEIRS).await, 0);
    let me = info("app.test.caller", 101, THEIRS);
    let mut lines = V1Lines::to(me, grpc.instance().handle(), agent.address()).await;
    let (told, said) = packets();
    for packet in &told {
        lines.send(packet.command, packet.connection, packet.seq, &packet.bytes).await;
    }
    let mut heard = Vec::new();
    let answered = |heard: &[u8]| {
        frames(heard).iter().any(|(kind, flags, _)| *kind == HEADERS && flags & END_STREAM != 0)
    };
    while !answered(&heard) {
        let packet = lines.hears(&origin).await;
        assert_eq!((packet.command, packet.connection), (Command::Data, told[0].connection));
        heard.extend_from_slice(&packet.bytes);
    }
    let answer = |stream: &[u8]| {
        let found = frames(stream).into_iter().find(|(kind, ..)| *kind == DATA);
        found.map(|(_, _, content)| content.to_vec())
    };
    let theirs: Vec<u8> = said.iter().flat_map(|packet| packet.bytes.to_vec()).collect();
    assert!(answer(&theirs).is_some_and(|bytes| bytes.ends_with(b"Hello world")));
    assert_eq!(answer(&heard), answer(&theirs));
}

#[tokio::test]
async fn our_client_understands_the_origins_server() {
    let mesh = Mesh::start().await;
    let mut origin = V1Agent::start(&mesh.address().to_string(), "app").await;
    assert_eq!(origin.register(NAME, 50051, THEIRS).await, 0);
    let agent = mesh.agent().await;
    let (grpc, _incoming) = attach(&agent, "app.test.client/1").await;
    let ours = grpc.instance().handle();
    let mut client = GreeterClient::new(grpc.channel(NAME).unwrap());
    let play = async {
        let me = info(NAME, 50051, THEIRS);
        let mut lines = V1Lines::to(me, ours, agent.address()).await;
        let connect = lines.hears(&origin).await;
        assert_eq!(connect.command, Command::Connect);
        let mut said = packets().1.into_iter();
        // It says its settings at once, and answers when it was asked.
        for packet in said.by_ref().take(2) {
            lines.send(packet.command, connect.connection, packet.seq, &packet.bytes).await;
        }
        let mut heard = Vec::new();
        while !frames(&heard).iter().any(|(kind, ..)| *kind == HEADERS) {
            heard.extend_from_slice(&lines.hears(&origin).await.bytes);
        }
        for packet in said {
            lines.send(packet.command, connect.connection, packet.seq, &packet.bytes).await;
        }
        lines
    };
    let call = client.say_hello(HelloRequest { name: "world".to_owned() });
    let (_lines, answer) = within(SOON, async { tokio::join!(play, call) }).await;
    assert_eq!(answer.unwrap().into_inner().message, "Hello world");
}
