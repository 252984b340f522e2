//! A raw client of the wire protocol and a nameserver to speak to. Everything that is waited for has
//! a deadline, as a guard against hanging only.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use skymesh_nameserver::{
    Nameserver, NameserverBuilder, NameserverConfig, NameserverHandle, StoreConfig,
};
use skymesh_proto as proto;
use skymesh_proto::msg::Body;
use skymesh_proto::{InstanceState, Msg};
use skymesh_store::MemoryStore;
use skymesh_wire::{FrameDecoder, decode_msg, encode_msg};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const GUARD: Duration = Duration::from_secs(20);

/// Waits, but not for ever.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(GUARD, future).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// Waits until a counter or the like says so.
pub(crate) async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    soon(what, async {
        while !is_so() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// A running nameserver.
pub(crate) struct Server {
    pub(crate) handle: NameserverHandle,
    pub(crate) running: JoinHandle<()>,
}

/// The defaults, at any free port, with nothing to recover from and nothing left behind.
pub(crate) fn config() -> NameserverConfig {
    NameserverConfig {
        listen: "127.0.0.1:0".to_owned(),
        recovery: Some(Duration::ZERO),
        store: StoreConfig::memory(),
        ..NameserverConfig::default()
    }
}

pub(crate) async fn start(config: NameserverConfig) -> Server {
    serve(Nameserver::bind(config).await.unwrap())
}

/// As [`start`], with election algorithms by pattern, found beside this test: a `[services]` table's
/// keys `election`, as JSON.
pub(crate) async fn start_with_elections(elections: serde_json::Value) -> Server {
    serve(builder(elections).store(used_store().await).bind().await.unwrap())
}

/// A store that an earlier nameserver has used. On one that is new, nobody is elected for a whole lease:
/// there might be a leader of before.
pub(crate) async fn used_store() -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    Nameserver::bind_with_store(config(), store.clone()).await.unwrap();
    store
}

pub(crate) fn builder(elections: serde_json::Value) -> NameserverBuilder {
    let elections = serde_json::from_value(elections).unwrap();
    Nameserver::builder(config()).elections(elections)
}

pub(crate) fn serve(nameserver: Nameserver) -> Server {
    let handle = nameserver.handle();
    Server { handle, running: tokio::spawn(nameserver.run()) }
}

pub(crate) struct Client {
    socket: TcpStream,
    buffer: BytesMut,
    frames: std::collections::VecDeque<Bytes>,
}

impl Client {
    pub(crate) async fn dial(server: &Server) -> Self {
        let socket = soon("dial", TcpStream::connect(server.handle.local_addr())).await.unwrap();
        socket.set_nodelay(true).unwrap();
        Self { socket, buffer: BytesMut::new(), frames: std::collections::VecDeque::new() }
    }

    /// Dials and introduces itself as an agent of protocol 2.
    pub(crate) async fn agent(server: &Server, agent: u64) -> Self {
        let mut client = Self::dial(server).await;
        let welcome = client.introduce(agent, 0).await;
        assert_eq!((welcome.result, welcome.protocol), (0, 2), "{welcome:?}");
        client
    }

    pub(crate) async fn introduce(
        &mut self,
        agent: u64,
        resume_session: u64,
    ) -> proto::RegisterAppReply {
        let (server_address, app) = (format!("127.0.0.1:{agent}"), "app".to_owned());
        let info = proto::AgentInfo {
            server_address: server_address.clone(),
            app: app.clone(),
            protocol: 2,
            agent,
            ..Default::default()
        };
        let codecs = vec!["protobuf".to_owned()];
        let register =
            proto::RegisterApp { server_address, app, protocol: 2, resume_session, agent, codecs };
        self.send(info).await;
        self.send(register).await;
        match self.next().await {
            Body::RegisterAppReply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, msg: impl Into<Msg>) {
        let mut out = Vec::new();
        encode_msg(&msg.into(), &mut out);
        self.send_bytes(&out).await;
    }

    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        soon("write", self.socket.write_all(bytes)).await.unwrap();
    }

    /// Sends the same bytes until the nameserver closes the connection.
    pub(crate) async fn flood(&mut self, bytes: &[u8]) {
        soon("closed", async { while self.socket.write_all(bytes).await.is_ok() {} }).await;
    }

    /// The next frame body; `None` when the nameserver closed the connection.
    pub(crate) async fn next_frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            let decoder = FrameDecoder::with_limit(16 << 20);
            if let Some(run) = decoder.take(&mut self.buffer).unwrap() {
                self.frames.extend(run.iter().map(|frame| frame.to_bytes()));
                continue;
            }
            let read = soon("read", self.socket.read_buf(&mut self.buffer)).await;
            if read.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Body {
        let frame = self.next_frame().await.expect("the nameserver closed the connection");
        decode_msg(frame).unwrap().body.unwrap()
    }

    /// Reads to the end; the last word, if there was one.
    pub(crate) async fn last_word(&mut self) -> Option<String> {
        let mut word = None;
        while let Some(frame) = self.next_frame().await {
            if let Some(Body::Refusal(refusal)) = decode_msg(frame).unwrap().body {
                word = Some(refusal.reason);
            }
        }
        word
    }

    /// Asks for a registration and does not wait.
    pub(crate) async fn ask_register(&mut self, request: u64, url: &str, handle: u64) {
        self.send(registration(request, url, handle)).await;
    }

    pub(crate) async fn register(
        &mut self,
        url: &str,
        handle: u64,
    ) -> proto::RegisterInstanceReply {
        self.ask_register(handle, url, handle).await;
        match self.next().await {
            Body::RegisterInstanceReply(reply) if reply.request == handle => reply,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn watch(&mut self, name: &str, registry: u64, revision: u64) {
        let service_name = name.to_owned();
        self.send(proto::Watch { service_name, registry, revision }).await;
    }

    /// Watches anew and gives the snapshot, its parts joined.
    pub(crate) async fn snapshot(&mut self, name: &str) -> proto::WatchSnapshot {
        self.watch(name, 0, 0).await;
        self.next_snapshot().await
    }

    pub(crate) async fn next_snapshot(&mut self) -> proto::WatchSnapshot {
        let mut instances = Vec::new();
        loop {
            match self.next().await {
                Body::WatchSnapshot(part) => {
                    instances.extend(part.instances.clone());
                    if !part.more {
                        return proto::WatchSnapshot { instances, ..part };
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    pub(crate) async fn delta(&mut self) -> proto::WatchDelta {
        match self.next().await {
            Body::WatchDelta(delta) => delta,
            other => panic!("{other:?}"),
        }
    }

    /// The next change of each of `handles` to `state`, in whatever deltas they come.
    pub(crate) async fn sees(&mut self, state: InstanceState, handles: &[u64]) {
        let mut missing = handles.to_vec();
        while !missing.is_empty() {
            for change in self.delta().await.changes {
                if change.state() == state {
                    missing.retain(|handle| *handle != change.info.as_ref().unwrap().handle);
                }
            }
        }
    }

    pub(crate) async fn request_reply(&mut self) -> proto::RequestReply {
        match self.next().await {
            Body::RequestReply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn registration(request: u64, url: &str, handle: u64) -> proto::RegisterInstance {
    let (name, instance) = url.split_once('/').unwrap();
    let instance = instance.parse().unwrap();
    let info = Some(proto::Info { service_name: name.to_owned(), instance, handle });
    proto::RegisterInstance { request, info, ..Default::default() }
}

/// An agent with so many instances `app.env.room/1..`, with 50 KB of attributes each.
pub(crate) async fn crowd(server: &Server, instances: u64) -> Client {
    let mut agent = Client::agent(server, 1).await;
    for instance in 1..=instances {
        let declared = format!("{{\"k\":\"{}\"}}", "v".repeat(50_000)).into();
        let url = format!("app.env.room/{instance}");
        agent
            .send(proto::RegisterInstance {
                declared,
                ..registration(instance, &url, instance + 1000)
            })
            .await;
        let Body::RegisterInstanceReply(reply) = agent.next().await else { panic!("a reply") };
        assert_eq!(reply.result, 0, "{}", reply.reason);
    }
    agent
}

/// Handle and state of each instance.
pub(crate) fn brief(instances: &[proto::Instance]) -> Vec<(u64, InstanceState)> {
    instances.iter().map(|i| (i.info.as_ref().unwrap().handle, i.state())).collect()
}
