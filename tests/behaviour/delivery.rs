//! A message that `send` accepted is delivered, or the sender is told, or a counter moves.

use std::collections::HashMap;
use std::time::Duration;

use skymesh_agent::config::{AgentConfig, InboxConfig};
use skymesh_agent::{Agent, Event, Inbox, SendError};
use skymesh_tests::{Mesh, Node, SOON, next_event, next_message, within};
use skymesh_types::limits::FRAME_BYTES;

const SERVER: &str = "app.test.server/1";

fn number(payload: &[u8]) -> (u32, u32) {
    let part = |at: usize| u32::from_le_bytes(payload[at..at + 4].try_into().unwrap());
    (part(0), part(4))
}

fn numbered(sender: u32, seq: u32) -> Vec<u8> {
    [sender.to_le_bytes(), seq.to_le_bytes()].concat()
}

/// Reads until every sender's sequence is whole; fails on any gap, repetition or change of order.
async fn read_all(inbox: &mut Inbox, senders: u32, each: u32) {
    let mut next: HashMap<u32, u32> = HashMap::new();
    for _ in 0..senders * each {
        let (sender, seq) = number(next_message(inbox).await.payload());
        let expected = next.entry(sender).or_default();
        assert_eq!(seq, *expected, "sender {sender}");
        *expected += 1;
    }
    assert_eq!(next.len() as u32, senders);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_concurrent_senders_lose_nothing_and_keep_their_order() {
    const SENDERS: u32 = 64;
    const EACH: u32 = 2_000;
    let mesh = Mesh::start().await;
    let (_server, mut inbox) = mesh.agent().await.register(SERVER).await.unwrap();
    let clients = mesh.agent().await;
    let mut tasks = Vec::new();
    for sender in 0..SENDERS {
        let clients = clients.clone();
        tasks.push(tokio::spawn(async move {
            let url = format!("app.test.client/{}", sender + 1);
            let (client, _inbox) = clients.register(url.as_str()).await.unwrap();
            let router = clients.router("app.test.server").unwrap();
            for seq in 0..EACH {
                client.send(&router, numbered(sender, seq)).await.unwrap();
            }
            (client, _inbox)
        }));
    }
    within(Duration::from_secs(60), read_all(&mut inbox, SENDERS, EACH)).await;
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(clients.counters().unconfirmed.get(), 0);
    assert_eq!(clients.counters().undeliverable.get(), 0);
}

/// Two services of one process: one does not read, the other is not to notice.
#[tokio::test]
async fn a_slow_service_makes_only_its_own_senders_wait() {
    let mesh = Mesh::start().await;
    let servers = mesh.agent().await;
    let (_slow, mut slow_inbox) = servers.register("app.test.slow/1").await.unwrap();
    let (_quick, mut quick_inbox) = servers.register("app.test.quick/1").await.unwrap();
    let agent = mesh.agent().await;
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    let payload = vec![0; 8 * 1024];

    let mut accepted = 0u32;
    client.send("app.test.slow/1", &payload).await.unwrap();
    accepted += 1;
    // The window opens fully only with the peer's welcome, so it may fill twice.
    let full = async {
        loop {
            match client.try_send("app.test.slow/1", &payload) {
                Ok(()) => accepted += 1,
                Err(SendError::Full) if accepted > 100 => return,
                Err(SendError::Full) => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
    };
    within(SOON, full).await;
    let waiting = client.send("app.test.slow/1", b"the last");
    tokio::pin!(waiting);
    for seq in 0..10_000 {
        tokio::select! {
            biased;
            sent = &mut waiting => panic!("nobody reads, and yet: {sent:?}"),
            sent = client.send("app.test.quick/1", numbered(0, seq)) => sent.unwrap(),
        }
        if seq % 100 == 99 {
            for _ in 0..100 {
                next_message(&mut quick_inbox).await;
            }
        }
    }
    // Now it reads: everything that was accepted is there, and the one that waited comes last.
    let read = async {
        for _ in 0..accepted {
            assert_eq!(next_message(&mut slow_inbox).await.payload().len(), payload.len());
        }
        assert_eq!(next_message(&mut slow_inbox).await.payload(), &b"the last"[..]);
    };
    let (sent, ()) = tokio::join!(waiting, read);
    sent.unwrap();
    assert_eq!(servers.counters().refused_inbox_full.get(), 0);
}

/// Several senders together pass the inbox's hard limit: each message is read or told of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_inbox_refuses_is_told_to_the_sender() {
    const CLIENTS: u64 = 6;
    const EACH: u64 = 200;
    let mesh = Mesh::start().await;
    let window = 64 * 1024;
    let config = AgentConfig {
        inbox: InboxConfig { window_bytes: window, limit_bytes: window },
        ..mesh.config()
    };
    let servers = Agent::builder().config(config).connect().await.unwrap();
    let (_server, mut inbox) = servers.register(SERVER).await.unwrap();
    let mut clients = Vec::new();
    for client in 1..=CLIENTS {
        let agent = mesh.agent().await;
        let url = format!("app.test.client/{client}");
        let (instance, events) = agent.register(url.as_str()).await.unwrap();
        let mut accepted = 0;
        for _ in 0..EACH {
            match instance.try_send(SERVER, [0; 1000]) {
                Ok(()) => accepted += 1,
                Err(SendError::Full) => {}
                Err(SendError::Loading(_)) => {
                    instance.send(SERVER, [0; 1000]).await.unwrap();
                    accepted += 1;
                }
                Err(error) => panic!("{error}"),
            }
        }
        clients.push((agent, instance, events, accepted));
    }
    let accepted: u64 = clients.iter().map(|(.., accepted)| accepted).sum();
    // All of it has arrived, one way or the other, before anything is read.
    let arrived = async {
        let counters = servers.counters();
        while counters.messages_received.get() + counters.refused_inbox_full.get() < accepted {
            tokio::task::yield_now().await;
        }
    };
    within(SOON, arrived).await;
    let refused = servers.counters().refused_inbox_full.get();
    assert!(refused > 0, "{accepted} messages were to be too many");
    for _ in 0..accepted - refused {
        next_message(&mut inbox).await;
    }
    // Every refused message is counted where it came from, and told there.
    let counted = async {
        while clients.iter().map(|(agent, ..)| agent.counters().undeliverable.get()).sum::<u64>()
            < refused
        {
            tokio::task::yield_now().await;
        }
    };
    within(SOON, counted).await;
    let mut told = 0;
    for (agent, _instance, events, _) in &mut clients {
        let owed = agent.counters().undeliverable.get();
        let mut heard = 0;
        while heard < owed {
            heard += next_event(events, |event| match event {
                Event::Undeliverable { messages, .. } => Some(*messages),
                _ => None,
            })
            .await;
        }
        assert_eq!(heard, owed);
        told += heard;
    }
    assert_eq!(told, refused);
}

/// The receiver is killed with a full window that it has taken nothing of: the counters say of each
/// message that it may be lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_receiver_took_along_is_counted() {
    let mesh = Mesh::start().await;
    let nameserver = mesh.address().to_string();
    let mut node = Node::start(env!("CARGO_BIN_EXE_mesh-node"), &["deaf", &nameserver, SERVER]);
    node.says().await;
    let agent = mesh.agent().await;
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    // Waits for the first word on the service, and for the peer's word on the window.
    client.send(SERVER, [7; 100]).await.unwrap();
    let mut accepted = 1u64;
    let mut node = Some(node);
    let ended = loop {
        // The last of them waits for room, until it is told that there will be none.
        match client.send(SERVER, [7; 100]).await {
            Ok(()) => accepted += 1,
            Err(error) => break error,
        }
        if accepted == 2_000 {
            node.take().unwrap().kill().await;
        }
    };
    assert!(matches!(ended, SendError::UnknownInstance(_) | SendError::Gone), "{ended}");
    // The link's task accounts for what was open; the stop waits for it.
    client.unregister().await.unwrap();
    agent.shutdown().await;
    let counters = agent.counters();
    let told = counters.unconfirmed.get() + counters.undeliverable.get();
    assert!(accepted >= 2_000, "{accepted} accepted");
    assert_eq!(told, accepted, "counted as open, and accepted");
}

/// A closed service refuses what it had not read.
#[tokio::test]
async fn what_a_service_leaves_unread_is_told_to_the_sender() {
    let mesh = Mesh::start().await;
    let (server, server_inbox) = mesh.agent().await.register(SERVER).await.unwrap();
    let agent = mesh.agent().await;
    let (client, mut events) = agent.register("app.test.client/1").await.unwrap();
    for seq in 0..10 {
        client.send(SERVER, numbered(0, seq)).await.unwrap();
    }
    let arrived = async {
        while server.agent().counters().messages_received.get() < 10 {
            tokio::task::yield_now().await;
        }
    };
    within(SOON, arrived).await;
    drop(server_inbox);
    let mut told = 0;
    while told < 10 {
        told += next_event(&mut events, |event| match event {
            Event::Undeliverable { to, messages, .. } if *to == server.handle() => Some(*messages),
            _ => None,
        })
        .await;
    }
    assert_eq!(told, 10);
    assert_eq!(server.agent().counters().refused_closing.get(), 10);
    assert_eq!(agent.counters().undeliverable.get(), 10);
}

#[tokio::test]
async fn sends_within_one_process_follow_the_same_rules() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (_server, mut inbox) = agent.register(SERVER).await.unwrap();
    let (client, _events) = agent.register("app.test.client/1").await.unwrap();
    let mut accepted = 0;
    client.send(SERVER, numbered(0, 0)).await.unwrap();
    accepted += 1;
    loop {
        match client.try_send(SERVER, [numbered(0, accepted), vec![0; 8000]].concat()) {
            Ok(()) => accepted += 1,
            Err(SendError::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(accepted > 100, "a window of 1 MiB takes more than {accepted}");
    for seq in 0..accepted {
        assert_eq!(number(next_message(&mut inbox).await.payload()).1, seq);
    }
    client.try_send(SERVER, b"room again").unwrap();
}

/// What a read brought is memory of its messages, not of the inbox: an idle one would keep megabytes.
#[tokio::test]
async fn an_inbox_that_was_read_keeps_nothing_of_what_it_read() {
    let mesh = Mesh::start().await;
    let (server, mut inbox) = mesh.agent().await.register(SERVER).await.unwrap();
    server.send(SERVER, vec![7; 1 << 20]).await.unwrap();
    let message = next_message(&mut inbox).await;
    assert!(inbox.try_recv().is_none());
    assert!(message.payload().is_unique(), "somebody else keeps it");
}

/// What may go at all does not depend on where the destination happens to be.
#[tokio::test]
async fn a_message_is_too_large_within_a_process_and_between_two_alike() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (server, _inbox) = agent.register(SERVER).await.unwrap();
    let (client, _client_inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    let large = vec![0; FRAME_BYTES - 1000];
    let here = server.send(SERVER, &large).await.unwrap_err();
    let there = client.send(SERVER, &large).await.unwrap_err();
    assert_eq!(here, there);
    let SendError::TooLarge { bytes, limit } = here else { panic!("{here}") };
    assert!(bytes == large.len() && bytes > limit, "{here}");
    for sender in [&server, &client] {
        sender.send(SERVER, vec![0; limit]).await.unwrap();
    }
}
