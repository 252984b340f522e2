//! What a peer may send, how slowly, and how it is told.

use std::time::Duration;

use skymesh_transport::{ReadConfig, ReadError};

use crate::pair::{bodies, guarded, read_error, with_bare_peer, write_all};

#[tokio::test]
async fn frames_are_read_however_the_bytes_come() {
    let (mut ours, peer) = with_bare_peer(ReadConfig::default()).await;
    for byte in b"\0\0\0\x03one\0\0\0\0\0\0\0\x03two" {
        write_all(&peer, &[*byte]).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(bodies(&mut ours.reader, 3).await, [b"one".as_slice(), b"", b"two"]);
    drop(peer);
    assert!(guarded("the end", ours.reader.next()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_large_frame_comes_through_only_after_the_introduction() {
    let (mut ours, peer) = with_bare_peer(ReadConfig::default()).await;
    let size = 5_000_000u32;
    let sender = tokio::spawn(async move {
        write_all(&peer, b"\0\0\0\x05hello").await;
        write_all(&peer, &size.to_be_bytes()).await;
        write_all(&peer, &vec![3; size as usize]).await;
        peer
    });
    assert_eq!(bodies(&mut ours.reader, 1).await, [b"hello"]);
    let mut strict = ours;
    strict.reader.introduced();
    assert_eq!(bodies(&mut strict.reader, 1).await, [vec![3; size as usize]]);
    drop(sender.await.unwrap());

    let (mut ours, peer) = with_bare_peer(ReadConfig::default()).await;
    write_all(&peer, &size.to_be_bytes()).await;
    let error = read_error(&mut ours.reader).await;
    assert!(error.to_string().contains("5000000 bytes, over the limit of 65536"), "{error}");
}

#[tokio::test]
async fn an_end_within_a_frame_is_no_clean_end() {
    let (mut ours, peer) = with_bare_peer(ReadConfig::default()).await;
    write_all(&peer, b"\0\0\0\x05hel").await;
    drop(peer);
    let error = read_error(&mut ours.reader).await;
    assert!(matches!(error, ReadError::Truncated { missing: 2 }), "{error}");
}

#[tokio::test]
async fn a_reset_is_told_as_such() {
    let (mut ours, peer) = with_bare_peer(ReadConfig::default()).await;
    peer.set_zero_linger().unwrap();
    drop(peer);
    let error = read_error(&mut ours.reader).await;
    assert!(matches!(error, ReadError::Io(_)), "{error}");
    assert!(error.to_string().starts_with("connection broke while reading: "), "{error}");
}

/// Time stands still but for what the reader itself waits for.
#[tokio::test(start_paused = true)]
async fn a_pause_between_frames_is_fine_and_a_pause_within_one_is_not() {
    let mut read = ReadConfig::default();
    read.stall = Duration::from_secs(10);
    let (mut ours, peer) = with_bare_peer(read).await;
    let idle = tokio::time::timeout(Duration::from_secs(3600), ours.reader.next()).await;
    assert!(idle.is_err(), "an idle connection was ended: {idle:?}");

    write_all(&peer, b"\0\0\0\x05he").await;
    let begun = tokio::time::Instant::now();
    let error = ours.reader.next().await.unwrap_err();
    assert!(matches!(error, ReadError::Stalled { missing: 3, .. }), "{error}");
    assert_eq!(begun.elapsed().as_secs(), 10);
}

/// One byte every nine seconds is no progress, however long the frame is.
#[tokio::test(start_paused = true)]
async fn a_dripping_peer_is_cut_off_and_a_slow_honest_one_is_not() {
    for (bytes_each, honest) in [(1, false), (20_000, true)] {
        let mut read = ReadConfig::default();
        read.stall = Duration::from_secs(10);
        let (mut ours, peer) = with_bare_peer(read).await;
        ours.reader.introduced();
        write_all(&peer, &200_000u32.to_be_bytes()).await;
        let sender = tokio::spawn(async move {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(9)).await;
                write_all(&peer, &vec![0; bytes_each]).await;
            }
            peer
        });
        let read = ours.reader.next().await;
        match read {
            Ok(Some(frames)) => assert!(honest && frames.bytes() == 200_004),
            Err(ReadError::Stalled { .. }) => assert!(!honest, "an honest peer was cut off"),
            other => panic!("{other:?}"),
        }
        sender.abort();
    }
}

/// What was read is not lost when the future of `next` is dropped.
#[tokio::test]
async fn next_is_cancel_safe() {
    let (mut ours, peer) = with_bare_peer(ReadConfig::default()).await;
    write_all(&peer, b"\0\0\0\x05he").await;
    // Let it read the first half, then drop it.
    ours.reader.next_is_pending_for_a_while().await;
    write_all(&peer, b"llo").await;
    assert_eq!(bodies(&mut ours.reader, 1).await, [b"hello"]);
}

trait Pending {
    async fn next_is_pending_for_a_while(&mut self);
}

impl Pending for skymesh_transport::FrameReader {
    async fn next_is_pending_for_a_while(&mut self) {
        tokio::select! {
            biased;
            read = self.next() => panic!("half a frame came out: {read:?}"),
            () = async { for _ in 0..100 { tokio::task::yield_now().await; } } => {}
        }
    }
}
