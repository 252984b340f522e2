//! Virtual connections as the origin's programs have them: packets in plain messages, to an instance
//! of ours over a connection that the peer dialled, and back over one that our agent dialled.

use bytes::Bytes;
use skymesh_grpc::v1::{Command, DATA_BYTES, Packet};
use skymesh_proto::Info;
use skymesh_proto::msg::Body;
use skymesh_types::Handle;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::task::AbortHandle;

use super::{V1Agent, V1Socket, message};

/// What fits between the two ends of a carried stream, in bytes. No more than HTTP/2 would send.
const STREAM_BYTES: usize = 1 << 20;

/// See the module: what an instance of the origin's has with one of ours.
#[derive(Debug)]
pub struct V1Lines {
    me: Info,
    to: Handle,
    out: V1Socket,
    back: Option<V1Socket>,
}

impl V1Lines {
    /// Lines of the instance `me` to the instance `to`, whose agent listens at `address`.
    ///
    /// # Panics
    /// If nobody listens there.
    pub async fn to(me: Info, to: Handle, address: &str) -> Self {
        Self { me, to, out: V1Socket::dial(address).await, back: None }
    }

    /// Says something.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn send(&mut self, command: Command, connection: u64, seq: u32, bytes: &[u8]) {
        let mut payload = Vec::new();
        let bytes = Bytes::copy_from_slice(bytes);
        Packet { command, seq, connection, bytes }.append(&mut payload);
        self.out.send(message(self.me.clone(), self.to, payload)).await;
    }

    /// The next packet that comes back, over a connection that our agent dials to `agent`.
    ///
    /// # Panics
    /// If none comes soon, or what comes is no packet.
    pub async fn hears(&mut self, agent: &V1Agent) -> Packet {
        if self.back.is_none() {
            self.back = Some(agent.accept().await);
        }
        let Some(back) = &mut self.back else { unreachable!("it was accepted just now") };
        let me = self.me.handle;
        let payload = back.hears(|body| match body {
            Body::Message(message) if message.destination == me => Some(message.payload),
            Body::Message(other) => panic!("{other:?} is for somebody else"),
            _ => None,
        });
        Packet::read(&payload.await).expect("the origin's layout")
    }

    /// A stream of bytes whose other end is the connection with that number: what is written to it
    /// goes out in packets, and what comes back can be read. Ends with either end, and checks that
    /// no packet is missing. Aborting the task is the death of the agent's process.
    pub fn carry(mut self, agent: V1Agent, connection: u64) -> (DuplexStream, AbortHandle) {
        let (near, far) = tokio::io::duplex(STREAM_BYTES);
        let task = tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(far);
            let (mut sent, mut due) = (0, 0);
            let mut chunk = vec![0; DATA_BYTES];
            loop {
                tokio::select! {
                    count = read.read(&mut chunk) => match count.unwrap_or(0) {
                        0 => return self.send(Command::Close, connection, 0, &[]).await,
                        count => {
                            self.send(Command::Data, connection, sent, &chunk[..count]).await;
                            sent += 1;
                        }
                    },
                    packet = self.hears(&agent) => {
                        assert_eq!(packet.connection, connection);
                        match packet.command {
                            Command::Data => {
                                assert_eq!(packet.seq, due, "numbered without a gap");
                                due += 1;
                                if write.write_all(&packet.bytes).await.is_err() {
                                    return self.send(Command::Close, connection, 0, &[]).await;
                                }
                            }
                            Command::Close => return,
                            Command::Connect => panic!("it is connected"),
                        }
                    }
                }
            }
        });
        (near, task.abort_handle())
    }
}
