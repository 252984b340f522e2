//! A router's rules, told as short stories; the simulation tells the long ones.

mod waiting;

use skymesh_types::{AgentId, Attributes, Handle, Revision};

use super::*;
use crate::placement::Bounced;
use crate::{InstanceState, PeerProtocol};

/// The owner of a key is the member with the same number, else the first.
struct SameNumber;

impl Placing for SameNumber {
    fn owner(&self, members: &[Arc<InstanceRecord>], key: u64) -> Option<usize> {
        let same = members.iter().position(|one| one.url.instance.get() == key);
        same.or(if members.is_empty() { None } else { Some(0) })
    }
}

fn member(instance: u64) -> Arc<InstanceRecord> {
    Arc::new(InstanceRecord {
        url: format!("app.env.room/{instance}").parse().unwrap(),
        handle: Handle::new(10 + instance).unwrap(),
        address: "127.0.0.1:1".into(),
        agent: AgentId::new(1).ok(),
        protocol: PeerProtocol { version: 2, codecs: Arc::from([]) },
        state: InstanceState::Online,
        attributes: Arc::new(Attributes::new()),
        weight: 100,
        hash_key: instance,
        revision: Revision(1),
    })
}

struct World {
    router: KeyedRouter<SameNumber, u64>,
    actions: Vec<PlacementAction<u64>>,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl World {
    /// At epoch 5, with members 1 and 2.
    fn placed() -> Self {
        let mut world = Self::new(HoldLimits::default());
        world.place(0, 5, &[1, 2]);
        world
    }

    fn new(limits: HoldLimits) -> Self {
        Self { router: KeyedRouter::new(SameNumber, limits), actions: Vec::new() }
    }

    fn feed(&mut self, at: u64, input: PlacementInput<u64>) {
        self.router.handle(ms(at), input, &mut self.actions);
    }

    fn place(&mut self, at: u64, epoch: u64, members: &[u64]) {
        let members = members.iter().map(|instance| member(*instance)).collect();
        self.feed(at, PlacementInput::Placed(Placement { epoch: Epoch(epoch), members }));
    }

    fn prepare(&mut self, at: u64, round: u64, joining: &[u64], leaving: &[u64]) {
        let preparation = Preparation {
            name: "app.env.room".parse().unwrap(),
            round: RoundId(round),
            joining: joining.iter().map(|instance| member(*instance)).collect(),
            leaving: leaving.iter().map(|instance| Handle::new(10 + instance).unwrap()).collect(),
        };
        self.feed(at, PlacementInput::Prepare(Arc::new(preparation)));
    }

    fn ended(&mut self, at: u64, round: u64, end: RoundEnd) {
        self.feed(at, PlacementInput::Ended(RoundId(round), end));
    }

    /// Offers message `message` of `key`; answers whether there was room.
    fn offer(&mut self, at: u64, key: u64, message: u64) -> bool {
        let parcel = Parcel::new(key, 10, message);
        self.router.offer(ms(at), parcel, &mut self.actions).is_ok()
    }

    fn bounce(&mut self, at: u64, message: u64, sent: u64, known: Option<u64>) {
        let parcel = Parcel::new(3, 10, message);
        let known = known.map(Epoch);
        self.feed(at, PlacementInput::Bounced(Bounced { parcel, sent: Epoch(sent), known }));
    }

    /// What was done last: `message>instance@epoch`.
    fn done(&mut self) -> String {
        let brief = self.actions.drain(..).map(|action| match action {
            PlacementAction::Send { to, epoch, parcel } => {
                format!("{}>{}@{epoch}", parcel.message, to.url.instance)
            }
            PlacementAction::Settle(round) => format!("settle {}", round.0),
            PlacementAction::Prepared(round) => format!("prepared {}", round.0),
            PlacementAction::Undelivered(parcel, why) => format!("{} {why:?}", parcel.message),
        });
        brief.collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn keys_that_stay_go_and_keys_that_move_wait_for_the_round() {
    let mut world = World::placed();
    world.offer(1, 3, 100);
    world.prepare(10, 7, &[3], &[]);
    world.offer(20, 2, 101);
    world.offer(20, 3, 102);
    world.offer(20, 3, 103);
    assert_eq!(world.done(), "100>1@5 settle 7 101>2@5");
    world.feed(30, PlacementInput::Settled(RoundId(7)));
    world.feed(30, PlacementInput::Settled(RoundId(6)));
    assert_eq!(world.done(), "prepared 7");
    world.place(40, 6, &[1, 2, 3]);
    assert_eq!(world.done(), "102>3@6 103>3@6");
    assert!(!world.router.is_quiet());
    world.ended(50, 7, RoundEnd::Committed(Epoch(6)));
    assert!(world.router.is_quiet());
}

#[test]
fn an_aborted_round_lets_everything_go_as_before() {
    let mut world = World::placed();
    world.prepare(10, 7, &[], &[2]);
    world.offer(20, 2, 101);
    world.offer(20, 1, 102);
    world.ended(30, 6, RoundEnd::Aborted);
    assert_eq!(world.done(), "settle 7 102>1@5");
    world.ended(30, 7, RoundEnd::Aborted);
    assert_eq!(world.done(), "101>2@5");
}

#[test]
fn the_word_of_the_commit_may_come_before_the_placement() {
    let mut world = World::placed();
    world.prepare(10, 7, &[3], &[]);
    world.offer(20, 3, 101);
    world.ended(30, 7, RoundEnd::Committed(Epoch(6)));
    assert_eq!(world.done(), "settle 7");
    world.place(40, 6, &[1, 2, 3]);
    assert_eq!(world.done(), "101>3@6");
    assert!(world.router.is_quiet());
}

#[test]
fn the_next_round_waits_for_the_placement_of_the_last_one() {
    let mut world = World::placed();
    world.prepare(10, 7, &[3], &[]);
    world.offer(20, 3, 101);
    world.ended(30, 7, RoundEnd::Committed(Epoch(6)));
    // The placement was left out: the registry's queue was full.
    world.prepare(30, 8, &[4], &[]);
    world.offer(40, 4, 102);
    assert_eq!(world.done(), "settle 7 102>1@5");
    world.place(50, 6, &[1, 2, 3]);
    world.offer(60, 4, 103);
    assert_eq!(world.done(), "settle 8 101>3@6");
    world.ended(70, 8, RoundEnd::Aborted);
    assert_eq!(world.done(), "103>1@6");
}

#[test]
fn a_next_round_that_ends_meanwhile_is_forgotten() {
    let mut world = World::placed();
    for end in [RoundEnd::Aborted, RoundEnd::Committed(Epoch(9))] {
        world.prepare(10, 7, &[3], &[]);
        world.ended(30, 7, RoundEnd::Committed(Epoch(6)));
        world.prepare(30, 8, &[4], &[]);
        world.ended(40, 8, end);
        world.place(50, 6, &[1, 2, 3]);
        assert_eq!(world.done(), "settle 7");
        assert!(world.router.is_quiet());
        world.place(60, 5, &[1, 2]);
    }
    world.prepare(70, 7, &[3], &[]);
    world.feed(80, PlacementInput::Disconnected);
    world.prepare(90, 8, &[4], &[]);
    assert_eq!(world.done(), "settle 7", "what came of round 7 is not known");
    world.feed(100, PlacementInput::Disconnected);
    world.place(110, 6, &[1, 2, 3]);
    assert!(world.router.is_quiet(), "another connection asks anew");
}

#[test]
fn a_loss_in_the_midst_of_a_round_changes_what_moves() {
    let mut world = World::placed();
    world.prepare(10, 7, &[3], &[]);
    world.offer(20, 3, 101);
    world.place(30, 6, &[2]);
    world.offer(40, 1, 102);
    world.offer(40, 3, 103);
    assert_eq!(world.done(), "settle 7 102>2@6");
    world.ended(50, 7, RoundEnd::Aborted);
    assert_eq!(world.done(), "101>2@6 103>2@6");
}

#[test]
fn without_a_registry_the_last_placement_goes_on_after_a_while() {
    let mut world = World::placed();
    world.prepare(10, 7, &[3], &[]);
    world.offer(20, 3, 101);
    world.feed(30, PlacementInput::Disconnected);
    assert_eq!(world.router.next_deadline(), Some(ms(4010)));
    world.feed(4009, PlacementInput::Tick);
    assert_eq!(world.done(), "settle 7");
    world.feed(4010, PlacementInput::Tick);
    assert_eq!(world.done(), "101>1@5");
}

#[test]
fn a_registry_that_is_back_says_anew_what_holds() {
    let mut world = World::placed();
    world.prepare(10, 7, &[3], &[]);
    world.offer(20, 3, 101);
    world.feed(30, PlacementInput::Disconnected);
    assert_eq!(world.done(), "settle 7");
    world.place(40, 5, &[1, 2]);
    assert_eq!(world.done(), "101>1@5");
    world.prepare(50, 7, &[3], &[]);
    world.offer(60, 3, 102);
    assert_eq!(world.done(), "settle 7");
}

#[test]
fn nothing_is_said_of_a_round_that_another_connection_asked_for() {
    let mut world = World::placed();
    world.prepare(10, 7, &[3], &[]);
    world.feed(20, PlacementInput::Disconnected);
    world.feed(30, PlacementInput::Settled(RoundId(7)));
    world.place(40, 5, &[1, 2]);
    world.prepare(40, 7, &[3], &[]);
    assert_eq!(world.done(), "settle 7 settle 7");
    world.feed(50, PlacementInput::Settled(RoundId(7)));
    assert_eq!(world.done(), "prepared 7");
}

#[test]
fn holding_is_bounded_and_whoever_does_not_fit_waits() {
    let mut world = World::new(HoldLimits { parcels: 2, bytes: 1000, ..HoldLimits::default() });
    assert!(world.offer(0, 1, 101) && world.offer(0, 2, 102) && !world.offer(0, 3, 103));
    world.place(10, 5, &[1, 2]);
    assert_eq!(world.done(), "101>1@5 102>2@5");
    let mut world = World::new(HoldLimits { bytes: 15, ..HoldLimits::default() });
    assert!(world.offer(0, 1, 101) && !world.offer(0, 1, 102));
    world.feed(4000, PlacementInput::Tick);
    assert_eq!(world.done(), "101 Unresolved");
    assert_eq!(world.router.held(), 0);
}

#[test]
fn what_it_may_ask_owners_of_is_known_beforehand() {
    let mut world = World::new(HoldLimits::default());
    let preparation = |round, joining: &[u64], leaving: &[u64]| {
        Arc::new(Preparation {
            name: "app.env.room".parse().unwrap(),
            round: RoundId(round),
            joining: joining.iter().map(|instance| member(*instance)).collect(),
            leaving: leaving.iter().map(|instance| Handle::new(10 + instance).unwrap()).collect(),
        })
    };
    let placed = |members: &[u64]| {
        let members = members.iter().map(|instance| member(*instance)).collect();
        PlacementInput::Placed(Placement { epoch: Epoch(5), members })
    };
    let foreseen = |world: &World, input: &PlacementInput<u64>| -> Vec<Vec<u64>> {
        let ids = |set: &Vec<Arc<InstanceRecord>>| {
            set.iter().map(|member| member.url.instance.get()).collect()
        };
        world.router.foreseen(input).iter().map(ids).collect()
    };
    let first = PlacementInput::Prepare(preparation(1, &[3], &[1]));
    assert!(foreseen(&world, &first).is_empty(), "of no placement yet");
    world.feed(0, first);
    assert_eq!(foreseen(&world, &placed(&[1, 2])), [vec![1, 2], vec![2, 3]]);
    world.feed(0, placed(&[1, 2]));
    // The end of the round is not known, so the next one waits for the placement.
    world.ended(0, 1, RoundEnd::Committed(Epoch(6)));
    let second = PlacementInput::Prepare(preparation(2, &[4], &[]));
    assert_eq!(foreseen(&world, &second), [vec![1, 2], vec![2, 3], vec![1, 2, 4]]);
    world.feed(0, second);
    assert_eq!(foreseen(&world, &placed(&[2, 3])), [vec![2, 3], vec![2, 3], vec![2, 3, 4]]);
    assert!(foreseen(&world, &PlacementInput::Tick).is_empty());
}
