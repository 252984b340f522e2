//! Random operations, and how each is done to the registry.

use std::time::Duration;

use proptest::prelude::*;
use skymesh_naming::placement::Epoch;
use skymesh_naming::{AgentInput, Input, KickTarget, OperatorInput, Registration, RequestId};
use skymesh_types::{AttributeChange, Attributes, Handle, ServiceUrl};

use crate::world::World;

pub(crate) const AGENTS: usize = 4;
const NAMES: [&str; 2] = ["app.env.room", "app.env.hall"];
const REQUEST: RequestId = RequestId(1);

#[derive(Debug, Clone)]
pub(crate) enum Op {
    Pass(u64),
    Connect(usize),
    Disconnect(usize),
    Goodbye(usize),
    KeepAlive(usize),
    /// Agent, name, instance, which of the handles that fit, a value for an attribute.
    Register(usize, usize, u64, u64, u8),
    Unregister(usize, u64),
    Drain(usize, u64),
    Change(usize, u64, u8),
    Kick(usize, u64),
    Watch(usize, usize),
    Unwatch(usize, usize),
    /// The agent's queue is full from now on, or drains.
    Clog(usize),
    Drained(usize),
    /// The agent that hears of the whole app connects anew.
    Relisten,
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let (agent, name, instance) = (0..AGENTS, 0..NAMES.len(), 1..4u64);
    // A small pool, so that replays, collisions and kicked incarnations happen.
    let handle = 1..24u64;
    prop_oneof![
        4 => prop_oneof![0..60u64, 0..1500u64].prop_map(Op::Pass),
        4 => agent.clone().prop_map(Op::Connect),
        2 => agent.clone().prop_map(Op::Disconnect),
        1 => agent.clone().prop_map(Op::Goodbye),
        3 => agent.clone().prop_map(Op::KeepAlive),
        8 => (agent.clone(), name.clone(), instance.clone(), 0..2u64, 0..3u8)
            .prop_map(|(a, n, i, h, v)| Op::Register(a, n, i, h, v)),
        2 => (agent.clone(), handle.clone()).prop_map(|(a, h)| Op::Unregister(a, h)),
        1 => (agent.clone(), handle.clone()).prop_map(|(a, h)| Op::Drain(a, h)),
        3 => (agent.clone(), handle, 0..3u8).prop_map(|(a, h, v)| Op::Change(a, h, v)),
        1 => (name.clone(), instance).prop_map(|(n, i)| Op::Kick(n, i)),
        4 => (agent.clone(), name.clone()).prop_map(|(a, n)| Op::Watch(a, n)),
        1 => (agent.clone(), name).prop_map(|(a, n)| Op::Unwatch(a, n)),
        1 => agent.clone().prop_map(Op::Clog),
        2 => agent.prop_map(Op::Drained),
        1 => Just(Op::Relisten),
    ]
}

pub(crate) fn url(name: usize, instance: u64) -> ServiceUrl {
    format!("{}/{instance}", NAMES[name]).parse().unwrap()
}

/// A handle that depends on who registers what, so that the same incarnation may come again.
pub(crate) fn handle(agent: usize, name: usize, instance: u64, which: u64) -> u64 {
    1 + which + 2 * (agent as u64 % 2 + 2 * (name as u64 + 2 * (instance - 1)))
}

pub(crate) fn load(value: u8) -> Attributes {
    Attributes::from([("load", value)])
}

/// One operation on the registry alone.
pub(crate) fn apply(world: &mut World, op: &Op) {
    let handle_of = |handle: u64| Handle::new(handle).unwrap();
    match *op {
        Op::Pass(ms) => world.run_to(world.now + Duration::from_millis(ms)),
        Op::Connect(agent) => world.connect(agent),
        Op::Disconnect(agent) => world.hang_up(agent, AgentInput::Disconnected),
        Op::Goodbye(agent) => world.hang_up(agent, AgentInput::Goodbye),
        Op::KeepAlive(agent) => world.agent(agent, AgentInput::KeepAlive(1)),
        Op::Register(agent, name, instance, which, value) => {
            let registration = Registration {
                url: url(name, instance),
                handle: handle_of(handle(agent, name, instance, which)),
                declared: Attributes::new(),
                runtime: load(value),
                weight: 100,
                hash_key: 0,
                epoch: Epoch(0),
            };
            world.agent(agent, AgentInput::Register(REQUEST, registration));
        }
        Op::Unregister(agent, handle) => {
            world.agent(agent, AgentInput::Unregister(REQUEST, handle_of(handle)));
        }
        Op::Drain(agent, handle) => {
            world.agent(agent, AgentInput::Drain(REQUEST, handle_of(handle)));
        }
        Op::Change(agent, handle, value) => {
            let set = [("load".to_owned(), value.into())].into();
            let change = AttributeChange { set, unset: Vec::new() };
            world.agent(agent, AgentInput::ChangeAttributes(REQUEST, handle_of(handle), change));
        }
        Op::Kick(name, instance) => {
            let kick = OperatorInput::Kick(KickTarget::Url(url(name, instance)), "test".into());
            world.feed(Input::Operator(REQUEST, kick));
        }
        Op::Watch(agent, name) => world.watch(agent, &NAMES[name].parse().unwrap()),
        Op::Unwatch(agent, name) => world.unwatch(agent, &NAMES[name].parse().unwrap()),
        Op::Clog(agent) => world.clog(agent),
        Op::Drained(agent) => world.drain(agent),
        Op::Relisten => world.listen(),
    }
}
