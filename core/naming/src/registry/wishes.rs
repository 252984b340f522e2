//! Who wants in or out of a service's placement: how wishes begin, are said again, come to nothing,
//! and are answered. When they are agreed on is decided in `rounds.rs`.

use skymesh_types::{Handle, ServiceName};

use super::input::{ConnectionId, RequestId};
use super::round::{Asked, Wishes, Withdrawn};
use super::{Action, Refusal, Registry};
use crate::InstanceState;
use crate::placement::is_placed;

impl Registry {
    /// A pending instance wants to own keys.
    pub(super) fn wish_to_join(&mut self, handle: Handle, to: ConnectionId, request: RequestId) {
        let name = self.instance(handle).record.url.name.clone();
        let asked = Some(Asked { to, request });
        self.service_or_new(&name).agreement.wishes.joining.insert(handle, asked);
        self.agreed_on.insert(name);
    }

    /// An instance that owns keys, or is about to, wants to own none. Answers whether that takes a
    /// round.
    pub(super) fn wish_to_leave(&mut self, handle: Handle, asked: Option<Asked>) -> bool {
        let record = &self.instance(handle).record;
        if !is_placed(record) && record.state != InstanceState::Pending {
            return false;
        }
        let name = record.url.name.clone();
        let agreement = &mut self.service_or_new(&name).agreement;
        let round = agreement.round.as_mut().map(|round| &mut round.wishes.leaving);
        let under_way = round.filter(|leaving| leaving.contains_key(&handle));
        let leaving = under_way.unwrap_or(&mut agreement.wishes.leaving);
        let before = leaving.entry(handle).or_default();
        // An operator asks for no answer, and takes nobody else's away.
        *before = asked.or(*before);
        self.agreed_on.insert(name);
        true
    }

    /// Whoever asked again for what is under way is answered instead of who asked first.
    pub(super) fn wish_again(&mut self, handle: Handle, to: ConnectionId, request: RequestId) {
        let name = self.instance(handle).record.url.name.clone();
        let agreement = &mut self.service_or_new(&name).agreement;
        let round = agreement.round.as_mut().map(|round| &mut round.wishes);
        for wishes in round.into_iter().chain([&mut agreement.wishes]) {
            if let Some(asked) = wishes.joining.get_mut(&handle) {
                *asked = Some(Asked { to, request });
            }
        }
    }

    /// What a pending instance would own has changed: a round that it is part of begins anew.
    pub(super) fn ask_anew(&mut self, handle: Handle) {
        let name = self.instance(handle).record.url.name.clone();
        let round = self.services.get(&name).and_then(|service| service.agreement.round.as_ref());
        if round.is_some_and(|round| round.wishes.joining.contains_key(&handle)) {
            self.void.insert(name.clone());
            self.agreed_on.insert(name);
        }
    }

    /// An instance is gone. A round that counted on it comes to nothing, and the next one begins
    /// with what is left.
    pub(super) fn forget_wish(&mut self, handle: Handle, name: &ServiceName) {
        let Some(service) = self.services.get_mut(name) else { return };
        let agreement = &mut service.agreement;
        let waited = agreement.wishes.remove(handle);
        let counted = agreement.round.as_mut().and_then(|round| round.wishes.remove(handle));
        if counted.is_some() {
            self.void.insert(name.clone());
        }
        if counted.is_some() || waited.is_some() {
            self.agreed_on.insert(name.clone());
        }
        self.withdrawn.extend(waited.into_iter().chain(counted).flatten());
    }

    /// Whoever waited for what ended with its instance is told so.
    pub(super) fn answer_withdrawn(&mut self, actions: &mut Vec<Action>) {
        for withdrawn in std::mem::take(&mut self.withdrawn) {
            let (Withdrawn::Joining(handle, asked) | Withdrawn::Leaving(handle, asked)) = withdrawn;
            let Asked { to, request } = asked;
            // Whoever asked may be gone as well; and protocol 1 expects no answer to what it took back.
            if self.sessions.on(to).is_none_or(|session| session.is_v1()) {
                continue;
            }
            let result = Err(match self.kicked.contains(handle) {
                true => Refusal::Kicked(handle),
                false => Refusal::UnknownHandle(handle),
            });
            actions.push(match withdrawn {
                Withdrawn::Joining(..) => Action::Registered { to, request, handle, result },
                Withdrawn::Leaving(..) => Action::Answer { to, request, result },
            });
        }
    }

    /// What was wished for does not come true: pending instances go, the others stay as they are.
    pub(super) fn refuse(
        &mut self,
        name: &ServiceName,
        wishes: &Wishes,
        actions: &mut Vec<Action>,
    ) {
        for (handle, asked) in &wishes.joining {
            let refusal = Refusal::VotedDown(name.clone());
            if let Some(Asked { to, request }) = *asked {
                let (handle, result) = (*handle, Err(refusal));
                actions.push(Action::Registered { to, request, handle, result });
            }
            self.remove(*handle);
        }
        for Asked { to, request } in wishes.leaving.values().copied().flatten() {
            let result = Err(Refusal::VotedDown(name.clone()));
            actions.push(Action::Answer { to, request, result });
        }
    }
}
