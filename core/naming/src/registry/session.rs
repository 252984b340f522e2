//! Sessions: one agent's lease with the registry, and how it is found by connection and by agent.
//! Bookkeeping only; what the end of a session means for its instances is decided in `lease.rs`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use skymesh_types::{AgentId, AppId, Handle, ServiceName, SessionId};

use super::input::{ConnectionId, Hello, Interest};
use crate::PeerProtocol;

/// Whether a session has a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Link {
    /// It lives.
    Up(ConnectionId),
    /// The socket closed at that time; the grace runs.
    Down(Duration),
    /// It is over, but the mass-loss guard holds some of its instances.
    Held,
    /// It is of an earlier life of the registry, which began to wait for its agent at that time.
    Awaited(Duration),
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    pub(super) app: AppId,
    pub(super) address: Arc<str>,
    pub(super) protocol: PeerProtocol,
    pub(super) agent: Option<AgentId>,
    pub(super) interest: Interest,
    pub(super) link: Link,
    /// When a frame of it came last.
    pub(super) heard: Duration,
    /// When its timer is armed for.
    pub(super) timer: Duration,
    pub(super) instances: BTreeSet<Handle>,
    /// The agent knows of every instance that was taken from it. If not, it is told that its
    /// session is a new one, so that it says everything again.
    pub(super) whole: bool,
    /// Of its connection; empty while there is none.
    pub(super) watches: BTreeSet<ServiceName>,
    /// Watches that need a snapshot once the connection drains, first come first served: so a busy
    /// name can't starve the others.
    pub(super) lagging: VecDeque<ServiceName>,
    /// Names whose leader its connection wants to hear of; empty while there is none.
    pub(super) elections: BTreeSet<ServiceName>,
    /// Names that its connection of protocol 1 routes to; empty while there is none.
    pub(super) routes: BTreeSet<ServiceName>,
    /// Its instances that stand for leader.
    pub(super) candidacies: BTreeSet<Handle>,
}

impl Session {
    pub(super) const fn connection(&self) -> Option<ConnectionId> {
        match self.link {
            Link::Up(connection) => Some(connection),
            Link::Down(_) | Link::Held | Link::Awaited(_) => None,
        }
    }

    /// Its agent has not said a word in this life of the registry.
    pub(super) const fn is_awaited(&self) -> bool {
        matches!(self.link, Link::Awaited(_))
    }

    pub(super) const fn is_v1(&self) -> bool {
        self.protocol.version < 2
    }
}

/// Whom an awaited session waits for: a run of an agent; at protocol 1, which knows none, an address.
type Awaited = (AppId, Option<AgentId>, Arc<str>);

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    by_id: BTreeMap<SessionId, Session>,
    by_connection: BTreeMap<ConnectionId, SessionId>,
    by_agent: BTreeMap<(AppId, AgentId), SessionId>,
    /// Those of an earlier life. They are never resumed: what their agents register again moves to
    /// a session of this life.
    awaited: BTreeMap<Awaited, SessionId>,
    last_id: u64,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Session> {
        self.by_id.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session> {
        self.by_id.get_mut(&id)
    }

    /// The session of an instance: every instance has one.
    pub(super) fn owner(&self, id: SessionId) -> &Session {
        self.by_id.get(&id).expect("invariant: a session outlives its instances")
    }

    /// As [`owner`](Self::owner), to change it.
    pub(super) fn owner_mut(&mut self, id: SessionId) -> &mut Session {
        self.by_id.get_mut(&id).expect("invariant: a session outlives its instances")
    }

    pub(super) fn on(&self, connection: ConnectionId) -> Option<&Session> {
        self.by_id.get(self.by_connection.get(&connection)?)
    }

    pub(super) fn on_mut(&mut self, connection: ConnectionId) -> Option<&mut Session> {
        self.by_id.get_mut(self.by_connection.get(&connection)?)
    }

    /// The session that this run of an agent has in `app`.
    pub(super) fn of_agent(&self, app: &AppId, agent: Option<AgentId>) -> Option<SessionId> {
        self.by_agent.get(&(app.clone(), agent?)).copied()
    }

    fn next_id(&mut self) -> SessionId {
        self.last_id += 1;
        SessionId::new(self.last_id).expect("invariant: a counter from 1 is not 0")
    }

    /// The session that waits for an agent of an earlier life.
    pub(super) fn awaited(
        &self,
        app: &AppId,
        agent: Option<AgentId>,
        address: &Arc<str>,
    ) -> Option<SessionId> {
        self.awaited.get(&(app.clone(), agent, Arc::clone(address))).copied()
    }

    /// Opens a session that waits for an agent of an earlier life.
    pub(super) fn wait_for(
        &mut self,
        now: Duration,
        app: AppId,
        agent: Option<AgentId>,
        address: Arc<str>,
        protocol: PeerProtocol,
    ) -> SessionId {
        let id = self.next_id();
        self.awaited.insert((app.clone(), agent, Arc::clone(&address)), id);
        let session = Session {
            id,
            app,
            address,
            protocol,
            agent,
            interest: Interest::ByName,
            link: Link::Awaited(now),
            heard: now,
            timer: now,
            instances: BTreeSet::new(),
            whole: false,
            watches: BTreeSet::new(),
            lagging: VecDeque::new(),
            elections: BTreeSet::new(),
            routes: BTreeSet::new(),
            candidacies: BTreeSet::new(),
        };
        self.by_id.insert(id, session);
        id
    }

    /// Opens a session on `connection`.
    pub(super) fn open(
        &mut self,
        now: Duration,
        connection: ConnectionId,
        hello: Hello,
    ) -> SessionId {
        let id = self.next_id();
        if let Some(agent) = hello.agent {
            self.by_agent.insert((hello.app.clone(), agent), id);
        }
        let session = Session {
            id,
            app: hello.app,
            address: hello.address,
            protocol: hello.protocol,
            agent: hello.agent,
            interest: hello.interest,
            link: Link::Up(connection),
            heard: now,
            timer: now,
            instances: BTreeSet::new(),
            whole: true,
            watches: BTreeSet::new(),
            lagging: VecDeque::new(),
            elections: BTreeSet::new(),
            routes: BTreeSet::new(),
            candidacies: BTreeSet::new(),
        };
        self.by_id.insert(id, session);
        self.by_connection.insert(connection, id);
        id
    }

    /// Moves a session to `connection`.
    pub(super) fn link(&mut self, id: SessionId, connection: ConnectionId) {
        self.unlink(id, Link::Up(connection));
        self.by_connection.insert(connection, id);
    }

    /// Takes the connection away from a session, which goes on as `link`.
    pub(super) fn unlink(&mut self, id: SessionId, link: Link) {
        let Some(session) = self.by_id.get_mut(&id) else { return };
        if let Link::Up(connection) = std::mem::replace(&mut session.link, link) {
            self.by_connection.remove(&connection);
        }
    }

    /// Forgets a session.
    pub(super) fn close(&mut self, id: SessionId) -> Option<Session> {
        let session = self.by_id.remove(&id)?;
        if let Link::Up(connection) = session.link {
            self.by_connection.remove(&connection);
        }
        if session.is_awaited() {
            let (app, address) = (session.app.clone(), Arc::clone(&session.address));
            self.awaited.remove(&(app, session.agent, address));
        } else if let Some(agent) = session.agent {
            self.by_agent.remove(&(session.app.clone(), agent));
        }
        Some(session)
    }
}
