//! Sessions begin, go on with another connection, lose their connection and say goodbye.

use skymesh_types::SessionId;

use super::input::{ConnectionId, Hello, Interest};
use super::service::Urgency;
use super::session::Link;
use super::{Action, CloseReason, Note, Registry, SessionEnd};
use crate::InstanceState;

impl Registry {
    pub(super) fn hello(
        &mut self,
        connection: ConnectionId,
        hello: Hello,
        actions: &mut Vec<Action>,
    ) {
        if self.sessions.on(connection).is_some() {
            actions.push(Action::Close { connection, reason: CloseReason::SecondHello });
            return self.disconnected(connection, actions);
        }
        if let Some(id) = self.sessions.of_agent(&hello.app, hello.agent) {
            return self.resume(id, connection, hello, actions);
        }
        if self.sessions.len() >= self.config.limits.sessions {
            actions.push(Action::Close { connection, reason: CloseReason::TooManySessions });
            return;
        }
        let interest = hello.interest;
        let session = self.sessions.open(self.now, connection, hello);
        self.welcome(session, connection, None, actions);
        actions.push(Action::Note(Note::SessionOpened(session)));
        if interest == Interest::WholeApp {
            self.listen(session, connection, actions);
        }
    }

    /// The agent that has this session connected anew: the session goes on, whether its old
    /// connection is known to be dead or not.
    fn resume(
        &mut self,
        id: SessionId,
        connection: ConnectionId,
        hello: Hello,
        actions: &mut Vec<Action>,
    ) {
        if let Some(old) = self.sessions.owner(id).connection() {
            self.drop_watches(id);
            actions.push(Action::Close { connection: old, reason: CloseReason::Superseded });
        }
        self.sessions.link(id, connection);
        let now = self.now;
        let session = self.sessions.owner_mut(id);
        session.heard = now;
        session.address = hello.address;
        session.protocol = hello.protocol;
        session.interest = hello.interest;
        let whole = std::mem::replace(&mut session.whole, true);
        let instances: Vec<_> = session.instances.iter().copied().collect();
        self.welcome(id, connection, hello.resume.filter(|_| whole), actions);
        actions.push(Action::Note(Note::SessionResumed(id)));
        for handle in instances {
            self.release_hold(handle);
            self.bring_back(handle);
        }
        if hello.interest == Interest::WholeApp {
            self.listen(id, connection, actions);
        }
    }

    /// An instance's session lives (again): it is not suspect, and it is where its agent is.
    pub(super) fn bring_back(&mut self, handle: skymesh_types::Handle) {
        let instance = self.instance(handle);
        let session = self.sessions.owner(instance.session);
        let record = &instance.record;
        let (address, protocol) = (session.address.clone(), session.protocol.clone());
        let suspect = record.state == InstanceState::Suspect;
        if suspect || record.address != address || record.protocol != protocol {
            self.amend(handle, Urgency::CanWait, |record| {
                if suspect {
                    record.state = InstanceState::Online;
                }
                record.address = address;
                record.protocol = protocol;
            });
        }
    }

    fn welcome(
        &mut self,
        session: SessionId,
        to: ConnectionId,
        asked: Option<SessionId>,
        actions: &mut Vec<Action>,
    ) {
        let lease = self.lease_of(session);
        self.arm_session(session, self.now + lease);
        let resumed = asked == Some(session);
        actions.push(Action::Welcome { to, session, resumed, lease });
    }

    /// The socket closed without a goodbye.
    pub(super) fn disconnected(&mut self, connection: ConnectionId, actions: &mut Vec<Action>) {
        let Some(session) = self.sessions.on(connection) else { return };
        let id = session.id;
        let instances: Vec<_> = session.instances.iter().copied().collect();
        self.drop_watches(id);
        if instances.is_empty() {
            return self.forget(id, SessionEnd::Disconnected, actions);
        }
        self.sessions.unlink(id, Link::Down(self.now));
        self.arm_session(id, self.now + self.config.session_grace);
        actions.push(Action::Note(Note::SessionSuspect(id)));
        for handle in instances {
            match self.instance(handle).record.state {
                InstanceState::Online => {
                    self.amend(handle, Urgency::AtOnce, |record| {
                        record.state = InstanceState::Suspect;
                    });
                }
                // Nobody waits for who may never come back.
                InstanceState::Pending => {
                    self.remove(handle);
                }
                _ => {}
            }
        }
        self.forget_if_bare(id, actions);
    }

    pub(super) fn goodbye(&mut self, connection: ConnectionId, actions: &mut Vec<Action>) {
        let Some(session) = self.sessions.on(connection) else { return };
        let id = session.id;
        let instances: Vec<_> = session.instances.iter().copied().collect();
        for handle in instances {
            self.step_down(handle);
            self.remove(handle);
        }
        self.drop_watches(id);
        self.forget(id, SessionEnd::Goodbye, actions);
        actions.push(Action::Close { connection, reason: CloseReason::Goodbye });
    }
}
