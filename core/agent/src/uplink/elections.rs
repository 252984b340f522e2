//! Elections on the uplink: what the agent's elections want said, and what the nameserver says of
//! them.

use skymesh_naming::LeadershipSaying;
use skymesh_proto::msg::Body;
use skymesh_proto::{
    GiveUpLeader, KeepAliveReply, LeaderStanding, RequestReply, RunForLeader, StandDown,
    UnwatchLeader, WatchLeader,
};
use skymesh_types::ServiceName;

use super::connection::Uplink;
use super::error::UplinkError;
use super::line::Line;
use crate::convert;
use crate::election::{self, WatchChange};

impl Uplink {
    /// Says on a new connection who stands and whose election is watched. All registrations were
    /// said before.
    pub(super) async fn replay_elections(&mut self, line: &mut Line) -> Result<(), UplinkError> {
        for name in self.runtime.elections.connected(line.lease) {
            line.push(watch_leader(&name)).await?;
        }
        self.say_elections(line).await
    }

    /// Says what the elections want said by now.
    pub(super) async fn say_elections(&mut self, line: &mut Line) -> Result<(), UplinkError> {
        let says = self.runtime.elections.take_says();
        for (name, change) in says.watches {
            if change != WatchChange::Begun {
                line.push(unwatch_leader(&name)).await?;
            }
            if change != WatchChange::Ended {
                line.push(watch_leader(&name)).await?;
            }
        }
        for saying in says.leaderships {
            let body = self.saying(saying);
            line.push(body).await?;
        }
        Ok(())
    }

    fn saying(&mut self, saying: LeadershipSaying) -> Body {
        match saying {
            LeadershipSaying::Run { handle, campaign, priority, claim, seen } => {
                let request = self.ledger.next_request();
                self.runtime.elections.note_asked(request, handle);
                RunForLeader {
                    request,
                    handle: handle.get(),
                    campaign: campaign.0,
                    priority,
                    claim: claim.map_or(0, |term| term.0),
                    seen: seen.0,
                }
                .into()
            }
            LeadershipSaying::GiveUp { handle } => {
                let request = self.ledger.next_request();
                GiveUpLeader { request, handle: handle.get() }.into()
            }
            LeadershipSaying::StandDown { handle, term } => {
                StandDown { handle: handle.get(), term: term.0 }.into()
            }
        }
    }

    /// Takes the reply to a candidacy; answers whether it was one.
    pub(super) fn campaigned(&self, reply: &RequestReply) -> bool {
        let result = election::result(reply.result, reply.reason.clone());
        self.runtime.elections.replied(reply.request, &result)
    }

    pub(super) fn kept_alive(&self, reply: &KeepAliveReply) -> Result<(), UplinkError> {
        self.runtime.elections.beat_answered(reply.seq, convert::leading(&reply.leads)?);
        Ok(())
    }

    pub(super) fn leader_said(&self, said: &LeaderStanding) -> Result<(), UplinkError> {
        self.runtime.elections.heard(&self.runtime, convert::standing(said)?);
        Ok(())
    }
}

fn watch_leader(name: &ServiceName) -> Body {
    WatchLeader { service_name: name.to_string() }.into()
}

fn unwatch_leader(name: &ServiceName) -> Body {
    UnwatchLeader { service_name: name.to_string() }.into()
}
