//! Tells agents of leaders and placements, each in the words of its protocol.

use skymesh_naming::election::{Leader, Standing};
use skymesh_naming::placement::{Preparation, RoundEnd};
use skymesh_naming::{Action, Campaigned, ConnectionId, InstanceRecord, Refusal, ResultCode};
use skymesh_proto as proto;
use skymesh_types::Handle;

use super::Keeper;
use crate::intake::Speaks;
use crate::render;

/// The origin's numbers for what became of an election.
const RUN: i32 = 1001;
const GIVE_UP: i32 = 1002;

/// The origin's words to a router.
const PREPARE: i32 = 1;
const ABORT: i32 = 4;

impl Keeper {
    pub(super) fn agree(&mut self, action: Action) {
        match action {
            Action::Campaigned { to, request, handle, result } => {
                if self.lines.speaks(to) == Some(Speaks::V1) {
                    return self.campaigned_v1(to, handle, &result);
                }
                let (result, reason, revision) =
                    render::outcome(result.map(|_| self.registry.revision()));
                let request = request.0;
                self.lines.reply(to, proto::RequestReply { request, result, reason, revision });
            }
            Action::Leader { to, standing } => {
                for to in to {
                    self.tell_leader(to, &standing);
                }
            }
            Action::Prepare { to, round } => {
                for to in to {
                    self.ask_to_prepare(to, &round);
                }
            }
            Action::RoundEnded { to, name, round, end } => {
                for to in to {
                    if self.lines.speaks(to) != Some(Speaks::V1) {
                        let epoch = match end {
                            RoundEnd::Committed(epoch) => epoch.0,
                            RoundEnd::Aborted => 0,
                        };
                        let (service_name, round) = (name.to_string(), round.0);
                        let ended = proto::PlacementRoundEnded { service_name, round, epoch };
                        self.lines.reply(to, ended);
                    } else if end == RoundEnd::Aborted {
                        // To protocol 1 the online notification is the commit.
                        let (cmd, service_name) = (ABORT, name.to_string());
                        self.lines.reply(to, proto::RouterUpdate { cmd, service_name });
                    }
                }
            }
            _ => {}
        }
    }

    fn ask_to_prepare(&mut self, to: ConnectionId, round: &Preparation) {
        let service_name = round.name.to_string();
        if self.lines.speaks(to) == Some(Speaks::V1) {
            let cmd = PREPARE;
            return self.lines.reply(to, proto::RouterUpdate { cmd, service_name });
        }
        // It would overtake what was left out.
        if self.lines.is_clogged(to) {
            return self.overflowed.push_back((to, round.name.clone()));
        }
        let prepare = proto::PreparePlacement {
            service_name,
            round: round.round.0,
            joining: round.joining.iter().map(|record| render::instance(record)).collect(),
            leaving: round.leaving.iter().map(|handle| handle.get()).collect(),
        };
        self.lines.reply(to, prepare);
    }

    fn tell_leader(&mut self, to: ConnectionId, standing: &Standing) {
        if self.lines.speaks(to) != Some(Speaks::V1) {
            return self.lines.reply(to, render::standing(standing));
        }
        // Protocol 1 hears of who came, and of who went without a successor.
        let leader = standing.leader.handle().and_then(|handle| self.registry.record(handle));
        let leader = leader.map(|record| render::info(record));
        let before = self.lines.note_leader(to, &standing.name, leader.clone());
        let (candidate, event) = match (&standing.leader, leader, before) {
            (Leader::Is { .. }, Some(leader), before) if before.as_ref() != Some(&leader) => {
                (leader, RUN)
            }
            (Leader::Nobody, _, Some(before)) => (before, GIVE_UP),
            _ => return,
        };
        let result = proto::ElectionResult { candidate: Some(candidate), event, result: 0 };
        self.lines.reply(to, result);
    }

    fn campaigned_v1(
        &self,
        to: ConnectionId,
        handle: Handle,
        result: &Result<Campaigned, Refusal>,
    ) {
        let (event, result) = match result {
            // Who leads now, everyone is told.
            Ok(Campaigned::Stands | Campaigned::SteppedDown) => return,
            Ok(quit @ Campaigned::Quit) => (GIVE_UP, quit.code_v1().0),
            Ok(stands) => (RUN, stands.code_v1().0),
            // It knows no other failure.
            Err(_) => (RUN, ResultCode::RUN_FAILED.0),
        };
        let record = self.registry.record(handle).map(|record| InstanceRecord::clone(record));
        let candidate = record.map_or_else(
            || proto::Info { handle: handle.get(), ..Default::default() },
            |record| render::info(&record),
        );
        let candidate = Some(candidate);
        self.lines.reply(to, proto::ElectionResult { candidate, event, result });
    }

    /// The leaders that an agent of protocol 1 is welcomed with.
    pub(super) fn welcome_v1(&mut self, to: ConnectionId) {
        let leaders = self.registry.leaders_for(to);
        let mut infos = Vec::new();
        for standing in leaders {
            let record = standing.leader.handle().and_then(|handle| self.registry.record(handle));
            if let Some(info) = record.map(|record| render::info(record)) {
                self.lines.note_leader(to, &standing.name, Some(info.clone()));
                infos.push(info);
            }
        }
        self.lines.reply(to, proto::RegisterAppReply { leaders: infos, ..Default::default() });
    }
}
