//! Who leads, as the registry tells it: to watchers, to candidates, and to agents of protocol 1.

use std::sync::Arc;

use skymesh_types::{AppId, Handle, ServiceName};

use super::input::ConnectionId;
use super::office::{Past, Seat};
use super::store::StoreMemory;
use super::{Action, Note, Registry};
use crate::election::{Leader, Standing, Term};

impl Registry {
    /// Who leads `name`, as far as the registry may say.
    pub fn standing(&self, name: &ServiceName) -> Standing {
        let Some(office) = self.offices.by_name.get(name) else {
            let leader = match self.offices.memory {
                StoreMemory::Unsure if self.now < self.offices.opens_at => Leader::Unknown,
                _ => Leader::Nobody,
            };
            return Standing { name: name.clone(), term: Term(0), leader };
        };
        let leader = match &office.seat {
            Seat::Empty { past: Past::Unknown | Past::BeforeRestart(..), not_before }
                if self.now < *not_before =>
            {
                Leader::Unknown
            }
            Seat::Filling { past: Past::Unknown, .. } => Leader::Unknown,
            Seat::Empty { .. } | Seat::Filling { .. } => Leader::Nobody,
            Seat::Taken(reign) => Leader::Is {
                url: self.instance(reign.handle).record.url.clone(),
                handle: reign.handle,
                campaign: office
                    .candidates
                    .get(&reign.handle)
                    .map_or_else(Default::default, |candidate| candidate.campaign),
            },
        };
        Standing { name: name.clone(), term: office.announced, leader }
    }

    /// Every leader of the app of a connection, for the welcome of an agent of protocol 1.
    pub fn leaders_for(&self, connection: ConnectionId) -> Vec<Standing> {
        let Some(session) = self.sessions.on(connection) else { return Vec::new() };
        let names = self.offices.by_name.keys().filter(|name| name.is_in(&session.app));
        let standings = names.map(|name| self.standing(name));
        standings.filter(|standing| matches!(standing.leader, Leader::Is { .. })).collect()
    }

    /// Tells one connection who leads.
    pub(super) fn confirm(&self, to: ConnectionId, name: &ServiceName, actions: &mut Vec<Action>) {
        let standing = Arc::new(self.standing(name));
        actions.push(Action::Leader { to: vec![to], standing });
    }

    /// Tells everyone concerned who leads, if that changed.
    pub(super) fn tell(&mut self, name: &ServiceName, actions: &mut Vec<Action>) {
        let standing = self.standing(name);
        let Some(office) = self.offices.by_name.get_mut(name) else { return };
        // Who is about to lead is told in a moment.
        if matches!(office.seat, Seat::Filling { .. }) {
            return;
        }
        let now_so = (standing.term, standing.leader.clone());
        if office.told.as_ref() == Some(&now_so) {
            return;
        }
        let first = office.told.replace(now_so).is_none();
        if first && standing.leader.handle().is_none() {
            return;
        }
        let mut to = office.watchers.clone();
        let office = self.offices.or_new(name);
        let candidates: Vec<Handle> = office.candidates.keys().copied().collect();
        for handle in candidates {
            to.extend(self.sessions.owner(self.instance(handle).session).connection());
        }
        let app = name.app().parse::<AppId>().ok().and_then(|app| self.apps.get(&app));
        to.extend(app.into_iter().flat_map(|app| app.listeners.iter().copied()));
        actions.push(Action::Note(Note::Led(Box::new(standing.clone()))));
        if to.is_empty() {
            return;
        }
        let (to, standing) = (to.into_iter().collect(), Arc::new(standing));
        actions.push(Action::Leader { to, standing });
    }
}
