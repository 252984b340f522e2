//! An agent's node: the real leaderships, and a shell that dials, registers, keeps alive and dials
//! again, as the production one does. Its application stands for leader everywhere and writes to a
//! register while it leads.

mod scaling;
mod standing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::placement::PlacementInput;
use skymesh_naming::{
    AgentInput, Hello, Interest, LeadershipAction, LeadershipInput, Leaderships, PeerProtocol,
    RequestId,
};
use skymesh_types::{AgentId, Handle, InstanceId, ServiceName};

use crate::keyed::Keyed;
use crate::message::{Message, Post, Said};
use crate::network::{ConnectionNumber, End};
use crate::oracle::Oracle;
use crate::scenario::{Scenario, Stage};
use crate::world::{Context, FIRST_AGENT, NAMESERVER, NodeId};
use crate::writer::Writer;
use scaling::Scaling;

const REQUEST: RequestId = RequestId(0);

/// How long the application waits before it registers again what was refused or kicked off.
const REGISTER_AGAIN: Duration = Duration::from_millis(300);

/// The nameserver's answer to the introduction is awaited that long.
const WELCOME_WITHIN: Duration = Duration::from_millis(1000);

/// Where the uplink stands.
#[derive(Debug)]
enum Uplink {
    Waiting { until: Duration },
    Greeted { connection: ConnectionNumber, until: Duration },
    Open(Line),
}

#[derive(Debug)]
struct Line {
    connection: ConnectionNumber,
    lease: Duration,
    heard: Duration,
    next_beat: Duration,
    seq: u64,
}

/// One instance of the application.
#[derive(Debug)]
struct Own {
    handle: Handle,
    confirmed: bool,
    /// Whether the application wants it to stand.
    stands: bool,
    /// When it is to be registered, if it is not.
    register_at: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Agent {
    node: NodeId,
    names: Vec<ServiceName>,
    flaw: Option<skymesh_naming::flaw::Flaw>,
    id: AgentId,
    /// One per name, in their order.
    own: Vec<Own>,
    uplink: Uplink,
    leaderships: Leaderships,
    writer: Writer,
    handles: u64,
    actions: Vec<LeadershipAction>,
    scenario: Scenario,
    /// Its router of the stateful service, if the run is about one.
    pub(crate) keyed: Option<Keyed>,
    /// Its own instance of that.
    scaling: Option<Scaling>,
}

impl Agent {
    pub(crate) fn new(node: NodeId, scenario: &Scenario) -> Self {
        Self {
            node,
            names: scenario.names(),
            flaw: scenario.flaw(),
            id: AgentId::new(1).expect("invariant: 1 is not 0"),
            own: Vec::new(),
            uplink: Uplink::Waiting { until: Duration::ZERO },
            leaderships: Leaderships::new(),
            writer: Writer::default(),
            handles: 0,
            actions: Vec::new(),
            scenario: *scenario,
            keyed: None,
            scaling: None,
        }
    }

    /// A new process.
    pub(crate) fn start(&mut self, cx: &mut Context<'_>) {
        let id = self.node.0 as u64 * 1000 + u64::from(cx.life);
        self.id = AgentId::new(id).expect("invariant: lives count from 1");
        self.leaderships = Leaderships::new().with_flaw(self.flaw);
        self.writer = Writer::default();
        self.own.clear();
        for _ in 0..self.names.len() {
            let handle = self.new_handle();
            self.own.push(Own { handle, confirmed: false, stands: true, register_at: None });
        }
        if self.scenario.stage != Stage::Elections {
            self.keyed = Some(Keyed::new(&self.scenario));
            self.scaling = Some(Scaling::new(self.node.0 == FIRST_AGENT));
        }
        self.dial(cx);
    }

    pub(crate) fn died(&mut self, oracle: &mut Oracle) {
        oracle.believes_no_more(self.node);
    }

    fn new_handle(&mut self) -> Handle {
        self.handles += 1;
        let handle = ((self.node.0 as u64) << 32) + self.handles;
        Handle::new(handle).expect("invariant: it counts from 1")
    }

    pub(crate) fn next_deadline(&self) -> Option<Duration> {
        let uplink = match &self.uplink {
            Uplink::Waiting { until } | Uplink::Greeted { until, .. } => *until,
            Uplink::Open(line) => line.next_beat,
        };
        let registrations = self.own.iter().filter_map(|own| own.register_at);
        let others =
            registrations.chain(self.leaderships.next_deadline()).chain(self.writer.next());
        let connected = matches!(self.uplink, Uplink::Open(_));
        let scaling = self.scaling.as_ref().and_then(Scaling::next_deadline);
        let keyed = self.keyed.as_ref().and_then(Keyed::next_deadline);
        let others = others.chain(scaling.filter(|_| connected)).chain(keyed);
        Some(others.fold(uplink, Duration::min))
    }

    pub(crate) fn wake(&mut self, cx: &mut Context<'_>) {
        match &self.uplink {
            Uplink::Waiting { until } if *until <= cx.now => self.dial(cx),
            Uplink::Greeted { connection, until } if *until <= cx.now => {
                let connection = *connection;
                self.hang_up(connection, cx);
            }
            Uplink::Open(line) if line.next_beat <= cx.now => self.beat(cx),
            _ => {}
        }
        for at in 0..self.own.len() {
            if self.own[at].register_at.is_some_and(|due| due <= cx.now) {
                self.own[at].register_at = None;
                self.register(at, cx);
            }
        }
        self.lead(LeadershipInput::Tick, cx);
        self.writer.wake(&self.leaderships, cx);
        self.scale_on(cx);
        if let Some(keyed) = &mut self.keyed {
            keyed.wake(cx);
        }
        self.say_prepared(cx);
    }

    fn dial(&mut self, cx: &mut Context<'_>) {
        let connection = cx.dial(NAMESERVER);
        let hello = Hello {
            app: "app".parse().expect("invariant: a proper app"),
            address: "host:1".into(),
            protocol: PeerProtocol { version: 2, codecs: Arc::from([]) },
            agent: Some(self.id),
            resume: None,
            interest: Interest::ByName,
        };
        ask(connection, AgentInput::Hello(hello), cx);
        self.uplink = Uplink::Greeted { connection, until: cx.now + WELCOME_WITHIN };
    }

    fn beat(&mut self, cx: &mut Context<'_>) {
        let Uplink::Open(line) = &mut self.uplink else { return };
        let connection = line.connection;
        if cx.now.saturating_sub(line.heard) > line.lease {
            return self.hang_up(connection, cx);
        }
        line.seq += 1;
        line.next_beat = cx.now + line.lease / 3;
        let seq = line.seq;
        self.lead(LeadershipInput::BeatSent(seq), cx);
        ask(connection, AgentInput::KeepAlive(seq), cx);
    }

    fn hang_up(&mut self, connection: ConnectionNumber, cx: &mut Context<'_>) {
        cx.close(connection, End::Dialler);
        self.lost(cx);
    }

    fn lost(&mut self, cx: &mut Context<'_>) {
        self.uplink = Uplink::Waiting { until: cx.now + cx.dice.millis(1, 400) };
        self.lead(LeadershipInput::Disconnected, cx);
        if let Some(keyed) = &mut self.keyed {
            keyed.feed(PlacementInput::Disconnected, cx);
        }
    }

    pub(crate) fn closed(&mut self, connection: ConnectionNumber, cx: &mut Context<'_>) {
        if self.connection() == Some(connection) {
            return self.lost(cx);
        }
        if let Some(keyed) = &mut self.keyed {
            keyed.closed(connection, cx);
        }
        self.say_prepared(cx);
    }

    /// Another agent says something.
    pub(crate) fn post(&mut self, line: ConnectionNumber, post: Post, cx: &mut Context<'_>) {
        if let Some(keyed) = &mut self.keyed {
            keyed.post(line, post, cx);
        }
        self.say_prepared(cx);
    }

    fn connection(&self) -> Option<ConnectionNumber> {
        match &self.uplink {
            Uplink::Waiting { .. } => None,
            Uplink::Greeted { connection, .. } | Uplink::Open(Line { connection, .. }) => {
                Some(*connection)
            }
        }
    }

    /// The nameserver says something.
    pub(crate) fn told(&mut self, connection: ConnectionNumber, said: Said, cx: &mut Context<'_>) {
        if self.connection() != Some(connection) {
            return;
        }
        if let Uplink::Open(line) = &mut self.uplink {
            line.heard = cx.now;
        }
        match said {
            Said::Welcome { lease } => self.welcomed(connection, lease, cx),
            Said::Registered { handle, accepted } => self.registered(handle, accepted, cx),
            Said::KeptAlive { seq, leads } => {
                self.lead(LeadershipInput::BeatAnswered { seq, leads }, cx);
            }
            Said::Leader(standing) => self.lead(LeadershipInput::Heard(standing), cx),
            Said::KickOff(handle) => self.kicked_off(handle, cx),
            Said::Answered(request) => self.answered(request, cx),
            said => self.told_of_placement(connection, said, cx),
        }
    }

    fn welcomed(&mut self, connection: ConnectionNumber, lease: Duration, cx: &mut Context<'_>) {
        let (heard, next_beat) = (cx.now, cx.now + lease / 3);
        self.uplink = Uplink::Open(Line { connection, lease, heard, next_beat, seq: 0 });
        for at in 0..self.own.len() {
            self.own[at].register_at = None;
            self.register(at, cx);
        }
        self.lead(LeadershipInput::Connected { lease }, cx);
        self.replay_stateful(connection, cx);
        self.scale_on(cx);
    }

    pub(crate) fn stored(&mut self, reply: crate::message::RegisterReply, cx: &mut Context<'_>) {
        self.writer.stored(reply, cx);
    }

    pub(crate) const fn node(&self) -> NodeId {
        self.node
    }

    pub(crate) fn any_handle(&self) -> Option<Handle> {
        let stateful = self.keyed.as_ref().and_then(|keyed| keyed.own);
        let own = self.own.first().filter(|own| own.confirmed).map(|own| own.handle);
        own.or(stateful)
    }
}

/// The instance number of an agent's instances.
fn instance_of(node: NodeId) -> InstanceId {
    let instance = (node.0 - FIRST_AGENT + 1) as u64;
    InstanceId::new(instance).expect("invariant: it counts from 1")
}

fn ask(connection: ConnectionNumber, input: AgentInput, cx: &mut Context<'_>) {
    cx.send(connection, End::Dialler, Message::Ask(input));
}

/// What an agent remembers of its registers, by name.
pub(crate) type ByRegister<T> = BTreeMap<usize, T>;
