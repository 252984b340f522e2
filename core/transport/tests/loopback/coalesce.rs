//! How many writes it takes: one, at once, for a lone frame; few for many.

use std::time::Duration;

use skymesh_transport::{Outbox, OutboxConfig, ReadConfig};

use crate::pair::{bodies, frame, guarded, one_way, read_bare, with_bare_peer};

#[tokio::test]
async fn a_lone_frame_is_written_by_the_pushing_thread() {
    let mut config = OutboxConfig::default();
    config.idle_gap = Duration::ZERO;
    let mut pair = one_way(config).await;
    // The writer task has to attach the connection first; the frame that makes it do so is its own.
    pair.outbox.push(frame(b"first")).await.unwrap();
    bodies(&mut pair.reader, 1).await;
    let before = pair.outbox.stats();
    for lone in 1..=10 {
        pair.outbox.try_push(frame(b"lone")).unwrap();
        // It is with the socket already: this thread has not let any other task run.
        let stats = pair.outbox.stats();
        assert_eq!(stats.writes_in_place, before.writes_in_place + lone);
        assert_eq!(stats.writes, before.writes + lone);
        assert_eq!(pair.outbox.buffered(), 0);
        assert_eq!(bodies(&mut pair.reader, 1).await, [b"lone"]);
    }
}

#[tokio::test]
async fn a_stream_of_frames_is_not_written_one_by_one() {
    let mut config = OutboxConfig::default();
    config.idle_gap = Duration::from_secs(3600);
    let mut pair = one_way(config).await;
    pair.outbox.push(frame(b"first")).await.unwrap();
    bodies(&mut pair.reader, 1).await;
    let before = pair.outbox.stats();
    for _ in 0..100 {
        pair.outbox.try_push(frame(b"of many")).unwrap();
    }
    assert_eq!(pair.outbox.buffered(), 100 * 11, "nothing is written before the writer task runs");
    assert_eq!(bodies(&mut pair.reader, 100).await.len(), 100);
    assert_eq!(pair.outbox.stats().writes, before.writes + 1);
}

#[tokio::test]
async fn what_gathers_while_a_write_is_blocked_goes_out_in_few() {
    const FRAMES: usize = 10_000;
    let (ours, peer) = with_bare_peer(ReadConfig::default()).await;
    let (outbox, writer) = Outbox::new(OutboxConfig::default());
    let writer = tokio::spawn(writer.run(ours.write_half, Vec::new()));

    // Block it: push until the socket takes no more, which leaves the buffer not empty for good.
    let block = vec![0; 64 * 1024];
    loop {
        outbox.push(frame(&block)).await.unwrap();
        let written = outbox.stats().bytes;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        if outbox.buffered() > 0 && outbox.stats().bytes == written {
            break;
        }
    }
    let blocked = outbox.stats();
    let before = blocked.bytes as usize + outbox.buffered();
    for index in 0..FRAMES {
        outbox.try_push(frame(&(index as u32).to_be_bytes())).unwrap();
    }
    drop(outbox.clone());

    // Read all; the last frames are the 10 000 in order.
    let all = before + FRAMES * 8;
    let bytes = read_bare(&peer, all).await;
    for (index, bytes) in bytes[before..].chunks(8).enumerate() {
        assert_eq!(bytes, [[0, 0, 0, 4], (index as u32).to_be_bytes()].concat());
    }
    outbox.close().await;
    let stats = outbox.stats();
    assert_eq!(stats.bytes as usize, all);
    // The small receive buffer makes the kernel take it in pieces: bounded by bytes, not by frames.
    let writes = stats.writes - blocked.writes;
    assert!(writes < 500, "{FRAMES} frames went out in {writes} writes");
    assert!(guarded("the writer", writer).await.unwrap().unwritten.is_empty());
}

#[tokio::test]
async fn a_burst_does_not_keep_its_memory_and_traffic_goes_on() {
    let mut config = OutboxConfig::default();
    config.keep_bytes = 1024;
    let mut pair = one_way(config).await;
    for round in 0..2u8 {
        let body = vec![round; 500_000];
        pair.outbox.try_push(frame(&body)).unwrap();
        // No other task has run yet, so nothing can have been freed.
        assert!(pair.outbox.stats().held_bytes >= body.len());
        pair.outbox.push(frame(&[round])).await.unwrap();
        assert_eq!(bodies(&mut pair.reader, 2).await, [body, vec![round]]);
        let freed = async {
            while pair.outbox.stats().held_bytes > 1024 {
                tokio::task::yield_now().await;
            }
        };
        guarded("the memory of the burst", freed).await;
    }
}

/// Never full, never waiting: without a turn for others, nothing else on this thread would run.
#[tokio::test]
async fn a_task_that_pushes_in_a_loop_lets_others_run() {
    let config = OutboxConfig::default();
    let most = config.buffer_bytes - 100_000;
    let pair = one_way(config).await;
    let other = tokio::spawn(async {});
    let body = [0; 996];
    let mut pushed = 0;
    while !other.is_finished() {
        pair.outbox.push(frame(&body)).await.unwrap();
        pushed += 1000;
        assert!(pushed < most, "no other task ran during {pushed} bytes of pushes");
    }
}
