//! What is done with what the nameserver says: one arm for each kind of message.

use std::ops::ControlFlow;

use skymesh_proto::msg::Body;
use skymesh_proto::{RequestReply, Unwatch, Watch};
use skymesh_types::{Handle, RegistryId, Revision, ServiceName};
use skymesh_wire::{Frames, decode_msg};

use super::connection::Uplink;
use super::error::UplinkError;
use super::ledger::Outcome;
use super::line::Line;
use crate::convert::{self, ConvertError};
use crate::directory::{Followed, Word};

impl Uplink {
    /// Takes the frames of one read.
    pub(super) async fn take(
        &mut self,
        line: &mut Line,
        frames: &Frames,
        skip: usize,
    ) -> Result<(), UplinkError> {
        let mut changed = Vec::new();
        for frame in frames.iter().skip(skip) {
            let msg = decode_msg(frame.to_bytes())
                .map_err(|error| UplinkError::Malformed(error.to_string()))?;
            if line.v1.is_some() {
                line.hear(msg.body).await?;
            } else if let ControlFlow::Break(gap) = self.heed(line, msg.body, &mut changed)? {
                line.push(Unwatch { service_name: gap.to_string() }.into()).await?;
                line.push(watch(&gap, None)).await?;
            }
        }
        self.runtime.directory.outdated(changed);
        self.catch_up(line).await
    }

    /// Says what the elections want said, and heeds what was said in the place of a nameserver of
    /// protocol 1.
    pub(super) async fn catch_up(&mut self, line: &mut Line) -> Result<(), UplinkError> {
        let mut changed = Vec::new();
        loop {
            self.say_elections(line).await?;
            let Some(body) = line.answers.pop_front() else { break };
            if let ControlFlow::Break(gap) = self.heed(line, Some(body), &mut changed)? {
                line.push(watch(&gap, None)).await?;
            }
        }
        self.runtime.directory.outdated(changed);
        Ok(())
    }

    /// Heeds one message; breaks with a name whose watch has to be asked for anew.
    fn heed(
        &mut self,
        line: &mut Line,
        body: Option<Body>,
        changed: &mut Vec<ServiceName>,
    ) -> Result<ControlFlow<ServiceName>, UplinkError> {
        match body {
            Some(Body::RegisterInstanceReply(reply)) => {
                let outcome = self.ledger.registered(reply, line.registry);
                self.settle(&outcome);
            }
            Some(Body::RequestReply(reply)) => self.replied(reply),
            Some(Body::KickOffInstance(kick)) => {
                let handle = Handle::new(kick.handle).map_err(ConvertError::from)?;
                let outcome = self.ledger.kicked_off(handle, &kick.reason);
                self.settle(&outcome);
            }
            Some(Body::PreparePlacement(said)) => self.runtime.prepare(&said)?,
            Some(Body::PlacementRoundEnded(said)) => self.runtime.round_ended(&said)?,
            Some(Body::WatchSnapshot(part)) => {
                if let Some(whole) = line.join(part) {
                    let snapshot = convert::snapshot(&whole)?;
                    return Ok(self.apply(Word::Snapshot(&snapshot), changed));
                }
            }
            Some(Body::WatchDelta(delta)) => {
                let delta = convert::delta(&delta)?;
                return Ok(self.apply(Word::Delta(&delta), changed));
            }
            Some(Body::WatchRefused(refused)) => {
                let (name, reason) = (refused.service_name, refused.reason);
                tracing::warn!(%name, %reason, "the nameserver refuses a watch");
            }
            Some(Body::Refusal(refusal)) => {
                return Err(UplinkError::Refused { code: 0, reason: refusal.reason });
            }
            Some(Body::KeepAliveReply(reply)) => self.kept_alive(&reply)?,
            Some(Body::LeaderStanding(said)) => self.leader_said(&said)?,
            _ => self.runtime.counters.unknown_commands.add(1),
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Heeds the answer to a request of a candidate, or of the ledger.
    fn replied(&mut self, reply: RequestReply) {
        if self.campaigned(&reply) {
            return;
        }
        let outcome = self.ledger.replied(reply);
        self.note_drained();
        self.settle(&outcome);
    }

    /// Lets go of an instance that has left the mesh.
    fn settle(&self, outcome: &Outcome) {
        if let Outcome::Left(handle) = outcome {
            self.runtime.elections.forget(*handle);
            self.runtime.directory.remove_local(*handle);
        }
    }

    fn apply(&self, word: Word<'_>, changed: &mut Vec<ServiceName>) -> ControlFlow<ServiceName> {
        let (name, followed) = self.runtime.directory.apply(word);
        match followed {
            Followed::Yes => {
                self.runtime.note_placement(&name);
                changed.push(name);
                ControlFlow::Continue(())
            }
            Followed::Gap => ControlFlow::Break(name),
        }
    }
}

/// Asks to hear about a name, from a revision on if one is known.
pub(super) fn watch(name: &ServiceName, at: Option<(RegistryId, Revision)>) -> Body {
    let (registry, revision) = at.map_or((0, 0), |(id, revision)| (id.get(), revision.0));
    Watch { service_name: name.to_string(), registry, revision }.into()
}
