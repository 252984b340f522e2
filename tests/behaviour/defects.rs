//! The origin's defects by their numbers in the design, each as a test that the origin fails. Those of
//! selectors are in `picking`, of stateful services in `stateful::defects`, of a thousand registrations in `scale`.

use std::time::Duration;

use skymesh_agent::{Agent, Event, Resolve};
use skymesh_nameserver::{MassLossConfig, NameserverConfig};
use skymesh_proto::msg::Body;
use skymesh_proto::{Introduction, Msg, Watch};
use skymesh_rpc::{Code, Methods, Request, Response, Rpc, Status};
use skymesh_tests::raw::{raw_agent, register_raw};
use skymesh_tests::v1::{V1Agent, V1Socket, info};
use skymesh_tests::{Mesh, SOON, fast_nameserver, next_event, next_message, within};
use skymesh_wire::encode_msg;

const NAME: &str = "app.test.room";

/// A deadline that no test lives to see.
const HOURS: Duration = Duration::from_secs(4 * 60 * 60);

fn offline(event: &Event) -> Option<u64> {
    match event {
        Event::Offline { record, .. } => Some(record.handle.get()),
        _ => None,
    }
}

#[tokio::test]
async fn defect_04_a_crashed_v1_process_is_gone_at_once_and_its_restart_is_not_refused() {
    let mesh = Mesh::start().await;
    let nameserver = mesh.address().to_string();
    let agent = mesh.agent().await;
    let (watcher, mut inbox) = agent.register("app.test.watcher/1").await.unwrap();
    watcher.watch(NAME).unwrap().ready(SOON).await.unwrap();
    let mut first = V1Agent::start(&nameserver, "app").await;
    assert_eq!(first.register(NAME, 1, 11).await, 0);
    // Restarted before anybody could know that it crashed.
    drop(first);
    let mut second = V1Agent::start(&nameserver, "app").await;
    let register = second.register(NAME, 1, 12);
    assert_eq!(within(SOON, register).await, 0, "the origin does not answer");
    assert_eq!(next_event(&mut inbox, offline).await, 11);
    // Not restarted: known after the grace, not after a minute.
    drop(second);
    assert_eq!(next_event(&mut inbox, offline).await, 12);
}

#[tokio::test]
async fn defect_09_changes_go_to_who_watches_and_the_first_listing_is_one_word() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let mut kept = Vec::new();
    for instance in 1..=50 {
        kept.push(agent.register(format!("{NAME}/{instance}").as_str()).await.unwrap());
        kept.push(agent.register(format!("app.test.other/{instance}").as_str()).await.unwrap());
    }
    let mut watcher = raw_agent(&mesh.address().to_string(), 7).await;
    watcher.send(Watch { service_name: NAME.to_owned(), ..Watch::default() }).await;
    let first = watcher.next().await;
    let Body::WatchSnapshot(listing) = first else { panic!("{first:?} is not asked for") };
    assert_eq!((listing.instances.len(), listing.more), (50, false));
    kept.push(agent.register("app.test.other/51").await.unwrap());
    kept.push(agent.register(format!("{NAME}/51").as_str()).await.unwrap());
    let second = watcher.next().await;
    let Body::WatchDelta(change) = second else { panic!("{second:?} is of no interest") };
    assert_eq!(change.changes[0].info.as_ref().unwrap().instance, 51);
    assert_eq!(change.service_name, NAME);
}

#[tokio::test]
async fn defect_11_a_thousand_instances_of_one_process_expire_together() {
    let config = NameserverConfig {
        // The guard against losing most of a service would keep them listed, and rightly.
        mass_loss: MassLossConfig { percent: 100, min_instances: 2000, ..<_>::default() },
        ..fast_nameserver()
    };
    let mesh = Mesh::start_with(config).await;
    let agent = mesh.agent().await;
    let router = agent.router(NAME).unwrap();
    let mut process = raw_agent(&mesh.address().to_string(), 7).await;
    register_raw(&mut process, (1..=1000).map(|n| info(NAME, n, n))).await;
    let all = |resolve: &Resolve| resolve.members().len() == 1000;
    router.wait_until(SOON, all).await.unwrap();
    drop(process);
    let none = |resolve: &Resolve| matches!(resolve, Resolve::Empty);
    // The origin takes at most 200 every five seconds, after a minute.
    router.wait_until(SOON, none).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn defect_13_sixty_four_callers_get_large_answers_and_errors_at_once() {
    const CALLERS: u8 = 64;
    const CALLS: usize = 30;
    let mesh = Mesh::start().await;
    let methods = Methods::new()
        .method("echo", |request| async move { Ok(Response::new(request.into_payload())) })
        .method("fail", |_| async { Err(Status::failed_precondition("the match is over")) });
    let (server, inbox) = mesh.agent().await.register("app.test.server/1").await.unwrap();
    Rpc::builder(server, inbox).serve(methods).attach();
    let (client, inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    let (client, _rest) = Rpc::attach(client, inbox);
    let mut callers = Vec::new();
    for caller in 0..CALLERS {
        let client = client.clone();
        callers.push(tokio::spawn(async move {
            for call in 0..CALLS {
                // From below the origin's 4 KiB to far above.
                let payload = vec![caller; 4000 + call * 1000];
                // The origin crashes, cuts these, or leaves a failed call to its deadline.
                let request = Request::new("echo", payload.clone()).timeout(HOURS);
                let answer = client.call("app.test.server", request).await.unwrap();
                assert_eq!(answer.payload(), &payload);
                let request = Request::new("fail", payload).timeout(HOURS);
                let failed = client.call("app.test.server", request).await.unwrap_err();
                assert_eq!(failed.code(), Code::FailedPrecondition);
                assert_eq!(failed.message(), "the match is over");
            }
        }));
    }
    for caller in callers {
        within(Duration::from_secs(60), caller).await.unwrap();
    }
}

#[tokio::test]
async fn defect_14_a_full_inbox_makes_its_sender_wait_and_loses_nothing() {
    const MESSAGES: u32 = 20_000;
    let mesh = Mesh::start().await;
    let (_server, mut inbox) = mesh.agent().await.register("app.test.server/1").await.unwrap();
    let (client, _inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    let mut accepted = 0;
    client.router("app.test.server").unwrap().ready(SOON).await.unwrap();
    // Until it would have to wait; nobody reads meanwhile.
    loop {
        match client.try_send("app.test.server", message(accepted)) {
            Ok(()) => accepted += 1,
            Err(skymesh_agent::SendError::Full) if accepted > 0 => break,
            Err(skymesh_agent::SendError::Full) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
        assert!(accepted < MESSAGES, "20 MiB do not fit into a window of 1 MiB");
    }
    let sending = tokio::spawn(async move {
        for number in accepted..MESSAGES {
            client.send("app.test.server", message(number)).await.unwrap();
        }
    });
    for expected in 0..MESSAGES {
        let heard = next_message(&mut inbox).await;
        assert_eq!(heard.payload()[..4], expected.to_be_bytes());
    }
    within(SOON, sending).await.unwrap();
}

fn message(number: u32) -> Vec<u8> {
    let mut payload = vec![0; 1024];
    payload[..4].copy_from_slice(&number.to_be_bytes());
    payload
}

#[tokio::test]
async fn defect_15_attributes_that_were_set_before_are_seen_by_later_watchers() {
    let mesh = Mesh::start().await;
    let (server, _inbox) = mesh.agent().await.register(format!("{NAME}/1").as_str()).await.unwrap();
    server.set_attribute("load", 7).await.unwrap();
    let late = mesh.agent().await;
    let (watcher, mut inbox) = late.register("app.test.watcher/1").await.unwrap();
    watcher.watch(NAME).unwrap();
    let seen = |event: &Event| match event {
        Event::Online(record) => Some(record.attributes.get("load").cloned()),
        _ => None,
    };
    assert_eq!(next_event(&mut inbox, seen).await, Some(7.into()));
    // A late agent of protocol 1 hears of them as well.
    let mut origin = V1Agent::start(&mesh.address().to_string(), "app").await;
    let heard = origin.nameserver.hears(|body| match body {
        Body::AttributesChanged(said) => Some(said.attributes),
        _ => None,
    });
    assert_eq!(heard.await, "{\"load\":7}");
}

#[tokio::test]
async fn defect_16_a_malformed_frame_closes_its_connection_and_no_length_is_believed() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (server, mut inbox) = agent.register("app.test.server/1").await.unwrap();
    let good = |socket: V1Socket| async {
        let mut socket = socket;
        let source = info("app.test.origin", 1, 5);
        socket.send(skymesh_tests::v1::message(source, server.handle(), "good")).await;
        socket
    };
    let closed = async |agent: &Agent, mut socket: V1Socket, bytes: &[u8]| {
        let before = agent.counters().connections_refused.get();
        socket.send_bytes(bytes).await;
        assert_eq!(within(SOON, socket.next_frame()).await, None, "closed");
        assert_eq!(agent.counters().connections_refused.get(), before + 1, "and counted");
    };
    // Not a message; a length of 4 GiB; an introduction that is none.
    let nonsense = {
        let mut out = Vec::new();
        encode_msg(&Msg::from(Introduction::default()), &mut out);
        out
    };
    for bytes in [&[0, 0, 0, 2, 0xff, 0xff][..], &[0xff; 4], &nonsense] {
        let socket = good(V1Socket::dial(agent.address()).await).await;
        assert_eq!(next_message(&mut inbox).await.payload(), "good", "until then it was heard");
        closed(&agent, socket, bytes).await;
    }
    // The same at the nameserver.
    let mut socket = V1Agent::start(&mesh.address().to_string(), "app").await.nameserver;
    socket.send_bytes(&[0xff; 4]).await;
    let closed = async { while socket.next_frame().await.is_some() {} };
    within(SOON, closed).await;
}
