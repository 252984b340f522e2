//! Registrations, attributes and routers as an application sees them.

use std::time::{Duration, Instant};

use skymesh_agent::config::AgentConfig;
use skymesh_agent::{Delivery, Event, RegisterError, Resolve, SendError, Service};
use skymesh_agent::{Instance, Message};
use skymesh_tests::{Mesh, SOON, next_event, next_message, within};
use skymesh_types::{AttributeChange, InstanceId, ServiceName};
use tokio::sync::mpsc;

#[tokio::test]
async fn an_attribute_set_before_anyone_watches_is_seen_by_a_later_watcher() {
    let mesh = Mesh::start().await;
    let (server, mut server_inbox) = mesh
        .agent()
        .await
        .register("app.test.server/1")
        .attributes([("zone", "east")])
        .await
        .unwrap();
    assert!(matches!(
        server_inbox.recv().await,
        Some(Delivery::Event(Event::Registered { handle })) if handle == server.handle()
    ));
    server.set_attribute("load", 3).await.unwrap();
    assert_eq!(server.attributes().await.unwrap().get("load"), Some(&3.into()), "its own write");

    let (watcher, mut inbox) = mesh.agent().await.register("app.test.watcher/1").await.unwrap();
    let router = watcher.watch("app.test.server").unwrap();
    let record = next_event(&mut inbox, |event| match event {
        Event::Online(record) => Some(record.clone()),
        _ => None,
    })
    .await;
    assert_eq!(record.attributes.get("zone"), Some(&"east".into()));
    assert_eq!(record.attributes.get("load"), Some(&3.into()));

    let set = [("load".to_owned(), 4.into())].into();
    let change = AttributeChange { set, unset: vec!["zone".to_owned()] };
    server.change_attributes(change).await.unwrap();
    let (old, new, keys) = next_event(&mut inbox, |event| match event {
        Event::AttributesChanged { record, old, keys } => {
            Some((old.clone(), record.attributes.clone(), keys.clone()))
        }
        _ => None,
    })
    .await;
    assert_eq!(keys, ["load"], "a declared key can be overlaid, not taken away");
    assert_eq!((old.get("load"), new.get("load")), (Some(&3.into()), Some(&4.into())));
    let instance = InstanceId::new(1).unwrap();
    assert_eq!(router.attributes(instance).unwrap().get("load"), Some(&4.into()));
}

#[tokio::test]
async fn a_url_that_a_living_process_holds_is_refused_at_once() {
    let mesh = Mesh::start().await;
    let (_server, _inbox) = mesh.agent().await.register("app.test.server/1").await.unwrap();
    let second = mesh.agent().await;
    let error = within(SOON, second.register("app.test.server/1").into_future());
    let Err(error) = error.await else { panic!("two instances of one URL") };
    assert!(matches!(error, RegisterError::AlreadyRegistered { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("app.test.server/1") && text.contains("registered already"), "{text}");
}

#[tokio::test]
async fn unknown_is_never_empty() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    let router = agent.router("app.test.nobody").unwrap();
    assert!(matches!(router.instances(), Resolve::Loading | Resolve::Empty));
    assert_eq!(router.ready(SOON).await.unwrap(), Resolve::Empty);
    let name: ServiceName = "app.test.nobody".parse().unwrap();
    assert_eq!(client.send(&name, b"x").await, Err(SendError::NoInstance(name.clone())));
    assert_eq!(client.try_send(&name, b"x"), Err(SendError::NoInstance(name)));
    let url = "app.test.nobody/7";
    assert_eq!(client.send(url, b"x").await, Err(SendError::UnknownInstance(url.parse().unwrap())));
}

#[tokio::test]
async fn every_way_to_name_a_destination_reaches_it() {
    let mesh = Mesh::start().await;
    let (server, mut inbox) = mesh.agent().await.register("app.test.server/5").await.unwrap();
    let agent = mesh.agent().await;
    let (client, mut answers) = agent.register("app.test.client/1").await.unwrap();
    let name: ServiceName = "app.test.server".parse().unwrap();
    let router = agent.router(name.as_str()).unwrap();
    client.send("skymesh://app.test.server/5", b"by url").await.unwrap();
    client.send(server.url(), b"by parsed url").await.unwrap();
    client.send(server.handle(), b"by handle").await.unwrap();
    client.send(&name, b"by name").await.unwrap();
    client.send("app.test.server", b"by name as text").await.unwrap();
    client.send(&router, b"by router").await.unwrap();
    client.send(router.key("player-1"), b"by key").await.unwrap();
    let broadcast = client.broadcast(&name, b"to all").await.unwrap();
    assert_eq!((broadcast.accepted, broadcast.refused.len()), (1, 0));
    let expected = [
        "by url",
        "by parsed url",
        "by handle",
        "by name",
        "by name as text",
        "by router",
        "by key",
        "to all",
    ];
    for text in expected {
        let message = next_message(&mut inbox).await;
        assert_eq!(message.payload(), text.as_bytes());
        assert_eq!(message.source().url().to_string(), "app.test.client/1");
        // The server watches nobody, and can answer all the same.
        server.send(message.source(), message.payload()).await.unwrap();
        assert_eq!(next_message(&mut answers).await.payload(), text.as_bytes());
    }
}

#[tokio::test]
async fn a_broadcast_reaches_every_instance() {
    let mesh = Mesh::start().await;
    let mut inboxes = Vec::new();
    for instance in 1..=5u64 {
        let url = format!("app.test.server/{instance}");
        inboxes.push(mesh.agent().await.register(url.as_str()).await.unwrap());
    }
    let (client, _inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    let name: ServiceName = "app.test.server".parse().unwrap();
    assert_eq!(client.broadcast(&name, b"all").await.unwrap().accepted, 5);
    for (_, inbox) in &mut inboxes {
        assert_eq!(next_message(inbox).await.payload(), &b"all"[..]);
    }
}

struct Recorder(mpsc::UnboundedSender<String>);

impl Service for Recorder {
    async fn on_message(&mut self, instance: &Instance, message: Message) {
        let text = String::from_utf8_lossy(message.payload()).into_owned();
        instance.send(message.source(), message.payload()).await.unwrap();
        self.0.send(text).unwrap();
    }

    async fn on_event(&mut self, _: &Instance, event: Event) {
        if matches!(event, Event::Registered { .. }) {
            self.0.send("registered".to_owned()).unwrap();
        }
    }
}

#[tokio::test]
async fn a_service_is_driven_in_order_until_it_leaves() {
    let mesh = Mesh::start().await;
    let (record, mut recorded) = mpsc::unbounded_channel();
    let agent = mesh.agent().await;
    let server = agent.register("app.test.server/1").serve(Recorder(record)).await.unwrap();
    let (client, mut inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    for text in ["one", "two", "three"] {
        client.send(server.url(), text).await.unwrap();
        assert_eq!(next_message(&mut inbox).await.payload(), text.as_bytes());
    }
    server.unregister().await.unwrap();
    let mut all = Vec::new();
    while let Some(text) = within(SOON, recorded.recv()).await {
        all.push(text);
    }
    assert_eq!(all, ["registered", "one", "two", "three"]);
}

#[tokio::test]
async fn an_unregistered_instance_neither_sends_nor_receives() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (server, mut inbox) = agent.register("app.test.server/1").await.unwrap();
    let (_other, _other_inbox) = mesh.agent().await.register("app.test.other/1").await.unwrap();
    server.send("app.test.other/1", b"while it can").await.unwrap();
    server.unregister().await.unwrap();
    assert_eq!(server.send("app.test.other/1", b"x").await, Err(SendError::NotRegistered));
    let end = async { while inbox.recv().await.is_some() {} };
    within(SOON, end).await;
}

#[tokio::test]
async fn pings_measure_the_peers_that_are_watched() {
    let mesh = Mesh::start().await;
    let (_server, _inbox) = mesh.agent().await.register("app.test.server/1").await.unwrap();
    let config = AgentConfig { ping_interval: Duration::from_millis(10), ..mesh.config() };
    let started = Instant::now();
    let agent = mesh.builder().config(config).connect().await.unwrap();
    let router = agent.router("app.test.server").unwrap();
    router.ready(SOON).await.unwrap();
    let measured = async {
        loop {
            if let Some(stats) = router.stats(InstanceId::new(1).unwrap())
                && stats.rtt_ewma_ns() > 0
            {
                return stats.rtt_ewma_ns();
            }
            tokio::task::yield_now().await;
        }
    };
    let rtt = within(SOON, measured).await;
    assert!(
        u128::from(rtt) < started.elapsed().as_nanos(),
        "{rtt} ns, longer than it was measured"
    );
}

#[tokio::test]
async fn who_waits_in_vain_for_a_second_instance_hears_of_the_first() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (_server, _inbox) = agent.register("app.test.server/1").await.unwrap();
    let router = agent.router("app.test.server").unwrap();
    let one = |resolve: &Resolve| resolve.members().len() == 1;
    router.wait_until(SOON, one).await.unwrap();
    let two = |resolve: &Resolve| resolve.members().len() == 2;
    let error = router.wait_until(Duration::from_millis(1), two).await.unwrap_err();
    assert_eq!(error.known, Some(1));
    assert!(!error.to_string().contains("nameserver"), "{error}");
}
