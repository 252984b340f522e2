//! Peers: the agents that this one sends to. One connection per peer, dialled by who sends; it is
//! dialled when first needed and again when it breaks, for as long as anybody routes to it.

mod connection;
mod lane;
mod link;
mod local;
mod picks;
mod route;

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use skymesh_naming::placement::Epoch;
use skymesh_types::AgentId;
use skymesh_wire::{Envelope, KeyTrailer};
use tokio_util::sync::CancellationToken;

use crate::election::Barred;
use crate::keyed::{Line, Live};
use crate::runtime::Runtime;
use crate::sender::Sender;
pub(crate) use lane::Lane;
use link::Dialect;
pub(crate) use link::{ENVELOPE_BYTES, Link, warm};
pub(crate) use local::LocalTarget;
pub(crate) use route::{Remote, Route, Target};

/// Which agent: a restarted process is another one, even at the same address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PeerKey {
    pub(crate) address: Arc<str>,
    /// `None` for agents of protocol 1, which have no id.
    pub(crate) agent: Option<AgentId>,
}

impl PeerKey {
    fn dialect(&self) -> Dialect {
        match self.agent {
            None => Dialect::V1,
            Some(_) => Dialect::V2,
        }
    }
}

/// A message on its way out.
#[derive(Debug)]
pub(crate) struct Post<'a> {
    pub(crate) sender: &'a Sender,
    pub(crate) envelope: Envelope<'a>,
    /// Once this has ended, the message may not go any more.
    pub(crate) live: Option<&'a Live>,
}

impl Post<'_> {
    /// Whether it may go; to be asked under the lock of the buffer that it goes into.
    #[inline]
    pub(crate) fn may_go(&self) -> bool {
        self.live.is_none_or(Live::is_live)
    }

    /// What counts of it for its lane's window. The trailer of a keyed message does not.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        let trailer = if self.envelope.kind.is_keyed() { KeyTrailer::BYTES } else { 0 };
        self.envelope.payload.len() + self.envelope.metadata.len() - trailer
    }
}

/// Why a post is not on its way.
#[derive(Debug)]
pub(crate) enum NotPosted {
    /// The destination's window is used up.
    NoRoom(Arc<Lane>),
    /// Earlier messages by key wait for room there.
    InLine(Arc<Line>),
    /// The connection's buffer is full.
    Busy(Arc<Link>),
    /// The link broke just now; the peer has another one already.
    Broken,
    /// The peer is gone for good.
    Gone,
    /// The placement that found the destination has ended.
    Moved,
    /// The destination (in this process) is at another epoch.
    WrongEpoch(Epoch),
    /// It can't be sent at all.
    Refused(Refusal),
}

/// Why a post is not on its way, where waiting changes nothing.
#[derive(Debug)]
pub(crate) enum NeverPosted {
    /// The peer is gone for good.
    Gone,
    /// It can't be sent at all.
    Refused(Refusal),
}

impl NotPosted {
    /// Waits until it is worth to try again. Cancel safe.
    pub(crate) async fn passed(self) -> Result<(), NeverPosted> {
        match self {
            Self::NoRoom(lane) => lane.room().await,
            Self::InLine(line) => line.passed().await,
            // An error means that the link is gone; the next attempt finds another.
            Self::Busy(link) => drop(link.outbox().writable().await),
            Self::Broken | Self::Moved | Self::WrongEpoch(_) => tokio::task::yield_now().await,
            Self::Gone => return Err(NeverPosted::Gone),
            Self::Refused(refusal) => return Err(NeverPosted::Refused(refusal)),
        }
        Ok(())
    }
}

/// Why a message can't be sent at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The destination (in this process) takes no more messages.
    Closed,
    /// The destination's inbox (in this process) is at its hard limit.
    InboxFull,
    /// The sending instance is no longer registered.
    SourceOffline,
    /// Its frame would be over the limit.
    TooLarge,
    /// The codec refused it.
    Codec(String),
    /// The destination (in this process) does not admit it.
    Barred(Barred),
}

/// An agent that this one sends to. Dropping the last one ends the connection, after what was
/// accepted for it has been written.
#[derive(Debug)]
pub(crate) struct Peer {
    shared: Arc<Shared>,
}

/// What a peer and its connection task share.
#[derive(Debug)]
struct Shared {
    key: PeerKey,
    /// Codecs that the peer decodes.
    codecs: Arc<[String]>,
    /// `None` once the peer is gone.
    link: ArcSwapOption<Link>,
    /// Nobody routes to it any more, or the agent has stopped.
    gone: CancellationToken,
}

impl Peer {
    /// A peer whose connection task is started with it.
    pub(crate) fn start(runtime: &Arc<Runtime>, key: PeerKey, codecs: Arc<[String]>) -> Arc<Self> {
        let link = ArcSwapOption::empty();
        // With the agent, too, whoever holds a route then: the connection's task holds the agent.
        let gone = runtime.stopped.child_token();
        let shared = Arc::new(Shared { key, codecs, link, gone });
        connection::start(Arc::clone(runtime), Arc::clone(&shared));
        Arc::new(Self { shared })
    }

    pub(crate) fn key(&self) -> &PeerKey {
        &self.shared.key
    }

    pub(crate) fn link(&self) -> Option<Arc<Link>> {
        self.shared.link.load_full()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.shared.gone.cancel();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bare;

    #[tokio::test]
    async fn a_connection_ends_with_the_agent_whoever_still_holds_its_peer() {
        let (runtime, _commands) = bare::runtime();
        let key = PeerKey { address: "127.0.0.1:1".into(), agent: AgentId::new(1).ok() };
        let peer = Peer::start(&runtime, key, Arc::from([]));
        runtime.stopped.cancel();
        runtime.tasks.close();
        tokio::time::timeout(Duration::from_secs(60), runtime.tasks.wait()).await.unwrap();
        assert!(peer.link().is_none());
    }
}
