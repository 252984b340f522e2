//! How a dialler introduces itself, and what this agent answers. The origin's agents do not: their
//! first frame is a ping, a message or a pong already.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use skymesh_plugin_host::CodecSlot;
use skymesh_proto::msg::Body;
use skymesh_proto::{Msg, PeerWelcome};
use skymesh_transport::{FrameReader, Outbox, ReadError};
use skymesh_types::AgentId;
use skymesh_wire::{DATA_CODECS, DecodeError, Frames, decode_msg, encode_msg};
use tokio::time::timeout;

use crate::runtime::Runtime;

/// How long a dialler may take to introduce itself.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// Why a dialler is not let in.
#[derive(Debug, thiserror::Error)]
pub(super) enum GreetingError {
    #[error("it closed without a word")]
    Left,
    #[error("it did not introduce itself within {GREETING_TIMEOUT:?}")]
    Late,
    #[error(
        "it did not introduce itself: the first frame must be agent info (1012), or what a v1 \
         agent sends"
    )]
    Stranger,
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("it is of app `{theirs}`, this agent is of `{ours}`; apps do not see each other")]
    ForeignApp { theirs: String, ours: String },
    #[error("it sends in codec `{codec}`, which this agent did not offer (it has: {offered})")]
    Codec { codec: String, offered: String },
    #[error("it names {0} codecs; a connection has at most {DATA_CODECS}")]
    Codecs(usize),
}

/// A dialler that has introduced itself.
pub(super) struct Guest {
    pub(super) agent: Option<AgentId>,
    pub(super) protocol: u32,
    /// Where its agent listens; empty while a v1 dialler has not said so.
    pub(super) address: String,
    /// Where the connection comes from.
    pub(super) host: IpAddr,
    /// By the index that its data frames carry.
    pub(super) codecs: Vec<CodecSlot>,
}

impl Guest {
    /// Waits for the introduction. Answers the frames that came with it too, and how many of them
    /// are the introduction.
    pub(super) async fn meet(
        runtime: &Runtime,
        reader: &mut FrameReader,
        peer: SocketAddr,
    ) -> Result<(Self, Frames, usize), GreetingError> {
        let frames = timeout(GREETING_TIMEOUT, reader.next());
        let frames = frames.await.map_err(|_| GreetingError::Late)??;
        let frames = frames.ok_or(GreetingError::Left)?;
        reader.introduced();
        let frame = frames.iter().next().ok_or(GreetingError::Left)?;
        let said = match decode_msg(frame.to_bytes())?.body {
            Some(Body::AgentInfo(said)) => said,
            Some(Body::Ping(_) | Body::Message(_) | Body::Pong(_)) => {
                return Ok((Self::of_v1(peer), frames, 0));
            }
            _ => return Err(GreetingError::Stranger),
        };
        if said.app != runtime.app.as_str() {
            let ours = runtime.app.to_string();
            return Err(GreetingError::ForeignApp { theirs: said.app, ours });
        }
        if said.data_codecs.len() > DATA_CODECS {
            return Err(GreetingError::Codecs(said.data_codecs.len()));
        }
        let hot = runtime.hot.load();
        let codecs = said.data_codecs.into_iter().map(|id| match hot.codecs.reader(&id) {
            Some(slot) => Ok(slot.clone()),
            None => {
                let offered = hot.codecs.ids().join(", ");
                Err(GreetingError::Codec { codec: id, offered })
            }
        });
        let guest = Self {
            agent: AgentId::new(said.agent).ok(),
            protocol: said.protocol.max(1),
            address: said.server_address,
            host: peer.ip(),
            codecs: codecs.collect::<Result<_, _>>()?,
        };
        Ok((guest, frames, 1))
    }

    /// An agent of the origin, which comes without a word on itself.
    fn of_v1(peer: SocketAddr) -> Self {
        let (address, host, codecs) = (String::new(), peer.ip(), Vec::new());
        Self { agent: None, protocol: 1, address, host, codecs }
    }

    /// Answers a v2 dialler. One of v1 never reads from a connection that it dialled, so nothing is
    /// ever written to it.
    pub(super) fn welcome(&self, runtime: &Runtime, outbox: &Outbox) {
        if self.reads() {
            let window_bytes = runtime.settings.agent.inbox.window_bytes;
            let welcome = Msg::from(PeerWelcome { agent: runtime.agent.get(), window_bytes });
            let _ = outbox.push_control(|out| encode_msg(&welcome, out));
        }
    }

    /// Whether the dialler reads what is written here.
    pub(super) fn reads(&self) -> bool {
        self.protocol >= 2
    }
}
