//! Limits of callers and servers, drain, and who does not read the rest.

use std::sync::Arc;

use skymesh_agent::config::{AgentConfig, InboxConfig};
use skymesh_agent::{Agent, Delivery, Resolve, SendError};
use skymesh_rpc::{
    Code, Methods, Processing, REST_BYTES, Request, Response, Rpc, RpcConfig, Status,
};
use skymesh_tests::{Mesh, SOON, within};
use tokio::sync::{Semaphore, mpsc};

use super::{CLIENT, Pair, SERVER, caller, echoes, fill, serve};

/// A method that says when it begins and ends when it is let.
fn gated() -> (Methods, mpsc::UnboundedReceiver<()>, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let (began, begun) = mpsc::unbounded_channel();
    let method = {
        let gate = Arc::clone(&gate);
        move |_| {
            let (gate, began) = (Arc::clone(&gate), began.clone());
            async move {
                began.send(()).unwrap();
                gate.acquire().await.unwrap().forget();
                Ok(Response::new("done"))
            }
        }
    };
    (echoes().method("gated", method), begun, gate)
}

fn refused(status: &Status) {
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(status.processing(), Processing::NotProcessed);
    assert!(status.is_retryable());
}

#[tokio::test]
async fn a_server_refuses_calls_beyond_its_limit_and_takes_them_again_below_it() {
    let mesh = Mesh::start().await;
    let (methods, mut begun, gate) = gated();
    let (server, inbox) = mesh.agent().await.register(SERVER).await.unwrap();
    let config = RpcConfig { max_running_calls: 2, ..RpcConfig::default() };
    let (server, _rest) = Rpc::builder(server, inbox).config(config).serve(methods).attach();
    let (client, _rest) = caller(&mesh.agent().await, CLIENT).await;
    let call = || tokio::spawn(client.call(SERVER, Request::new("gated", "")));
    let running = [call(), call()];
    for _ in 0..2 {
        within(SOON, begun.recv()).await.unwrap();
    }
    refused(&within(SOON, call()).await.unwrap().unwrap_err());
    client.notify(SERVER, Request::new("gated", "")).await.unwrap();
    refused(&within(SOON, call()).await.unwrap().unwrap_err());
    assert_eq!(server.counters().over_running_limit.get(), 3);
    assert_eq!(server.counters().notifies_dropped.get(), 1);
    gate.add_permits(2);
    for call in running {
        assert_eq!(within(SOON, call).await.unwrap().unwrap().payload(), "done");
    }
    gate.add_permits(1);
    within(SOON, call()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_caller_refuses_calls_beyond_its_own_limit() {
    let mesh = Mesh::start().await;
    let (methods, mut begun, _gate) = gated();
    let (_server, _rest) = serve(&mesh.agent().await, SERVER, methods).await;
    let (client, inbox) = mesh.agent().await.register(CLIENT).await.unwrap();
    let config = RpcConfig { max_pending_calls: 1, ..RpcConfig::default() };
    let (client, _rest) = Rpc::builder(client, inbox).config(config).attach();
    let first = tokio::spawn(client.call(SERVER, Request::new("gated", "")));
    within(SOON, begun.recv()).await.unwrap();
    refused(&client.call(SERVER, Request::new("echo", "")).await.unwrap_err());
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    client.call(SERVER, Request::new("echo", "")).await.unwrap();
}

#[tokio::test]
async fn what_can_not_be_sent_or_answered_says_so() {
    let large = |_| async { Ok(Response::new(vec![0; 17 << 20])) };
    let pair = Pair::start(echoes().method("large", large)).await;
    let call = |request| within(SOON, pair.client.call(SERVER, request));
    let too_large = call(Request::new("echo", vec![0; 17 << 20])).await.unwrap_err();
    assert_eq!(too_large.code(), Code::InvalidArgument);
    assert_eq!(too_large.processing(), Processing::NotProcessed);
    let nameless = call(Request::new("", "")).await.unwrap_err();
    assert_eq!(nameless.code(), Code::InvalidArgument);
    let answer = call(Request::new("large", "")).await.unwrap_err();
    assert_eq!(
        (answer.code(), answer.processing()),
        (Code::OutOfRange, Processing::MaybeProcessed)
    );
    assert!(answer.message().contains("over agent.max_frame_bytes"), "{answer}");
}

#[tokio::test]
async fn a_draining_server_ends_what_runs_and_refuses_what_is_new() {
    let (methods, mut begun, gate) = gated();
    let pair = Pair::start(methods).await;
    let running = tokio::spawn(pair.client.call(SERVER, Request::new("gated", "")));
    within(SOON, begun.recv()).await.unwrap();
    let server = pair.server.clone();
    let mut drain = tokio::spawn(async move { server.drain().await });
    let late = async {
        loop {
            match pair.client.call(SERVER, Request::new("echo", "")).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(status) => return status,
            }
        }
    };
    let late = within(SOON, late).await;
    assert_eq!(late.code(), Code::Unavailable);
    assert!(late.is_retryable(), "{late}");
    assert!(!drain.is_finished());
    gate.add_permits(1);
    assert_eq!(within(SOON, running).await.unwrap().unwrap().payload(), "done");
    within(SOON, &mut drain).await.unwrap();
}

/// The instance's own plain messages pile up while its owner awaits a call: the answer comes.
#[tokio::test]
async fn an_unread_rest_does_not_keep_answers_from_a_call_that_waits() {
    let (methods, mut begun, gate) = gated();
    let pair = Pair::start(methods).await;
    let call = tokio::spawn(pair.client.call(SERVER, Request::new("gated", "")));
    within(SOON, begun.recv()).await.unwrap();
    let payload = vec![0; 64 << 10];
    for _ in 0..3 * REST_BYTES / payload.len() {
        let plain = pair.server.instance().send(CLIENT, &payload);
        within(SOON, plain).await.unwrap();
    }
    gate.add_permits(1);
    within(SOON, call).await.unwrap().unwrap();
    // And one that begins while the rest is full.
    let call = pair.client.call(SERVER, Request::new("echo", "")).await;
    call.unwrap();
}

/// Nobody waits for a call and nobody reads the rest: then the senders wait.
#[tokio::test]
async fn an_unread_rest_makes_plain_senders_wait() {
    let mut pair = Pair::start(echoes()).await;
    let sent = within(SOON, fill(pair.server.instance(), CLIENT)).await;
    assert!(sent >= REST_BYTES as u64, "the rest takes more than {sent} bytes");
    // Once it is read, all goes on.
    pair.client.call(SERVER, Request::new("echo", "")).await.unwrap();
    let send = pair.server.instance().send(CLIENT, b"the last");
    let read = async {
        loop {
            let delivery = pair.client_rest.recv().await.unwrap();
            if matches!(delivery, Delivery::Message(m) if m.payload() == &b"the last"[..]) {
                return;
            }
        }
    };
    let (sent, ()) = within(SOON, async { tokio::join!(send, read) }).await;
    sent.unwrap();
}

/// Instances of a service that was called come and go: that is no reason to read on for who does not
/// read the rest.
#[tokio::test]
async fn an_unread_rest_stays_within_its_limit_while_called_services_change() {
    const CHANGES: u64 = 20;
    let mut pair = Pair::start(echoes()).await;
    pair.client.call(SERVER, Request::new("echo", "")).await.unwrap();
    let called = pair.client.instance().router("app.test.server").unwrap();
    let others = pair.mesh.agent().await;
    for _ in 0..CHANGES {
        // What its sender may send at all: the window too.
        within(SOON, fill(pair.server.instance(), CLIENT)).await;
        let (other, _inbox) = others.register("app.test.server/2").await.unwrap();
        let two = |known: &Resolve| known.members().len() == 2;
        within(SOON, called.wait_until(SOON, two)).await.unwrap();
        other.unregister().await.unwrap();
        let one = |known: &Resolve| known.members().len() == 1;
        within(SOON, called.wait_until(SOON, one)).await.unwrap();
    }
    let mut waiting = 0;
    while let Some(delivery) = pair.client_rest.try_recv() {
        if let Delivery::Message(message) = delivery {
            waiting += message.payload().len();
        }
    }
    assert!(waiting < 2 * REST_BYTES, "{waiting} bytes wait in the rest");
}

/// A full inbox refuses some calls: those end at once, and only those.
#[tokio::test]
async fn a_full_inbox_ends_the_calls_that_it_refused_and_no_other() {
    const REFUSED: usize = 100;
    let mesh = Mesh::start().await;
    let inbox = InboxConfig { window_bytes: 128 << 10, limit_bytes: 128 << 10 };
    let config = AgentConfig { inbox, ..mesh.config() };
    let agent = Agent::builder().config(config).connect().await.unwrap();
    let (methods, mut begun, gate) = gated();
    let (server, mut rest) = serve(&agent, SERVER, methods).await;
    let (client, _client_rest) = caller(&mesh.agent().await, CLIENT).await;
    let running = tokio::spawn(client.call(SERVER, Request::new("gated", "")));
    within(SOON, begun.recv()).await.unwrap();
    // Nobody reads the server's plain messages, so it soon reads nothing at all.
    let mut floods = Vec::new();
    for number in 1..=2 {
        let url = format!("app.test.flood/{number}");
        let (flood, _inbox) = mesh.agent().await.register(url.as_str()).await.unwrap();
        flood.router("app.test.server").unwrap().ready(SOON).await.unwrap();
        floods.push((flood, _inbox));
    }
    let full = async {
        while agent.counters().refused_inbox_full.get() == 0 {
            for (flood, _) in &floods {
                match flood.try_send(SERVER, vec![0; 32 << 10]) {
                    Ok(()) | Err(SendError::Full) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            tokio::task::yield_now().await;
        }
    };
    within(SOON, full).await;
    let calls: Vec<_> =
        (0..REFUSED).map(|_| tokio::spawn(client.call(SERVER, Request::new("echo", "")))).collect();
    for call in calls {
        refused(&within(SOON, call).await.unwrap().unwrap_err());
    }
    assert!(!running.is_finished(), "it was not refused");
    gate.add_permits(1);
    assert_eq!(within(SOON, running).await.unwrap().unwrap().payload(), "done");
    // Once somebody reads, calls are taken again.
    let taken = async {
        loop {
            tokio::select! {
                Some(_) = rest.recv() => {}
                answer = client.call(SERVER, Request::new("echo", "again")) => match answer {
                    Ok(answer) => return answer,
                    Err(status) => refused(&status),
                },
            }
        }
    };
    assert_eq!(within(SOON, taken).await.payload(), "again");
    assert_eq!(server.counters().abandoned.get(), 0);
}
