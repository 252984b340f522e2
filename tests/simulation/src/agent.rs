//! An agent's node: the real leaderships, and a shell that dials, registers, keeps alive and dials
//! again, as the production one does. Its application stands for leader everywhere and writes to a
//! register while it leads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::placement::Epoch;
use skymesh_naming::{
    AgentInput, Candidacy, Hello, Interest, LeadershipAction, LeadershipInput, LeadershipSaying,
    Leaderships, PeerProtocol, Registration, RequestId,
};
use skymesh_types::{AgentId, Attributes, Handle, InstanceId, ServiceName, ServiceUrl};

use crate::message::{Message, Said};
use crate::network::{ConnectionNumber, End};
use crate::oracle::Oracle;
use crate::scenario::Scenario;
use crate::world::{Context, FIRST_AGENT, NAMESERVER, NodeId};
use crate::writer::Writer;

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
    }

    pub(crate) fn closed(&mut self, connection: ConnectionNumber, cx: &mut Context<'_>) {
        if self.connection() == Some(connection) {
            self.lost(cx);
        }
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
    }

    fn register(&mut self, at: usize, cx: &mut Context<'_>) {
        let Uplink::Open(line) = &self.uplink else { return };
        let instance = (self.node.0 - FIRST_AGENT + 1) as u64;
        let instance = InstanceId::new(instance).expect("invariant: it counts from 1");
        let registration = Registration {
            url: ServiceUrl::new(self.names[at].clone(), instance),
            handle: self.own[at].handle,
            declared: Attributes::new(),
            runtime: Attributes::new(),
            weight: 100,
            hash_key: 0,
            epoch: Epoch(0),
        };
        ask(line.connection, AgentInput::Register(REQUEST, registration), cx);
    }

    fn registered(&mut self, handle: Handle, accepted: bool, cx: &mut Context<'_>) {
        let Some(at) = self.own.iter().position(|own| own.handle == handle) else { return };
        if !accepted {
            return self.lost_instance(at, cx);
        }
        self.own[at].confirmed = true;
        if self.own[at].stands {
            self.run(at, cx);
        }
    }

    fn kicked_off(&mut self, handle: Handle, cx: &mut Context<'_>) {
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
    fn lead(&mut self, input: LeadershipInput, cx: &mut Context<'_>) {
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

    pub(crate) fn stored(&mut self, reply: crate::message::RegisterReply, cx: &mut Context<'_>) {
        self.writer.stored(reply, cx);
    }

    pub(crate) fn any_handle(&self) -> Option<Handle> {
        self.own.first().filter(|own| own.confirmed).map(|own| own.handle)
    }

    pub(crate) fn whim(&mut self, cx: &mut Context<'_>) {
        let at = cx.dice.below(self.own.len() as u64) as usize;
        self.own[at].stands ^= true;
        if !self.own[at].stands {
            self.lead(LeadershipInput::GiveUp(self.own[at].handle), cx);
        } else if self.own[at].confirmed {
            self.run(at, cx);
        }
    }

    pub(crate) fn dither(&mut self, cx: &mut Context<'_>) {
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

fn ask(connection: ConnectionNumber, input: AgentInput, cx: &mut Context<'_>) {
    cx.send(connection, End::Dialler, Message::Ask(input));
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

/// What an agent remembers of its registers, by name.
pub(crate) type ByRegister<T> = BTreeMap<usize, T>;
