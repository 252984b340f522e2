//! What is sent, and what is not, while the next placement waits.

use std::sync::Arc;

use skymesh_naming::InstanceRecord;
use skymesh_naming::placement::{EpochGate, HoldLimits, Parcel, RoundId};
use skymesh_plugin_host::SelectorSlot;
use skymesh_types::Share;
use skymesh_wire::Envelope;

use super::*;
use crate::bare;
use crate::config::InboxConfig;
use crate::inbox::{Delivery, Inbox};
use crate::keyed::tables::Tables;
use crate::keyed::{Kept, Keyed};
use crate::runtime::Runtime;

const WINDOW: u64 = 64 * 1024;

/// A stateful instance of this process, and who owns all keys.
fn owner(runtime: &Arc<Runtime>) -> (Arc<InstanceRecord>, Arc<EpochGate>, Inbox) {
    let record = bare::record("app.env.room/1", 11);
    let owner = InstanceRecord { hash_key: Share::up_to(u64::MAX).get(), ..(*record).clone() };
    let config = InboxConfig { window_bytes: WINDOW, limit_bytes: 16 * WINDOW };
    let queue = bare::queue(runtime, "app.env.room/1", 11, config);
    let gate = Arc::new(EpochGate::default());
    gate.heard(Epoch(1));
    queue.guard(Arc::clone(&gate));
    runtime.directory.add_local(Arc::clone(&queue), bare::sender("app.env.room/1", 11));
    (Arc::new(owner), gate, Inbox::new(queue, None))
}

fn carrier(runtime: &Arc<Runtime>) -> Carrier {
    carrier_with(runtime, HoldLimits::default())
}

fn carrier_with(runtime: &Arc<Runtime>, limits: HoldLimits) -> Carrier {
    let tables = Arc::new(Tables::new(SelectorSlot::builtin()));
    let name = "app.env.room".parse().unwrap();
    let keyed = Arc::new(Keyed::new(name, 0, limits, tables));
    Carrier::new(Arc::clone(runtime), keyed)
}

/// The epoch and the number of each message that is there.
fn taken(inbox: &mut Inbox) -> Vec<(u64, u64)> {
    let messages = std::iter::from_fn(|| match inbox.try_recv()? {
        Delivery::Message(message) => Some((message.epoch(), message.correlation())),
        Delivery::Event(event) => panic!("{event:?}"),
    });
    messages.collect()
}

#[tokio::test]
async fn nothing_goes_by_a_placement_that_the_next_one_waits_to_follow() {
    let (runtime, _commands) = bare::runtime();
    let (owner, gate, mut inbox) = owner(&runtime);
    let placed = |epoch| {
        let members = Arc::from([Arc::clone(&owner)]);
        PlacementInput::Placed(Placement { epoch: Epoch(epoch), members })
    };
    let mut carrier = carrier(&runtime);
    carrier.feed(placed(1));
    let sender = bare::sender("app.env.guest/1", 12);
    let offer = |carrier: &mut Carrier, correlation| {
        let envelope = Envelope { payload: &[7; 1000], correlation, ..Envelope::default() };
        let kept = Kept::of(&sender, &envelope, None);
        carrier.offer(Parcel::new(7, kept.cost(), kept));
    };
    // More than there is room for.
    (0..200).for_each(|number| offer(&mut carrier, number));
    let out = taken(&mut inbox);
    assert!((50..100).contains(&out.len()), "{}", out.len());
    carrier.keyed.feed(placed(2));
    carrier.advance();
    assert!(carrier.is_switching());
    // There is room again, which the question whether all has arrived knows nothing of.
    carrier.lines.room().await.unwrap();
    carrier.advance();
    assert_eq!(taken(&mut inbox), [], "it would come back when the next placement holds");
    gate.heard(Epoch(2));
    carrier.switching.join_next().await.unwrap().unwrap();
    carrier.switch();
    let mut rest = Vec::new();
    while out.len() + rest.len() < 200 {
        carrier.advance();
        rest.extend(taken(&mut inbox));
        if carrier.lines.is_busy(owner.handle) {
            carrier.lines.room().await.unwrap();
        }
    }
    let numbers: Vec<u64> = out.iter().chain(&rest).map(|(_, number)| *number).collect();
    assert_eq!(numbers, (0..200).collect::<Vec<u64>>());
    assert!(out.iter().all(|(epoch, _)| *epoch == 1) && rest.iter().all(|(epoch, _)| *epoch == 2));
}

#[tokio::test]
async fn what_has_arrived_during_a_switch_is_said_before_a_round_is_asked_for_anew() {
    let (runtime, _commands) = bare::runtime();
    let (owner, ..) = owner(&runtime);
    let placed = |epoch| {
        let members = Arc::from([Arc::clone(&owner)]);
        Entry::Input(PlacementInput::Placed(Placement { epoch: Epoch(epoch), members }))
    };
    let mut carrier = carrier(&runtime);
    carrier.entries.extend([placed(2), placed(3)]);
    carrier.switching.spawn(std::future::pending());
    carrier.settled(RoundId(7));
    let order: Vec<bool> = carrier
        .entries
        .iter()
        .map(|entry| matches!(entry, Entry::Input(PlacementInput::Settled(RoundId(7)))))
        .collect();
    assert_eq!(order, [false, true, false]);
}

#[tokio::test]
async fn a_switch_ends_before_what_it_holds_up_is_given_back() {
    let (runtime, _commands) = bare::runtime();
    let (default, least) = (HoldLimits::default().time, Duration::from_millis(100));
    for (time, expected) in [
        (default, Duration::from_secs(3)),
        (least, Duration::from_millis(75)),
        (Duration::from_secs(60), Duration::from_secs(3)),
    ] {
        let carrier = carrier_with(&runtime, HoldLimits { time, ..HoldLimits::default() });
        assert_eq!(carrier.patience(), expected, "of {time:?}");
    }
}
