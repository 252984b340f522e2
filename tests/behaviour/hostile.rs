//! Peers that send nonsense: they are told why, and nobody else notices.

use skymesh_agent::{Agent, SendError};
use skymesh_proto::msg::Body;
use skymesh_proto::{AgentInfo, Msg};
use skymesh_tests::{Mesh, SOON, next_message, within};
use skymesh_wire::{decode_msg, encode_msg};
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
