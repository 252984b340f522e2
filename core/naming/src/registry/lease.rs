//! Time passes: leases and graces end, held losses are believed after all, the registry recovers
//! from its start and notices when it was itself asleep.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use skymesh_types::{Handle, ServiceName, SessionId};

use super::guard::Verdict;
use super::session::Link;
use super::timer::Timer;
use super::{Action, CloseReason, Note, Registry, SessionEnd};
use crate::InstanceState;
use crate::placement::Epoch;

/// A tick this late means that the registry was stalled (a stopped process, a starved machine):
/// agents may have spoken meanwhile without being heard, so leases and graces begin anew. Half of
/// the shortest lease allowed.
const STALL: Duration = Duration::from_millis(500);

/// How long a lease of zero is taken for, so that time goes on.
const SHORTEST_LEASE: Duration = Duration::from_millis(1);

impl Registry {
    pub(super) fn tick(&mut self, actions: &mut Vec<Action>) {
        self.notice_stall(actions);
        // Sessions that end together are judged together by the mass-loss guard.
        let mut ended = Vec::new();
        while let Some(timer) = self.timers.pop_due(self.now) {
            match timer {
                Timer::Session(id) => ended.extend(self.judge(id, actions).map(|end| (id, end))),
                Timer::Flush(name) => self.flush(&name, actions),
                Timer::Release(handle) => self.release(handle, actions),
                Timer::Override(url) => self.expire_override(&url),
                Timer::Office(name) => self.office_due(name),
                Timer::Round(name) => self.round_due(&name, actions),
                Timer::Recovered => self.recovered(actions),
            }
        }
        self.end_sessions(&ended, actions);
    }

    fn notice_stall(&mut self, actions: &mut Vec<Action>) {
        let Some(due) = self.timers.next() else { return };
        let late = self.now.saturating_sub(due);
        if late >= STALL {
            self.awake_since = self.now;
            actions.push(Action::Note(Note::Stalled(late)));
        }
    }

    pub(super) fn lease_of(&self, id: SessionId) -> Duration {
        let v1 = self.sessions.get(id).is_some_and(super::session::Session::is_v1);
        if v1 { self.config.lease_v1 } else { self.config.lease }.max(SHORTEST_LEASE)
    }

    pub(super) fn arm_session(&mut self, id: SessionId, at: Duration) {
        let Some(session) = self.sessions.get_mut(id) else { return };
        self.timers.disarm(session.timer, Timer::Session(id));
        session.timer = at;
        self.timers.arm(at, Timer::Session(id));
    }

    /// Whether a session is over now; if not, its timer is armed again.
    fn judge(&mut self, id: SessionId, actions: &mut Vec<Action>) -> Option<SessionEnd> {
        let session = self.sessions.get(id)?;
        let lease = self.lease_of(id);
        let (deadline, end) = match session.link {
            Link::Held => return None,
            Link::Awaited(since) => {
                let since = since.max(self.awake_since);
                (since + self.patience(id), SessionEnd::GraceEnded)
            }
            Link::Down(since) => {
                let since = since.max(self.awake_since);
                (since + self.config.session_grace, SessionEnd::GraceEnded)
            }
            Link::Up(_) if session.is_v1() => return self.judge_beats(id, actions),
            Link::Up(_) => (session.heard.max(self.awake_since) + lease, SessionEnd::LeaseEnded),
        };
        if deadline <= self.now {
            return Some(end);
        }
        self.arm_session(id, deadline);
        None
    }

    fn end_sessions(&mut self, ended: &[(SessionId, SessionEnd)], actions: &mut Vec<Action>) {
        if ended.is_empty() {
            return;
        }
        let held = self.losses_to_hold(ended, actions);
        for (id, end) in ended {
            self.end_session(*id, *end, &held, actions);
        }
    }

    /// Which instances of these sessions the mass-loss guard keeps.
    fn losses_to_hold(
        &mut self,
        ended: &[(SessionId, SessionEnd)],
        actions: &mut Vec<Action>,
    ) -> BTreeSet<Handle> {
        let mut losses: BTreeMap<ServiceName, Vec<Handle>> = BTreeMap::new();
        // Nobody knows whether those of an earlier life were there at all when this one began.
        let known = ended.iter().map(|(id, _)| self.sessions.owner(*id));
        for handle in known.filter(|s| !s.is_awaited()).flat_map(|s| &s.instances) {
            let record = &self.instance(*handle).record;
            // A draining one has announced that it leaves.
            if matches!(record.state, InstanceState::Online | InstanceState::Suspect) {
                losses.entry(record.url.name.clone()).or_default().push(*handle);
            }
        }
        let mut held = BTreeSet::new();
        for (name, handles) in losses {
            let Some(service) = self.services.get_mut(&name) else { continue };
            let (listed, held_already) = (service.roster.len(), service.held);
            let guard = &self.config.mass_loss;
            let verdict =
                service.losses.judge(self.now, guard, handles.len(), listed, held_already);
            if verdict == Verdict::Hold {
                actions.push(Action::Note(Note::LossHeld(name, handles.len())));
                held.extend(handles);
            }
        }
        held
    }

    fn end_session(
        &mut self,
        id: SessionId,
        end: SessionEnd,
        held: &BTreeSet<Handle>,
        actions: &mut Vec<Action>,
    ) {
        let session = self.sessions.owner(id);
        let instances: Vec<Handle> = session.instances.iter().copied().collect();
        if let Some(connection) = session.connection() {
            self.drop_watches(id);
            actions.push(Action::Close { connection, reason: CloseReason::LeaseEnded });
        }
        for handle in &instances {
            if held.contains(handle) {
                let name = self.instance(*handle).record.url.name.clone();
                self.drop_out(*handle, &name);
                self.hold(*handle);
            } else {
                self.remove(*handle);
            }
        }
        if self.sessions.owner(id).instances.is_empty() {
            self.forget(id, end, actions);
        } else {
            self.sessions.unlink(id, Link::Held);
        }
    }

    /// A held loss is believed after all.
    fn release(&mut self, handle: Handle, actions: &mut Vec<Action>) {
        let instance = self.instance(handle);
        let session = instance.session;
        actions.push(Action::Note(Note::LossReleased(instance.record.url.clone())));
        self.remove(handle);
        self.forget_if_bare(session, actions);
    }

    /// A session without connection goes with its last instance.
    pub(super) fn forget_if_bare(&mut self, id: SessionId, actions: &mut Vec<Action>) {
        let session = self.sessions.owner(id);
        if session.instances.is_empty() && session.connection().is_none() {
            self.forget(id, SessionEnd::GraceEnded, actions);
        }
    }

    /// Forgets a session that has no instances and no watches.
    pub(super) fn forget(&mut self, id: SessionId, end: SessionEnd, actions: &mut Vec<Action>) {
        let Some(session) = self.sessions.close(id) else { return };
        self.timers.disarm(session.timer, Timer::Session(id));
        if self
            .apps
            .get(&session.app)
            .is_some_and(|app| app.instances == 0 && app.listeners.is_empty())
        {
            self.apps.remove(&session.app);
        }
        actions.push(Action::Note(Note::SessionEnded(id, end)));
    }

    /// Every agent had a lease's time to come back: what is absent is offline from here on. That
    /// takes a revision of its own, so that nobody resumes from before it.
    fn recovered(&mut self, actions: &mut Vec<Action>) {
        self.recovering = false;
        let names: Vec<ServiceName> = self.services.keys().cloned().collect();
        for name in &names {
            self.flush(name, actions);
        }
        self.revision = self.revision.next();
        for name in &names {
            if self.services.get(name).is_some_and(|service| service.epoch != Epoch(0)) {
                self.raise_epoch(name);
            }
            self.send_complete(name, actions);
        }
        self.agreed_on.extend(names);
    }
}
