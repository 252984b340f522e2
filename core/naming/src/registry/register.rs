//! What agents ask for: register, replay, unregister, drain, change attributes.

use std::sync::Arc;

use skymesh_types::{AttributeChange, Attributes, Handle, Revision, ServiceUrl, SessionId};

use super::input::{ConnectionId, Registration, RequestId};
use super::round::Asked;
use super::service::Urgency;
use super::{Action, Note, Refusal, Registry};
use crate::placement::Epoch;
use crate::{AttributeLayers, InstanceRecord, InstanceState};

/// What became of a registration that was not refused.
enum Admission {
    /// It holds, from that revision on.
    Agreed(Revision),
    /// Its routers have to agree first.
    Wished,
    /// As `Wished`, and it was asked before.
    WishedBefore,
}

impl Registry {
    pub(super) fn on_register(
        &mut self,
        connection: ConnectionId,
        request: RequestId,
        registration: Registration,
        actions: &mut Vec<Action>,
    ) {
        let handle = registration.handle;
        let result = self.register(connection, registration, actions);
        let result = match result {
            Ok(Admission::Agreed(revision)) => Ok(revision),
            // It is answered when the routers have agreed.
            Ok(Admission::Wished) => return self.wish_to_join(handle, connection, request),
            Ok(Admission::WishedBefore) => return self.wish_again(handle, connection, request),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = &result {
            actions.push(Action::Note(Note::RegistrationRefused(refusal.code())));
        }
        actions.push(Action::Registered { to: connection, request, handle, result });
    }

    fn register(
        &mut self,
        connection: ConnectionId,
        registration: Registration,
        actions: &mut Vec<Action>,
    ) -> Result<Admission, Refusal> {
        let (url, handle) = (&registration.url, registration.handle);
        let session = self.sessions.on(connection).ok_or(Refusal::NoSession)?;
        if !url.name.is_in(&session.app) {
            return Err(Refusal::ForeignApp { name: url.name.clone(), app: session.app.clone() });
        }
        let session = session.id;
        if self.kicked.contains(handle) {
            return Err(Refusal::Kicked(handle));
        }
        let layers = AttributeLayers {
            declared: registration.declared,
            runtime: registration.runtime,
            operator: self.overrides.layer(url),
        };
        check(url, &layers)?;
        self.hear_of_epoch(registration.epoch);
        if let Some(instance) = self.instances.get(&handle) {
            if instance.record.url != *url || !self.may_replay(session, instance.session) {
                return Err(Refusal::HandleTaken { handle, url: url.clone() });
            }
            let (weight, hash_key) = (registration.weight, registration.hash_key);
            let revision = self.replay(session, handle, layers, weight, hash_key, actions);
            let pending = self.instance(handle).record.state == InstanceState::Pending;
            return Ok(if pending { Admission::WishedBefore } else { Admission::Agreed(revision) });
        }
        self.check_room(session)?;
        if let Some(old) = self.registered_at(url) {
            self.take_over(url, old, actions)?;
        }
        // While the registry recovers, those that were agreed on in its past come back as they were.
        let returns = self.recovering && registration.epoch != Epoch(0);
        let pending = registration.hash_key != 0 && !returns;
        let state = if pending { InstanceState::Pending } else { InstanceState::Online };
        let owner = self.sessions.owner(session);
        let record = InstanceRecord {
            url: registration.url,
            handle,
            address: owner.address.clone(),
            agent: owner.agent,
            protocol: owner.protocol.clone(),
            state,
            attributes: Arc::new(layers.merged()),
            weight: registration.weight,
            hash_key: registration.hash_key,
            revision: Revision::default(),
        };
        let revision = self.admit(record, layers, session);
        Ok(if pending { Admission::Wished } else { Admission::Agreed(revision) })
    }

    /// Whether `session` may register again what `owner` has: it is the same one, or that of the same
    /// agent in an earlier life of the registry; or an agent of protocol 1, which has no name for
    /// itself, came back and its old session is lost.
    fn may_replay(&self, session: SessionId, owner: SessionId) -> bool {
        let (own, old) = (self.sessions.owner(session), self.sessions.owner(owner));
        session == owner
            || (old.is_awaited()
                && own.agent.is_some()
                && (&own.app, own.agent) == (&old.app, old.agent))
            || (own.is_v1() && old.is_v1() && own.app == old.app && old.connection().is_none())
    }

    /// The same incarnation once more. The agent owns the truth about itself, so what it says now
    /// holds; nobody is told if nothing differs.
    fn replay(
        &mut self,
        session: SessionId,
        handle: Handle,
        layers: AttributeLayers,
        weight: u32,
        hash_key: u64,
        actions: &mut Vec<Action>,
    ) -> Revision {
        let old = self.instance(handle).session;
        if old != session {
            self.release_hold(handle);
            self.move_to(handle, session);
            self.forget_if_bare(old, actions);
        }
        self.bring_back(handle);
        self.set_layers(handle, layers);
        let record = &self.instance(handle).record;
        if (record.weight, record.hash_key) != (weight, hash_key) {
            // Routers were asked to prepare for something else.
            self.ask_anew(handle);
            self.amend(handle, Urgency::CanWait, |record| {
                record.weight = weight;
                record.hash_key = hash_key;
            });
        }
        self.instance(handle).record.revision
    }

    /// A new incarnation wants the URL of `old`: it gets it if nobody stands behind the old one.
    fn take_over(
        &mut self,
        url: &ServiceUrl,
        old: Handle,
        actions: &mut Vec<Action>,
    ) -> Result<(), Refusal> {
        let owner = self.sessions.owner(self.instance(old).session);
        if owner.connection().is_some() {
            let address = owner.address.clone();
            return Err(Refusal::AlreadyRegistered { url: url.clone(), address });
        }
        let owner = owner.id;
        self.remove(old);
        actions.push(Action::Note(Note::TakenOver(url.clone())));
        self.forget_if_bare(owner, actions);
        Ok(())
    }

    fn check_room(&mut self, session: SessionId) -> Result<(), Refusal> {
        let limits = self.config.limits.clone();
        let owned = self.sessions.owner(session).instances.len();
        if owned >= limits.instances_per_session {
            let (what, value) = ("instances of one session", limits.instances_per_session);
            return Err(Refusal::Limit { what, limit: "instances_per_session", value });
        }
        if self.app_of(session).instances >= limits.instances_per_app {
            let (what, value) = ("instances of one app", limits.instances_per_app);
            return Err(Refusal::Limit { what, limit: "instances_per_app", value });
        }
        Ok(())
    }

    pub(super) fn unregister(
        &mut self,
        connection: ConnectionId,
        handle: Handle,
    ) -> Result<Revision, Refusal> {
        self.own_instance(connection, handle)?;
        self.step_down(handle);
        Ok(self.remove(handle))
    }

    pub(super) fn on_drain(
        &mut self,
        to: ConnectionId,
        request: RequestId,
        handle: Handle,
        actions: &mut Vec<Action>,
    ) {
        let result = self.own_instance(to, handle);
        // One that owns keys is answered when its routers have agreed.
        if result.is_ok() && self.wish_to_leave(handle, Some(Asked { to, request })) {
            return;
        }
        let result = result.map(|()| self.start_draining(handle));
        actions.push(Action::Answer { to, request, result });
    }

    pub(super) fn start_draining(&mut self, handle: Handle) -> Revision {
        let record = &self.instance(handle).record;
        if record.state == InstanceState::Draining {
            return record.revision;
        }
        if self.wish_to_leave(handle, None) {
            return self.revision;
        }
        self.amend(handle, Urgency::AtOnce, |record| record.state = InstanceState::Draining)
    }

    pub(super) fn change_attributes(
        &mut self,
        connection: ConnectionId,
        handle: Handle,
        change: &AttributeChange,
    ) -> Result<Revision, Refusal> {
        self.own_instance(connection, handle)?;
        let instance = self.instance(handle);
        let url = &instance.record.url;
        let runtime = instance.layers.runtime.changed_by(change);
        let runtime = runtime.map_err(|source| Refusal::Attributes { url: url.clone(), source })?;
        self.replace_attributes(connection, handle, runtime)
    }

    pub(super) fn replace_attributes(
        &mut self,
        connection: ConnectionId,
        handle: Handle,
        runtime: Attributes,
    ) -> Result<Revision, Refusal> {
        self.own_instance(connection, handle)?;
        let instance = self.instance(handle);
        let layers = AttributeLayers { runtime, ..instance.layers.clone() };
        check(&instance.record.url, &layers)?;
        Ok(self.set_layers(handle, layers))
    }

    pub(super) fn own_instance(
        &self,
        connection: ConnectionId,
        handle: Handle,
    ) -> Result<(), Refusal> {
        let session = self.sessions.on(connection).ok_or(Refusal::NoSession)?;
        if session.instances.contains(&handle) {
            return Ok(());
        }
        Err(Refusal::UnknownHandle(handle))
    }
}

/// The limits hold for what the agent says, declared and run time together; the operator's layer
/// has limits of its own, so that an override never makes a registration fail.
fn check(url: &ServiceUrl, layers: &AttributeLayers) -> Result<(), Refusal> {
    let merged = layers.declared.overlaid_by(&layers.runtime).checked();
    merged.map(|_| ()).map_err(|source| Refusal::Attributes { url: url.clone(), source })
}
