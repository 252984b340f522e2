//! The agent's own instance of the stateful service: it comes, drains and goes as the run wants it,
//! and says everything again on a new connection, as production agents do.

use std::time::Duration;

use skymesh_naming::placement::{Epoch, PlacementInput, RoundId};
use skymesh_naming::{AgentInput, Applied, Registration, RequestId};
use skymesh_types::{Attributes, Handle, ServiceUrl};

use super::{Agent, REGISTER_AGAIN, REQUEST, Uplink, ask, instance_of};
use crate::message::Said;
use crate::network::ConnectionNumber;
use crate::world::{Context, FIRST_AGENT};

const DRAIN: RequestId = RequestId(2);

const LEAVE: RequestId = RequestId(3);

/// An instance that drained serves what it has for so long before it leaves.
const LINGER: Duration = Duration::from_millis(500);

/// Where the instance stands.
#[derive(Debug, Clone, Copy)]
enum State {
    Out {
        until: Duration,
    },
    Asked(Handle),
    Online(Handle),
    Draining(Handle),
    Drained(Handle, Duration),
    /// It takes nothing any more, and the nameserver has to hear of it.
    Leaving(Handle),
}

#[derive(Debug)]
pub(super) struct Scaling {
    wanted: bool,
    state: State,
}

impl Scaling {
    /// The first agent's instance is always wanted.
    pub(super) const fn new(first: bool) -> Self {
        Self { wanted: first, state: State::Out { until: Duration::ZERO } }
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        match self.state {
            State::Out { until } if self.wanted => Some(until),
            State::Drained(_, until) => Some(until),
            _ => None,
        }
    }

    /// Whether it is as it was wanted.
    pub(super) const fn is_settled(&self) -> bool {
        matches!((self.wanted, self.state), (true, State::Online(_)) | (false, State::Out { .. }))
    }
}

impl Agent {
    /// The instance is to come, or to go.
    pub(crate) fn scale(&mut self, cx: &mut Context<'_>) {
        let Some(scaling) = &mut self.scaling else { return };
        if self.node.0 == FIRST_AGENT {
            return;
        }
        scaling.wanted ^= true;
        self.scale_on(cx);
    }

    /// Does the next thing towards what is wanted, if there is one to do now.
    pub(super) fn scale_on(&mut self, cx: &mut Context<'_>) {
        let Uplink::Open(line) = &self.uplink else { return };
        let connection = line.connection;
        let Some(Scaling { wanted, state }) = self.scaling.as_ref() else { return };
        match (*wanted, *state) {
            (true, State::Out { until }) if until <= cx.now => {
                let handle = self.new_handle();
                self.turn(State::Asked(handle));
                self.register_stateful(handle, connection, cx);
            }
            (false, State::Asked(handle)) => self.leave(handle, connection, cx),
            (false, State::Online(handle)) => {
                self.turn(State::Draining(handle));
                ask(connection, AgentInput::Drain(DRAIN, handle), cx);
            }
            (_, State::Drained(handle, until)) if until <= cx.now => {
                self.leave(handle, connection, cx);
            }
            _ => {}
        }
    }

    fn turn(&mut self, state: State) {
        let Some(scaling) = &mut self.scaling else { return };
        scaling.state = state;
        if let Some(keyed) = &mut self.keyed {
            keyed.own = match state {
                State::Out { .. } | State::Leaving(_) => None,
                State::Asked(handle)
                | State::Online(handle)
                | State::Draining(handle)
                | State::Drained(handle, _) => Some(handle),
            };
        }
    }

    fn leave(&mut self, handle: Handle, connection: ConnectionNumber, cx: &mut Context<'_>) {
        self.turn(State::Leaving(handle));
        ask(connection, AgentInput::Unregister(LEAVE, handle), cx);
    }

    fn register_stateful(
        &self,
        handle: Handle,
        connection: ConnectionNumber,
        cx: &mut Context<'_>,
    ) {
        let (Some(keyed), Some(scaling)) = (&self.keyed, &self.scaling) else { return };
        // The answer may be lost that the placement has told already.
        let served = !matches!(scaling.state, State::Asked(_)) || keyed.owners().contains(&handle);
        let instance = instance_of(self.node);
        let registration = Registration {
            url: ServiceUrl::new(keyed.name.clone(), instance),
            handle,
            declared: Attributes::new(),
            runtime: Attributes::new(),
            weight: 100,
            hash_key: instance.get(),
            epoch: if served { keyed.epoch() } else { Epoch(0) },
        };
        ask(connection, AgentInput::Register(REQUEST, registration), cx);
    }

    /// A new connection knows nothing: what is, what is asked for, and what is watched.
    pub(super) fn replay_stateful(&mut self, connection: ConnectionNumber, cx: &mut Context<'_>) {
        match self.scaling.as_ref().map(|scaling| scaling.state) {
            Some(State::Asked(handle) | State::Online(handle)) => {
                self.register_stateful(handle, connection, cx);
            }
            Some(State::Draining(handle)) => {
                self.register_stateful(handle, connection, cx);
                ask(connection, AgentInput::Drain(DRAIN, handle), cx);
            }
            Some(State::Drained(handle, _) | State::Leaving(handle)) => {
                self.leave(handle, connection, cx);
            }
            Some(State::Out { .. }) | None => {}
        }
        let positions = self.keyed.as_ref().map(|keyed| keyed.cache.positions());
        for position in positions.into_iter().flatten() {
            ask(connection, AgentInput::Watch(position.name, position.at), cx);
        }
    }

    /// The answer to a registration. Answers whether it was this instance's.
    pub(super) fn registered_stateful(
        &mut self,
        handle: Handle,
        accepted: bool,
        cx: &mut Context<'_>,
    ) -> bool {
        let state = self.scaling.as_ref().map(|scaling| scaling.state);
        match state {
            Some(State::Asked(asked)) if asked == handle && accepted => {
                self.turn(State::Online(handle));
            }
            Some(
                State::Asked(known)
                | State::Online(known)
                | State::Draining(known)
                | State::Drained(known, _)
                | State::Leaving(known),
            ) if known == handle => {
                if !accepted {
                    self.turn(State::Out { until: cx.now + REGISTER_AGAIN });
                }
            }
            _ => return false,
        }
        self.scale_on(cx);
        true
    }

    pub(super) fn answered(&mut self, request: RequestId, cx: &mut Context<'_>) {
        let state = self.scaling.as_ref().map(|scaling| scaling.state);
        match (request, state) {
            (DRAIN, Some(State::Draining(handle))) => {
                self.turn(State::Drained(handle, cx.now + LINGER));
            }
            (LEAVE, Some(State::Leaving(_))) => {
                self.turn(State::Out { until: cx.now + REGISTER_AGAIN });
            }
            _ => {}
        }
    }

    /// What the nameserver says of placements.
    pub(super) fn told_of_placement(
        &mut self,
        connection: ConnectionNumber,
        said: Said,
        cx: &mut Context<'_>,
    ) {
        let Some(keyed) = &mut self.keyed else { return };
        match said {
            Said::Snapshot(snapshot) => {
                let events = keyed.cache.apply_snapshot(&snapshot);
                keyed.applied(&Applied::Events(events), cx);
            }
            Said::Delta(delta) => {
                let applied = keyed.cache.apply_delta(&delta);
                if !keyed.applied(&applied, cx) {
                    let name = keyed.name.clone();
                    ask(connection, AgentInput::Unwatch(name.clone()), cx);
                    ask(connection, AgentInput::Watch(name, None), cx);
                }
            }
            Said::Prepare(round) => keyed.feed(PlacementInput::Prepare(round), cx),
            Said::RoundEnded(round, end) => keyed.feed(PlacementInput::Ended(round, end), cx),
            _ => {}
        }
        self.say_prepared(cx);
    }

    /// Tells the nameserver for which rounds the router has prepared.
    pub(super) fn say_prepared(&mut self, cx: &mut Context<'_>) {
        let Some(keyed) = &mut self.keyed else { return };
        let name = keyed.name.clone();
        let prepared: Vec<RoundId> = std::mem::take(&mut keyed.prepared);
        if let Uplink::Open(line) = &self.uplink {
            for round in prepared {
                ask(line.connection, AgentInput::Prepared(name.clone(), round), cx);
            }
        }
    }

    /// Whether the instance is as the run wants it.
    pub(crate) fn is_settled(&self) -> bool {
        self.scaling.as_ref().is_none_or(Scaling::is_settled)
    }
}
