//! Peers that send nonsense: they are told why, and nobody else notices.

use skymesh_agent::{Agent, Resolve, SendError};
use skymesh_proto::msg::Body;
use skymesh_proto::{AgentInfo, Message, Msg, RefusalReason, UnregisterInstance};
use skymesh_tests::exposition::endpoint;
use skymesh_tests::raw::{raw_agent, raw_peer, register_raw};
use skymesh_tests::scraping::{scraped, shown_at};
use skymesh_tests::v1::{info, message};
use skymesh_tests::{Mesh, SOON, next_message, within};
use skymesh_types::Handle;
use skymesh_wire::{Kind, decode_msg, encode_msg};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) fn hello(app: &str, data_codecs: &[&str]) -> Vec<u8> {
    let data_codecs = data_codecs.iter().map(|&id| id.to_owned()).collect();
    let app = app.to_owned();
    let info = AgentInfo {
        server_address: "127.0.0.1:1".to_owned(),
        app,
        protocol: 2,
        agent: 77,
        data_codecs,
    };
    let mut out = Vec::new();
    encode_msg(&Msg::from(info), &mut out);
    out
}

/// Sends `bytes` to the agent and reads until it closes; answers the reasons that it gave.
pub(crate) async fn provoke(agent: &Agent, bytes: &[u8]) -> Vec<String> {
    let mut stream = TcpStream::connect(agent.address()).await.unwrap();
    // It may close before all is written.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = within(SOON, stream.read_to_end(&mut answer)).await;
    let mut reasons = Vec::new();
    let mut rest = &answer[..];
    while let Some((header, tail)) = rest.split_first_chunk::<4>() {
        let (body, tail) = tail.split_at(u32::from_be_bytes(*header) as usize);
        if let Some(Body::Refusal(refusal)) = decode_msg(body.to_vec()).unwrap().body {
            reasons.push(refusal.reason);
        }
        rest = tail;
    }
    reasons
}

pub(crate) fn frame(body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32).to_be_bytes()[..], body].concat()
}

#[tokio::test]
async fn nonsense_closes_its_own_connection_with_a_reason() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    let (_server, mut inbox) = agent.register("app.test.server/1").await.unwrap();
    let (client, _inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "over the limit"),
        (frame(&[0xff; 40]), "not a skymesh message"),
        (frame(&[]), "did not introduce itself"),
        (hello("other", &[]), "is of app `other`"),
        (hello("app", &["nothing"]), "codec `nothing`"),
        (hello("app", &["c"; 9]), "9 codecs"),
        ([hello("app", &[]), frame(&[0, 1, 2])].concat(), "hello did not name"),
        ([hello("app", &[]), frame(&[0x08])].concat(), "not a skymesh message"),
        ([hello("app", &[]), u32::MAX.to_be_bytes().to_vec()].concat(), "over the limit"),
        ([hello("app", &[]), vec![0, 0, 1, 0, 1]].concat(), "frame"),
    ];
    for (bytes, expected) in &cases {
        let reasons = provoke(&agent, bytes).await;
        assert!(reasons.iter().any(|r| r.contains(expected)), "{expected:?} is not in {reasons:?}");
    }
    assert_eq!(agent.counters().connections_refused.get(), cases.len() as u64);
    client.send("app.test.server/1", b"still there").await.unwrap();
    assert_eq!(next_message(&mut inbox).await.payload(), &b"still there"[..]);
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused_before_anything_is_sent() {
    let mesh = Mesh::start().await;
    let (_server, mut inbox) = mesh.agent().await.register("app.test.server/1").await.unwrap();
    let (client, _inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    let limit = 16 * 1024 * 1024;
    let error = client.send("app.test.server/1", vec![0; limit]).await.unwrap_err();
    assert!(matches!(error, SendError::TooLarge { .. }), "{error}");
    // The largest that fits is larger than the window and the connection's buffer, and arrives.
    let large = vec![9; limit - 2048];
    client.send("app.test.server/1", &large).await.unwrap();
    assert_eq!(next_message(&mut inbox).await.payload(), &large);
    client.send("app.test.server/1", b"and after it").await.unwrap();
    assert_eq!(next_message(&mut inbox).await.payload(), &b"and after it"[..]);
}

#[tokio::test]
async fn messages_that_are_refused_one_by_one_are_told_and_shown_by_reason() {
    let mesh = Mesh::start().await;
    let endpoint = endpoint();
    let agent = shown_at(mesh.builder(), endpoint).connect().await.unwrap();
    let (server, mut inbox) = agent.register("app.test.server/1").await.unwrap();
    let router = agent.router("app.test.ghost").unwrap();
    let ghost = info("app.test.ghost", 1, 11);
    let mut at_nameserver = raw_agent(&mesh.address().to_string(), 9).await;
    register_raw(&mut at_nameserver, [ghost.clone()].into_iter()).await;
    router.wait_until(SOON, |resolve| matches!(resolve, Resolve::Ready(_))).await.unwrap();
    let mut peer = raw_peer(agent.address(), 9, ghost.clone()).await;
    peer.send(message(ghost.clone(), server.handle(), "taken")).await;
    assert_eq!(next_message(&mut inbox).await.payload(), "taken");

    let of_ghost = |to| message(ghost.clone(), to, "refused");
    let nobody = Handle::new(99).unwrap();
    let keyed = u32::from(Kind::MESSAGE.keyed().0);
    let to = server.handle();
    let now = [
        (of_ghost(nobody), RefusalReason::UnknownHandle, "unknown_handle"),
        (Message { kind: keyed, ..of_ghost(to) }, RefusalReason::Malformed, "malformed"),
        (
            message(info("app.test.ghost", 2, 12), to, "refused"),
            RefusalReason::UnknownSource,
            "unknown_source",
        ),
    ];
    let left = [(of_ghost(to), RefusalReason::SourceOffline, "source_offline")];
    let mut shown = Vec::new();
    for (of_left, cases) in [(false, &now[..]), (true, &left[..])] {
        if of_left {
            at_nameserver.send(UnregisterInstance { request: 2, handle: 11 }).await;
            router.wait_until(SOON, |resolve| matches!(resolve, Resolve::Empty)).await.unwrap();
        }
        for (sent, reason, name) in cases {
            peer.send(sent.clone()).await;
            let said = peer.hears(|body| match body {
                Body::Refused(said) => Some((said.reason(), said.messages)),
                _ => None,
            });
            assert_eq!(said.await, (*reason, 1));
            shown.push(*name);
        }
    }
    let refused = "skymesh_messages_refused_total";
    let all = [&shown[..], &["inbox_full", "closing", "stale_term", "not_leader"]].concat();
    scraped(endpoint, |read| {
        let counts = |name: &&str| {
            let expected = f64::from(u8::from(shown.contains(name)));
            read.value(refused, &[("reason", *name)]) == Some(expected)
        };
        all.iter().all(counts)
    })
    .await;
}
