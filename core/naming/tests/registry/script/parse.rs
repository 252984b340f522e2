//! Script lines to inputs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::election::{CampaignId, Elector, Term};
use skymesh_naming::placement::{Epoch, RoundId};
use skymesh_naming::{
    AgentInput, Candidacy, ConnectionId, Durable, Hello, Input, Interest, KickTarget,
    OperatorInput, PeerProtocol, Registration, RegistryConfig, RequestId, StoreInput, StoreMemory,
};
use skymesh_types::{
    AgentId, AttributeChange, Attributes, Handle, RegistryId, Revision, ServiceName, ServiceUrl,
    SessionId,
};

use super::elector;

pub(super) enum Step {
    Input(Input),
    /// One tick now, and none before: the registry was stalled.
    Late,
}

/// The words of a line: those with `=` by key, the others in order.
struct Words<'a> {
    plain: std::vec::IntoIter<&'a str>,
    keyed: BTreeMap<&'a str, &'a str>,
}

impl<'a> Words<'a> {
    fn new(line: &'a str) -> Self {
        let (keyed, plain): (Vec<&str>, Vec<&str>) =
            line.split(' ').filter(|w| !w.is_empty()).partition(|w| w.contains('='));
        let keyed = keyed.into_iter().filter_map(|w| w.split_once('=')).collect();
        Self { plain: plain.into_iter(), keyed }
    }

    fn next(&mut self) -> &'a str {
        self.plain.next().expect("a word is missing")
    }

    fn number(&self, key: &str) -> Option<u64> {
        self.keyed.get(key).map(|value| value.parse().unwrap())
    }

    fn attributes(&self, key: &str) -> Attributes {
        let text = self.keyed.get(key).copied().unwrap_or_default();
        Attributes::from_json(text.as_bytes()).unwrap()
    }

    fn request(&mut self) -> RequestId {
        RequestId(self.next().parse().unwrap())
    }

    fn handle(&self) -> Handle {
        Handle::new(self.number("h").expect("h=")).unwrap()
    }

    fn url(&mut self) -> ServiceUrl {
        full(self.next()).parse().unwrap()
    }

    fn name(&mut self) -> ServiceName {
        full(self.next()).parse().unwrap()
    }

    fn change(&self) -> AttributeChange {
        let set = self.attributes("set").iter().map(|(k, v)| (k.to_owned(), v.clone())).collect();
        let unset =
            self.keyed.get("unset").map(|keys| keys.split(',').map(str::to_owned).collect());
        AttributeChange { set, unset: unset.unwrap_or_default() }
    }
}

fn full(short: &str) -> String {
    if short.contains('.') { short.to_owned() } else { format!("app.env.{short}") }
}

pub(super) fn settings(settings: &str) -> (RegistryConfig, Option<Box<dyn Elector>>) {
    // Most cases are about a registry that has long recovered.
    let mut config = RegistryConfig { recovery: Duration::ZERO, ..RegistryConfig::default() };
    let mut elector = None;
    for (key, value) in Words::new(settings).keyed {
        if key == "elector" {
            elector = Some(elector::named(value));
            continue;
        }
        let number: u64 = value.parse().unwrap();
        let time = Duration::from_millis(number);
        let count = usize::try_from(number).unwrap();
        match key {
            "lease" => config.lease = time,
            "lease_v1" => config.lease_v1 = time,
            "session_grace" => config.session_grace = time,
            "recovery" => config.recovery = time,
            "coalesce" => config.coalesce = time,
            "round" => config.round = time,
            "history" => config.history = count,
            "hold" => config.mass_loss.hold = time,
            "percent" => config.mass_loss.percent = u8::try_from(number).unwrap(),
            "sessions" => config.limits.sessions = count,
            "instances_per_app" => config.limits.instances_per_app = count,
            "instances_per_session" => config.limits.instances_per_session = count,
            "watches_per_session" => config.limits.watches_per_session = count,
            "overrides" => config.limits.overrides = count,
            "elections" => config.limits.elections = count,
            _ => panic!("no such setting: {key}"),
        }
    }
    (config, elector)
}

pub(super) fn line(line: &str) -> (Duration, Option<Step>) {
    let mut words = Words::new(line);
    let now = Duration::from_millis(words.next().parse().unwrap());
    let step = match words.next() {
        "-" => None,
        "stall" => Some(Step::Late),
        "op" => {
            let request = words.request();
            Some(Step::Input(Input::Operator(request, operator(&mut words))))
        }
        "store" => Some(Step::Input(Input::Store(store(&mut words)))),
        letter => {
            let connection = ConnectionId(u64::from(letter.as_bytes()[0]));
            Some(Step::Input(Input::Agent(connection, agent(&mut words))))
        }
    };
    assert_eq!(words.plain.next(), None, "a word too many: {line}");
    (now, step)
}

fn agent(words: &mut Words<'_>) -> AgentInput {
    match words.next() {
        "hello" => AgentInput::Hello(hello(words)),
        "heard" => AgentInput::Heard,
        "heartbeat" => AgentInput::Heartbeat(words.handle()),
        "keepalive" => AgentInput::KeepAlive(words.number("seq").unwrap_or(0)),
        "register" => AgentInput::Register(words.request(), registration(words)),
        "unregister" => AgentInput::Unregister(words.request(), words.handle()),
        "drain" => AgentInput::Drain(words.request(), words.handle()),
        "change" => AgentInput::ChangeAttributes(words.request(), words.handle(), words.change()),
        "replace" => {
            AgentInput::ReplaceAttributes(words.request(), words.handle(), words.attributes("by"))
        }
        "watch" => AgentInput::Watch(words.name(), position(words)),
        "unwatch" => AgentInput::Unwatch(words.name()),
        "run" => AgentInput::Run(words.request(), candidacy(words)),
        "giveup" => AgentInput::GiveUp(words.request(), words.handle()),
        "standdown" => {
            AgentInput::StandDown(words.handle(), Term(words.number("term").unwrap_or(0)))
        }
        "watchleader" => AgentInput::WatchLeader(words.name()),
        "unwatchleader" => AgentInput::UnwatchLeader(words.name()),
        "prepared" => {
            AgentInput::Prepared(words.name(), RoundId(words.number("round").unwrap_or(0)))
        }
        "unprepared" => AgentInput::Unprepared(words.name()),
        "route" => AgentInput::RouteV1(words.name()),
        "goodbye" => AgentInput::Goodbye,
        "disconnected" => AgentInput::Disconnected,
        "overflowed" => AgentInput::Overflowed(words.name()),
        "drained" => AgentInput::Drained,
        other => panic!("no such input: {other}"),
    }
}

fn position(words: &Words<'_>) -> Option<(RegistryId, Revision)> {
    let at = words.number("at")?;
    Some((RegistryId::new(words.number("registry").unwrap_or(7)).unwrap(), Revision(at)))
}

fn hello(words: &Words<'_>) -> Hello {
    let agent = words.number("agent").map(|id| AgentId::new(id).unwrap());
    let version = if agent.is_some() { 2 } else { 1 };
    Hello {
        app: words.keyed.get("app").copied().unwrap_or("app").parse().unwrap(),
        address: words.keyed.get("address").copied().unwrap_or("host:1").into(),
        protocol: PeerProtocol { version, codecs: Arc::from([]) },
        agent,
        resume: words.number("resume").map(|id| SessionId::new(id).unwrap()),
        interest: if version == 1 { Interest::WholeApp } else { Interest::ByName },
    }
}

fn registration(words: &mut Words<'_>) -> Registration {
    Registration {
        url: words.url(),
        handle: words.handle(),
        declared: words.attributes("declared"),
        runtime: words.attributes("runtime"),
        weight: words.number("weight").map_or(100, |weight| u32::try_from(weight).unwrap()),
        hash_key: words.number("key").unwrap_or(0),
        epoch: Epoch(words.number("epoch").unwrap_or(0)),
    }
}

fn candidacy(words: &Words<'_>) -> Candidacy {
    Candidacy {
        handle: words.handle(),
        campaign: CampaignId(words.number("campaign").unwrap_or(1)),
        priority: words.keyed.get("priority").map_or(0, |value| value.parse().unwrap()),
        claim: words.number("claim").map(Term),
        seen: Term(words.number("seen").unwrap_or(0)),
    }
}

/// `store complete`, `store unsure`, with `room=TERM h=LEADER` for what it remembers; `store has`
/// and `store refused` answer what was asked of it, with `room=TERM h=LEADER` again.
fn store(words: &mut Words<'_>) -> StoreInput {
    let mut records = Vec::new();
    let what = words.next();
    let floor = words.number("floor").unwrap_or(0);
    if let Some(term) = words.number("room") {
        records.push(Durable::Term {
            name: full("room").parse().unwrap(),
            term: Term(term),
            leader: words.handle(),
            lease: Duration::from_secs(6),
        });
    }
    match what {
        "complete" => StoreInput::Restored { records, memory: StoreMemory::Complete, floor },
        "unsure" => StoreInput::Restored { records, memory: StoreMemory::Unsure, floor },
        "has" => StoreInput::Stored(records.remove(0)),
        "refused" => StoreInput::NotStored(records.remove(0)),
        other => panic!("no such input: {other}"),
    }
}

fn operator(words: &mut Words<'_>) -> OperatorInput {
    match words.next() {
        "kick" => {
            let target = match (words.number("h"), words.number("session")) {
                (Some(handle), _) => KickTarget::Instance(Handle::new(handle).unwrap()),
                (_, Some(session)) => KickTarget::Session(SessionId::new(session).unwrap()),
                _ => KickTarget::Url(words.url()),
            };
            OperatorInput::Kick(target, "maintenance".into())
        }
        "drain" => OperatorInput::Drain(words.url()),
        "override" => OperatorInput::Override {
            url: words.url(),
            change: words.change(),
            lasting: words.number("for").map(Duration::from_millis),
        },
        other => panic!("no such input: {other}"),
    }
}
