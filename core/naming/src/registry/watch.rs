//! Who is told what, and when: watches by name, listeners of a whole app, snapshots, deltas, and
//! the collapse of slow watchers.

use std::sync::Arc;

use skymesh_types::{ServiceName, SessionId};

use super::input::{ConnectionId, Interest};
use super::service::Position;
use super::timer::Timer;
use super::{Action, Note, Refusal, Registry};
use crate::placement::Epoch;
use crate::{Delta, InstanceState, Snapshot};

impl Registry {
    pub(super) fn watch(
        &mut self,
        connection: ConnectionId,
        name: &ServiceName,
        at: Position,
        actions: &mut Vec<Action>,
    ) {
        match self.accept_watch(connection, name) {
            Ok(()) => self.join(connection, name, at, actions),
            Err(refusal) => {
                let name = name.clone();
                actions.push(Action::WatchRefused { to: connection, name, refusal });
            }
        }
    }

    fn accept_watch(
        &mut self,
        connection: ConnectionId,
        name: &ServiceName,
    ) -> Result<(), Refusal> {
        let value = self.config.limits.watches_per_session;
        let session = self.sessions.on_mut(connection).ok_or(Refusal::NoSession)?;
        if !name.is_in(&session.app) {
            return Err(Refusal::ForeignApp { name: name.clone(), app: session.app.clone() });
        }
        if session.watches.len() >= value && !session.watches.contains(name) {
            let what = "watches of one session";
            return Err(Refusal::Limit { what, limit: "watches_per_session", value });
        }
        session.watches.insert(name.clone());
        session.lagging.retain(|lagging| lagging != name);
        Ok(())
    }

    pub(super) fn unwatch(&mut self, connection: ConnectionId, name: &ServiceName) {
        let Some(session) = self.sessions.on_mut(connection) else { return };
        session.watches.remove(name);
        session.lagging.retain(|lagging| lagging != name);
        self.leave(connection, name);
    }

    /// The connection's queue was full: the watch is told nothing more until it can have a snapshot.
    pub(super) fn overflowed(
        &mut self,
        connection: ConnectionId,
        name: &ServiceName,
        actions: &mut Vec<Action>,
    ) {
        let Some(session) = self.sessions.on_mut(connection) else { return };
        let Some(service) = self.services.get_mut(name) else { return };
        if !service.watchers.contains(&connection) && !service.joining.contains_key(&connection) {
            return;
        }
        session.lagging.push_back(name.clone());
        service.leave(connection);
        service.agreement.lagging.insert(connection);
        self.touched.insert(name.clone());
        actions.push(Action::Note(Note::WatcherLagged(connection, name.clone())));
    }

    /// The connection's queue has room: what lags gets its snapshot, and may overflow again.
    pub(super) fn drained(&mut self, connection: ConnectionId, actions: &mut Vec<Action>) {
        let Some(session) = self.sessions.on_mut(connection) else { return };
        for name in std::mem::take(&mut session.lagging) {
            self.join(connection, &name, None, actions);
        }
    }

    fn leave(&mut self, connection: ConnectionId, name: &ServiceName) {
        if let Some(service) = self.services.get_mut(name) {
            service.leave(connection);
        }
        self.leave_electorate(connection, name);
    }

    /// Ends all watches of a session that has a connection.
    pub(super) fn drop_watches(&mut self, id: SessionId) {
        self.leave_offices(id);
        let session = self.sessions.owner_mut(id);
        let Some(connection) = session.connection() else { return };
        session.lagging.clear();
        let routes = std::mem::take(&mut session.routes);
        let watches = std::mem::take(&mut session.watches);
        if session.interest == Interest::WholeApp {
            self.app_of(id).listeners.remove(&connection);
        }
        for name in watches {
            self.leave(connection, &name);
        }
        self.unroute_v1(connection, routes);
    }

    /// Lets a connection hear of every name of its session's app.
    pub(super) fn listen(
        &mut self,
        id: SessionId,
        connection: ConnectionId,
        actions: &mut Vec<Action>,
    ) {
        let app = self.sessions.owner(id).app.clone();
        let names: Vec<_> = self.services.keys().filter(|n| n.is_in(&app)).cloned().collect();
        for name in names {
            self.flush(&name, actions);
            let snapshot = self.snapshot(&name);
            if !snapshot.instances.is_empty() {
                actions.push(Action::Snapshot { to: vec![connection], snapshot });
            }
        }
        self.app_of(id).listeners.insert(connection);
    }

    fn join(
        &mut self,
        connection: ConnectionId,
        name: &ServiceName,
        at: Position,
        actions: &mut Vec<Action>,
    ) {
        let service = self.service_or_new(name);
        service.leave(connection);
        service.agreement.lagging.remove(&connection);
        if service.history.has_unpublished() {
            service.joining.insert(connection, at);
            return;
        }
        service.watchers.insert(connection);
        self.answer_watches(name, [(connection, at)], actions);
    }

    /// Gives each what it needs to be at the published revision: what it missed, or a snapshot.
    fn answer_watches(
        &mut self,
        name: &ServiceName,
        watches: impl IntoIterator<Item = (ConnectionId, Position)>,
        actions: &mut Vec<Action>,
    ) {
        let epoch = self.epoch_of(name);
        let Some(service) = self.services.get(name) else { return };
        let (mut anew, mut asked) = (Vec::new(), Vec::new());
        for (connection, at) in watches {
            asked.push(connection);
            let known = at.filter(|(registry, _)| *registry == self.id);
            let missed = known.and_then(|(_, at)| Some((at, service.history.since(at)?)));
            let Some((previous, changes)) = missed else {
                anew.push(connection);
                continue;
            };
            let (name, revision) = (service.name.clone(), service.history.published());
            let delta = Delta { name, registry: self.id, previous, revision, changes, epoch };
            actions.push(Action::Delta { to: vec![connection], delta: Arc::new(delta) });
        }
        if !anew.is_empty() {
            actions.push(Action::Snapshot { to: anew, snapshot: self.snapshot(name) });
        }
        for connection in asked {
            self.ask_to_prepare(connection, name, actions);
        }
    }

    fn snapshot(&mut self, name: &ServiceName) -> Arc<Snapshot> {
        let epoch = self.epoch_of(name);
        let service = self.services.get_mut(name).expect("invariant: asked for a known service");
        if let Some(snapshot) = &service.snapshot {
            return Arc::clone(snapshot);
        }
        let records = service.roster.values().filter_map(|handle| self.instances.get(handle));
        let listed = records.filter(|i| i.record.state != InstanceState::Pending);
        let snapshot = Arc::new(Snapshot {
            name: service.name.clone(),
            registry: self.id,
            revision: service.history.published(),
            instances: listed.map(|instance| Arc::clone(&instance.record)).collect(),
            recovering: self.recovering,
            epoch,
        });
        service.snapshot = Some(Arc::clone(&snapshot));
        snapshot
    }

    /// Ends the turn: what may not wait, or need not, goes out; the rest gets a timer.
    pub(super) fn publish_touched(&mut self, actions: &mut Vec<Action>) {
        for name in std::mem::take(&mut self.touched) {
            let Some(service) = self.services.get_mut(&name) else { continue };
            if !service.history.has_unpublished() {
                if service.is_idle() {
                    self.forget_service(&name);
                }
                continue;
            }
            let listeners = self.apps.get(&service.app).map_or(0, |app| app.listeners.len());
            let unheard = service.watchers.is_empty() && listeners == 0;
            // Who begins to watch should not wait for a batch that nobody shares.
            if unheard || service.urgent || service.pace.due(self.now) <= self.now {
                self.flush(&name, actions);
            } else if let Some(due) = service.pace.armed() {
                self.timers.arm(due, Timer::Flush(name));
            }
        }
    }

    fn forget_service(&mut self, name: &ServiceName) {
        let service = self.services.remove(name);
        if service.is_some_and(|service| service.epoch != Epoch(0)) {
            self.raised.insert(name.clone(), Epoch(0));
        }
    }

    /// Tells watchers and listeners what they have not been told yet.
    pub(super) fn flush(&mut self, name: &ServiceName, actions: &mut Vec<Action>) {
        let epoch = self.epoch_of(name);
        let Some(service) = self.services.get_mut(name) else { return };
        if !service.history.has_unpublished() {
            return;
        }
        if let Some(due) = service.pace.armed() {
            self.timers.disarm(due, Timer::Flush(name.clone()));
        }
        service.urgent = false;
        let (previous, changes) = service.history.publish(self.config.history);
        let mut to: Vec<ConnectionId> = service.watchers.iter().copied().collect();
        to.extend(self.apps.get(&service.app).into_iter().flat_map(|app| &app.listeners));
        if to.is_empty() {
            service.pace.rest();
        } else {
            service.pace.sent(self.now, self.config.coalesce);
            let (name, revision) = (service.name.clone(), service.history.published());
            let delta = Delta { name, registry: self.id, previous, revision, changes, epoch };
            actions.push(Action::Delta { to, delta: Arc::new(delta) });
        }
        let joining = std::mem::take(&mut service.joining);
        service.watchers.extend(joining.keys());
        let idle = service.is_idle();
        self.answer_watches(name, joining, actions);
        if idle {
            self.forget_service(name);
        }
    }

    /// Sends the first snapshot after recovery to all who watch `name`.
    pub(super) fn send_complete(&mut self, name: &ServiceName, actions: &mut Vec<Action>) {
        let Some(service) = self.services.get_mut(name) else { return };
        service.history.restart(self.revision);
        service.snapshot = None;
        let to: Vec<ConnectionId> = service.watchers.iter().copied().collect();
        if !to.is_empty() {
            actions.push(Action::Snapshot { to, snapshot: self.snapshot(name) });
        }
    }
}
