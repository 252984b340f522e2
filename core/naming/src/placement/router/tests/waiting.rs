//! What came back, what nobody owns, and when it goes.

use super::*;

#[test]
fn who_is_behind_catches_up_first() {
    let mut world = World::placed();
    world.bounce(10, 101, 5, Some(6));
    world.offer(20, 3, 102);
    world.offer(20, 2, 103);
    assert_eq!(world.done(), "103>2@5", "later ones of its key wait for their turn");
    world.place(30, 6, &[1, 2, 3]);
    assert_eq!(world.done(), "101>3@6 102>3@6");
}

#[test]
fn a_receiver_that_is_behind_is_tried_again() {
    let mut world = World::placed();
    world.bounce(10, 101, 5, Some(4));
    world.bounce(11, 102, 5, Some(4));
    world.feed(19, PlacementInput::Tick);
    assert_eq!(world.done(), "");
    world.feed(21, PlacementInput::Tick);
    assert_eq!(world.done(), "101>1@5 102>1@5", "in the order in which they came back");
}

#[test]
fn a_receiver_that_stays_behind_is_tried_less_and_less() {
    let mut world = World::placed();
    let mut parcel = Parcel::new(3, 10, 101);
    let tries = [(0, 10), (10, 30), (30, 70), (70, 150), (150, 310), (310, 630), (630, 1270)];
    for (at, again) in tries.into_iter().chain([(1270, 1910), (1910, 2550)]) {
        let (sent, known) = (Epoch(5), Some(Epoch(4)));
        world.feed(at, PlacementInput::Bounced(Bounced { parcel, sent, known }));
        assert_eq!(world.router.next_deadline(), Some(ms(again)), "after {at} ms");
        world.feed(again - 1, PlacementInput::Tick);
        assert!(world.actions.is_empty(), "{:?}", world.actions);
        world.feed(again, PlacementInput::Tick);
        let Some(PlacementAction::Send { parcel: back, .. }) = world.actions.pop() else {
            panic!("it is sent again at {again} ms")
        };
        parcel = back;
    }
    let (sent, known) = (Epoch(5), Some(Epoch(4)));
    world.feed(4000, PlacementInput::Bounced(Bounced { parcel, sent, known }));
    assert_eq!(world.done(), "101 WrongEpoch", "not for ever");
}

#[test]
fn a_router_that_has_caught_up_since_sends_again_at_once() {
    let mut world = World::placed();
    world.place(5, 6, &[1, 2, 3]);
    world.bounce(10, 101, 5, Some(6));
    assert_eq!(world.done(), "101>3@6");
}

#[test]
fn ticks_are_wanted_only_when_time_alone_changes_something() {
    let mut world = World::placed();
    assert_eq!(world.router.next_deadline(), None);
    world.bounce(10, 101, 5, Some(6));
    world.offer(20, 3, 102);
    // The first one of the key is given up in time; the other one waits for it.
    assert_eq!(world.router.next_deadline(), Some(ms(4010)));
    world.prepare(3000, 7, &[3], &[]);
    // Its key moves: only the end of the round lets it go.
    assert_eq!(world.router.next_deadline(), Some(ms(7000)));
    world.feed(5000, PlacementInput::Tick);
    assert_eq!(world.done(), "settle 7");
    assert_eq!(world.router.next_deadline(), Some(ms(7000)));
    world.ended(5500, 7, RoundEnd::Aborted);
    assert_eq!(world.done(), "101 WrongEpoch 102>1@5");
    assert_eq!(world.router.next_deadline(), None);
}

#[test]
fn what_is_offered_before_anything_is_known_is_given_up_in_time() {
    let mut world = World::new(HoldLimits::default());
    world.offer(10, 1, 101);
    world.offer(20, 2, 102);
    assert_eq!(world.router.next_deadline(), Some(ms(4010)));
    world.feed(4010, PlacementInput::Tick);
    assert_eq!(world.done(), "101 Unresolved");
    assert_eq!(world.router.next_deadline(), Some(ms(4020)));
}

#[test]
fn ten_thousand_may_come_back() {
    let mut world = World::placed();
    let count = 10_000;
    for message in 0..count {
        world.bounce(10, message, 5, Some(6));
    }
    assert_eq!((world.router.held(), world.router.next_deadline()), (10_000, Some(ms(4010))));
    world.place(30, 6, &[1, 2, 3]);
    assert_eq!(world.actions.len(), 10_000);
}

#[test]
fn an_owner_that_is_gone_is_waited_out() {
    let mut world = World::placed();
    world.bounce(10, 101, 5, None);
    world.place(20, 6, &[2]);
    assert_eq!(world.done(), "101>2@6");
    world.bounce(30, 102, 5, None);
    assert_eq!(world.done(), "102>2@6", "its loss is known already");
    world.bounce(40, 103, 6, None);
    world.feed(4040, PlacementInput::Tick);
    assert_eq!(world.done(), "103 WrongEpoch", "not for ever");
}

#[test]
fn what_is_held_waits_for_owners_that_are_about_to_come() {
    let mut world = World::placed();
    world.prepare(10, 7, &[3], &[]);
    world.offer(20, 3, 101);
    world.place(30, 6, &[]);
    world.ended(40, 7, RoundEnd::Aborted);
    assert_eq!(world.done(), "settle 7");
    assert_eq!(world.router.next_deadline(), Some(ms(4020)));
    world.prepare(50, 8, &[3, 4], &[]);
    assert_eq!(world.router.next_deadline(), Some(ms(4050)));
    world.place(60, 7, &[3, 4]);
    assert_eq!(world.done(), "settle 8 101>3@7");
    world.ended(70, 8, RoundEnd::Committed(Epoch(7)));
    world.prepare(80, 9, &[], &[3, 4]);
    world.offer(90, 3, 102);
    world.place(100, 8, &[]);
    world.ended(110, 9, RoundEnd::Committed(Epoch(8)));
    world.feed(4090, PlacementInput::Tick);
    assert_eq!(world.done(), "settle 9 102 NoOwner", "not for ever");
}

#[test]
fn nobody_owns_a_key_of_an_empty_service() {
    let mut world = World::new(HoldLimits::default());
    world.place(0, 0, &[]);
    world.offer(10, 1, 101);
    assert_eq!(world.done(), "101 NoOwner");
}

#[test]
fn what_comes_back_before_a_placement_goes_by_that_one_before_what_never_got_out() {
    let mut world = World::placed();
    let mut come_back = |at, message, known| {
        let (parcel, sent) = (Parcel::new(3, 10, message), Epoch(4));
        let bounced = Bounced { parcel, sent, known: Some(Epoch(known)) };
        world.router.come_back(ms(at), bounced, &mut world.actions);
    };
    // By itself the first could go at once, by the placement that is about to end.
    come_back(10, 101, 5);
    come_back(20, 102, 6);
    world.router.take_back(ms(30), Parcel::new(3, 10, 103));
    assert_eq!(world.done(), "");
    world.place(30, 6, &[1, 2, 3]);
    assert_eq!(world.done(), "101>3@6 102>3@6 103>3@6");
}

#[test]
fn what_never_got_out_is_not_given_up_however_often_the_placement_changes() {
    let mut world = World::placed();
    let mut parcels = vec![Parcel::new(3, 10, 101), Parcel::new(3, 10, 102)];
    // Placements five seconds apart, and no room for as long.
    for (at, epoch) in (0..4).map(|n| (n * 5000, 6 + n)) {
        for parcel in parcels.drain(..) {
            world.router.take_back(ms(at), parcel);
        }
        world.offer(at, 3, 103);
        world.place(at, epoch, &[1, 2]);
        let mut sent = Vec::new();
        for action in world.actions.drain(..) {
            let PlacementAction::Send { parcel, epoch: with, .. } = action else {
                panic!("{action:?} at {at} ms")
            };
            assert_eq!(with, Epoch(epoch));
            sent.push(parcel.message);
            parcels.push(parcel);
        }
        assert_eq!(sent, [101, 102, 103], "in order, at {at} ms");
        parcels.pop();
    }
    // Only from the first bounce on.
    let (sent, known) = (Epoch(9), Some(Epoch(8)));
    let parcel = parcels.remove(0);
    world.feed(20_000, PlacementInput::Bounced(Bounced { parcel, sent, known }));
    assert_eq!(world.done(), "");
}
