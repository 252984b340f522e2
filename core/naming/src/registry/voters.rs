//! The electorate of a service's rounds: the routers that are asked to prepare, their word, and
//! those that come, lag behind or go.

use std::collections::BTreeSet;

use skymesh_types::ServiceName;

use super::input::ConnectionId;
use super::{Action, Registry};
use crate::flaw::Flaw;
use crate::placement::{RoundEnd, RoundId};

impl Registry {
    /// A router has prepared.
    pub(super) fn prepared(&mut self, connection: ConnectionId, name: &ServiceName, id: RoundId) {
        let Some(service) = self.services.get_mut(name) else { return };
        let Some(round) = &mut service.agreement.round else { return };
        // Protocol 1 knows no numbers.
        if (round.id == id || id == RoundId(0)) && round.awaited.remove(&connection) {
            round.prepared.insert(connection);
            self.agreed_on.insert(name.clone());
        }
    }

    /// A router of protocol 1 says that it can't.
    pub(super) fn unprepared(
        &mut self,
        connection: ConnectionId,
        name: &ServiceName,
        actions: &mut Vec<Action>,
    ) {
        let Some(service) = self.services.get_mut(name) else { return };
        let awaited = service.agreement.round.as_ref().is_some_and(|round| {
            round.awaited.contains(&connection) || round.prepared.contains(&connection)
        });
        if awaited && let Some(round) = self.close_round(name) {
            self.end_round(name, &round, RoundEnd::Aborted, actions);
            self.refuse(name, &round.wishes, actions);
            self.agreed_on.insert(name.clone());
        }
    }

    /// A connection of protocol 1 routes to the service.
    pub(super) fn route_v1(
        &mut self,
        connection: ConnectionId,
        name: &ServiceName,
        actions: &mut Vec<Action>,
    ) {
        let value = self.config.limits.watches_per_session;
        let Some(session) = self.sessions.on_mut(connection) else { return };
        if !name.is_in(&session.app) || session.routes.len() >= value {
            return;
        }
        if session.routes.insert(name.clone()) {
            self.service_or_new(name).agreement.routers_v1.insert(connection);
            self.ask_to_prepare(connection, name, actions);
        }
    }

    /// Ends what a session's connection of protocol 1 routes to.
    pub(super) fn unroute_v1(&mut self, connection: ConnectionId, names: BTreeSet<ServiceName>) {
        for name in names {
            if let Some(service) = self.services.get_mut(&name) {
                service.agreement.routers_v1.remove(&connection);
            }
            self.leave_electorate(connection, &name);
        }
    }

    /// A router is gone: nobody waits for it.
    pub(super) fn leave_electorate(&mut self, connection: ConnectionId, name: &ServiceName) {
        let counts_on = self.has_flaw(Flaw::VoterDeathIgnored);
        let Some(service) = self.services.get_mut(name) else { return };
        if !counts_on {
            service.agreement.leave(connection);
        }
        self.touched.insert(name.clone());
        self.agreed_on.insert(name.clone());
    }

    /// Who begins to watch while a round is open has a voice in it.
    pub(super) fn ask_to_prepare(
        &mut self,
        connection: ConnectionId,
        name: &ServiceName,
        actions: &mut Vec<Action>,
    ) {
        let Some(service) = self.services.get_mut(name) else { return };
        let Some(round) = &mut service.agreement.round else { return };
        round.prepared.remove(&connection);
        round.awaited.insert(connection);
        let preparation = self.preparation(name);
        actions.extend(preparation.map(|round| Action::Prepare { to: vec![connection], round }));
    }
}
