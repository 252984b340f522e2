//! Peers that do not speak the protocol, or try too much, and configurations that can't be.

use std::time::Duration;

use skymesh_nameserver::{Nameserver, NameserverConfig};
use skymesh_proto as proto;
use skymesh_proto::msg::Body;

use crate::client::{Client, config, crowd, registration, start, until};

#[tokio::test]
async fn garbage_closes_its_connection_with_a_reason_and_no_other() {
    let server = start(config()).await;
    let mut honest = Client::agent(&server, 1).await;
    let mut hostile = Client::agent(&server, 2).await;
    hostile.send_bytes(&[0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff]).await;
    let word = hostile.last_word().await.unwrap();
    assert!(word.contains("not a skymesh message"), "{word}");
    let mut unnamed = Client::dial(&server).await;
    unnamed.send_bytes(b"\0\0\0\x09GET / HTT").await;
    assert_eq!(unnamed.last_word().await, None);
    assert_eq!(honest.register("app.env.room/1", 11).await.result, 0);
    until("counted", || server.handle.counters().malformed_frames.get() == 2).await;
}

#[tokio::test]
async fn an_oversize_frame_closes_its_connection_with_a_reason() {
    let mut config = config();
    config.limits.max_frame_bytes = 1024 * 1024;
    let server = start(config).await;
    let mut agent = Client::agent(&server, 1).await;
    agent.send_bytes(&[0, 0x10, 0, 1]).await;
    let word = agent.last_word().await.unwrap();
    assert!(word.contains("1048577 bytes, over the limit of 1048576"), "{word}");
    // Before the introduction the limit is lower.
    let mut unnamed = Client::dial(&server).await;
    unnamed.send_bytes(&[0, 1, 0, 1]).await;
    assert_eq!(unnamed.last_word().await, None);
    until("counted", || server.handle.counters().oversize_frames.get() == 2).await;
}

#[tokio::test]
async fn who_does_not_introduce_itself_is_closed() {
    let patience = |introduce_within| NameserverConfig { introduce_within, ..config() };
    // As long as a busy machine may need to read what the second one says.
    let impatient = start(patience(Duration::from_secs(2))).await;
    let mut silent = Client::dial(&impatient).await;
    let mut half = Client::dial(&impatient).await;
    half.send(proto::AgentInfo { protocol: 2, agent: 1, ..Default::default() }).await;
    assert_eq!(silent.last_word().await, None);
    assert!(half.last_word().await.unwrap().contains("introduce the app first"));
    until("counted", || impatient.handle.counters().not_introduced.get() == 2).await;
    // Where time closes nobody, it is for what it says.
    let patient = start(patience(Duration::from_secs(3600))).await;
    let mut impolite = Client::dial(&patient).await;
    impolite.send(registration(1, "app.env.room/1", 11)).await;
    assert_eq!(impolite.last_word().await, None);
    until("counted", || patient.handle.counters().not_introduced.get() == 1).await;
}

#[tokio::test]
async fn unknown_and_unserved_cmds_are_skipped_and_counted() {
    let server = start(config()).await;
    let mut agent = Client::agent(&server, 1).await;
    agent.send_bytes(&[0, 0, 0, 3, 0x08, 0x92, 0x21]).await;
    agent.send(proto::Credit::default()).await;
    assert_eq!(agent.register("app.env.room/1", 11).await.result, 0);
    let counters = server.handle.counters();
    assert_eq!((counters.unknown_cmds.get(), counters.unserved_cmds.get()), (1, 1));
}

#[tokio::test]
async fn requests_that_cannot_be_read_are_refused_by_field() {
    let server = start(config()).await;
    let mut agent = Client::agent(&server, 1).await;
    let cases = [
        ("app.env/1", 11, "has 2 parts;"),
        ("app.env.room/0", 11, "instance must not be 0"),
        ("app.env.room/1", 0, "handle must not be 0"),
    ];
    for (url, handle, expected) in cases {
        let refused = agent.register(url, handle).await;
        assert_eq!(refused.result, -2005);
        assert!(refused.reason.contains(expected), "{}", refused.reason);
    }
    let mut large = registration(5, "app.env.room/1", 11);
    large.declared = format!("{{\"k\":\"{}\"}}", "v".repeat(70_000)).into();
    agent.send(large).await;
    let Body::RegisterInstanceReply(refused) = agent.next().await else { panic!("refused") };
    assert_eq!(refused.result, -2003);
    assert!(refused.reason.contains("ATTRIBUTES_BYTES"), "{}", refused.reason);
    agent.watch("nonsense", 0, 0).await;
    let Body::WatchRefused(refused) = agent.next().await else { panic!("refused") };
    assert!(refused.reason.contains("has 1 part;"), "{}", refused.reason);

    let mut nobody = Client::dial(&server).await;
    nobody
        .send(proto::RegisterApp {
            app: "two words".to_owned(),
            protocol: 2,
            agent: 3,
            ..Default::default()
        })
        .await;
    nobody
        .send(proto::RegisterApp {
            app: "app".to_owned(),
            protocol: 2,
            agent: 0,
            ..Default::default()
        })
        .await;
    // The first of these does not even introduce.
    assert_eq!(nobody.last_word().await, None);
    let mut nobody = Client::dial(&server).await;
    let refused = nobody.introduce(0, 0).await;
    assert!(
        refused.result == -2005 && refused.reason.contains("agent must not be 0"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let server = start(config()).await;
    let listen = server.handle.local_addr().to_string();
    let error = Nameserver::bind(NameserverConfig { listen: listen.clone(), ..config() }).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains(&listen) && error.contains("in use"), "{error}");
}

#[tokio::test]
async fn a_value_out_of_range_is_named() {
    let error = Nameserver::bind(NameserverConfig { lease: Duration::ZERO, ..config() }).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("`lease` is 0s; it must be from 1s"), "{error}");
}

#[tokio::test]
async fn connections_beyond_the_limit_are_closed_and_places_are_given_anew() {
    let mut config = config();
    config.limits.connections = 1;
    let server = start(config).await;
    let first = Client::agent(&server, 1).await;
    let mut second = Client::dial(&server).await;
    assert_eq!(second.next_frame().await, None);
    assert_eq!(server.handle.counters().connections_refused.get(), 1);
    drop(first);
    until("left", || server.handle.counters().sessions_left.get() == 1).await;
    // The place is free once the first connection's task has ended: soon after.
    crate::client::soon("a place", async {
        loop {
            let mut client = Client::dial(&server).await;
            client.send(proto::ListServices::default()).await;
            if client.next_frame().await.is_some() {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn who_asks_and_never_reads_is_closed() {
    let mut config = config();
    config.limits.reply_bytes = 64 * 1024;
    let server = start(config).await;
    let mut agent = Client::agent(&server, 1).await;
    let mut out = Vec::new();
    for seq in 0..10_000 {
        skymesh_wire::encode_msg(&proto::KeepAlive { seq }.into(), &mut out);
    }
    // The system's own buffers take several MB before the limit is felt.
    agent.flood(&out).await;
    until("counted", || server.handle.counters().replies_unread.get() == 1).await;
}

/// Listings are for anyone, and large: who asks for one and does not read it is soon gone.
#[tokio::test]
async fn who_asks_for_listings_and_never_reads_is_closed() {
    let introduce_within = Duration::from_millis(500);
    let server = start(NameserverConfig { introduce_within, ..config() }).await;
    let _agent = crowd(&server, 200).await;
    let mut hostile = Client::dial(&server).await;
    // The system's own buffers take several MB before the limit is felt.
    for _ in 0..10 {
        hostile.send(proto::ListServices::default()).await;
    }
    until("counted", || server.handle.counters().replies_unread.get() == 1).await;
}
