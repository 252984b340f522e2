//! The only place where an instance comes, changes or goes: it gives out revisions and keeps
//! services, sessions, apps and the mass-loss guard's holds in step.

use std::sync::Arc;
use std::time::Duration;

use skymesh_types::{Attributes, Handle, Revision, ServiceName, ServiceUrl, SessionId};

use super::service::{Service, Urgency};
use super::timer::Timer;
use super::{App, Registry};
use crate::placement::is_placed;
use crate::{AttributeLayers, InstanceRecord, InstanceState};

/// One instance as the registry keeps it.
#[derive(Debug)]
pub(super) struct Instance {
    pub(super) record: Arc<InstanceRecord>,
    pub(super) layers: AttributeLayers,
    pub(super) session: SessionId,
    /// Until when the mass-loss guard holds it; `None` if it does not.
    pub(super) held_until: Option<Duration>,
    /// When its agent spoke of it last. Kept for agents of protocol 1 alone.
    pub(super) beat: Duration,
}

impl Registry {
    /// The incarnation that is registered at `url`.
    pub(super) fn registered_at(&self, url: &ServiceUrl) -> Option<Handle> {
        self.services.get(&url.name)?.roster.get(&url.instance).copied()
    }

    pub(super) fn instance(&self, handle: Handle) -> &Instance {
        self.instances.get(&handle).expect("invariant: rosters and sessions list live instances")
    }

    fn instance_mut(&mut self, handle: Handle) -> &mut Instance {
        self.instances.get_mut(&handle).expect("invariant: as in `instance`")
    }

    fn service_mut(&mut self, name: &ServiceName) -> &mut Service {
        self.services.get_mut(name).expect("invariant: a service outlives its instances")
    }

    /// The service of that name, made if there is none.
    pub(super) fn service_or_new(&mut self, name: &ServiceName) -> &mut Service {
        if !self.services.contains_key(name) {
            // Revisions of an earlier service of this name stay in the past.
            let service = Service::new(name.clone(), self.revision);
            self.services.insert(name.clone(), service);
        }
        self.service_mut(name)
    }

    /// How many instances the app of `name` has.
    pub(super) fn app_of(&mut self, session: SessionId) -> &mut App {
        let app = self.sessions.owner(session).app.clone();
        self.apps.entry(app).or_default()
    }

    const fn take_revision(&mut self) -> Revision {
        self.revision = self.revision.next();
        self.revision
    }

    /// Brings an instance in. Its record's revision is set here.
    pub(super) fn admit(
        &mut self,
        mut record: InstanceRecord,
        layers: AttributeLayers,
        session: SessionId,
    ) -> Revision {
        // The service first: a new one knows nothing from before this revision.
        let name = self.service_or_new(&record.url.name).name.clone();
        let revision = self.take_revision();
        let handle = record.handle;
        record.revision = revision;
        // One allocation for the name, however many instances.
        record.url.name = name.clone();
        let service = self.service_mut(&name);
        let record = Arc::new(record);
        service.roster.insert(record.url.instance, handle);
        if record.state != InstanceState::Pending {
            service.note(None, Arc::clone(&record), Urgency::CanWait);
        }
        self.touched.insert(name);
        self.app_of(session).instances += 1;
        self.sessions.owner_mut(session).instances.insert(handle);
        self.unsaved.note(handle);
        let (name, placed) = (record.url.name.clone(), is_placed(&record));
        let instance = Instance { record, layers, session, held_until: None, beat: self.now };
        self.instances.insert(handle, instance);
        if placed {
            self.raise_epoch(&name);
        }
        revision
    }

    /// Changes what watchers see of an instance.
    pub(super) fn amend(
        &mut self,
        handle: Handle,
        urgency: Urgency,
        edit: impl FnOnce(&mut InstanceRecord),
    ) -> Revision {
        let revision = self.take_revision();
        self.unsaved.note(handle);
        let instance = self.instance_mut(handle);
        let mut record = InstanceRecord::clone(&instance.record);
        let replaced = record.revision;
        edit(&mut record);
        record.revision = revision;
        let record = Arc::new(record);
        let before = std::mem::replace(&mut instance.record, Arc::clone(&record));
        let name = record.url.name.clone();
        let owned = |one: &InstanceRecord| (is_placed(one), one.hash_key, one.weight);
        let moves = owned(&before) != owned(&record) && (is_placed(&before) || is_placed(&record));
        if record.state != InstanceState::Pending {
            self.service_mut(&name).note(Some(replaced), record, urgency);
        }
        if moves {
            self.raise_epoch(&name);
        }
        self.touched.insert(name);
        self.reconsider(handle);
        revision
    }

    /// Takes an instance out: offline, at once, to everyone who may know of it.
    pub(super) fn remove(&mut self, handle: Handle) -> Revision {
        self.release_hold(handle);
        if let Some(instance) = self.instances.get(&handle) {
            let name = instance.record.url.name.clone();
            self.drop_out(handle, &name);
            self.forget_wish(handle, &name);
        }
        let Some(instance) = self.instances.remove(&handle) else { return self.revision };
        self.unsaved.note(handle);
        self.app_of(instance.session).instances -= 1;
        let session = self.sessions.owner_mut(instance.session);
        session.instances.remove(&handle);
        session.whole &= session.connection().is_some();
        let name = instance.record.url.name.clone();
        self.service_mut(&name).roster.remove(&instance.record.url.instance);
        self.touched.insert(name.clone());
        // Nobody was told of a pending one, so nobody is told that it went.
        if instance.record.state == InstanceState::Pending {
            return self.revision;
        }
        let revision = self.take_revision();
        if is_placed(&instance.record) {
            self.raise_epoch(&name);
        }
        let record = InstanceRecord {
            state: InstanceState::Offline,
            attributes: Arc::new(Attributes::new()),
            revision,
            ..InstanceRecord::clone(&instance.record)
        };
        let replaced = Some(instance.record.revision);
        self.service_mut(&name).note(replaced, Arc::new(record), Urgency::AtOnce);
        revision
    }

    /// Replaces the layers of an instance's attributes. Watchers are told if what they see changes;
    /// the answer is the revision that has it.
    pub(super) fn set_layers(&mut self, handle: Handle, layers: AttributeLayers) -> Revision {
        let merged = layers.merged();
        self.unsaved.note(handle);
        let instance = self.instance_mut(handle);
        instance.layers = layers;
        if *instance.record.attributes == merged {
            return instance.record.revision;
        }
        self.amend(handle, Urgency::CanWait, |record| record.attributes = Arc::new(merged))
    }

    /// The mass-loss guard does not believe that this instance is gone.
    pub(super) fn hold(&mut self, handle: Handle) {
        let until = self.now + self.config.mass_loss.hold;
        self.timers.arm(until, Timer::Release(handle));
        let instance = self.instance_mut(handle);
        instance.held_until = Some(until);
        let record = Arc::clone(&instance.record);
        self.service_mut(&record.url.name).held += 1;
        if record.state == InstanceState::Online {
            self.amend(handle, Urgency::AtOnce, |record| record.state = InstanceState::Suspect);
        }
    }

    /// Ends a hold, if there is one; the instance's state is the caller's business.
    pub(super) fn release_hold(&mut self, handle: Handle) {
        let Some(instance) = self.instances.get_mut(&handle) else { return };
        let Some(until) = instance.held_until.take() else { return };
        let name = instance.record.url.name.clone();
        self.timers.disarm(until, Timer::Release(handle));
        self.service_mut(&name).held -= 1;
    }

    /// Moves an instance to another session.
    pub(super) fn move_to(&mut self, handle: Handle, session: SessionId) {
        let now = self.now;
        let instance = self.instance_mut(handle);
        instance.beat = now;
        let old = std::mem::replace(&mut instance.session, session);
        let from = self.sessions.owner_mut(old);
        from.instances.remove(&handle);
        let stands = from.candidacies.remove(&handle);
        let to = self.sessions.owner_mut(session);
        to.instances.insert(handle);
        if stands {
            to.candidacies.insert(handle);
            self.stands_here(handle);
        }
    }
}
