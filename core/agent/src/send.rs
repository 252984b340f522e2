//! Sending: the way from `send` to the wire, and what may become of a message there.

use std::sync::Arc;

use skymesh_naming::StaleTerm;
use skymesh_naming::election::Term;
use skymesh_transport::Turn;
use skymesh_types::{Handle, ServiceName, ServiceUrl, UrlError};
use skymesh_wire::Envelope;
use tokio::time::timeout;

use crate::destination::{Closed, Destination, NoRoute, Resolved, Target};
use crate::election::{self, Barred};
use crate::inbox::MESSAGE_COST;
use crate::keyed::{Kept, NotTaken, PlacedKey, Way};
use crate::peer::{ENVELOPE_BYTES, NeverPosted, NotPosted, Post, Refusal};
use crate::router::{ReadyTimeout, Router};
use crate::runtime::Runtime;
use crate::sender::Sender;

/// Why a message was not accepted. Nothing of it is on its way.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The service has no instance.
    #[error("{0} has no instance")]
    NoInstance(ServiceName),
    /// The service has no such instance.
    #[error("{0} is not online")]
    UnknownInstance(ServiceUrl),
    /// No instance with that handle is known here: it is gone, or neither watched nor heard from.
    #[error("{0:?} is unknown here: that incarnation is gone, or its service is not watched")]
    UnknownHandle(Handle),
    /// Nothing is known of the service yet. `send` waits for it, `try_send` does not.
    #[error("nothing was heard of {0} yet; `send` waits for it")]
    Loading(ServiceName),
    /// Nothing was heard of the service in time.
    #[error(transparent)]
    Unresolved(ReadyTimeout),
    /// The destination's window or the connection's buffer is used up, or as many messages are kept
    /// while keys move as `agent.hold` allows. `send` waits for room.
    #[error("no room towards the destination; `send` waits for it")]
    Full,
    /// The frame would be over the limit. It holds wherever the destination is.
    #[error("a message of {bytes} bytes is over agent.max_frame_bytes less its envelope = {limit}")]
    TooLarge {
        /// The payload and the metadata.
        bytes: usize,
        /// The most that they may be: `agent.max_frame_bytes`, less 1 KiB for the envelope.
        limit: usize,
    },
    /// The codec refused it.
    #[error("the codec refused the message: {0}")]
    Codec(String),
    /// The destination lives in this process and its inbox is at its hard limit.
    #[error("the destination's inbox is at its hard limit")]
    InboxFull,
    /// The destination (or its process) is gone.
    #[error("the destination is gone")]
    Gone,
    /// The agent has stopped.
    #[error("the agent has stopped")]
    Stopped,
    /// The sending instance is no longer registered.
    #[error("the sending instance is no longer registered")]
    NotRegistered,
    /// The service belongs to another app.
    #[error("{name} is not in this process's app `{app}`; apps do not see each other")]
    ForeignApp {
        /// The service.
        name: ServiceName,
        /// This process's app.
        app: String,
    },
    /// The strategies configured for the service can't be loaded.
    #[error("strategies of {name}: {reason}")]
    Strategy {
        /// The service.
        name: ServiceName,
        /// What is wrong with them.
        reason: String,
    },
    /// Nobody leads the service (that is known), or nobody did in time. `send` waits for a leader
    /// up to `agent.resolve_timeout`, `try_send` does not.
    #[error("nobody leads {0} as far as is known")]
    NoLeader(ServiceName),
    /// It was to go out as the leader's word, and this instance does not lead any more.
    #[error("this instance leads no longer")]
    NotLeading,
    /// The destination lives in this process and does not lead its service.
    #[error("the destination does not lead its service")]
    NotLeader {
        /// The newest term that it knows of.
        term: Term,
        /// Who leads in that term, as far as it knows.
        leader: Option<Handle>,
    },
    /// The destination lives in this process and its fence has seen a newer term.
    #[error("the destination's fence: {0}")]
    StaleTerm(StaleTerm),
    /// The kind is none that applications may give.
    #[error("{0} is no kind of message: kinds go up to 31")]
    Kind(u8),
    /// The text is no URL or name.
    #[error(transparent)]
    Url(#[from] UrlError),
}

/// Posts `envelope`, without waiting.
pub(crate) fn try_deliver(
    runtime: &Arc<Runtime>,
    sender: &Arc<Sender>,
    to: &(impl Destination + ?Sized),
    envelope: Envelope<'_>,
) -> Result<(), SendError> {
    let mut post = Post { sender, envelope, live: None };
    match to.target() {
        Target::Leader(election) => return election::try_deliver(runtime, election, &post),
        Target::Resolved(resolved) => post = election::addressed(&post, resolved.leads_in),
        _ => {}
    }
    loop {
        return match to.target().with_route(runtime, |way| post_on(way, &post)) {
            Ok(Ok(_)) => Ok(()),
            // The direct way has closed just now.
            Ok(Err(NotPosted::Moved | NotPosted::WrongEpoch(_))) => continue,
            Ok(Err(not_posted)) => Err(not_at_once(runtime, &post, not_posted)),
            Err(NoRoute::Closed(closed)) => match hand_over(runtime, sender, &post, &closed)? {
                Ok(()) => Ok(()),
                Err(NotTaken::Live) => continue,
                Err(NotTaken::Full) => Err(SendError::Full),
                Err(NotTaken::Unknown) => Err(NoRoute::Closed(closed).into()),
                Err(NotTaken::Ended) => Err(SendError::Stopped),
            },
            Err(no_route) => Err(no_route.into()),
        };
    }
}

/// Why a message did not go, to somebody who does not wait.
#[cold]
pub(crate) fn not_at_once(runtime: &Runtime, post: &Post<'_>, not_posted: NotPosted) -> SendError {
    match not_posted {
        NotPosted::Gone => SendError::Gone,
        NotPosted::Refused(refusal) => refused(runtime, post, refusal),
        NotPosted::NoRoom(_)
        | NotPosted::InLine(_)
        | NotPosted::Busy(_)
        | NotPosted::Broken
        | NotPosted::Moved
        | NotPosted::WrongEpoch(_) => SendError::Full,
    }
}

/// Posts `envelope`, and waits for the first word on the name and for room. Cancel safe: a dropped
/// future has sent nothing, or everything.
pub(crate) async fn deliver(
    runtime: &Arc<Runtime>,
    sender: &Arc<Sender>,
    to: &(impl Destination + ?Sized),
    envelope: Envelope<'_>,
) -> Result<(), SendError> {
    let mut post = Post { sender, envelope, live: None };
    match to.target() {
        Target::Leader(election) => return election::deliver(runtime, election, &post).await,
        Target::Resolved(resolved) => post = election::addressed(&post, resolved.leads_in),
        _ => {}
    }
    loop {
        match to.target().with_route(runtime, |way| post_on(way, &post)) {
            Ok(Ok(turn)) => {
                turn.pay().await;
                return Ok(());
            }
            Ok(Err(not_posted)) => match not_posted.passed().await {
                Ok(()) => {}
                Err(NeverPosted::Gone) => return Err(SendError::Gone),
                Err(NeverPosted::Refused(refusal)) => {
                    return Err(refused(runtime, &post, refusal));
                }
            },
            Err(NoRoute::Loading(router)) => loaded(runtime, &router).await?,
            Err(NoRoute::Closed(closed)) => match hand_over(runtime, sender, &post, &closed)? {
                Ok(()) => return Ok(()),
                Err(refused) => await_change(runtime, &closed, refused).await?,
            },
            Err(NoRoute::Never(error)) => return Err(error),
        }
    }
}

/// Waits for the first word on a name, which does not come once the agent has stopped.
#[cold]
async fn loaded(runtime: &Runtime, router: &Router) -> Result<(), SendError> {
    match runtime.stopped.is_cancelled() {
        true => Err(SendError::Stopped),
        false => router.loaded().await,
    }
}

#[inline]
fn post_on(way: Way<'_>, post: &Post<'_>) -> Result<Turn, NotPosted> {
    match way.placed {
        None => way.route.post(post),
        Some(PlacedKey { line: Some(line), .. }) if !line.has_passed() => {
            Err(NotPosted::InLine(Arc::clone(line)))
        }
        Some(placed) => placed.seal(post, |sealed| way.route.post(sealed)),
    }
}

/// Has the carrier take a message over whose direct way is closed.
#[cold]
fn hand_over(
    runtime: &Runtime,
    sender: &Arc<Sender>,
    post: &Post<'_>,
    closed: &Closed,
) -> Result<Result<(), NotTaken>, SendError> {
    let bytes = post.bytes();
    if bytes + ENVELOPE_BYTES > runtime.settings.agent.max_frame_bytes {
        return Err(refused(runtime, post, Refusal::TooLarge));
    }
    if sender.source.is_offline() {
        return Err(SendError::NotRegistered);
    }
    let kept = || Kept::of(sender, &post.envelope, closed.told);
    Ok(closed.keyed.offer(closed.key, closed.astray, kept, bytes + MESSAGE_COST as usize))
}

/// Waits until a refused message may be taken.
#[cold]
async fn await_change(
    runtime: &Runtime,
    closed: &Closed,
    refused: NotTaken,
) -> Result<(), SendError> {
    let changed = closed.keyed.other_than(refused);
    match refused {
        NotTaken::Live | NotTaken::Full => changed.await,
        NotTaken::Ended => return Err(SendError::Stopped),
        NotTaken::Unknown => in_time(runtime, closed, changed).await?,
    }
    Ok(())
}

/// Waits for word on who owns a key, as long as for any first word.
async fn in_time(
    runtime: &Runtime,
    closed: &Closed,
    word: impl Future<Output = ()>,
) -> Result<(), SendError> {
    let waited = runtime.resolve_timeout();
    timeout(waited, word).await.map_err(|_| {
        let name = closed.keyed.name.clone();
        SendError::Unresolved(ReadyTimeout::no_word(name, waited))
    })
}

/// Finds out where a message would go, without waiting.
pub(crate) fn try_resolve(
    runtime: &Arc<Runtime>,
    to: &(impl Destination + ?Sized),
) -> Result<Resolved, SendError> {
    Ok(to.target().resolve(runtime)?)
}

/// Finds out where a message would go, and waits for the first word on the name.
pub(crate) async fn resolve(
    runtime: &Arc<Runtime>,
    to: &(impl Destination + ?Sized),
) -> Result<Resolved, SendError> {
    if let Target::Leader(election) = to.target() {
        return election::resolve(runtime, election).await;
    }
    loop {
        match to.target().resolve(runtime) {
            Ok(resolved) => return Ok(resolved),
            Err(NoRoute::Loading(router)) => loaded(runtime, &router).await?,
            Err(NoRoute::Closed(_)) if runtime.stopped.is_cancelled() => {
                return Err(SendError::Stopped);
            }
            Err(NoRoute::Closed(closed)) => {
                in_time(runtime, &closed, closed.keyed.live()).await?;
            }
            Err(NoRoute::Never(error)) => return Err(error),
        }
    }
}

#[cold]
pub(crate) fn refused(runtime: &Runtime, post: &Post<'_>, refusal: Refusal) -> SendError {
    match refusal {
        Refusal::Closed => SendError::Gone,
        Refusal::InboxFull => SendError::InboxFull,
        Refusal::SourceOffline => SendError::NotRegistered,
        Refusal::TooLarge => SendError::TooLarge {
            bytes: post.bytes(),
            limit: runtime.settings.agent.max_frame_bytes.saturating_sub(ENVELOPE_BYTES),
        },
        Refusal::Codec(reason) => SendError::Codec(reason),
        Refusal::Barred(Barred::StaleTerm(stale)) => SendError::StaleTerm(stale),
        Refusal::Barred(Barred::NotLeader { term, leader }) => {
            SendError::NotLeader { term, leader }
        }
    }
}
