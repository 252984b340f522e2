//! What a nameserver of protocol 1 says and hears, in the words of protocol 2: an interpreter between
//! it and the rest of the agent, which knows protocol 2 alone. Sans-io.
//!
//! It keeps what it heard of the whole app, as protocol 1 tells everything to everybody, and makes
//! snapshots and deltas of it with a registry id and revisions of its own, new with each connection.
//! Weight and draining have no place in protocol 1.

mod elections;
mod roster;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use skymesh_naming::{AttributeLayers, ResultCode};
use skymesh_proto::msg::Body;
use skymesh_proto::{
    ChangeAttributes, Heartbeat, Info, Instance, InstanceState, KickOffInstance, RegisterInstance,
    RegisterInstanceReply, RegisterRouter, RegisterService, RequestReply, RouterUpdateReply,
    RunForLeader, SetAttributes, UnregisterService,
};
use skymesh_types::{AttributeChange, Attributes, RegistryId};

use elections::Elections;
use roster::Roster;

/// [`RouterUpdate`](skymesh_proto::RouterUpdate): are you ready for a change of the placement?
const PREPARE: i32 = 1;

/// The answer: yes. A router of this agent needs no preparation.
const PREPARED: i32 = 2;

/// See the module.
#[derive(Debug)]
pub(super) struct Interpreter {
    /// Where this agent listens, and its id.
    address: String,
    agent: u64,
    own: BTreeMap<u64, Own>,
    roster: Roster,
    watched: BTreeSet<String>,
    elections: Elections,
}

#[derive(Debug)]
struct Own {
    asked: RegisterInstance,
    layers: AttributeLayers,
    registered: bool,
}

/// What follows from a word.
#[derive(Debug, Default, PartialEq)]
#[must_use]
pub(super) struct Said {
    /// For the nameserver, in protocol 1.
    pub(super) out: Vec<Body>,
    /// For the agent, in protocol 2.
    pub(super) back: Vec<Body>,
}

impl Interpreter {
    /// For one connection; `registry` is to be new with each.
    pub(super) fn new(address: String, agent: u64, registry: RegistryId) -> Self {
        let roster = Roster::new(registry);
        let (own, watched) = (BTreeMap::new(), BTreeSet::new());
        Self { address, agent, own, roster, watched, elections: Elections::default() }
    }

    /// The nameserver welcomed the agent and named the leaders of its app.
    pub(super) fn welcomed(&mut self, leaders: Vec<Info>) {
        self.elections.welcomed(leaders);
    }

    /// As if the nameserver had answered a keepalive, which protocol 1 does not have.
    pub(super) fn kept_alive(&self, seq: u64) -> Body {
        self.elections.kept_alive(seq)
    }

    /// The agent says something, in protocol 2.
    pub(super) fn say(&mut self, body: Body) -> Said {
        match body {
            Body::RegisterInstance(asked) => self.register(asked),
            Body::UnregisterInstance(asked) => {
                let mut said = self.left(asked.handle);
                said.out.push(UnregisterService { handle: asked.handle }.into());
                said.back.push(done(asked.request));
                said
            }
            Body::ChangeAttributes(asked) => self.change(&asked),
            Body::Watch(asked) => {
                let mut said = Said::default();
                if self.watched.insert(asked.service_name.clone()) {
                    let service_name = asked.service_name.clone();
                    said.out.push(RegisterRouter { service_name }.into());
                }
                said.back.push(self.roster.snapshot(&asked.service_name));
                said
            }
            Body::DrainInstance(asked) => {
                let reason = "draining is not supported by this nameserver (protocol 1)".to_owned();
                let (request, result) = (asked.request, ResultCode::NOT_SUPPORTED.0);
                Said::back(RequestReply { request, result, reason, revision: 0 })
            }
            Body::Goodbye(_) => {
                let all = self.own.keys().map(|&handle| UnregisterService { handle }.into());
                Said { out: all.collect(), back: Vec::new() }
            }
            Body::RunForLeader(asked) => self.run_for_leader(&asked),
            Body::GiveUpLeader(asked) => {
                let mut said = Said::back(done(asked.request));
                said.out.push(self.elections.give_up(asked.handle));
                said
            }
            Body::StandDown(said) => {
                let back = self.elections.stood_down(&said).into_iter().collect();
                Said { out: Vec::new(), back }
            }
            // Everybody hears of every leader.
            Body::WatchLeader(asked) => Said::back(self.elections.standing(&asked.service_name)),
            Body::Unwatch(_) | Body::UnwatchLeader(_) | Body::KeepAlive(_) => Said::default(),
            other => {
                let cmd = other.cmd();
                tracing::warn!(?cmd, "not supported by this nameserver (protocol 1)");
                Said::default()
            }
        }
    }

    /// The nameserver says something, in protocol 1.
    pub(super) fn hear(&mut self, body: Body) -> Said {
        match body {
            Body::RegisterServiceReply(reply) => self.registered(reply.handle, reply.result),
            Body::ServicePresence(said) => {
                // Our own word on our own instances is the better one.
                let changed = match said.server_address == self.address {
                    true => None,
                    false => self.roster.presence(said),
                };
                self.tell(changed)
            }
            Body::AttributesChanged(said) => {
                let changed = said.info.and_then(|i| self.roster.attributes(&i, said.attributes));
                self.tell(changed)
            }
            Body::KickOff(said) => {
                let mut left = self.left(said.handle);
                let (handle, reason) = (said.handle, "the nameserver kicked it off".to_owned());
                left.back.push(KickOffInstance { handle, reason }.into());
                left
            }
            Body::RouterUpdate(said) if said.cmd == PREPARE => {
                let (result, service_name) = (PREPARED, said.service_name);
                let reply = RouterUpdateReply { result, service_name };
                Said { out: vec![reply.into()], back: Vec::new() }
            }
            Body::RouterUpdate(_) => Said::default(),
            Body::ElectionResult(said) => {
                let back = self.elections.result(said).into_iter().collect();
                Said { out: Vec::new(), back }
            }
            other => Said::back(other),
        }
    }

    /// What has to be said every few seconds: a heartbeat for each instance, and again each
    /// registration that is not answered. The origin's nameserver does not answer where a URL is
    /// taken, for a whole minute after a crash (its defect 4); one of these comes through.
    pub(super) fn beat(&self) -> Vec<Body> {
        let beat = |(&handle, own): (&u64, &Own)| match own.registered {
            true => Heartbeat { handle }.into(),
            false => registration(&own.asked),
        };
        self.own.iter().map(beat).collect()
    }

    /// Nothing has come for a while, so what was not heard of is not there: protocol 1 does not say
    /// where its first listing ends.
    pub(super) fn all_heard(&mut self) -> Said {
        let mut said = Said::default();
        if self.roster.complete() {
            said.back.extend(self.watched.iter().map(|name| self.roster.snapshot(name)));
        }
        said
    }

    fn register(&mut self, asked: RegisterInstance) -> Said {
        let declared = Attributes::from_json(&asked.declared).unwrap_or_default();
        let runtime = Attributes::from_json(&asked.runtime).unwrap_or_default();
        let layers = AttributeLayers { declared, runtime, ..AttributeLayers::default() };
        let out = vec![registration(&asked)];
        let handle = asked.info.as_ref().map_or(0, |info| info.handle);
        self.own.insert(handle, Own { asked, layers, registered: false });
        Said { out, back: Vec::new() }
    }

    fn registered(&mut self, handle: u64, result: i32) -> Said {
        let Some(own) = self.own.get_mut(&handle).filter(|own| !own.registered) else {
            return Said::default();
        };
        let request = own.asked.request;
        if result != ResultCode::OK.0 {
            self.own.remove(&handle);
            let reason = reason(ResultCode(result)).to_owned();
            let reply = RegisterInstanceReply { request, handle, result, reason, revision: 0 };
            return Said::back(reply);
        }
        own.registered = true;
        let stands = self.elections.request(handle);
        let attributes = own.layers.merged();
        let mut said = Said::default();
        if attributes != Attributes::default() {
            let attributes = attributes.to_json().into();
            said.out.push(SetAttributes { handle, attributes }.into());
        }
        said.out.extend(stands);
        let (delta, revision) = self.tell_own(handle);
        let reason = String::new();
        let reply = RegisterInstanceReply { request, handle, result, reason, revision };
        said.back.push(reply.into());
        said.back.extend(delta);
        said
    }

    /// Protocol 1 answers only who is turned down, so the request is answered here. Who is not
    /// registered yet stands when it is: the nameserver would not know it.
    fn run_for_leader(&mut self, asked: &RunForLeader) -> Said {
        let mut said = Said::back(done(asked.request));
        let Some(own) = self.own.get(&asked.handle) else { return said };
        let name = own.asked.info.as_ref().map_or("", |info| &info.service_name);
        self.elections.run(asked, name);
        if own.registered {
            said.out.extend(self.elections.request(asked.handle));
        }
        said
    }

    fn change(&mut self, asked: &ChangeAttributes) -> Said {
        let (request, handle) = (asked.request, asked.handle);
        let mut said = Said::back(done(request));
        let set: Map<String, Value> = serde_json::from_slice(&asked.set).unwrap_or_default();
        let change = AttributeChange { set: set.into_iter().collect(), unset: asked.unset.clone() };
        let Some(own) = self.own.get_mut(&handle) else { return said };
        // The agent has checked it against the limits before it asked.
        if let Ok(runtime) = own.layers.runtime.changed_by(&change) {
            own.layers.runtime = runtime;
        }
        if own.registered {
            let attributes = own.layers.merged().to_json().into();
            said.out.push(SetAttributes { handle, attributes }.into());
            said.back.extend(self.tell_own(handle).0);
        }
        said
    }

    /// The nameserver tells an agent nothing of its own instances, but its routers are to see them.
    fn tell_own(&mut self, handle: u64) -> (Vec<Body>, u64) {
        let Some(own) = self.own.get(&handle) else { return (Vec::new(), 0) };
        let instance = Instance {
            info: own.asked.info.clone(),
            options: own.asked.options,
            server_address: self.address.clone(),
            state: InstanceState::Online.into(),
            attributes: own.layers.merged().to_json().into(),
            weight: own.asked.weight,
            revision: 0,
            protocol: 2,
            codecs: Vec::new(),
            agent: self.agent,
        };
        let changed = self.roster.put(instance);
        let revision = changed.as_ref().map_or(0, |changed| changed.revision);
        (self.tell(changed).back, revision)
    }

    /// An own instance is of the mesh no more.
    fn left(&mut self, handle: u64) -> Said {
        self.elections.forget(handle);
        let info = self.own.remove(&handle).and_then(|own| own.asked.info);
        let changed = info.and_then(|info| self.roster.remove(&info));
        self.tell(changed)
    }

    fn tell(&self, changed: Option<skymesh_proto::WatchDelta>) -> Said {
        let watched = changed.filter(|changed| self.watched.contains(&changed.service_name));
        Said { out: Vec::new(), back: watched.into_iter().map(Body::from).collect() }
    }
}

impl Said {
    fn back(body: impl Into<Body>) -> Self {
        Self { out: Vec::new(), back: vec![body.into()] }
    }
}

fn registration(asked: &RegisterInstance) -> Body {
    let options = Some(asked.options.unwrap_or_default());
    RegisterService { info: asked.info.clone(), options }.into()
}

/// What the origin's numbers say; it gives no reason in words.
const fn reason(result: ResultCode) -> &'static str {
    match result {
        ResultCode::VOTED_DOWN => "a router of the service refused",
        ResultCode::PREPARE_TIMEOUT => "a router of the service did not answer in time",
        ResultCode::LINE_UP => "another instance of the service is being agreed on",
        _ => "a nameserver of protocol 1 gives no reason",
    }
}

fn done(request: u64) -> Body {
    RequestReply { request, ..RequestReply::default() }.into()
}

#[cfg(test)]
mod tests;
