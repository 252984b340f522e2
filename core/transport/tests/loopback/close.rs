//! How connections end, and what is said about it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use skymesh_transport::{
    CloseReason, Outbox, OutboxConfig, PushError, ReadConfig, ReadError, TryPushError,
};

use crate::pair::{
    bodies, connections, frame, guarded, one_way, read_bare, read_error, with_bare_peer,
};

#[tokio::test]
async fn close_writes_all_that_was_accepted_then_shuts_down() {
    let mut pair = one_way(OutboxConfig::default()).await;
    for index in 0..5000u32 {
        pair.outbox.push(frame(&index.to_be_bytes())).await.unwrap();
    }
    let (reason, received) =
        tokio::join!(guarded("close", pair.outbox.close()), bodies(&mut pair.reader, usize::MAX));
    assert!(matches!(reason, CloseReason::Closed));
    assert!(received.into_iter().eq((0..5000u32).map(|index| index.to_be_bytes().to_vec())));
    assert!(guarded("the writer", pair.writer).await.unwrap().unwritten.is_empty());

    let late = pair.outbox.try_push(frame(b"late")).unwrap_err();
    assert!(matches!(late, TryPushError::Closed(CloseReason::Closed)), "{late}");
    let late = pair.outbox.push(frame(b"late")).await.unwrap_err();
    assert_eq!(late.to_string(), "connection is closed: closed by this side");
    assert!(guarded("writable", pair.outbox.writable()).await.is_err());
    assert!(matches!(guarded("close again", pair.outbox.close()).await, CloseReason::Closed));
}

#[tokio::test]
async fn a_killed_peer_is_reported_with_what_was_not_written() {
    let (ours, peer) = with_bare_peer(ReadConfig::default()).await;
    let (outbox, writer) = Outbox::new(OutboxConfig::default());
    let writer = tokio::spawn(writer.run(ours.write_half, Vec::new()));
    // Unread bytes at close make the kernel send a reset, as for a killed process.
    let body = [1; 1000];
    let mut accepted = 0usize;
    while outbox.try_push(frame(&body)).is_ok() {
        accepted += 1;
        if accepted.is_multiple_of(100) {
            tokio::task::yield_now().await;
        }
    }
    drop(peer);

    let end = guarded("the writer", writer).await.unwrap();
    assert!(matches!(end.reason, CloseReason::Failed(_)), "{end:?}");
    assert!(end.unwritten.count() > 0 && end.unwritten.count() <= accepted);
    let written = outbox.stats().bytes as usize / 1004;
    assert_eq!(written + end.unwritten.count(), accepted);
    let error = outbox.try_push(frame(&body)).unwrap_err();
    assert!(error.to_string().starts_with("connection is closed: connection broke"), "{error}");

    // The kernel tells the reset once, and the write has heard it: to the reader it is an end.
    let mut reader = ours.reader;
    assert!(!matches!(guarded("reading", reader.next()).await, Ok(Some(_))));
}

#[tokio::test]
async fn abort_gives_up_at_once_and_hands_back_the_rest() {
    let (ours, peer) = with_bare_peer(ReadConfig::default()).await;
    let (outbox, writer) = Outbox::new(OutboxConfig::default());
    let body = [1; 100_000];
    for _ in 0..10 {
        outbox.try_push(frame(&body)).unwrap();
    }
    let writer = tokio::spawn(writer.run(ours.write_half, Vec::new()));
    // Wait until something was written, so that it may also hang in the middle of a frame.
    guarded("first bytes", peer.readable()).await.unwrap();
    outbox.abort();
    assert!(matches!(guarded("closed", outbox.closed()).await, CloseReason::Aborted));
    let end = guarded("the writer", writer).await.unwrap();
    assert!(matches!(end.reason, CloseReason::Aborted), "{end:?}");
    let whole = read_bare(&peer, usize::MAX).await.len() / 100_004;
    assert_eq!(whole + end.unwritten.count(), 10);
}

#[tokio::test]
async fn a_writer_that_never_ran_gives_the_frames_back() {
    let (outbox, writer) = Outbox::new(OutboxConfig::default());
    outbox.try_push(frame(b"one")).unwrap();
    outbox.try_push(frame(b"two")).unwrap();
    let end = writer.abandon();
    assert_eq!(end.unwritten.bodies().collect::<Vec<_>>(), [b"one", b"two"]);
    assert!(matches!(outbox.push(frame(b"x")).await, Err(PushError::Closed(_))));
    assert!(matches!(guarded("closed", outbox.closed()).await, CloseReason::Aborted));
}

#[tokio::test]
async fn dropping_the_running_writer_closes_the_outbox_and_frees_those_who_wait() {
    let (ours, _peer) = with_bare_peer(ReadConfig::default()).await;
    let mut config = OutboxConfig::default();
    config.buffer_bytes = 1;
    let (outbox, writer) = Outbox::new(config);
    outbox.try_push(frame(&vec![0; 10_000_000])).unwrap();
    let writer = tokio::spawn(writer.run(ours.write_half, Vec::new()));
    let waiting = tokio::spawn({
        let outbox = outbox.clone();
        async move { outbox.push(frame(b"x")).await }
    });
    tokio::task::yield_now().await;
    writer.abort();
    let error = guarded("the push", waiting).await.unwrap().unwrap_err();
    assert!(matches!(error, PushError::Closed(CloseReason::Aborted)), "{error}");
}

#[tokio::test]
async fn an_oversize_frame_is_refused_here_and_closes_there() {
    let mut config = OutboxConfig::default();
    config.max_frame_bytes = 100;
    let mut pair = one_way(config).await;
    let error = pair.outbox.try_push(frame(&[0; 101])).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a frame of 101 bytes is over the limit of 100 bytes: send it in parts"
    );
    pair.outbox.push(frame(&[0; 100])).await.unwrap();
    assert_eq!(bodies(&mut pair.reader, 1).await, [[0; 100]]);

    // A peer with another limit is cut off with the reason.
    let mut read = ReadConfig::default();
    read.max_frame_bytes = 100_000;
    let (ours, mut theirs) = connections(read).await;
    let (outbox, writer) = Outbox::new(OutboxConfig::default());
    tokio::spawn(writer.run(ours.write_half, Vec::new()));
    outbox.push(frame(b"hello")).await.unwrap();
    assert_eq!(bodies(&mut theirs.reader, 1).await, [b"hello"]);
    theirs.reader.introduced();
    outbox.push(frame(&[1; 100_000])).await.unwrap();
    outbox.push(frame(&[1; 100_001])).await.unwrap();
    assert_eq!(bodies(&mut theirs.reader, 1).await, [[1; 100_000]]);
    let error = read_error(&mut theirs.reader).await;
    assert!(matches!(error, ReadError::TooLarge(_)), "{error}");
    assert!(error.to_string().contains("100001 bytes, over the limit of 100000"), "{error}");
}

#[tokio::test]
async fn a_panic_or_half_a_frame_in_a_push_leaves_no_trace() {
    let mut pair = one_way(OutboxConfig::default()).await;
    for broken in [true, false] {
        let push = || {
            pair.outbox.try_push(|out| {
                out.extend_from_slice(&[0, 0, 0, 9, 1]);
                assert!(!broken, "an append that panics");
            })
        };
        assert!(catch_unwind(AssertUnwindSafe(push)).is_err());
    }
    pair.outbox.push(|_| ()).await.unwrap();
    pair.outbox.push(frame(b"good")).await.unwrap();
    assert_eq!(bodies(&mut pair.reader, 1).await, [b"good"]);
}
