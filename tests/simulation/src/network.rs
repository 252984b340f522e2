//! The network: connections that keep the order of each direction, as TCP does, and otherwise do
//! their worst. Packets are late or very late (a lost one is sent again), a partition holds them
//! back until it heals, a closed connection is noticed late, a dead host answers nothing.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::agenda::{Agenda, Happening};
use crate::dice::Dice;
use crate::message::Message;
use crate::world::NodeId;

/// What is lost is sent again after 200 ms, then after twice that, and the last time after this.
const LAST_TRY: Duration = Duration::from_millis(800);

pub(crate) type ConnectionNumber = usize;

/// One of the two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum End {
    Dialler,
    Listener,
}

impl End {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::Dialler => Self::Listener,
            Self::Listener => Self::Dialler,
        }
    }
}

#[derive(Debug)]
pub(crate) enum Packet {
    /// The first one of the dialler.
    Hello,
    Message(Message),
    /// The last one: the other end is closed.
    Close,
}

#[derive(Debug)]
struct Side {
    node: NodeId,
    open: bool,
    /// On their way to this side.
    coming: VecDeque<Packet>,
    /// When the last of them arrives.
    last: Duration,
}

#[derive(Debug)]
struct Connection {
    dialler: Side,
    listener: Side,
}

impl Connection {
    fn side(&mut self, end: End) -> &mut Side {
        match end {
            End::Dialler => &mut self.dialler,
            End::Listener => &mut self.listener,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    connections: Vec<Connection>,
    /// From whom nothing reaches whom.
    blocked: BTreeSet<(NodeId, NodeId)>,
    /// Arrivals that a partition holds back, in order.
    held: Vec<(ConnectionNumber, End)>,
    /// Every message takes up to this long.
    pub(crate) slowness: Duration,
    /// One message in so many is sent again once or several times; 0 for none.
    pub(crate) lossy: u64,
}

impl Network {
    /// Opens a connection; what is sent on it at once arrives after the greeting.
    pub(crate) fn dial(
        &mut self,
        from: NodeId,
        to: NodeId,
        now: Duration,
        agenda: &mut Agenda,
        dice: &mut Dice,
    ) -> ConnectionNumber {
        let side = |node, open| Side { node, open, coming: VecDeque::new(), last: now };
        self.connections.push(Connection { dialler: side(from, true), listener: side(to, false) });
        let number = self.connections.len() - 1;
        self.push(number, End::Listener, Packet::Hello, now, agenda, dice);
        number
    }

    pub(crate) fn is_open(&self, connection: ConnectionNumber, end: End) -> bool {
        let connection = &self.connections[connection];
        match end {
            End::Dialler => connection.dialler.open,
            End::Listener => connection.listener.open,
        }
    }

    pub(crate) fn accept(&mut self, connection: ConnectionNumber) {
        self.connections[connection].listener.open = true;
    }

    /// Sends to the other end, if this one is open.
    pub(crate) fn send(
        &mut self,
        connection: ConnectionNumber,
        from: End,
        message: Message,
        now: Duration,
        agenda: &mut Agenda,
        dice: &mut Dice,
    ) {
        if self.is_open(connection, from) {
            self.push(connection, from.other(), Packet::Message(message), now, agenda, dice);
        }
    }

    /// Closes one end; the other one hears of it in time.
    pub(crate) fn close(
        &mut self,
        connection: ConnectionNumber,
        end: End,
        now: Duration,
        agenda: &mut Agenda,
        dice: &mut Dice,
    ) {
        let side = self.connections[connection].side(end);
        if std::mem::replace(&mut side.open, false) {
            self.push(connection, end.other(), Packet::Close, now, agenda, dice);
        }
    }

    /// Says that this end is closed to whoever still sends to it.
    pub(crate) fn reset(
        &mut self,
        connection: ConnectionNumber,
        end: End,
        now: Duration,
        agenda: &mut Agenda,
        dice: &mut Dice,
    ) {
        if self.is_open(connection, end.other()) {
            self.push(connection, end.other(), Packet::Close, now, agenda, dice);
        }
    }

    /// The ends of a node that are open.
    pub(crate) fn ends_of(&self, node: NodeId) -> Vec<(ConnectionNumber, End)> {
        let numbered = self.connections.iter().enumerate();
        let ends = numbered.flat_map(|(number, connection)| {
            let dialler = (&connection.dialler, End::Dialler);
            let listener = (&connection.listener, End::Listener);
            [dialler, listener].map(|(side, end)| (number, end, side.node == node && side.open))
        });
        ends.filter(|(_, _, open)| *open).map(|(number, end, _)| (number, end)).collect()
    }

    /// A node's memory is gone, and with it its ends. Nobody is told.
    pub(crate) fn forget(&mut self, connection: ConnectionNumber, end: End) {
        self.connections[connection].side(end).open = false;
    }

    fn push(
        &mut self,
        connection: ConnectionNumber,
        to: End,
        packet: Packet,
        now: Duration,
        agenda: &mut Agenda,
        dice: &mut Dice,
    ) {
        let delay = self.delay(dice);
        let side = self.connections[connection].side(to);
        side.last = side.last.max(now + delay);
        side.coming.push_back(packet);
        agenda.put(side.last, Happening::Arrival(connection, to));
    }

    fn delay(&self, dice: &mut Dice) -> Duration {
        let mut delay = dice.millis(0, 2);
        if !self.slowness.is_zero() {
            delay += Duration::from_micros(dice.below(self.slowness.as_micros() as u64));
        }
        if self.lossy > 0 {
            let mut again = Duration::from_millis(200);
            while again <= LAST_TRY && dice.one_in(self.lossy) {
                delay += again;
                again *= 2;
            }
        }
        delay
    }

    /// The next packet of that end, and to whom it is. `None` if a partition holds it back.
    pub(crate) fn arrive(
        &mut self,
        connection: ConnectionNumber,
        end: End,
    ) -> Option<(NodeId, Packet)> {
        let from = self.connections[connection].side(end.other()).node;
        let side = self.connections[connection].side(end);
        if self.blocked.contains(&(from, side.node)) {
            self.held.push((connection, end));
            return None;
        }
        let packet = side.coming.pop_front()?;
        Some((side.node, packet))
    }

    pub(crate) fn block(&mut self, from: NodeId, to: NodeId) {
        self.blocked.insert((from, to));
    }

    /// What was held back arrives one after the other, in its order.
    pub(crate) fn unblock(
        &mut self,
        from: NodeId,
        to: NodeId,
        now: Duration,
        agenda: &mut Agenda,
        dice: &mut Dice,
    ) {
        self.blocked.remove(&(from, to));
        let mut at = now;
        for (connection, end) in std::mem::take(&mut self.held) {
            let sender = self.connections[connection].side(end.other()).node;
            let side = self.connections[connection].side(end);
            if self.blocked.contains(&(sender, side.node)) {
                self.held.push((connection, end));
                continue;
            }
            at += dice.millis(0, 1);
            side.last = side.last.max(at);
            agenda.put(at, Happening::Arrival(connection, end));
        }
    }
}
