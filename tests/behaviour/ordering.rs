//! An instance's online event precedes its first message at every watcher, and none follows its
//! offline event.

use std::collections::HashSet;
use std::time::Duration;

use skymesh_agent::{Delivery, Event, Inbox, Instance};
use skymesh_tests::{Mesh, within};
use skymesh_types::{Handle, ServiceName};

const TRIES: u64 = 1000;

/// Reads until `tries` instances have come and gone; fails if a message comes out of turn.
async fn referee(inbox: &mut Inbox, watched: &ServiceName, tries: u64) {
    let mut online: HashSet<Handle> = HashSet::new();
    let (mut messages, mut gone) = (0, 0);
    while gone < tries {
        match inbox.recv().await.expect("the watcher stays") {
            Delivery::Event(Event::Online(record)) => {
                assert!(online.insert(record.handle), "{} came twice", record.url);
            }
            Delivery::Event(Event::Offline { record, .. }) => {
                assert!(online.remove(&record.handle), "{} went without coming", record.url);
                gone += 1;
            }
            Delivery::Message(message) if message.source().url().name == *watched => {
                let source = message.source();
                assert!(
                    online.contains(&source.handle()),
                    "a message of {} out of turn",
                    source.url()
                );
                messages += 1;
            }
            _ => {}
        }
    }
    assert_eq!(messages, 2 * tries, "each of {tries} instances sent two");
}

/// Registers, sends at once to every watcher, and leaves.
async fn come_and_go(mesh_agent: &skymesh_agent::Agent, instance: u64, watchers: &[Instance]) {
    let url = format!("app.test.guest/{instance}");
    let (guest, _inbox) = mesh_agent.register(url.as_str()).await.unwrap();
    for watcher in watchers {
        guest.send(watcher.url(), b"here I am").await.unwrap();
        guest.send(watcher.url(), b"still here").await.unwrap();
    }
    guest.unregister().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_online_event_precedes_the_first_message_in_a_thousand_tries_under_load() {
    const LANES: u64 = 4;
    let mesh = Mesh::start().await;
    let watched: ServiceName = "app.test.guest".parse().unwrap();
    let mut watchers = Vec::new();
    let mut referees = Vec::new();
    for watcher in 1..=2u64 {
        let agent = mesh.agent().await;
        let url = format!("app.test.watcher/{watcher}");
        let (instance, mut inbox) = agent.register(url.as_str()).await.unwrap();
        instance.watch(&watched).unwrap().ready(Duration::from_secs(10)).await.unwrap();
        watchers.push(instance);
        let watched = watched.clone();
        referees.push(tokio::spawn(async move { referee(&mut inbox, &watched, TRIES).await }));
    }
    // The load: somebody else talks to the watchers all the while.
    let loud = mesh.agent().await;
    let (noise, _inbox) = loud.register("app.test.noise/1").await.unwrap();
    let targets = watchers.clone();
    let load = tokio::spawn(async move {
        loop {
            for watcher in &targets {
                noise.send(watcher.url(), [0; 200]).await.unwrap();
            }
        }
    });
    let mut guests = Vec::new();
    for lane in 0..LANES {
        let (agent, watchers) = (mesh.agent().await, watchers.clone());
        guests.push(tokio::spawn(async move {
            for turn in 0..TRIES / LANES {
                come_and_go(&agent, 1 + lane * TRIES + turn, &watchers).await;
            }
        }));
    }
    for guest in guests {
        within(Duration::from_secs(60), guest).await.unwrap();
    }
    for referee in referees {
        within(Duration::from_secs(60), referee).await.unwrap();
    }
    load.abort();
}

/// New processes dial a new connection each time: introductions race with the nameserver's word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_holds_for_agents_that_have_just_started() {
    const AGENTS: u64 = 50;
    let mesh = Mesh::start().await;
    let watched: ServiceName = "app.test.guest".parse().unwrap();
    let (watcher, mut inbox) = mesh.agent().await.register("app.test.watcher/1").await.unwrap();
    watcher.watch(&watched).unwrap();
    let watchers = [watcher];
    let guests = async {
        for instance in 1..=AGENTS {
            let agent = mesh.agent().await;
            come_and_go(&agent, instance, &watchers).await;
        }
    };
    let both = async { tokio::join!(guests, referee(&mut inbox, &watched, AGENTS)) };
    within(Duration::from_secs(60), both).await;
}
