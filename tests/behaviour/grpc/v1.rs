//! gRPC between ours and a program of the origin: virtual connections in its packets, both as the
//! client and as the server.

use std::time::Duration;

use futures_util::{StreamExt, stream};
use hyper_util::rt::TokioIo;
use skymesh_agent::Agent;
use skymesh_grpc::v1::{Command, DATA_BYTES, Packet};
use skymesh_grpc::{ConnectionError, Grpc, GrpcConfig, Incoming, OpenError, VirtualConnection};
use skymesh_tests::trial::{Ask, Server, TrialClient, TrialServer};
use skymesh_tests::v1::{V1Agent, V1Lines, info};
use skymesh_tests::{Mesh, SOON, within};
use skymesh_types::Handle;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

use super::{SERVICE, ask, attach, cause, serve};

const THEIRS: u64 = 0x0100_0012_3456_789a;

/// Above what the origin's own programs number from, so that a number that is taken for another shows.
const LINE: u64 = 5 << 32 | 7;

fn theirs() -> Handle {
    Handle::new(THEIRS).unwrap()
}

/// A program of the origin with one instance.
async fn origin(mesh: &Mesh, name: &str) -> V1Agent {
    let mut agent = V1Agent::start(&mesh.address().to_string(), "app").await;
    assert_eq!(agent.register(name, 101, THEIRS).await, 0);
    agent
}

/// tonic's client over one stream of bytes.
async fn client_over(stream: DuplexStream) -> TrialClient<Channel> {
    let mut stream = Some(stream);
    let connector = tower::service_fn(move |_| {
        let stream = stream.take().map(TokioIo::new);
        async move { stream.ok_or_else(|| std::io::Error::other("it was closed")) }
    });
    let channel = Endpoint::from_static("http://origin").connect_with_connector(connector).await;
    TrialClient::new(channel.unwrap())
}

async fn all_four_kinds<T>(client: &mut TrialClient<T>)
where
    T: tonic::client::GrpcService<tonic::body::Body, Error: Into<tonic::codegen::StdError>>,
    T::ResponseBody: tonic::codegen::Body<Data = bytes::Bytes> + Send + 'static,
    <T::ResponseBody as tonic::codegen::Body>::Error: Into<tonic::codegen::StdError> + Send,
{
    for bytes in [0, 1, DATA_BYTES, 100_000, 3 << 20] {
        let answer = within(SOON, client.unary(ask(vec![3; bytes]))).await.unwrap().into_inner();
        assert_eq!((answer.served_by, answer.payload.len()), (1, bytes));
    }
    let asks = stream::iter((0..100).map(|at| ask(vec![0; at])));
    let answer = within(SOON, client.upload(asks)).await.unwrap().into_inner();
    assert_eq!(answer.bytes, 99 * 100 / 2);
    let wanted = Ask { count: 50, ..ask("each") };
    let answers = within(SOON, client.download(wanted)).await.unwrap().into_inner();
    let answers: Vec<_> = within(SOON, answers.collect()).await;
    assert_eq!(answers.into_iter().filter(Result::is_ok).count(), 50);
    let asks = stream::iter((0..20).map(|_| ask("12345")));
    let answers = within(SOON, client.both(asks)).await.unwrap().into_inner();
    let answers: Vec<_> = within(SOON, answers.collect()).await;
    assert_eq!(answers.last().unwrap().as_ref().unwrap().bytes, 100);
    let failed = within(SOON, client.unary(Ask { code: 5, ..ask("x") })).await.unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::NotFound, "as you wish"));
}

#[tokio::test]
async fn a_client_of_the_origin_calls_our_tonic_server() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let server = serve(&agent, 1).await;
    let origin = origin(&mesh, "app.origin.client").await;
    let me = info("app.origin.client", 101, THEIRS);
    let mut lines = V1Lines::to(me, server.instance().handle(), agent.address()).await;
    lines.send(Command::Connect, LINE, 0, &[]).await;
    let mut client = client_over(lines.carry(origin, LINE).0).await;
    all_four_kinds(&mut client).await;
    assert!(server.counters().all().iter().all(|(_, n)| *n == 0), "{:?}", server.counters().all());
}

#[tokio::test]
async fn our_tonic_client_calls_a_server_of_the_origin() {
    let mesh = Mesh::start().await;
    let origin = origin(&mesh, SERVICE).await;
    let agent = mesh.agent().await;
    let (grpc, _incoming) = attach(&agent, "app.test.client/1").await;
    let ours = grpc.instance().handle();
    let mut client = TrialClient::new(grpc.channel("skymesh:///app.test.trial").unwrap());
    let serving = async {
        let me = info(SERVICE, 101, THEIRS);
        let mut lines = V1Lines::to(me, ours, agent.address()).await;
        let first = lines.hears(&origin).await;
        assert_eq!((first.command, first.seq, first.bytes.len()), (Command::Connect, 0, 0));
        let (stream, process) = lines.carry(origin, first.connection);
        let server = tonic::transport::Server::builder().add_service(TrialServer::new(Server(1)));
        let incoming = stream::iter([Ok::<_, std::io::Error>(stream)]).chain(stream::pending());
        tokio::spawn(server.serve_with_incoming(incoming));
        process
    };
    let (process, first) = tokio::join!(serving, client.unary(ask("first")));
    assert_eq!(first.unwrap().into_inner().served_by, 1);
    all_four_kinds(&mut client).await;
    // The server's process dies in the midst of a stream.
    let mut answers = within(SOON, client.download(ask("x"))).await.unwrap().into_inner();
    within(SOON, answers.message()).await.unwrap().unwrap();
    process.abort();
    let ended = within(SOON, async {
        loop {
            if let Err(status) = answers.message().await {
                return status;
            }
        }
    });
    assert_eq!(ended.await.code(), Code::Unavailable);
}

/// Our end of virtual connections, and a program of the origin that has lines to it.
struct Ends {
    _mesh: Mesh,
    _agent: Agent,
    grpc: Grpc,
    incoming: Incoming,
    origin: V1Agent,
    lines: V1Lines,
}

impl Ends {
    async fn start(config: GrpcConfig) -> Self {
        let mesh = Mesh::start().await;
        let agent = mesh.agent().await;
        let (instance, inbox) = agent.register("app.test.trial/1").await.unwrap();
        let (grpc, incoming) = Grpc::builder(instance).config(config).attach(inbox);
        let origin = origin(&mesh, "app.origin.client").await;
        let me = info("app.origin.client", 101, THEIRS);
        let lines = V1Lines::to(me, grpc.instance().handle(), agent.address()).await;
        Self { _mesh: mesh, _agent: agent, grpc, incoming, origin, lines }
    }

    /// A connection that the program has opened and sent something on, and ours has heard of.
    async fn opened(&mut self, line: u64) -> VirtualConnection {
        self.lines.send(Command::Connect, line, 0, &[]).await;
        self.lines.send(Command::Data, line, 0, b"first").await;
        let mut connection = within(SOON, self.incoming.accept()).await.unwrap();
        assert_eq!(connection.peer().handle, theirs());
        assert_eq!(read(&mut connection, 5).await, b"first");
        connection
    }

    async fn hears(&mut self) -> Packet {
        self.lines.hears(&self.origin).await
    }

    async fn hears_close_of(&mut self, line: u64) {
        let heard = self.hears().await;
        assert_eq!(
            (heard.command, heard.seq, heard.connection, heard.bytes.len()),
            (Command::Close, 0, line, 0)
        );
    }
}

async fn read(connection: &mut VirtualConnection, bytes: usize) -> Vec<u8> {
    let mut out = vec![0; bytes];
    within(SOON, connection.read_exact(&mut out)).await.unwrap();
    out
}

async fn ended(connection: &mut VirtualConnection) {
    let mut nothing = [0; 1];
    assert_eq!(within(SOON, connection.read(&mut nothing)).await.unwrap(), 0);
}

#[tokio::test]
async fn what_an_accepted_connection_is_told_and_says_in_packets() {
    let mut ends = Ends::start(GrpcConfig::default()).await;
    let mut connection = ends.opened(LINE).await;
    // More than a packet has room for goes in several, numbered from 0.
    let bytes: Vec<u8> = (0..3 * DATA_BYTES).map(|at| (at % 251) as u8).collect();
    connection.write_all(&bytes).await.unwrap();
    connection.flush().await.unwrap();
    let mut heard = Vec::new();
    for seq in 0.. {
        let packet = ends.hears().await;
        assert_eq!((packet.command, packet.connection), (Command::Data, LINE));
        assert_eq!(packet.seq, seq);
        assert!(packet.bytes.len() <= DATA_BYTES);
        heard.extend_from_slice(&packet.bytes);
        if heard.len() >= bytes.len() {
            break;
        }
    }
    assert_eq!(heard, bytes);
    // Another one beside it has numbers of its own.
    let mut second = ends.opened(LINE + 1).await;
    // Closed by ours: after all that was written, and in both directions.
    second.write_all(b"last").await.unwrap();
    second.shutdown().await.unwrap();
    let last = ends.hears().await;
    assert_eq!((last.seq, last.connection, &last.bytes[..]), (0, LINE + 1, &b"last"[..]));
    ends.hears_close_of(LINE + 1).await;
    ended(&mut second).await;
    // Closed by the other side.
    ends.lines.send(Command::Data, LINE, 1, b"more").await;
    ends.lines.send(Command::Close, LINE, 0, &[]).await;
    assert_eq!(read(&mut connection, 4).await, b"more");
    ended(&mut connection).await;
    let closed = cause(connection.write(b"x").await.unwrap_err());
    assert_eq!(closed, ConnectionError::Closed);
}

#[tokio::test]
async fn gaps_and_data_of_unknown_connections_are_answered_with_a_close() {
    let mut ends = Ends::start(GrpcConfig::default()).await;
    let mut connection = ends.opened(LINE).await;
    // Packet 1 is missing.
    ends.lines.send(Command::Data, LINE, 2, b"third").await;
    ends.hears_close_of(LINE).await;
    let mut nothing = [0; 1];
    let broken = cause(within(SOON, connection.read(&mut nothing)).await.unwrap_err());
    assert_eq!(broken, ConnectionError::Gap);
    assert_eq!(ends.grpc.counters().gaps.get(), 1);
    // It is closed, so the packet that was missing is of an unknown connection now.
    for line in [LINE, 999] {
        ends.lines.send(Command::Data, line, 1, b"late").await;
        ends.hears_close_of(line).await;
    }
    assert_eq!(ends.grpc.counters().unknown_connection.get(), 2);
    // A close of one is not answered: both may close at once.
    ends.lines.send(Command::Close, 998, 0, &[]).await;
    ends.lines.send(Command::Data, 997, 0, b"x").await;
    ends.hears_close_of(997).await;
    // Who sends more than is read meanwhile is closed as well, instead of filling the memory.
    let _unread = ends.opened(LINE + 2).await;
    for seq in 1..=17 {
        ends.lines.send(Command::Data, LINE + 2, seq, &vec![0; 1 << 20]).await;
    }
    ends.hears_close_of(LINE + 2).await;
    assert_eq!(ends.grpc.counters().overruns.get(), 1);
    // Nobody serves any more.
    drop(std::mem::replace(&mut ends.incoming, attach_nothing().await));
    ends.lines.send(Command::Connect, 5, 0, &[]).await;
    ends.hears_close_of(5).await;
}

/// An [`Incoming`] that nobody connects to.
async fn attach_nothing() -> Incoming {
    let mesh = Mesh::start().await;
    attach(&mesh.agent().await, "app.test.nothing/1").await.1
}

#[tokio::test]
async fn an_idle_connection_is_closed_on_either_side() {
    let idle = Duration::from_millis(200);
    let config = GrpcConfig { idle, ..GrpcConfig::default() };
    let mut ends = Ends::start(config).await;
    let mut accepted = ends.opened(LINE).await;
    ends.hears_close_of(LINE).await;
    ended(&mut accepted).await;
    let mut dialled = within(SOON, ends.grpc.connect(theirs())).await.unwrap();
    let connect = ends.hears().await;
    ends.hears_close_of(connect.connection).await;
    ended(&mut dialled).await;
    assert_eq!(ends.grpc.counters().idle_closed.get(), 2);
}

#[tokio::test]
async fn a_connection_that_ours_opens() {
    let mut ends = Ends::start(GrpcConfig::default()).await;
    ends.grpc.instance().router("app.origin.client").unwrap().ready(SOON).await.unwrap();
    let mut connection = within(SOON, ends.grpc.connect(theirs())).await.unwrap();
    connection.write_all(b"hello").await.unwrap();
    connection.flush().await.unwrap();
    let connect = ends.hears().await;
    assert_eq!((connect.command, connect.seq, connect.bytes.len()), (Command::Connect, 0, 0));
    let data = ends.hears().await;
    assert_eq!((data.command, data.seq, &data.bytes[..]), (Command::Data, 0, &b"hello"[..]));
    assert_eq!(data.connection, connect.connection);
    let line = connect.connection;
    ends.lines.send(Command::Data, line, 0, b"hello to you").await;
    assert_eq!(read(&mut connection, 12).await, b"hello to you");
    // Two that are open at once have different numbers.
    let second = within(SOON, ends.grpc.connect(theirs())).await.unwrap();
    let other = ends.hears().await;
    assert_ne!(other.connection, line);
    drop(second);
    ends.hears_close_of(other.connection).await;
    // A program that serves nothing closes at once; the origin says no more than that.
    ends.lines.send(Command::Close, line, 0, &[]).await;
    ended(&mut connection).await;
    // Its instance goes offline: every connection to it ends.
    let mut third = within(SOON, ends.grpc.connect(theirs())).await.unwrap();
    ends.origin.unregister(THEIRS).await;
    let mut nothing = [0; 1];
    let gone = cause(within(SOON, third.read(&mut nothing)).await.unwrap_err());
    assert!(matches!(gone, ConnectionError::Offline | ConnectionError::Lost), "{gone}");
    let nobody = within(SOON, ends.grpc.connect(theirs())).await.unwrap_err();
    assert!(matches!(nobody, OpenError::Send(_)), "{nobody}");
}
