//! The agent's instances that stand for leader: they are registered, run, give up and run again.

use std::time::Duration;

use skymesh_naming::placement::Epoch;
use skymesh_naming::{
    AgentInput, Candidacy, LeadershipAction, LeadershipInput, LeadershipSaying, Registration,
};
use skymesh_types::{Attributes, Handle, ServiceUrl};

use super::{Agent, REGISTER_AGAIN, REQUEST, Uplink, ask, instance_of};
use crate::oracle::Oracle;
use crate::world::Context;

impl Agent {
    pub(super) fn register(&mut self, at: usize, cx: &mut Context<'_>) {
        let Uplink::Open(line) = &self.uplink else { return };
        let registration = Registration {
            url: ServiceUrl::new(self.names[at].clone(), instance_of(self.node)),
            handle: self.own[at].handle,
            declared: Attributes::new(),
            runtime: Attributes::new(),
            weight: 100,
            hash_key: 0,
            epoch: Epoch(0),
        };
        ask(line.connection, AgentInput::Register(REQUEST, registration), cx);
    }

    pub(super) fn registered(&mut self, handle: Handle, accepted: bool, cx: &mut Context<'_>) {
        if self.registered_stateful(handle, accepted, cx) {
            return;
        }
        let Some(at) = self.own.iter().position(|own| own.handle == handle) else { return };
        if !accepted {
            return self.lost_instance(at, cx);
        }
        self.own[at].confirmed = true;
        if self.own[at].stands {
            self.run(at, cx);
        }
    }

    pub(super) fn kicked_off(&mut self, handle: Handle, cx: &mut Context<'_>) {
        if self.registered_stateful(handle, false, cx) {
            return;
        }
        if let Some(at) = self.own.iter().position(|own| own.handle == handle) {
            self.lost_instance(at, cx);
        }
    }

    /// It comes back as a new incarnation.
    fn lost_instance(&mut self, at: usize, cx: &mut Context<'_>) {
        self.lead(LeadershipInput::Forget(self.own[at].handle), cx);
        let handle = self.new_handle();
        let own = &mut self.own[at];
        own.handle = handle;
        own.confirmed = false;
        own.register_at = Some(cx.now + REGISTER_AGAIN);
    }

    fn run(&mut self, at: usize, cx: &mut Context<'_>) {
        let (handle, name) = (self.own[at].handle, self.names[at].clone());
        self.lead(LeadershipInput::Run { handle, name, priority: 0 }, cx);
    }

    /// Feeds the leaderships and does what they say.
    pub(super) fn lead(&mut self, input: LeadershipInput, cx: &mut Context<'_>) {
        let mut actions = std::mem::take(&mut self.actions);
        self.leaderships.handle(cx.now, input, &mut actions);
        for action in actions.drain(..) {
            match action {
                LeadershipAction::Say(saying) => {
                    if let Some(connection) = self.connection() {
                        ask(connection, said(saying), cx);
                    }
                }
                LeadershipAction::Elected { handle, term, .. } => {
                    if let Some(register) = self.own.iter().position(|own| own.handle == handle) {
                        cx.oracle.elected(&self.names[register], term, handle);
                        self.writer.elected(register, handle, term, cx);
                    }
                }
                LeadershipAction::Extended { .. } | LeadershipAction::Ended { .. } => {}
            }
        }
        self.actions = actions;
    }

    pub(crate) fn whim(&mut self, cx: &mut Context<'_>) {
        if self.own.is_empty() {
            return;
        }
        let at = cx.dice.below(self.own.len() as u64) as usize;
        self.own[at].stands ^= true;
        if !self.own[at].stands {
            self.lead(LeadershipInput::GiveUp(self.own[at].handle), cx);
        } else if self.own[at].confirmed {
            self.run(at, cx);
        }
    }

    pub(crate) fn dither(&mut self, cx: &mut Context<'_>) {
        if self.own.is_empty() {
            return;
        }
        let at = cx.dice.below(self.own.len() as u64) as usize;
        if self.own[at].confirmed {
            self.lead(LeadershipInput::GiveUp(self.own[at].handle), cx);
            self.own[at].stands = true;
            self.run(at, cx);
        }
    }

    /// From here on it wants to lead everywhere, steadily.
    pub(crate) fn settle_down(&mut self, cx: &mut Context<'_>) {
        for at in 0..self.own.len() {
            self.own[at].stands = true;
            if self.own[at].confirmed {
                self.run(at, cx);
            }
        }
    }

    /// Whom this agent believes to lead, at its own time.
    pub(crate) fn confess(&self, now: Duration, oracle: &mut Oracle) {
        for (at, own) in self.own.iter().enumerate() {
            if let Some((term, _)) = self.leaderships.leads(own.handle, now) {
                oracle.believes(self.node, at, term);
            }
        }
    }
}

fn said(saying: LeadershipSaying) -> AgentInput {
    match saying {
        LeadershipSaying::Run { handle, campaign, priority, claim, seen } => {
            AgentInput::Run(REQUEST, Candidacy { handle, campaign, priority, claim, seen })
        }
        LeadershipSaying::GiveUp { handle } => AgentInput::GiveUp(REQUEST, handle),
        LeadershipSaying::StandDown { handle, term } => AgentInput::StandDown(handle, term),
    }
}
