//! What is bounded in an inbox that nobody reads.

use super::seats::SEAT_COST;
use super::*;
use crate::bare;
use crate::inbox::{Delivery, Inbox, Letter, Slot};

#[derive(Debug)]
struct Unsettled;

impl Settle for Unsettled {
    fn credit(&self, _: u64, _: u64) {}

    fn refuse_unread(&self, _: Handle, _: u64, _: u64) {}
}

fn letter(lane: Slot, source: Slot, source_handle: Handle) -> Letter {
    let (kind, flags, epoch, correlation) = (0, 0, 0, 0);
    let (payload, metadata) = ((0, 0), (0, 0));
    Letter { lane, source, source_handle, kind, flags, epoch, correlation, payload, metadata }
}

#[test]
fn seats_count_for_the_limit_until_they_are_read() {
    let (runtime, _commands) = bare::runtime();
    let limit_bytes = 64 * 1024;
    let config = InboxConfig { window_bytes: limit_bytes, limit_bytes };
    let queue = bare::queue(&runtime, "app.env.room/1", 11, config);
    let mut inbox = Inbox::new(Arc::clone(&queue), None);
    let source = |id| Arc::clone(&bare::sender("app.env.guest/1", id).source);
    let first = source(12);
    let lane = queue.open_lane(Arc::new(Unsettled));
    let slot = queue.open_source(&first).unwrap();
    // A peer whose sources come and go, and send nothing that is taken.
    let more = (13..1000).take_while(|id| match queue.open_source(&source(*id)) {
        Some(slot) => {
            queue.close_slot(slot);
            true
        }
        None => false,
    });
    let more = more.count() as u64;
    assert!((limit_bytes / SEAT_COST - 3..=limit_bytes / SEAT_COST).contains(&more), "{more}");
    assert!(queue.is_full());
    assert_ne!(queue.open_source_over(&source(2000)), Slot::NONE, "its connection is not read on");
    let push =
        || queue.batch(Bytes::from_static(b" ")).push(letter(lane, slot, first.handle()), &first);
    assert_eq!(push(), Pushed::Full);
    assert!(inbox.try_recv().is_none() && !queue.is_full());
    assert!(queue.open_source(&source(2001)).is_some());
    assert_eq!(push(), Pushed::Taken);
    assert!(matches!(inbox.try_recv(), Some(Delivery::Message(_))));
    assert!(queue.is_read());
}

#[test]
fn events_beyond_the_limit_are_counted_and_something_stands_for_them() {
    let (runtime, _commands) = bare::runtime();
    let queue = bare::queue(&runtime, "app.env.room/1", 11, InboxConfig::default());
    let mut inbox = Inbox::new(Arc::clone(&queue), None);
    let rerouted = |correlation| Event::Rerouted { correlation, to: bare::handle(12) };
    (0..WAITING_EVENTS as u64).for_each(|correlation| queue.push_event(rerouted(correlation)));
    let online = || Event::Online(bare::record("app.env.guest/1", 13));
    let kicked = Event::KickedOff { reason: "for a test".into() };
    for event in [rerouted(7), online(), rerouted(8), online(), kicked.clone()] {
        queue.push_event(event);
    }
    assert_eq!(runtime.counters.events_lagged.get(), 4);
    let mut read = std::iter::from_fn(|| match inbox.try_recv()? {
        Delivery::Event(event) => Some(event),
        Delivery::Message(message) => panic!("{message:?}"),
    });
    let in_time: Vec<Event> = read.by_ref().take(WAITING_EVENTS).collect();
    assert_eq!(in_time.last(), Some(&rerouted(WAITING_EVENTS as u64 - 1)));
    let name = "app.env.guest".parse().unwrap();
    let rest: Vec<Event> = read.collect();
    assert_eq!(rest, [Event::OutcomesLagged, Event::Lagged { name }, kicked]);
    queue.push_event(rerouted(9));
    assert!(matches!(inbox.try_recv(), Some(Delivery::Event(Event::Rerouted { .. }))));
}
