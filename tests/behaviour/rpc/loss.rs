//! Deadlines, callers that vanish, servers that die in mid-call, and answers that come too late.

use std::time::{Duration, Instant};

use bytes::Bytes;
use skymesh_agent::Outgoing;
use skymesh_nameserver::KickTarget;
use skymesh_rpc::{Code, Methods, Processing, Request, Response, Rpc, Status};
use skymesh_tests::{Mesh, Node, SOON, next_message, within};
use skymesh_types::Handle;
use tokio::sync::mpsc;

use super::{CLIENT, Pair, SERVER, caller, echoes, fill, in_time, serve};

const NODE: &str = env!("CARGO_BIN_EXE_mesh-node");

/// What a handler that waits for ever lives through.
#[derive(Debug, PartialEq)]
enum Life {
    Began,
    Dropped,
}

/// The method `hang`, and the life of its handlers.
fn hanging() -> (Methods, mpsc::UnboundedReceiver<Life>) {
    struct Watched(mpsc::UnboundedSender<Life>);
    impl Drop for Watched {
        fn drop(&mut self) {
            let _ = self.0.send(Life::Dropped);
        }
    }
    let (lives, seen) = mpsc::unbounded_channel();
    let hang = move |_| {
        let watched = Watched(lives.clone());
        async move {
            watched.0.send(Life::Began).unwrap();
            std::future::pending::<()>().await;
            drop(watched);
            Ok(Response::default())
        }
    };
    (echoes().method("hang", hang), seen)
}

fn hang() -> Request {
    Request::new("hang", "")
}

fn lost(status: &Status) {
    assert_eq!(status.code(), Code::Unavailable, "{status}");
    assert_eq!(status.processing(), Processing::MaybeProcessed, "{status}");
}

#[tokio::test]
async fn a_dropped_call_drops_its_handler() {
    let (methods, mut lives) = hanging();
    let pair = Pair::start(methods).await;
    let call = tokio::spawn(pair.client.call(SERVER, hang()));
    assert_eq!(within(SOON, lives.recv()).await, Some(Life::Began));
    call.abort();
    assert_eq!(within(SOON, lives.recv()).await, Some(Life::Dropped));
    assert_eq!(pair.server.counters().cancelled.get(), 1);
    assert_eq!(pair.client.counters().all().iter().map(|(_, n)| n).sum::<u64>(), 0);
}

#[tokio::test]
async fn the_cancel_of_a_call_reaches_a_handler_behind_a_full_window() {
    let (methods, mut lives) = hanging();
    let pair = Pair::start(methods).await;
    let call = tokio::spawn(pair.client.call(SERVER, hang()));
    assert_eq!(within(SOON, lives.recv()).await, Some(Life::Began));
    // The server's rest is not read, so the window towards it fills up and stays so.
    within(SOON, fill(pair.client.instance(), SERVER)).await;
    call.abort();
    // Only when somebody reads there is room for the cancel.
    drop(pair.server_rest);
    assert_eq!(within(SOON, lives.recv()).await, Some(Life::Dropped));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_hangs_beyond_its_deadline_and_the_handlers_end_too() {
    const CALLS: u64 = 200;
    let (methods, mut lives) = hanging();
    let pair = Pair::start(methods).await;
    pair.client.call(SERVER, Request::new("echo", "")).await.unwrap();
    let mut tasks = Vec::new();
    for call in 0..CALLS {
        let client = pair.client.clone();
        tasks.push(tokio::spawn(async move {
            let timeout = Duration::from_millis(1 + call);
            let began = Instant::now();
            let call = async {
                let ended = client.call(SERVER, hang().timeout(timeout)).await.unwrap_err();
                assert_eq!(ended.code(), Code::DeadlineExceeded, "{ended}");
                began.elapsed()
            };
            // How late this machine is with anything now.
            let plain = async {
                tokio::time::sleep(timeout).await;
                began.elapsed()
            };
            let (took, waited) = tokio::join!(call, plain);
            (timeout, took, waited)
        }));
    }
    let mut lates = Vec::new();
    for task in tasks {
        let (timeout, took, waited) = within(SOON, task).await.unwrap();
        assert!(took >= timeout, "{took:?} for {timeout:?}");
        lates.push(took.saturating_sub(waited));
    }
    in_time::check(lates);
    // Of those that began (a deadline may pass on the way) every one has ended.
    let ended = async {
        while pair.server.counters().expired.get() + pair.server.counters().cancelled.get() == 0 {
            tokio::task::yield_now().await;
        }
        pair.server.drain().await;
    };
    within(SOON, ended).await;
    let (mut began, mut dropped) = (0, 0);
    while let Ok(life) = lives.try_recv() {
        match life {
            Life::Began => began += 1,
            Life::Dropped => dropped += 1,
        }
    }
    assert_eq!(began, dropped);
    assert!(began > 0, "no handler ever began");
}

#[tokio::test]
async fn calls_to_a_killed_server_end_at_once() {
    // Long before the nameserver says anything of it.
    let mesh = Mesh::forgiving().await;
    let mut node = Node::start(NODE, &["rpc", &mesh.address().to_string(), SERVER]);
    let handle = Handle::new(node.says().await["handle"].as_u64().unwrap()).unwrap();
    let (client, _rest) = caller(&mesh.agent().await, CLIENT).await;
    client.call(SERVER, Request::new("echo", "")).await.unwrap();
    let calls: Vec<_> = (0..64).map(|_| tokio::spawn(client.call(SERVER, hang()))).collect();
    for _ in 0..64 {
        node.says().await;
    }
    node.kill().await;
    for call in calls {
        lost(&within(SOON, call).await.unwrap().unwrap_err());
    }
    mesh.nameserver().kick(KickTarget::Instance(handle), "it is dead").await.unwrap();
    // Who calls on gets an answer at every call, in the end that nobody is there.
    let gone = async {
        loop {
            let request = Request::new("echo", "").timeout(Duration::from_millis(100));
            match client.call(SERVER, request).await.unwrap_err() {
                status if status.is_retryable() => return,
                status => assert_ne!(status.code(), Code::Internal),
            }
        }
    };
    within(SOON, gone).await;
}

#[tokio::test]
async fn calls_to_a_server_that_only_falls_silent_end_when_it_is_offline() {
    let mesh = Mesh::hasty().await;
    let mut node = Node::start(NODE, &["rpc", &mesh.address().to_string(), SERVER]);
    node.says().await;
    let (client, _rest) = caller(&mesh.agent().await, CLIENT).await;
    let call = tokio::spawn(client.call(SERVER, hang()));
    node.says().await;
    node.signal("STOP").await;
    lost(&within(SOON, call).await.unwrap().unwrap_err());
    node.signal("CONT").await;
}

#[tokio::test]
async fn calls_to_a_server_that_leaves_the_mesh_end_at_once() {
    let (methods, mut lives) = hanging();
    let pair = Pair::start(methods).await;
    let call = tokio::spawn(pair.client.call(SERVER, hang()));
    assert_eq!(within(SOON, lives.recv()).await, Some(Life::Began));
    pair.server.instance().unregister().await.unwrap();
    lost(&within(SOON, call).await.unwrap().unwrap_err());
    assert_eq!(within(SOON, lives.recv()).await, Some(Life::Dropped));
}

#[tokio::test]
async fn a_killed_caller_takes_its_handlers_along() {
    let mesh = Mesh::start().await;
    let (methods, mut lives) = hanging();
    let (server, _rest) = serve(&mesh.agent().await, SERVER, methods).await;
    let nameserver = mesh.address().to_string();
    let node = Node::start(NODE, &["call", &nameserver, CLIENT, SERVER, "hang"]);
    assert_eq!(within(SOON, lives.recv()).await, Some(Life::Began));
    node.kill().await;
    assert_eq!(within(SOON, lives.recv()).await, Some(Life::Dropped));
    assert_eq!(server.counters().abandoned.get(), 1);
}

#[tokio::test]
async fn the_calls_of_an_instance_that_leaves_the_mesh_end() {
    let (methods, mut lives) = hanging();
    let pair = Pair::start(methods).await;
    let call = tokio::spawn(pair.client.call(SERVER, hang()));
    assert_eq!(within(SOON, lives.recv()).await, Some(Life::Began));
    pair.client.instance().unregister().await.unwrap();
    assert_eq!(within(SOON, call).await.unwrap().unwrap_err().code(), Code::Unavailable);
    let after = pair.client.call(SERVER, Request::new("echo", "")).await.unwrap_err();
    assert_eq!(after.processing(), Processing::NotProcessed, "{after}");
}

/// A server written by hand answers the first call only when the second is waiting in its place.
#[tokio::test]
async fn a_late_answer_is_counted_and_never_reaches_another_call() {
    let mesh = Mesh::start().await;
    let (server, mut inbox) = mesh.agent().await.register(SERVER).await.unwrap();
    let (client, _rest) = caller(&mesh.agent().await, CLIENT).await;
    let answer =
        |correlation, payload| Outgoing { kind: 2, correlation, payload, ..Outgoing::default() };
    let first = tokio::spawn(client.call(SERVER, Request::new("any", "1")));
    let one = next_message(&mut inbox).await;
    first.abort();
    let cancel = next_message(&mut inbox).await;
    assert_eq!((cancel.kind(), cancel.flags()), (1, skymesh_rpc::wire::CANCEL));
    assert_eq!(cancel.correlation(), one.correlation());
    let second = tokio::spawn(client.call(SERVER, Request::new("any", "2")));
    let two = next_message(&mut inbox).await;
    assert_eq!(one.correlation() as u32, two.correlation() as u32, "the same slot");
    server.post(one.source(), answer(one.correlation(), b"late")).await.unwrap();
    // Somebody else answers in its place.
    let (forger, _inbox) = mesh.agent().await.register("app.test.forger/1").await.unwrap();
    forger.post(CLIENT, answer(two.correlation(), b"forged")).await.unwrap();
    let forged = async {
        while client.counters().foreign_responses.get() == 0 {
            tokio::task::yield_now().await;
        }
    };
    within(SOON, forged).await;
    server.post(two.source(), answer(two.correlation(), b"right")).await.unwrap();
    assert_eq!(within(SOON, second).await.unwrap().unwrap().payload(), "right");
    assert_eq!(client.counters().late_responses.get(), 1);
}

/// Callers give up at random moments while others get their answers: nothing is mixed up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_vanish_do_not_disturb_the_others() {
    let pair = Pair::start(echoes()).await;
    let mut tasks = Vec::new();
    for caller in 0..64u32 {
        let client: Rpc = pair.client.clone();
        tasks.push(tokio::spawn(async move {
            for call in 0..200u32 {
                let payload: Bytes = [call.to_le_bytes(), caller.to_le_bytes()].concat().into();
                let call = client.call(SERVER, Request::new("echo_later", payload.clone()));
                tokio::select! {
                    answer = call => assert_eq!(answer.unwrap().payload(), &payload),
                    () = async { for _ in 0..caller % 4 { tokio::task::yield_now().await } },
                        if caller % 2 == 0 => {}
                }
            }
        }));
    }
    for task in tasks {
        within(Duration::from_secs(60), task).await.unwrap();
    }
    assert_eq!(pair.client.counters().foreign_responses.get(), 0);
    within(SOON, pair.server.drain()).await;
}
