//! Heartbeats of protocol 1, which are per instance: one that its agent no longer speaks of goes
//! offline, though the agent itself is there. Agents of protocol 2 keep their session alive, and all
//! of its instances with it.

use std::sync::Arc;
use std::time::Duration;

use skymesh_types::{Handle, SessionId};

use super::input::{AgentInput, ConnectionId};
use super::{Action, Note, Registry, SessionEnd};

impl AgentInput {
    /// The instance that it shows to be alive.
    const fn shows_alive(&self) -> Option<Handle> {
        match self {
            Self::Heartbeat(handle)
            | Self::ReplaceAttributes(_, handle, _)
            | Self::GiveUp(_, handle) => Some(*handle),
            Self::Register(_, registration) => Some(registration.handle),
            Self::Run(_, candidacy) => Some(candidacy.handle),
            _ => None,
        }
    }
}

impl Registry {
    /// An agent of protocol 1 speaks of one of its instances.
    pub(super) fn beat(&mut self, connection: ConnectionId, input: &AgentInput) {
        let Some(session) = self.sessions.on(connection).filter(|session| session.is_v1()) else {
            return;
        };
        let session = session.id;
        let spoken_of = input.shows_alive().and_then(|handle| self.instances.get_mut(&handle));
        if let Some(instance) = spoken_of.filter(|instance| instance.session == session) {
            instance.beat = self.now;
        }
    }

    /// As `judge`, for a session of protocol 1 that has a connection. One without instances is silent
    /// by right; one that is silent altogether is over; of any other, those go offline that nothing
    /// was said of for a whole lease, each with a word to its agent.
    pub(super) fn judge_beats(
        &mut self,
        id: SessionId,
        actions: &mut Vec<Action>,
    ) -> Option<SessionEnd> {
        let lease = self.lease_of(id);
        let session = self.sessions.get(id)?;
        let (connection, instances) = (session.connection()?, session.instances.clone());
        let over_at = |heard: Duration| heard.max(self.awake_since) + lease;
        if !instances.is_empty() && over_at(session.heard) <= self.now {
            return Some(SessionEnd::LeaseEnded);
        }
        let (mut next, mut silent) = (self.now + lease, Vec::new());
        for handle in instances {
            match over_at(self.instance(handle).beat) {
                over if over <= self.now => silent.push(handle),
                over => next = next.min(over),
            }
        }
        for handle in silent {
            let url = self.instance(handle).record.url.clone();
            actions.push(Action::Note(Note::HeartbeatsLost(url)));
            let reason: Arc<str> = "no heartbeat of it came for a whole lease".into();
            actions.push(Action::KickOff { to: connection, handle, reason });
            self.remove(handle);
        }
        self.arm_session(id, next);
        None
    }
}
