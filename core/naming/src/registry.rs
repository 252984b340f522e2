//! The registry: who is where, as the nameserver knows it. Sessions and leases, instances and
//! their attributes, watches with snapshots and deltas. Sans-io: [`Registry::handle`] takes what
//! happened and says what to do; the same inputs at the same times give the same actions.
//!
//! Where to look: `hello.rs` sessions begin, are resumed and lost; `lease.rs` time passes (`beats.rs`
//! for agents of protocol 1); `guard.rs`
//! and `history.rs` and `pace.rs` decide for one service; `register.rs` what agents ask for;
//! `operator.rs` what operators ask for; `offices.rs` elections; `rounds.rs` agreement on
//! placements; `store.rs` what outlives it; `watch.rs` who is told; `recall.rs` what the
//! next life is left; `roster.rs` the only place where an
//! instance changes.

mod action;
mod beats;
mod config;
mod guard;
mod hello;
mod history;
mod input;
mod kicked;
mod lease;
mod listing;
mod office;
mod offices;
mod operator;
mod overrides;
mod pace;
mod recall;
mod refusal;
mod register;
mod roster;
mod round;
mod rounds;
mod seating;
mod service;
mod session;
mod standings;
mod store;
mod timer;
mod voters;
mod watch;
mod wishes;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use skymesh_types::{AppId, Handle, RegistryId, Revision, ServiceName};

pub use action::{Action, Campaigned, CloseReason, Leading, Note, SessionEnd};
pub use config::{MassLoss, RegistryConfig, RegistryLimits};
pub use input::{
    AgentInput, Candidacy, ConnectionId, Hello, Input, Interest, KickTarget, OperatorInput,
    Registration, RequestId,
};
pub use listing::Listed;
pub use recall::Remembered;
pub use refusal::{Refusal, ResultCode};
pub use rounds::{OpenRound, RoundCounts};
pub use store::{Durable, StoreInput, StoreMemory};

use kicked::Kicked;
use offices::Offices;
use overrides::Overrides;
use recall::Unsaved;
use roster::Instance;
use service::Service;
use session::Sessions;
use timer::{Timer, Timers};

use crate::election::Elector;
use crate::flaw::Flaw;
use crate::placement::Epoch;

/// What is kept of an app.
#[derive(Debug, Default)]
struct App {
    instances: usize,
    /// Connections that hear of every name.
    listeners: BTreeSet<ConnectionId>,
}

/// Who is where.
///
/// Times are counted from any fixed point on one monotonic clock. A time before the last one is
/// taken as the last one.
#[derive(Debug)]
pub struct Registry {
    config: RegistryConfig,
    id: RegistryId,
    now: Duration,
    /// The newest that was given out.
    revision: Revision,
    /// No lease and no grace counts silence from before this time, because the registry could not
    /// listen then: it had not started, or was itself stalled.
    awake_since: Duration,
    /// Started lately: what is absent is unknown.
    recovering: bool,
    sessions: Sessions,
    apps: BTreeMap<AppId, App>,
    instances: BTreeMap<Handle, Instance>,
    services: BTreeMap<ServiceName, Service>,
    /// Services that this turn has changed.
    touched: BTreeSet<ServiceName>,
    overrides: Overrides,
    kicked: Kicked,
    unsaved: Unsaved,
    offices: Offices,
    /// Services whose agreement this turn has to look at.
    agreed_on: BTreeSet<ServiceName>,
    /// Of those, the ones whose round comes to nothing.
    void: BTreeSet<ServiceName>,
    /// Who waits for an answer to a wish that ended with its instance.
    withdrawn: Vec<round::Withdrawn>,
    last_round: u64,
    round_counts: RoundCounts,
    /// Placements that changed since their epochs were looked at last.
    raised: BTreeMap<ServiceName, Epoch>,
    /// Epochs count from here.
    floor: u64,
    timers: Timers,
    flaw: Option<Flaw>,
}

impl Registry {
    /// An empty registry. `id` must differ from that of every registry before it: agents tell the
    /// revisions of different lives apart by it.
    pub fn new(config: RegistryConfig, id: RegistryId, now: Duration) -> Self {
        let mut timers = Timers::default();
        let recovering = !config.recovery.is_zero();
        if recovering {
            timers.arm(now + config.recovery, Timer::Recovered);
        }
        let offices = Offices::new(now + config.lease);
        Self {
            config,
            id,
            now,
            revision: Revision(0),
            awake_since: now,
            recovering,
            sessions: Sessions::default(),
            apps: BTreeMap::new(),
            instances: BTreeMap::new(),
            services: BTreeMap::new(),
            touched: BTreeSet::new(),
            overrides: Overrides::default(),
            kicked: Kicked::default(),
            unsaved: Unsaved::default(),
            offices,
            agreed_on: BTreeSet::new(),
            void: BTreeSet::new(),
            withdrawn: Vec::new(),
            last_round: 0,
            round_counts: RoundCounts::default(),
            raised: BTreeMap::new(),
            floor: 0,
            timers,
            flaw: None,
        }
    }

    /// With another algorithm than [`FirstCome`](crate::election::FirstCome) to pick leaders.
    #[must_use]
    pub fn with_elector(mut self, elector: Box<dyn Elector>) -> Self {
        self.offices.elector = elector;
        self
    }

    /// With a planted bug, for simulations that have to find it.
    #[doc(hidden)]
    #[must_use]
    pub const fn with_flaw(mut self, flaw: Option<Flaw>) -> Self {
        self.flaw = flaw;
        self
    }

    fn has_flaw(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// Takes in what happened at `now` and adds what is to be done, in order, to `actions`.
    pub fn handle(&mut self, now: Duration, input: Input, actions: &mut Vec<Action>) {
        self.now = self.now.max(now);
        match input {
            Input::Agent(connection, input) => self.on_agent(connection, input, actions),
            Input::Operator(request, input) => self.on_operator(request, input, actions),
            Input::Recall(remembered) => self.recall(remembered),
            Input::Store(input) => self.on_store(input, actions),
            Input::NewRules => self.touch_vacancies(),
            Input::AskAgain(name) => _ = self.offices.touched.insert(name),
            Input::Tick => self.tick(actions),
        }
        self.settle_agreements(actions);
        self.publish_touched(actions);
        self.settle_offices(actions);
    }

    /// When [`Input::Tick`] is wanted; `None` if only other inputs matter. A tick that comes much
    /// later tells the registry that it was stalled, so do not skip ticks to save work.
    pub fn next_deadline(&self) -> Option<Duration> {
        self.timers.next()
    }

    fn on_agent(&mut self, connection: ConnectionId, input: AgentInput, actions: &mut Vec<Action>) {
        match input {
            AgentInput::Hello(hello) => return self.hello(connection, hello, actions),
            AgentInput::Disconnected => return self.disconnected(connection, actions),
            AgentInput::Overflowed(name) => return self.overflowed(connection, &name, actions),
            AgentInput::Drained => return self.drained(connection, actions),
            _ => {}
        }
        self.hear(connection);
        self.beat(connection, &input);
        match input {
            AgentInput::KeepAlive(seq) => {
                let leads = self.confirm_leads(connection);
                actions.push(Action::KeptAlive { to: connection, seq, leads });
            }
            AgentInput::Register(request, registration) => {
                self.on_register(connection, request, registration, actions);
            }
            AgentInput::Unregister(request, handle) => {
                let result = self.unregister(connection, handle);
                actions.push(Action::Answer { to: connection, request, result });
            }
            AgentInput::Drain(request, handle) => {
                self.on_drain(connection, request, handle, actions);
            }
            AgentInput::ChangeAttributes(request, handle, change) => {
                let result = self.change_attributes(connection, handle, &change);
                actions.push(Action::Answer { to: connection, request, result });
            }
            AgentInput::ReplaceAttributes(request, handle, runtime) => {
                let result = self.replace_attributes(connection, handle, runtime);
                actions.push(Action::Answer { to: connection, request, result });
            }
            AgentInput::Watch(name, at) => self.watch(connection, &name, at, actions),
            AgentInput::Unwatch(name) => self.unwatch(connection, &name),
            AgentInput::Run(request, candidacy) => {
                self.run(connection, request, &candidacy, actions);
            }
            AgentInput::GiveUp(request, handle) => {
                let result = self.give_up(connection, handle);
                actions.push(Action::Campaigned { to: connection, request, handle, result });
            }
            AgentInput::StandDown(handle, term) => self.stand_down(connection, handle, term),
            AgentInput::WatchLeader(name) => self.watch_leader(connection, &name, actions),
            AgentInput::UnwatchLeader(name) => self.unwatch_leader(connection, &name),
            AgentInput::Prepared(name, round) => self.prepared(connection, &name, round),
            AgentInput::RouteV1(name) => self.route_v1(connection, &name, actions),
            AgentInput::Unprepared(name) => self.unprepared(connection, &name, actions),
            AgentInput::Goodbye => self.goodbye(connection, actions),
            AgentInput::Heard
            | AgentInput::Heartbeat(_)
            | AgentInput::Hello(_)
            | AgentInput::Disconnected
            | AgentInput::Overflowed(_)
            | AgentInput::Drained => {}
        }
    }
}
