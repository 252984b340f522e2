//! A route: how messages reach one incarnation of an instance.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use skymesh_plugin_api::InstanceStats;
use skymesh_transport::Turn;
use skymesh_types::{Handle, ServiceName};

use super::picks::Picks;
use super::{Lane, Link, LocalTarget, NotPosted, Peer, Post};
use crate::codecs::DataCodec;
use crate::meter::Meter;

/// How messages reach one incarnation, and what is measured of it. Lives as long as anybody routes
/// by it, so a new view of the membership never loses what was measured.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) handle: Handle,
    pub(crate) name: ServiceName,
    pub(crate) stats: Arc<InstanceStats>,
    /// How many messages and calls the selector has picked it for.
    pub(crate) picks: Picks,
    pub(crate) meter: Arc<Meter>,
    pub(crate) target: Target,
}

#[derive(Debug)]
pub(crate) enum Target {
    /// In this process.
    Local(LocalTarget),
    /// In another one.
    Remote(Remote),
}

/// The way to an instance of another process.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) peer: Arc<Peer>,
    /// Nothing more goes this way.
    ended: AtomicBool,
    /// The lane on the link that was current at the last message.
    seat: ArcSwapOption<Seat>,
}

#[derive(Debug)]
struct Seat {
    link: Arc<Link>,
    lane: Arc<Lane>,
    /// `None` where both sides share only core's own form.
    codec: Option<DataCodec>,
}

impl Route {
    pub(crate) fn new(
        handle: Handle,
        name: ServiceName,
        meter: Arc<Meter>,
        target: Target,
    ) -> Self {
        let (stats, picks) = (Arc::default(), Picks::new());
        Self { handle, name, stats, picks, meter, target }
    }

    /// The protocol that its agent speaks: 1 or 2.
    pub(crate) fn protocol(&self) -> u32 {
        match &self.target {
            // Agents of protocol 1 have no id.
            Target::Remote(remote) if remote.peer.key().agent.is_none() => 1,
            _ => 2,
        }
    }

    /// That incarnation is gone: who waits for room there is told, whoever still holds this route.
    pub(crate) fn end(&self) {
        if let Target::Remote(remote) = &self.target {
            remote.end();
        }
    }

    /// Whether that incarnation is known to be gone.
    pub(crate) fn has_ended(&self) -> bool {
        match &self.target {
            Target::Local(_) => false,
            Target::Remote(remote) => remote.ended.load(Ordering::Acquire),
        }
    }

    /// Posts a message without waiting.
    #[inline]
    pub(crate) fn post(&self, post: &Post<'_>) -> Result<Turn, NotPosted> {
        let turn = match &self.target {
            Target::Local(local) => local.post(post)?,
            Target::Remote(remote) => remote.post(self, post)?,
        };
        self.meter.sent(post.envelope.payload.len());
        Ok(turn)
    }
}

impl Remote {
    pub(crate) fn new(peer: Arc<Peer>) -> Self {
        Self { peer, ended: AtomicBool::new(false), seat: ArcSwapOption::empty() }
    }

    #[inline]
    fn post(&self, to: &Route, post: &Post<'_>) -> Result<Turn, NotPosted> {
        match &*self.seat.load() {
            Some(seat) if !seat.lane.has_ended() => seat.post(post),
            _ => self.take_seat(to, post),
        }
    }

    /// The first message on a link, or the first after the link before was lost.
    #[cold]
    fn take_seat(&self, to: &Route, post: &Post<'_>) -> Result<Turn, NotPosted> {
        if self.ended.load(Ordering::Acquire) {
            return Err(NotPosted::Gone);
        }
        let Some(link) = self.peer.link() else {
            return Err(NotPosted::Gone);
        };
        let (lane, codec) = (link.lane(to.handle), link.codecs().of(&to.name));
        let seat = Arc::new(Seat { link, lane, codec });
        self.seat.store(Some(Arc::clone(&seat)));
        seat.post(post)
    }

    fn end(&self) {
        self.ended.store(true, Ordering::Release);
        // What is still open there is answered anyway.
        if let Some(seat) = self.seat.load_full() {
            seat.link.forget_lane(&seat.lane);
        }
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.end();
    }
}

impl Seat {
    #[inline]
    fn post(&self, post: &Post<'_>) -> Result<Turn, NotPosted> {
        self.link.post(&self.lane, self.codec.as_ref(), post)
    }
}
