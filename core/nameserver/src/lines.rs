//! The open connections as the registry's task sees them: where to put frames, and what is known of
//! who reads them. Never waits: a queue that is full says so.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use skymesh_naming::{ConnectionId, InstanceRecord};
use skymesh_proto as proto;
use skymesh_transport::Outbox;
use skymesh_types::ServiceName;
use tokio::sync::oneshot;

use crate::intake::Speaks;
use crate::render::frame;
use crate::v1::Told;

/// One connection. Dropping it closes the connection once everything queued is written.
#[derive(Debug)]
pub(crate) struct Line {
    outbox: Outbox,
    speaks: Speaks,
    /// Where the agent listens; empty until its hello.
    address: Arc<str>,
    /// What an agent of protocol 1 has been told.
    told: Told,
    /// Its queue was full, and it has not drained yet.
    clogged: bool,
    _hang_up: oneshot::Sender<Infallible>,
}

/// What became of frames that a slow reader may miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Queued,
    /// Not queued: the watch needs a snapshot later.
    Overflowed,
    /// The connection is closed, or closing.
    Closed,
}

impl Line {
    pub(crate) fn new(
        outbox: Outbox,
        speaks: Speaks,
        hang_up: oneshot::Sender<Infallible>,
    ) -> Self {
        Self {
            outbox,
            speaks,
            address: Arc::from(""),
            told: Told::default(),
            clogged: false,
            _hang_up: hang_up,
        }
    }

    fn send(&mut self, frames: &[u8]) -> Sent {
        use skymesh_transport::TryPushError::{Closed, Full};
        // Once clogged, nothing slips in between what was left out and the snapshot that mends it.
        if self.clogged {
            return Sent::Overflowed;
        }
        match self.outbox.try_push(|out| out.extend_from_slice(frames)) {
            Ok(()) => Sent::Queued,
            Err(Full { .. }) => Sent::Overflowed,
            Err(Closed(_)) => Sent::Closed,
            Err(error) => {
                tracing::error!(%error, "a part of a snapshot or delta is too large");
                Sent::Overflowed
            }
        }
    }
}

/// All open connections.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    open: HashMap<ConnectionId, Line>,
}

impl Lines {
    pub(crate) fn open(&mut self, connection: ConnectionId, line: Line) {
        self.open.insert(connection, line);
    }

    pub(crate) fn introduce(
        &mut self,
        connection: ConnectionId,
        speaks: Speaks,
        address: &Arc<str>,
    ) {
        if let Some(line) = self.open.get_mut(&connection) {
            line.speaks = speaks;
            line.address = Arc::clone(address);
        }
    }

    /// The protocol of a connection; `None` if it is closed.
    pub(crate) fn speaks(&self, connection: ConnectionId) -> Option<Speaks> {
        self.open.get(&connection).map(|line| line.speaks)
    }

    /// Sends a reply. One who lets too many of them pile up is closed by the outbox.
    pub(crate) fn reply(&self, to: ConnectionId, reply: impl Into<proto::Msg>) {
        if let Some(line) = self.open.get(&to) {
            // An error means closed: the connection's task counts why and says goodbye for it.
            let _ = line.outbox.push_control(|out| skymesh_wire::encode_msg(&reply.into(), out));
        }
    }

    /// Sends what a slow reader may miss. The first overflow answers with the outbox to wait for.
    pub(crate) fn send(&mut self, to: ConnectionId, frames: &[u8]) -> (Sent, Option<Outbox>) {
        let Some(line) = self.open.get_mut(&to) else { return (Sent::Closed, None) };
        let sent = line.send(frames);
        let newly = sent == Sent::Overflowed && !std::mem::replace(&mut line.clogged, true);
        (sent, newly.then(|| line.outbox.clone()))
    }

    /// Whether something was left out on that connection, and it has not drained since.
    pub(crate) fn is_clogged(&self, connection: ConnectionId) -> bool {
        self.open.get(&connection).is_some_and(|line| line.clogged)
    }

    /// Tells an agent of protocol 1 of records.
    pub(crate) fn tell(&mut self, to: ConnectionId, records: &[Arc<InstanceRecord>]) -> Sent {
        let Some(line) = self.open.get_mut(&to) else { return Sent::Closed };
        let mut frames = Vec::new();
        for record in records {
            line.told.tell(record, &line.address, &mut frames);
        }
        line.send(&frames)
    }

    /// Notes whom an agent of protocol 1 is told to lead; gives back whom it was told before.
    pub(crate) fn note_leader(
        &mut self,
        to: ConnectionId,
        name: &ServiceName,
        leader: Option<proto::Info>,
    ) -> Option<proto::Info> {
        self.open.get_mut(&to)?.told.note_leader(name, leader)
    }

    /// The connection's queue has room again.
    pub(crate) fn drained(&mut self, connection: ConnectionId) {
        if let Some(line) = self.open.get_mut(&connection) {
            line.clogged = false;
        }
    }

    /// Closes a connection after a last word, for those who understand it.
    pub(crate) fn close(&mut self, connection: ConnectionId, reason: Option<&str>) {
        let Some(line) = self.open.remove(&connection) else { return };
        if let (Some(reason), Speaks::V2) = (reason, line.speaks) {
            let refusal = frame(proto::Refusal { reason: reason.to_owned() });
            let _ = line.outbox.push_control(|out| out.extend_from_slice(&refusal));
        }
    }

    pub(crate) fn close_all(&mut self, reason: &str) {
        let connections: Vec<ConnectionId> = self.open.keys().copied().collect();
        for connection in connections {
            self.close(connection, Some(reason));
        }
    }
}
