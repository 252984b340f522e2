//! Reloads under load: every message is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use serde_json::json;
use skymesh_agent::{Delivery, Event, Inbox, ReloadOutcome};
use skymesh_tests::{Mesh, SOON, within};

use super::stage::{EDITION, Shop, keyed_to};

const RELOADS: u64 = 200;
const SENDERS: u64 = 4;
/// Sends one message after each reload, with the reload's number.
const PROBE: u64 = SENDERS;

/// Takes messages until each sender has said that it is done; answers how many there were. Each must
/// be where one of the two editions sends its key, a probe where the newest does, and be the next of its
/// sender here.
async fn take(till: u64, mut inbox: Inbox) -> u64 {
    let (mut taken, mut done) = (0, 0);
    let mut last = [None; SENDERS as usize + 1];
    while done < SENDERS {
        let Some(Delivery::Message(message)) = inbox.recv().await else { continue };
        let payload = message.payload();
        let number = |at: usize| u64::from_le_bytes(payload[at..at + 8].try_into().unwrap());
        let (sender, sequence) = (number(0), number(8));
        if sequence == u64::MAX {
            done += 1;
            continue;
        }
        let may = match sender {
            PROBE => vec![keyed_to(sequence, edition_at(sequence))],
            _ => vec![keyed_to(sequence, 1), keyed_to(sequence, 2)],
        };
        assert!(may.contains(&till), "message {sequence} of {sender} is at {till}, misrouted");
        let before = last[sender as usize].replace(sequence);
        assert!(before < Some(sequence), "message {sequence} came after {before:?}");
        taken += 1;
    }
    taken
}

/// The edition that a reload of that number puts in place.
fn edition_at(reload: u64) -> u64 {
    reload % 2 + 1
}

fn payload(sender: u64, sequence: u64) -> Vec<u8> {
    [sender.to_le_bytes(), sequence.to_le_bytes()].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_reloads_lose_misroute_and_refuse_nothing() {
    let mesh = Mesh::start().await;
    let mut shop = Shop::open(&mesh).await;
    shop.deploy(1);
    let table = json!({ "app.shop.*": { "selector": { "use": EDITION } } });
    let agent = shop.agent(&mesh, table).await;
    let router = shop.router(&agent).await;
    let (mut instances, mut takers) = (Vec::new(), Vec::new());
    for (instance, inbox) in shop.tills.drain(..) {
        takers.push(tokio::spawn(take(instance.url().instance.get(), inbox)));
        instances.push(instance);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let sent = Arc::new(AtomicU64::new(0));
    let mut senders = Vec::new();
    for sender in 0..SENDERS {
        let url = format!("app.shop.customer/{}", sender + 1);
        let (me, mut told) = agent.register(url.as_str()).await.unwrap();
        let (router, stop, sent) = (router.clone(), Arc::clone(&stop), Arc::clone(&sent));
        senders.push(tokio::spawn(async move {
            let mut sequence = 0;
            while !stop.load(Relaxed) {
                me.send(router.key(sequence), payload(sender, sequence)).await.unwrap();
                sequence += 1;
                sent.fetch_add(1, Relaxed);
            }
            me.broadcast(router.name(), payload(sender, u64::MAX)).await.unwrap();
            me.unregister().await.unwrap();
            // Whatever was refused or lost on the way would have been told here.
            while let Some(delivery) = told.recv().await {
                let told_of = matches!(delivery, Delivery::Event(Event::Undeliverable { .. }));
                assert!(!told_of, "{delivery:?}");
            }
            sequence
        }));
    }
    let (probe, _told) = agent.register("app.shop.probe/1").await.unwrap();
    for turn in 1..=RELOADS {
        shop.deploy(edition_at(turn));
        let reload = within(SOON, agent.reload()).await;
        assert_eq!((reload.version, reload.outcome), (turn, ReloadOutcome::Applied), "{reload}");
        probe.send(router.key(turn), payload(PROBE, turn)).await.unwrap();
        // Some messages go by each.
        let before = sent.load(Relaxed);
        while sent.load(Relaxed) < before + SENDERS {
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Relaxed);
    let mut total = RELOADS;
    for sender in senders {
        total += within(SOON, sender).await.unwrap();
    }
    let mut taken = 0;
    for taker in takers {
        taken += within(SOON, taker).await.unwrap();
    }
    assert_eq!(taken, total);
    assert!(!router.health().is_degraded(), "{:?}", router.health());
    // Two contents, so two libraries, however often they alternate.
    let editions = agent.plugins().into_iter().filter(|row| row.id.as_deref() == Some("edition"));
    assert_eq!(editions.count(), 2);
}
