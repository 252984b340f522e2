//! What a registry leaves to its next life: which instances there were. A nameserver that starts
//! again lists them as suspect until their agents are back, so that watchers have something to work
//! with at once. The agents stay the only ones who know the truth: what they do not register again
//! is gone after a lease, and nothing here is ever believed against them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use skymesh_types::{AgentId, AppId, Handle, Revision, SessionId};

use super::Registry;
use super::input::Registration;
use crate::placement::Epoch;
use crate::{AttributeLayers, InstanceRecord, InstanceState, PeerProtocol};

/// Changed incarnations that are remembered until they are asked for. Only those that are gone can
/// reach it, and only while nobody asks (the store fails). Beyond it they are not noted: if the
/// registry starts again then, they are listed as suspect for one lease.
const UNSAVED: usize = 1 << 20;

/// One instance as an earlier life of the registry knew it.
#[derive(Debug, Clone, PartialEq)]
pub struct Remembered {
    /// What its agent had said of it.
    pub registration: Registration,
    /// Where its agent listened.
    pub address: Arc<str>,
    /// The run of its agent; `None` at protocol 1.
    pub agent: Option<AgentId>,
    /// What its agent understood.
    pub protocol: PeerProtocol,
    /// It took nothing new any more.
    pub draining: bool,
}

/// Incarnations that changed since they were last asked for.
#[derive(Debug, Default)]
pub(super) struct Unsaved(Option<BTreeSet<Handle>>);

impl Unsaved {
    pub(super) fn note(&mut self, handle: Handle) {
        if let Some(changed) = self.0.as_mut().filter(|changed| changed.len() < UNSAVED) {
            changed.insert(handle);
        }
    }
}

impl Registry {
    /// From here on [`Registry::take_unsaved`] says what changed.
    pub fn track_unsaved(&mut self) {
        self.unsaved.0.get_or_insert_default();
    }

    /// Whether [`Registry::take_unsaved`] would give anything.
    pub fn has_unsaved(&self) -> bool {
        self.unsaved.0.as_ref().is_some_and(|changed| !changed.is_empty())
    }

    /// Up to `most` incarnations that changed since they were last given: what to remember of each,
    /// or `None` to forget it.
    pub fn take_unsaved(&mut self, most: usize) -> Vec<(Handle, Option<Remembered>)> {
        let Some(changed) = &mut self.unsaved.0 else { return Vec::new() };
        let taken: Vec<Handle> = std::iter::from_fn(|| changed.pop_first()).take(most).collect();
        taken.into_iter().map(|handle| (handle, self.remembered(handle))).collect()
    }

    /// These were given and could not be kept: they are given again.
    pub fn return_unsaved(&mut self, handles: impl IntoIterator<Item = Handle>) {
        for handle in handles {
            self.unsaved.note(handle);
        }
    }

    fn remembered(&self, handle: Handle) -> Option<Remembered> {
        let instance = self.instances.get(&handle)?;
        let record = &instance.record;
        // Nobody is told of a pending one, in this life or the next.
        (record.state != InstanceState::Pending).then(|| Remembered {
            registration: Registration {
                url: record.url.clone(),
                handle,
                declared: instance.layers.declared.clone(),
                runtime: instance.layers.runtime.clone(),
                weight: record.weight,
                hash_key: record.hash_key,
                epoch: self.services.get(&record.url.name).map_or(Epoch(0), |one| one.epoch),
            },
            address: Arc::clone(&record.address),
            agent: record.agent,
            protocol: record.protocol.clone(),
            draining: record.state == InstanceState::Draining,
        })
    }

    /// Lists instances of an earlier life until their agents are back. To be said first, after the
    /// operator's overrides. What passes a limit, or wants a URL that another one has, is left out.
    pub(super) fn recall(&mut self, remembered: Vec<Remembered>) {
        for one in remembered {
            let url = &one.registration.url;
            if self.instances.contains_key(&one.registration.handle)
                || self.registered_at(url).is_some()
            {
                self.unsaved.note(one.registration.handle);
                continue;
            }
            let app: AppId =
                url.name.app().parse().expect("invariant: the app of a checked name is checked");
            let app_instances = self.apps.get(&app).map_or(0, |app| app.instances);
            let Some(session) = self.awaited_session(app, &one) else { continue };
            let limits = &self.config.limits;
            let owned = self.sessions.owner(session).instances.len();
            if app_instances < limits.instances_per_app && owned < limits.instances_per_session {
                self.list_again(one, session);
            }
        }
    }

    /// The session that an instance waits in for its agent.
    fn awaited_session(&mut self, app: AppId, one: &Remembered) -> Option<SessionId> {
        if let Some(session) = self.sessions.awaited(&app, one.agent, &one.address) {
            return Some(session);
        }
        if self.sessions.len() >= self.config.limits.sessions {
            return None;
        }
        let (address, protocol) = (Arc::clone(&one.address), one.protocol.clone());
        let session = self.sessions.wait_for(self.now, app, one.agent, address, protocol);
        let patience = self.patience(session);
        self.arm_session(session, self.now + patience);
        Some(session)
    }

    /// How long an awaited agent has to come back: a whole lease at least, and as long as what is
    /// absent is unknown.
    pub(super) fn patience(&self, session: SessionId) -> Duration {
        self.lease_of(session).max(self.config.recovery)
    }

    fn list_again(&mut self, one: Remembered, session: SessionId) {
        let Remembered { registration, address, agent, protocol, draining } = one;
        let layers = AttributeLayers {
            declared: registration.declared,
            runtime: registration.runtime,
            operator: self.overrides.layer(&registration.url),
        };
        let record = InstanceRecord {
            url: registration.url,
            handle: registration.handle,
            address,
            agent,
            protocol,
            state: if draining { InstanceState::Draining } else { InstanceState::Suspect },
            attributes: Arc::new(layers.merged()),
            weight: registration.weight,
            hash_key: registration.hash_key,
            revision: Revision::default(),
        };
        self.admit(record, layers, session);
    }
}

#[cfg(test)]
mod tests;
