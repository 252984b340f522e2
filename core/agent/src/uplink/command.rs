//! What the agent's API asks of the uplink, and what is said to the nameserver for it.

use skymesh_proto::PlacementPrepared;
use skymesh_proto::msg::Body;
use skymesh_types::{AttributeChange, Attributes, Handle};
use tokio::sync::oneshot;

use super::connection::Uplink;
use super::errands::Open;
use super::heed::watch;
use super::{Own, Reply, RequestError};
use crate::instance::AttributesError;
use crate::registration::RegisterError;

/// See the module.
#[derive(Debug)]
pub(crate) enum Command {
    Register {
        own: Own,
        reply: Reply<(), RegisterError>,
    },
    Unregister {
        handle: Handle,
        reply: Reply<(), RequestError>,
    },
    ChangeAttributes {
        handle: Handle,
        change: AttributeChange,
        reply: Reply<(), AttributesError>,
    },
    Attributes {
        handle: Handle,
        reply: Reply<Attributes, RequestError>,
    },
    /// The elections have something to say.
    Elections,
    /// An instance takes nothing new from now on; a stateful one is answered when its keys have moved.
    DrainOne {
        handle: Handle,
        reply: Reply<(), RequestError>,
    },
    /// Every instance takes nothing new from now on.
    Drain(oneshot::Sender<()>),
    /// The agent leaves; the uplink ends after this, and answers when it is said.
    Goodbye(oneshot::Sender<()>),
}

impl Uplink {
    /// Notes a command, and answers what has to be said for it now.
    pub(super) fn command(&mut self, command: Option<Command>) -> Vec<Body> {
        match command {
            Some(Command::Register { own, reply }) => {
                // Given up while it waited here, and said to have left before it was said to be there.
                if self.runtime.directory.local(own.sender.source.handle()).is_none() {
                    return Vec::new();
                }
                vec![self.ledger.register(own, reply)]
            }
            Some(Command::Unregister { handle, reply }) => {
                self.ledger.unregister(handle, Some(reply)).into_iter().collect()
            }
            Some(Command::ChangeAttributes { handle, change, reply }) => {
                self.ledger.change(handle, change, reply).into_iter().collect()
            }
            Some(Command::Attributes { handle, reply }) => {
                let _ = reply.send(self.ledger.attributes(handle));
                Vec::new()
            }
            // It is said with what follows from any command.
            Some(Command::Elections) => Vec::new(),
            Some(Command::DrainOne { handle, reply }) => {
                self.ledger.drain_one(handle, reply).into_iter().collect()
            }
            Some(Command::Drain(drained)) => {
                self.drained = Some(drained);
                let bodies = self.ledger.drain();
                self.note_drained();
                bodies
            }
            Some(Command::Goodbye(said)) => {
                self.leaving = Some(said);
                Vec::new()
            }
            // The runtime holds a sender, so there is always another command to wait for.
            None => Vec::new(),
        }
    }

    /// Takes up what was left to do, and answers what has to be said for it now.
    pub(super) fn errands(&mut self) -> Vec<Body> {
        let Open { watches, prepared, left } = self.runtime.errands.take();
        let mut bodies: Vec<Body> = watches.iter().map(|name| watch(name, None)).collect();
        bodies.extend(prepared.into_iter().map(|(name, round)| {
            PlacementPrepared { service_name: name.to_string(), round: round.0 }.into()
        }));
        let left = left.into_iter();
        bodies.extend(left.filter_map(|handle| self.ledger.unregister(handle, None)));
        bodies
    }

    pub(super) fn note_drained(&mut self) {
        if !self.ledger.is_draining()
            && let Some(drained) = self.drained.take()
        {
            let _ = drained.send(());
        }
    }
}
