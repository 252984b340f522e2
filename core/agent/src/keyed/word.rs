//! What the nameserver and peers say of placements, on its way to the carriers and gates; and what the
//! rest of the agent asks of them.

use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::placement::{
    Bounced, Epoch, EpochGate, Parcel, PlacementInput, Preparation, RoundEnd, RoundId,
};
use skymesh_proto as proto;
use skymesh_types::{Handle, ServiceName};
use skymesh_wire::{KeyTrailer, Kind};
use tokio::task::JoinSet;

use super::carrier::Carrier;
use super::tables::Tables;
use super::{Kept, Keyed};
use crate::convert::{self, ConvertError};
use crate::inbox::MESSAGE_COST;
use crate::peer::{Link, Route, Target};
use crate::router::RouterCore;
use crate::runtime::Runtime;

impl Runtime {
    /// The nameserver spoke of a service, or a router of it was opened: its carrier and gate learn of
    /// the placement, if there is one.
    pub(crate) fn note_placement(self: &Arc<Self>, name: &ServiceName) {
        let placement = self.directory.placement(name);
        let epoch = placement.as_ref().map_or(Epoch(0), |placement| placement.epoch);
        let Some(core) = self.directory.router(name) else { return };
        let keyed = match core.keyed.get() {
            Some(keyed) => keyed,
            None => {
                // A round that is open while the router is being opened.
                let preparation = self.directory.preparation(name);
                if let Some(preparation) = preparation {
                    return self.prepare_router(&core, preparation);
                }
                if epoch == Epoch(0) && !self.directory.awaits_placement(name) {
                    return;
                }
                self.open_keyed(&core)
            }
        };
        if let Some(placement) = placement.filter(|_| !keyed.is_live_at(epoch)) {
            keyed.feed(PlacementInput::Placed(placement));
        }
    }

    /// The nameserver asks the routers of a service to prepare for another placement.
    pub(crate) fn prepare(
        self: &Arc<Self>,
        said: &proto::PreparePlacement,
    ) -> Result<(), ConvertError> {
        let preparation = Arc::new(convert::preparation(said)?);
        let Preparation { name, round, .. } = &*preparation;
        // Before the look: whoever opens a router looks for this after the router is there.
        self.directory.note_preparation(&preparation);
        let Some(core) = self.directory.router(name) else {
            // Nothing is sent from here by key.
            self.errands.prepared(name.clone(), *round);
            return Ok(());
        };
        self.prepare_router(&core, preparation);
        Ok(())
    }

    fn prepare_router(self: &Arc<Self>, core: &RouterCore, preparation: Arc<Preparation>) {
        let keyed = match core.keyed.get() {
            Some(keyed) => keyed,
            None => {
                let keyed = self.open_keyed(core);
                // Nobody owned anything until now.
                let placement = self.directory.placement(&core.name).unwrap_or_default();
                keyed.feed(PlacementInput::Placed(placement));
                keyed
            }
        };
        keyed.feed(PlacementInput::Prepare(preparation));
    }

    /// A round has ended.
    pub(crate) fn round_ended(
        &self,
        said: &proto::PlacementRoundEnded,
    ) -> Result<(), ConvertError> {
        let name = said.service_name.parse()?;
        self.directory.forget_preparation(&name, RoundId(said.round));
        let core = self.directory.router(&name);
        let end = match said.epoch {
            0 => RoundEnd::Aborted,
            epoch => RoundEnd::Committed(Epoch(epoch)),
        };
        if let Some(keyed) = core.as_ref().and_then(|core| core.keyed.get()) {
            keyed.feed(PlacementInput::Ended(RoundId(said.round), end));
        }
        Ok(())
    }

    /// The nameserver is out of reach: how a round ends is not known.
    pub(crate) fn placements_unheard(&self) {
        self.directory.forget_preparations();
        for keyed in self.directory.keyed() {
            keyed.feed(PlacementInput::Disconnected);
        }
    }

    /// A receiver sent a keyed message back.
    pub(crate) fn bounced(&self, link: &Link, bounced: proto::Bounced) {
        let Some(message) = bounced.message else { return };
        let Ok(to) = Handle::new(bounced.destination) else { return };
        let Some((metadata, trailer)) = KeyTrailer::split(&message.metadata) else { return };
        let (metadata, payload) = (message.metadata.slice_ref(metadata), message.payload);
        let keyed = self.directory.keyed_by(trailer.tag);
        // What can't have been sent to it is no bounce: whoever we dialled could have our instances
        // say what it likes, and as much of it.
        let elsewhere = |keyed: &Arc<Keyed>| {
            self.directory.service_of(to).is_some_and(|name| name != keyed.name)
        };
        let bytes = MESSAGE_COST + (payload.len() + metadata.len()) as u64;
        if !link.may_return(to, bytes) || keyed.as_ref().is_some_and(elsewhere) {
            return self.counters.keyed_bounces_refused.add(1);
        }
        self.counters.keyed_bounced.add(1);
        let source = message.source.map_or(0, |source| source.handle);
        let sender = Handle::new(source).ok().and_then(|handle| self.directory.sender(handle));
        let (Some(sender), Some(keyed)) = (sender, keyed) else {
            // Whoever sent it has left.
            self.counters.keyed_undelivered.add(1);
            return link.take_back(to, bytes);
        };
        let kind = Kind(u8::try_from(message.kind).unwrap_or_default()).plain();
        let told = (message.correlation != 0).then_some(to);
        let (flags, epoch, correlation) = (message.flags, message.epoch, message.correlation);
        let kept = Kept { sender, kind, flags, epoch, correlation, metadata, payload, told };
        let parcel = Parcel::new(trailer.key, kept.cost(), kept);
        let known = (bounced.known != 0).then_some(Epoch(bounced.known));
        keyed.feed(PlacementInput::Bounced(Bounced { parcel, sent: Epoch(trailer.epoch), known }));
        // Not before: whoever sees that nothing is open on this link finds it at the desk.
        link.take_back(to, bytes);
    }

    /// The gate of a stateful service's instances in this process; the service is watched from now on,
    /// so that the gate hears of every epoch.
    pub(crate) fn gate(self: &Arc<Self>, name: &ServiceName) -> Arc<EpochGate> {
        let (gate, new) = self.directory.open_gate(name);
        if new {
            self.errands.watch(name.clone());
        }
        gate
    }

    /// Waits until what was sent by these routes so far has arrived, or never will.
    pub(super) async fn arrived(self: Arc<Self>, routes: Vec<Arc<Route>>) {
        let mut barriers = JoinSet::new();
        for link in unsettled(routes) {
            let runtime = Arc::clone(&self);
            barriers.spawn(async move { runtime.pings.barrier(&runtime, &link).await });
        }
        barriers.join_all().await;
    }

    /// As [`arrived`](Self::arrived), but not for peers that are silent, nor for longer than `most`.
    pub(super) async fn arrived_or_silent(
        self: Arc<Self>,
        routes: Vec<Arc<Route>>,
        most: Duration,
    ) {
        self.deliver_on(unsettled(routes), most).await;
    }

    /// Waits until no keyed message of `source` (of anybody, if `None`) is kept back.
    pub(crate) async fn nothing_kept(&self, source: Option<Handle>) {
        for keyed in self.directory.keyed() {
            keyed.empty_of(source).await;
        }
    }

    /// The keyed side of a router, opened if there is none yet, and its carrier started.
    fn open_keyed<'a>(self: &Arc<Self>, core: &'a RouterCore) -> &'a Arc<Keyed> {
        core.keyed.get_or_init(|| {
            let tables = Arc::new(Tables::new(core.selector.clone()));
            let limits = self.settings.agent.hold.limits();
            let make = |tag| Arc::new(Keyed::new(core.name.clone(), tag, limits, tables));
            let keyed = self.directory.keep_keyed(make);
            let carrier = Carrier::new(Arc::clone(self), Arc::clone(&keyed));
            self.tasks.spawn(carrier.run());
            keyed
        })
    }
}

/// The links of these routes on which anything is open.
fn unsettled(routes: Vec<Arc<Route>>) -> Vec<Arc<Link>> {
    let mut links: Vec<Arc<Link>> = Vec::new();
    for route in routes {
        match &route.target {
            Target::Local(local) => local.fence(),
            Target::Remote(remote) => links.extend(remote.peer.link()),
        }
    }
    links.sort_by_key(|link| link.id());
    links.dedup_by_key(|link| link.id());
    links.retain(|link| {
        link.fence();
        !link.is_settled()
    });
    links
}
