//! What the agent's API asks of the uplink, and what is said to the nameserver for it.

use skymesh_naming::placement::RoundId;
use skymesh_proto::PlacementPrepared;
use skymesh_proto::msg::Body;
use skymesh_types::{AttributeChange, Attributes, Handle, ServiceName};
use tokio::sync::oneshot;

use super::connection::Uplink;
use super::elections::{unwatch_leader, watch_leader};
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
    /// As `Unregister`, by somebody who does not wait for an answer.
    Forget(Handle),
    ChangeAttributes {
        handle: Handle,
        change: AttributeChange,
        reply: Reply<(), AttributesError>,
    },
    Attributes {
        handle: Handle,
        reply: Reply<Attributes, RequestError>,
    },
    Watch(ServiceName),
    /// The elections have something to say.
    Elections,
    WatchElection(ServiceName),
    UnwatchElection(ServiceName),
    /// A router holds what a round would move.
    Prepared(ServiceName, RoundId),
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
            Some(Command::Register { own, reply }) => vec![self.ledger.register(own, reply)],
            Some(Command::Unregister { handle, reply }) => {
                self.ledger.unregister(handle, Some(reply)).into_iter().collect()
            }
            Some(Command::Forget(handle)) => {
                self.ledger.unregister(handle, None).into_iter().collect()
            }
            Some(Command::ChangeAttributes { handle, change, reply }) => {
                self.ledger.change(handle, change, reply).into_iter().collect()
            }
            Some(Command::Attributes { handle, reply }) => {
                let _ = reply.send(self.ledger.attributes(handle));
                Vec::new()
            }
            Some(Command::Watch(name)) => vec![watch(&name, None)],
            // It is said with what follows from any command.
            Some(Command::Elections) => Vec::new(),
            Some(Command::WatchElection(name)) => vec![watch_leader(&name)],
            Some(Command::UnwatchElection(name)) => vec![unwatch_leader(&name)],
            Some(Command::Prepared(name, round)) => {
                let (service_name, round) = (name.to_string(), round.0);
                vec![PlacementPrepared { service_name, round }.into()]
            }
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

    pub(super) fn note_drained(&mut self) {
        if !self.ledger.is_draining()
            && let Some(drained) = self.drained.take()
        {
            let _ = drained.send(());
        }
    }
}
