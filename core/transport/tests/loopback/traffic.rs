//! What is pushed arrives: whole, once, and in the order of its task.

use std::sync::Arc;

use skymesh_transport::{CloseReason, Outbox, OutboxConfig, ReadConfig};

use crate::pair::{bodies, connections, frame, guarded, one_way};

/// A small generator, so that sizes vary and failures repeat.
fn next_random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 33) as usize
}

/// Sizes from nothing to beyond a read, small ones mostly.
fn random_size(state: &mut u64) -> usize {
    match next_random(state) % 20 {
        0 => next_random(state) % 100_000,
        1..5 => next_random(state) % 4_000,
        _ => next_random(state) % 200,
    }
}

/// [task, index, then bytes that follow from both].
fn body(task: u8, index: u32, size: usize) -> Vec<u8> {
    let mut body = vec![task];
    body.extend_from_slice(&index.to_be_bytes());
    body.extend((0..size).map(|at| (at as u32 ^ index) as u8));
    body
}

async fn sixty_four_tasks_keep_order_and_integrity() {
    const TASKS: u8 = 64;
    const EACH: u32 = 300;
    // A small buffer, so that pushes wait now and then.
    let mut config = OutboxConfig::default();
    config.buffer_bytes = 50_000;
    let mut pair = one_way(config).await;

    let outbox = Arc::new(pair.outbox);
    for task in 0..TASKS {
        let outbox = Arc::clone(&outbox);
        tokio::spawn(async move {
            let mut random = u64::from(task) + 1;
            for index in 0..EACH {
                let body = body(task, index, random_size(&mut random));
                outbox.push(frame(&body)).await.unwrap();
            }
        });
    }
    drop(outbox);

    let mut next = [0; TASKS as usize];
    for received in bodies(&mut pair.reader, usize::MAX).await {
        let (task, index) = (received[0], &mut next[usize::from(received[0])]);
        assert_eq!(received, body(task, *index, received.len() - 5), "task {task}");
        *index += 1;
    }
    assert_eq!(next, [EACH; TASKS as usize]);
    let end = guarded("the writer", pair.writer).await.unwrap();
    assert!(matches!(end.reason, CloseReason::Closed) && end.unwritten.is_empty(), "{end:?}");
}

#[tokio::test]
async fn order_and_integrity_on_one_thread() {
    guarded("traffic", sixty_four_tasks_keep_order_and_integrity()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_and_integrity_on_two_threads() {
    guarded("traffic", sixty_four_tasks_keep_order_and_integrity()).await;
}

#[tokio::test]
async fn frames_pushed_before_the_connection_follow_the_greeting() {
    let (outbox, writer) = Outbox::new(OutboxConfig::default());
    outbox.try_push(frame(b"one")).unwrap();
    outbox.push(frame(b"two")).await.unwrap();
    outbox.push_control(frame(b"three")).unwrap();
    assert_eq!(outbox.buffered(), 7 + 7 + 9);

    let (ours, mut theirs) = connections(ReadConfig::default()).await;
    let mut greeting = Vec::new();
    frame(b"hello")(&mut greeting);
    let writer = tokio::spawn(writer.run(ours.write_half, greeting));
    let received = bodies(&mut theirs.reader, 4).await;
    assert_eq!(received, [b"hello".as_slice(), b"one", b"two", b"three"]);
    drop(outbox);
    assert!(guarded("the writer", writer).await.unwrap().unwritten.is_empty());
}

#[tokio::test]
async fn both_directions_are_independent() {
    let (a, b) = connections(ReadConfig::default()).await;
    let (to_b, writer) = Outbox::new(OutboxConfig::default());
    tokio::spawn(writer.run(a.write_half, Vec::new()));
    let (to_a, writer) = Outbox::new(OutboxConfig::default());
    tokio::spawn(writer.run(b.write_half, Vec::new()));
    let (mut at_a, mut at_b) = (a.reader, b.reader);
    for round in 0..100u32 {
        to_b.push(frame(&round.to_be_bytes())).await.unwrap();
        assert_eq!(bodies(&mut at_b, 1).await, [round.to_be_bytes()]);
        to_a.push(frame(&round.to_be_bytes())).await.unwrap();
        assert_eq!(bodies(&mut at_a, 1).await, [round.to_be_bytes()]);
    }
}
