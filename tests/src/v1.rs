//! The origin's side of the wire, frame by frame: a small v1 agent, and the pieces of a v1
//! nameserver. It says only what a test has it say, and hears all that is said to it.

mod agreement;
mod captured;
mod lines;
mod nameserver;

pub use captured::{Captured, captured};
pub use lines::V1Lines;
pub use nameserver::V1Nameserver;

use bytes::{Bytes, BytesMut};
use skymesh_proto::msg::Body;
use skymesh_proto::{
    AgentInfo, Info, Message, Msg, Options, Ping, RegisterApp, RegisterAppReply, RegisterService,
};
use skymesh_types::Handle;
use skymesh_wire::{FrameDecoder, decode_msg, encode_msg};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::{SOON, within};

/// One connection.
#[derive(Debug)]
pub struct V1Socket {
    stream: TcpStream,
    buffer: BytesMut,
    frames: std::collections::VecDeque<Bytes>,
}

impl V1Socket {
    fn new(stream: TcpStream) -> Self {
        Self { stream, buffer: BytesMut::new(), frames: std::collections::VecDeque::new() }
    }

    /// Dials without a word, as the origin's agents dial each other.
    ///
    /// # Panics
    /// If nobody listens there.
    pub async fn dial(address: &str) -> Self {
        Self::new(within(SOON, TcpStream::connect(address)).await.expect("somebody listens"))
    }

    /// The next connection that somebody dials.
    ///
    /// # Panics
    /// If none comes soon.
    pub async fn accept(listener: &TcpListener) -> Self {
        Self::new(within(SOON, listener.accept()).await.expect("it listens").0)
    }

    /// Sends one frame.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn send(&mut self, msg: impl Into<Msg>) {
        let mut out = Vec::new();
        encode_msg(&msg.into(), &mut out);
        self.send_bytes(&out).await;
    }

    /// Sends bytes as they are.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        within(SOON, self.stream.write_all(bytes)).await.expect("the connection stands");
    }

    /// The body of the next frame, as it is; `None` once the other side has closed.
    ///
    /// # Panics
    /// If none comes soon.
    pub async fn next_frame(&mut self) -> Option<Bytes> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Some(frame);
            }
            let decoder = FrameDecoder::with_limit(16 << 20);
            if let Some(run) = decoder.take(&mut self.buffer).expect("frames within the limit") {
                self.frames.extend(run.iter().map(|frame| frame.to_bytes()));
                continue;
            }
            let read = within(SOON, self.stream.read_buf(&mut self.buffer)).await;
            if read.unwrap_or(0) == 0 {
                return None;
            }
        }
    }

    /// The next frame.
    ///
    /// # Panics
    /// If none comes soon, or it is none of skymesh's.
    pub async fn next(&mut self) -> Body {
        let frame = self.next_frame().await.expect("the other side closed");
        decode_msg(frame).expect("a message").body.expect("a body")
    }

    /// The next frame that `wanted` answers for; others are passed over.
    ///
    /// # Panics
    /// As [`next`](Self::next).
    pub async fn hears<T>(&mut self, mut wanted: impl FnMut(Body) -> Option<T>) -> T {
        loop {
            if let Some(found) = wanted(self.next().await) {
                return found;
            }
        }
    }

    /// The next message; pings before it are passed over.
    ///
    /// # Panics
    /// If anything comes that v1 does not know.
    pub async fn next_message(&mut self) -> Message {
        self.hears(|body| match body {
            Body::Message(message) => Some(message),
            Body::Ping(_) | Body::Pong(_) => None,
            other => panic!("v1 does not know {other:?}"),
        })
        .await
    }

    /// The next ping; messages before it are passed over.
    ///
    /// # Panics
    /// As [`next`](Self::next).
    pub async fn next_ping(&mut self) -> Ping {
        self.hears(|body| match body {
            Body::Ping(ping) => Some(ping),
            _ => None,
        })
        .await
    }

    /// Says no more, and answers how many bytes the other side had written until it closed too.
    ///
    /// # Panics
    /// If it does not close soon.
    pub async fn heard_in_all(mut self) -> usize {
        let _ = self.stream.shutdown().await;
        let mut rest = Vec::new();
        let _ = within(SOON, self.stream.read_to_end(&mut rest)).await;
        self.frames.iter().map(Bytes::len).sum::<usize>() + self.buffer.len() + rest.len()
    }
}

/// An agent of the origin: it listens, and tells a nameserver so.
#[derive(Debug)]
pub struct V1Agent {
    /// Where it listens.
    pub address: String,
    /// Its connection to the nameserver.
    pub nameserver: V1Socket,
    listener: TcpListener,
}

impl V1Agent {
    /// Listens, and registers its app at the nameserver.
    ///
    /// # Panics
    /// If that fails.
    pub async fn start(nameserver: &str, app: &str) -> Self {
        let (agent, reply) = Self::welcomed(nameserver, app).await;
        assert_eq!(reply, RegisterAppReply::default(), "nothing but v1");
        agent
    }

    /// As [`start`](Self::start), with what the nameserver says to it.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub async fn welcomed(nameserver: &str, app: &str) -> (Self, RegisterAppReply) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens").to_string();
        let mut nameserver = V1Socket::dial(nameserver).await;
        let (server_address, app) = (address.clone(), app.to_owned());
        let info = AgentInfo {
            server_address: server_address.clone(),
            app: app.clone(),
            ..AgentInfo::default()
        };
        nameserver.send(info).await;
        nameserver.send(RegisterApp { server_address, app, ..RegisterApp::default() }).await;
        let reply = nameserver.next().await;
        let Body::RegisterAppReply(reply) = reply else { panic!("{reply:?} is no welcome") };
        (Self { address, nameserver, listener }, reply)
    }

    /// Registers an instance, and waits for the reply; answers its result.
    ///
    /// # Panics
    /// If none comes.
    pub async fn register(&mut self, name: &str, instance: u64, handle: u64) -> i32 {
        self.ask_to_register(info(name, instance, handle), 0).await;
        let (of, result) = self.registered().await;
        assert_eq!(of, handle);
        result
    }

    /// Registers an instance with a consistent-hash key, and does not wait.
    pub async fn ask_to_register(&mut self, info: Info, consistent_hash_key: u64) {
        let options = Some(Options { consistent_hash_key });
        self.nameserver.send(RegisterService { info: Some(info), options }).await;
    }

    /// The next reply to a registration: the handle and the result.
    ///
    /// # Panics
    /// If none comes soon.
    pub async fn registered(&mut self) -> (u64, i32) {
        let reply = self.nameserver.hears(|body| match body {
            Body::RegisterServiceReply(reply) => Some((reply.handle, reply.result)),
            _ => None,
        });
        reply.await
    }

    /// The next connection that a peer dials.
    ///
    /// # Panics
    /// If none comes soon.
    pub async fn accept(&self) -> V1Socket {
        V1Socket::accept(&self.listener).await
    }

    /// A ping of this agent.
    pub fn ping(&self, seq: u64, to: Handle) -> Ping {
        Ping { seq, destination: to.get(), server_address: self.address.clone() }
    }
}

/// One incarnation, in the words of the wire.
pub fn info(name: &str, instance: u64, handle: u64) -> Info {
    Info { service_name: name.to_owned(), instance, handle }
}

/// A message as the origin sends it.
pub fn message(source: Info, to: Handle, payload: impl Into<Bytes>) -> Message {
    let payload = payload.into();
    Message { source: Some(source), destination: to.get(), payload, ..Message::default() }
}
