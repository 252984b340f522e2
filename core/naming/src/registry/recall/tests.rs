//! What a registry knows of its life before: listed as suspect, taken over by who registers again, gone
//! with the lease.

use std::time::Duration;

use skymesh_types::{AttributeChange, Attributes, RegistryId, ServiceUrl};

use super::*;
use crate::{
    Action, AgentInput, ConnectionId, Hello, Input, Interest, OperatorInput, RegistryConfig,
    RequestId,
};

const SECOND: Duration = Duration::from_secs(1);
const WATCHER: ConnectionId = ConnectionId(9);

/// A registry in its `life`-th life, its clock, and what it did last.
struct World {
    registry: Registry,
    now: Duration,
    actions: Vec<Action>,
}

impl World {
    fn new(life: u64) -> Self {
        let id = RegistryId::new(life).unwrap();
        let mut registry = Registry::new(RegistryConfig::default(), id, Duration::ZERO);
        registry.track_unsaved();
        Self { registry, now: Duration::ZERO, actions: Vec::new() }
    }

    fn feed(&mut self, input: Input) {
        self.registry.handle(self.now, input, &mut self.actions);
    }

    fn say(&mut self, connection: ConnectionId, input: AgentInput) {
        self.feed(Input::Agent(connection, input));
    }

    /// Lets time pass tick by tick; `alive` keep alive meanwhile.
    fn pass(&mut self, time: Duration, alive: &[ConnectionId]) {
        let end = self.now + time;
        while let Some(next) = self.registry.next_deadline().filter(|next| *next <= end) {
            self.now = next;
            for connection in alive {
                self.say(*connection, AgentInput::Heard);
            }
            self.feed(Input::Tick);
        }
        self.now = end;
    }

    fn hello(&mut self, connection: u64, agent: Option<u64>) {
        let version = if agent.is_some() { 2 } else { 1 };
        let hello = Hello {
            app: "app".parse().unwrap(),
            address: "10.0.0.1:7".into(),
            protocol: PeerProtocol { version, codecs: Arc::from([]) },
            agent: agent.map(|agent| AgentId::new(agent).unwrap()),
            // As if the numbers of both lives had met.
            resume: SessionId::new(1).ok(),
            interest: Interest::ByName,
        };
        self.say(ConnectionId(connection), AgentInput::Hello(hello));
    }

    fn register(&mut self, connection: u64, instance: u64, handle: u64) {
        let registration = registration(instance, handle);
        self.say(ConnectionId(connection), AgentInput::Register(RequestId(0), registration));
    }

    fn states(&self) -> Vec<(u64, InstanceState)> {
        let listed = self.registry.instances(self.now);
        listed.map(|l| (l.record.handle.get(), l.record.state)).collect()
    }

    fn save(&mut self) -> Vec<Remembered> {
        self.registry.take_unsaved(usize::MAX).into_iter().filter_map(|(_, kept)| kept).collect()
    }
}

fn url(instance: u64) -> ServiceUrl {
    format!("app.env.room/{instance}").parse().unwrap()
}

fn registration(instance: u64, handle: u64) -> Registration {
    Registration {
        url: url(instance),
        handle: Handle::new(handle).unwrap(),
        declared: Attributes::from([("load", handle)]),
        runtime: Attributes::new(),
        weight: 7,
        hash_key: 0,
        epoch: Epoch(0),
    }
}

/// A first life with two instances of one agent, a draining one among them, and what it left.
fn earlier_life() -> Vec<Remembered> {
    let mut first = World::new(1);
    first.hello(1, Some(5));
    first.register(1, 1, 11);
    first.register(1, 2, 12);
    first.feed(Input::Operator(RequestId(0), OperatorInput::Drain(url(2))));
    first.save()
}

fn next_life() -> World {
    let mut world = World::new(2);
    world.feed(Input::Recall(earlier_life()));
    world
}

#[test]
fn changes_are_given_once_and_again_only_if_they_could_not_be_kept() {
    let mut world = World::new(1);
    world.hello(1, Some(5));
    world.register(1, 1, 11);
    world.register(1, 2, 12);
    let first = world.registry.take_unsaved(1);
    assert_eq!(first[0].1.as_ref().unwrap().registration, registration(1, 11));
    assert_eq!(world.registry.take_unsaved(9).len(), 1);
    assert!(!world.registry.has_unsaved());
    world.registry.return_unsaved([first[0].0]);
    world.say(ConnectionId(1), AgentInput::Goodbye);
    let gone = world.registry.take_unsaved(9);
    assert_eq!(
        gone.iter().map(|(h, kept)| (h.get(), kept)).collect::<Vec<_>>(),
        [(11, &None), (12, &None)]
    );
}

#[test]
fn nothing_is_noted_for_a_registry_that_nobody_asks() {
    let mut world = World::new(1);
    world.registry.unsaved = Unsaved::default();
    world.hello(1, Some(5));
    world.register(1, 1, 11);
    assert!(!world.registry.has_unsaved());
}

#[test]
fn watchers_get_them_as_suspect_in_the_first_recovering_snapshot() {
    let mut world = next_life();
    world.hello(9, Some(9));
    let name = url(1).name;
    world.actions.clear();
    world.say(WATCHER, AgentInput::Watch(name, None));
    let [Action::Snapshot { snapshot, .. }] = &world.actions[..] else {
        panic!("{:?}", world.actions)
    };
    assert!(snapshot.recovering);
    let seen: Vec<_> = snapshot.instances.iter().map(|i| (i.handle.get(), i.state)).collect();
    assert_eq!(seen, [(11, InstanceState::Suspect), (12, InstanceState::Draining)]);
    let first = &snapshot.instances[0];
    assert_eq!((first.weight, &*first.address), (7, "10.0.0.1:7"));
    assert_eq!(first.attributes.get("load"), Some(&11.into()));
}

#[test]
fn what_its_agent_registers_again_goes_on_and_the_rest_ends_with_the_lease() {
    let mut world = next_life();
    world.pass(5 * SECOND, &[]);
    world.actions.clear();
    world.hello(1, Some(5));
    let Some(Action::Welcome { session, resumed, .. }) = world.actions.first() else { panic!() };
    assert!(!resumed, "it must say everything again");
    let session = *session;
    // A mere hello proves nothing: the instance may have ended while nobody listened.
    assert_eq!(world.states()[0].1, InstanceState::Suspect);
    world.register(1, 1, 11);
    assert_eq!(world.states(), [(11, InstanceState::Online), (12, InstanceState::Draining)]);
    let owner = world.registry.instances(world.now).next().unwrap().session;
    assert_eq!(owner, session);
    // A full lease after the start, and not a moment sooner.
    world.pass(SECOND - Duration::from_millis(1), &[ConnectionId(1)]);
    assert_eq!(world.states().len(), 2);
    world.pass(Duration::from_millis(1), &[ConnectionId(1)]);
    assert_eq!(world.states(), [(11, InstanceState::Online)]);
    assert_eq!(world.registry.session_count(), 1);
    // The agent is still known by its new session.
    world.hello(2, Some(5));
    assert_eq!(world.registry.session_count(), 1);
}

#[test]
fn a_restarted_process_takes_its_url_at_once() {
    let mut world = next_life();
    world.hello(1, Some(6));
    world.register(1, 1, 21);
    assert_eq!(world.states()[0], (21, InstanceState::Online));
}

#[test]
fn nobody_else_may_register_a_remembered_handle() {
    let mut world = next_life();
    world.hello(1, Some(6));
    world.actions.clear();
    world.register(1, 1, 11);
    let refused =
        world.actions.iter().any(|a| matches!(a, Action::Registered { result: Err(_), .. }));
    assert!(refused, "{:?}", world.actions);
}

#[test]
fn agents_of_protocol_1_find_their_instances_by_handle() {
    let mut first = World::new(1);
    first.hello(1, None);
    first.register(1, 1, 11);
    let mut world = World::new(2);
    world.feed(Input::Recall(first.save()));
    world.hello(1, None);
    world.register(1, 1, 11);
    assert_eq!(world.states(), [(11, InstanceState::Online)]);
    assert_eq!(world.registry.session_count(), 1);
}

#[test]
fn the_mass_loss_guard_does_not_hold_what_this_life_never_saw() {
    let mut first = World::new(1);
    first.hello(1, Some(5));
    for n in 1..=10 {
        first.register(1, n, 100 + n);
    }
    let mut world = World::new(2);
    world.feed(Input::Recall(first.save()));
    assert_eq!(world.states().len(), 10);
    world.pass(6 * SECOND, &[]);
    assert_eq!(world.states(), []);
    assert_eq!(world.registry.session_count(), 0);
    let forgotten = world.registry.take_unsaved(usize::MAX);
    assert!(forgotten.len() == 10 && forgotten.iter().all(|(_, kept)| kept.is_none()));
}

#[test]
fn limits_and_double_urls_leave_some_out() {
    let mut world = World::new(2);
    world.registry.config.limits.instances_per_app = 1;
    world.feed(Input::Recall(earlier_life()));
    assert_eq!(world.states().len(), 1);

    let mut world = World::new(2);
    let mut twice = earlier_life();
    twice[1].registration.url = url(1);
    world.feed(Input::Recall(twice));
    assert_eq!(world.states(), [(11, InstanceState::Suspect)]);
    let kept = world.registry.take_unsaved(9);
    assert_eq!(kept.iter().map(|(_, kept)| kept.is_some()).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn overrides_lie_over_what_is_recalled() {
    let mut world = World::new(2);
    let set = [("load".to_owned(), 99.into())].into();
    let change = AttributeChange { set, unset: Vec::new() };
    let input = OperatorInput::Override { url: url(1), change, lasting: None };
    world.feed(Input::Operator(RequestId(0), input));
    world.feed(Input::Recall(earlier_life()));
    let listed = world.registry.instances(world.now).next().unwrap();
    assert_eq!(listed.record.attributes.get("load"), Some(&99.into()));
    assert_eq!(listed.layers.declared.get("load"), Some(&11.into()));
}
