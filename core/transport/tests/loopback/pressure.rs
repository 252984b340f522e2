//! A peer that does not read: what is full says so, what waits goes on later, nothing is lost.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use skymesh_transport::{CloseReason, Outbox, OutboxConfig, PushError, ReadConfig, TryPushError};
use tokio::net::TcpStream;

use crate::pair::{frame, guarded, read_bare, with_bare_peer};

const BODY: [u8; 1000] = [7; 1000];
const FRAME_BYTES: usize = BODY.len() + 4;

fn poll_once(future: std::pin::Pin<&mut impl Future>) -> Poll<()> {
    future.poll(&mut Context::from_waker(Waker::noop())).map(drop)
}

/// Fills the outbox and the socket behind it; returns how many frames both took.
async fn fill(outbox: &Outbox) -> usize {
    let mut frames = 0;
    loop {
        match outbox.try_push(frame(&BODY)) {
            Ok(()) => frames += 1,
            Err(TryPushError::Full { buffered }) => {
                assert!(buffered >= small().buffer_bytes);
                // Let the writer task find out whether the socket takes more.
                let written = outbox.stats().bytes;
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                if outbox.stats().bytes == written {
                    return frames;
                }
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn small() -> OutboxConfig {
    let mut config = OutboxConfig::default();
    config.buffer_bytes = 100_000;
    config.control_bytes = 5_000;
    config
}

async fn full() -> (Outbox, usize, TcpStream, tokio::task::JoinHandle<skymesh_transport::WriteEnd>)
{
    let (ours, peer) = with_bare_peer(ReadConfig::default()).await;
    let (outbox, writer) = Outbox::new(small());
    let writer = tokio::spawn(writer.run(ours.write_half, Vec::new()));
    let frames = guarded("filling", fill(&outbox)).await;
    (outbox, frames, peer, writer)
}

#[tokio::test]
async fn try_push_says_full_and_push_waits_until_the_peer_reads() {
    let (outbox, frames, peer, writer) = full().await;
    assert!(matches!(outbox.try_push(frame(b"x")), Err(TryPushError::Full { .. })));

    let mut waiting = pin!(outbox.push(frame(b"waited")));
    assert!(poll_once(waiting.as_mut()).is_pending());
    let (pushed, bytes) =
        tokio::join!(guarded("push", waiting), read_bare(&peer, frames * FRAME_BYTES + 10));
    pushed.unwrap();
    assert_eq!(bytes.len(), frames * FRAME_BYTES + 10);
    assert!(bytes.ends_with(b"\0\0\0\x06waited"));

    assert!(matches!(outbox.close().await, CloseReason::Closed));
    assert!(guarded("the writer", writer).await.unwrap().unwritten.is_empty());
}

#[tokio::test]
async fn a_cancelled_push_leaves_nothing_and_passes_its_turn_on() {
    let (outbox, frames, peer, _writer) = full().await;
    // Boxed: they are dropped at different times.
    let mut cancelled: Vec<_> =
        (0..10).map(|_| Box::pin(outbox.push(frame(b"cancelled")))).collect();
    for push in &mut cancelled {
        assert!(poll_once(push.as_mut()).is_pending());
    }
    let mut kept = Box::pin(outbox.push(frame(b"kept")));
    assert!(poll_once(kept.as_mut()).is_pending());

    // The first in turn hears of room, and goes away with the news.
    let taken = read_bare(&peer, frames * FRAME_BYTES).await.len();
    drop(cancelled);
    guarded("the kept push", kept).await.unwrap();

    drop(outbox);
    let rest = read_bare(&peer, usize::MAX).await;
    assert_eq!(taken + rest.len(), frames * FRAME_BYTES + 8);
    assert!(rest.ends_with(b"\0\0\0\x04kept"));
}

#[tokio::test]
async fn many_who_wait_are_all_served() {
    let (outbox, frames, peer, _writer) = full().await;
    let pushes: Vec<_> = (0..50u8)
        .map(|index| {
            let outbox = outbox.clone();
            tokio::spawn(async move { outbox.push(frame(&[index; 3000])).await })
        })
        .collect();
    tokio::task::yield_now().await;
    drop(outbox);
    let bytes = read_bare(&peer, usize::MAX).await;
    for push in pushes {
        guarded("a push", push).await.unwrap().unwrap();
    }
    assert_eq!(bytes.len(), frames * FRAME_BYTES + 50 * 3004);
}

#[tokio::test]
async fn writable_is_told_when_half_has_gone_out() {
    let (outbox, frames, peer, _writer) = full().await;
    let mut writable = pin!(outbox.writable());
    assert!(poll_once(writable.as_mut()).is_pending());
    let (told, _) =
        tokio::join!(guarded("writable", writable), read_bare(&peer, frames * FRAME_BYTES));
    told.unwrap();
    assert!(outbox.buffered() <= small().buffer_bytes / 2);
}

#[tokio::test]
async fn control_gets_through_a_full_outbox_until_its_own_share_is_full() {
    let (outbox, frames, peer, writer) = full().await;
    for _ in 0..4 {
        outbox.push_control(frame(&BODY)).unwrap();
    }
    outbox.push_control(frame(&BODY)).unwrap();
    let error = outbox.push_control(frame(b"one too many")).unwrap_err();
    assert!(matches!(error, PushError::Closed(CloseReason::ControlOverrun)), "{error}");
    assert_eq!(
        error.to_string(),
        "connection is closed: the peer does not read: control frames piled up"
    );

    let end = guarded("the writer", writer).await.unwrap();
    assert!(matches!(end.reason, CloseReason::ControlOverrun), "{end:?}");
    // Whole frames that the peer can still read, plus those reported: nothing is unaccounted for.
    let arrived = read_bare(&peer, usize::MAX).await.len() / FRAME_BYTES;
    assert_eq!(arrived + end.unwritten.count(), frames + 5);
    assert!(end.unwritten.bodies().all(|body| body == BODY));
}

#[tokio::test]
async fn control_share_is_given_back_as_it_goes_out() {
    let (ours, peer) = with_bare_peer(ReadConfig::default()).await;
    let (outbox, writer) = Outbox::new(small());
    tokio::spawn(writer.run(ours.write_half, Vec::new()));
    for _ in 0..1000 {
        outbox.push_control(frame(&BODY)).unwrap();
        assert_eq!(read_bare(&peer, FRAME_BYTES).await.len(), FRAME_BYTES);
        guarded("room", outbox.writable()).await.unwrap();
    }
}

/// As of an inbox that is full, or dropped unread, where many senders of one process wrote to it.
#[tokio::test]
async fn a_burst_of_control_faster_than_the_writer_task_does_not_end_the_connection() {
    const BURST: usize = 100;
    let (ours, peer) = with_bare_peer(ReadConfig::default()).await;
    let (outbox, writer) = Outbox::new(small());
    let writer = tokio::spawn(writer.run(ours.write_half, Vec::new()));
    outbox.push_control(frame(&BODY)).unwrap();
    assert_eq!(read_bare(&peer, FRAME_BYTES).await.len(), FRAME_BYTES);
    // Many times its share, within what the system's own buffers take; the writer never has a turn.
    for at in 0..BURST {
        assert!(outbox.push_control(frame(&BODY)).is_ok(), "after {at}");
    }
    assert_eq!(read_bare(&peer, BURST * FRAME_BYTES).await.len(), BURST * FRAME_BYTES);
    drop(outbox);
    let end = guarded("the writer", writer).await.unwrap();
    assert!(matches!(end.reason, CloseReason::Closed), "{end:?}");
}
