//! What operators ask for: kick, drain, override attributes. Who may ask is the shell's concern.

use std::sync::Arc;
use std::time::Duration;

use skymesh_types::{AttributeChange, Handle, Revision, ServiceUrl, SessionId};

use super::input::{KickTarget, OperatorInput, RequestId};
use super::timer::Timer;
use super::{Action, CloseReason, Refusal, Registry, SessionEnd};
use crate::AttributeLayers;

impl Registry {
    pub(super) fn on_operator(
        &mut self,
        request: RequestId,
        input: OperatorInput,
        actions: &mut Vec<Action>,
    ) {
        let result = match input {
            OperatorInput::Kick(target, reason) => self.kick(&target, &reason, actions),
            OperatorInput::Drain(url) => self.at(&url).map(|handle| self.start_draining(handle)),
            OperatorInput::Override { url, change, lasting } => {
                self.override_attributes(&url, &change, lasting)
            }
        };
        actions.push(Action::OperatorAnswer { request, result });
    }

    fn at(&self, url: &ServiceUrl) -> Result<Handle, Refusal> {
        self.registered_at(url).ok_or_else(|| Refusal::UnknownUrl(url.clone()))
    }

    fn kick(
        &mut self,
        target: &KickTarget,
        reason: &Arc<str>,
        actions: &mut Vec<Action>,
    ) -> Result<Revision, Refusal> {
        let handle = match target {
            KickTarget::Url(url) => self.at(url)?,
            KickTarget::Instance(handle) if self.instances.contains_key(handle) => *handle,
            KickTarget::Instance(handle) => return Err(Refusal::UnknownHandle(*handle)),
            KickTarget::Session(session) => return self.kick_session(*session, reason, actions),
        };
        let session = self.instance(handle).session;
        self.kick_instance(handle, reason, actions);
        self.forget_if_bare(session, actions);
        Ok(self.revision)
    }

    fn kick_instance(&mut self, handle: Handle, reason: &Arc<str>, actions: &mut Vec<Action>) {
        let session = self.sessions.owner_mut(self.instance(handle).session);
        // The notice may be lost with the connection.
        session.whole = false;
        if let Some(to) = session.connection() {
            actions.push(Action::KickOff { to, handle, reason: Arc::clone(reason) });
        }
        self.kicked.remember(handle);
        self.remove(handle);
    }

    fn kick_session(
        &mut self,
        id: SessionId,
        reason: &Arc<str>,
        actions: &mut Vec<Action>,
    ) -> Result<Revision, Refusal> {
        let session = self.sessions.get(id).ok_or(Refusal::UnknownSession)?;
        let connection = session.connection();
        let instances: Vec<Handle> = session.instances.iter().copied().collect();
        for handle in instances {
            self.kick_instance(handle, reason, actions);
        }
        if let Some(connection) = connection {
            self.drop_watches(id);
            actions.push(Action::Close { connection, reason: CloseReason::Kicked });
        }
        self.forget(id, SessionEnd::Kicked, actions);
        Ok(self.revision)
    }

    fn override_attributes(
        &mut self,
        url: &ServiceUrl,
        change: &AttributeChange,
        lasting: Option<Duration>,
    ) -> Result<Revision, Refusal> {
        let limit = self.config.limits.overrides;
        if !self.overrides.contains(url) && self.overrides.len() >= limit {
            let what = "URLs with operator overrides";
            return Err(Refusal::Limit { what, limit: "overrides", value: limit });
        }
        let until = lasting.map(|lasting| self.now + lasting);
        let changed = self.overrides.change(url, change, until);
        changed.map_err(|source| Refusal::Attributes { url: url.clone(), source })?;
        if let Some(until) = until {
            self.timers.arm(until, Timer::Override(url.clone()));
        }
        Ok(self.lay_overrides(url))
    }

    pub(super) fn expire_override(&mut self, url: &ServiceUrl) {
        if self.overrides.expire(url, self.now) {
            self.lay_overrides(url);
        }
    }

    /// Lays the operator's layer over what is registered at `url`, if anything is.
    fn lay_overrides(&mut self, url: &ServiceUrl) -> Revision {
        let Some(handle) = self.registered_at(url) else { return self.revision };
        let operator = self.overrides.layer(url);
        let layers = AttributeLayers { operator, ..self.instance(handle).layers.clone() };
        self.set_layers(handle, layers)
    }
}
