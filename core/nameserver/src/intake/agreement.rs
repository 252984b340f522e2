//! What agents say about leaders and placements, as inputs of the registry.

use skymesh_naming::election::{CampaignId, Term};
use skymesh_naming::placement::RoundId;
use skymesh_naming::{AgentInput, Candidacy, RequestId};
use skymesh_proto as proto;
use skymesh_proto::msg::Body;
use skymesh_types::{Handle, ServiceName};

use super::{Intake, NO_REQUEST, malformed, request, watch_refused};

/// The origin's numbers for what is wished of an election.
const RUN: i32 = 1001;
const GIVE_UP: i32 = 1002;

/// The origin's words of a router: it can prepare.
const ROUTER_OK: i32 = 2;

/// Reads a body that is about leaders or placements; any other is `others`' affair.
pub(super) fn read(body: Body, others: impl FnOnce(Body) -> Intake) -> Intake {
    match body {
        Body::RunForLeader(said) => request(said.request, said.handle, |handle| {
            let candidacy = Candidacy {
                handle,
                campaign: CampaignId(said.campaign),
                priority: said.priority,
                claim: (said.claim != 0).then_some(Term(said.claim)),
                seen: Term(said.seen),
            };
            Ok(AgentInput::Run(RequestId(said.request), candidacy))
        }),
        Body::GiveUpLeader(said) => request(said.request, said.handle, |handle| {
            Ok(AgentInput::GiveUp(RequestId(said.request), handle))
        }),
        Body::StandDown(said) => Intake::Input(match Handle::new(said.handle) {
            Ok(handle) => AgentInput::StandDown(handle, Term(said.term)),
            Err(_) => AgentInput::Heard,
        }),
        Body::WatchLeader(said) => named(said.service_name, AgentInput::WatchLeader),
        Body::UnwatchLeader(said) => named(said.service_name, AgentInput::UnwatchLeader),
        Body::PlacementPrepared(said) => {
            let round = RoundId(said.round);
            named(said.service_name, |name| AgentInput::Prepared(name, round))
        }
        Body::ElectionRequest(said) => Intake::Input(election_v1(&said)),
        Body::RegisterRouter(said) => named_v1(&said.service_name, AgentInput::RouteV1),
        Body::RouterUpdateReply(said) => named_v1(&said.service_name, |name| {
            // Protocol 1 does not number rounds.
            match said.result {
                ROUTER_OK => AgentInput::Prepared(name, RoundId(0)),
                _ => AgentInput::Unprepared(name),
            }
        }),
        other => others(other),
    }
}

fn named(name: String, input: impl FnOnce(ServiceName) -> AgentInput) -> Intake {
    match name.parse() {
        Ok(name) => Intake::Input(input(name)),
        Err(error) => Intake::Refuse(watch_refused(name, &malformed(error))),
    }
}

/// The origin answers none of these, so what can't be understood is only heard.
fn named_v1(name: &str, input: impl FnOnce(ServiceName) -> AgentInput) -> Intake {
    Intake::Input(name.parse().map_or(AgentInput::Heard, input))
}

fn election_v1(said: &proto::ElectionRequest) -> AgentInput {
    match (Handle::new(said.handle), said.event) {
        (Ok(handle), RUN) => {
            let candidacy = Candidacy {
                handle,
                campaign: CampaignId(0),
                priority: 0,
                claim: None,
                seen: Term(0),
            };
            AgentInput::Run(NO_REQUEST, candidacy)
        }
        (Ok(handle), GIVE_UP) => AgentInput::GiveUp(NO_REQUEST, handle),
        _ => AgentInput::Heard,
    }
}
