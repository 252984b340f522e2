//! The admin channel: who is let in, and what they can do. Operators use the client that programs and
//! the command line use; who has no business here speaks raw frames.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use skymesh_nameserver::{
    AdminClient, AdminConfig, AdminError, Nameserver, NameserverConfig, StoreConfig, Token,
};
use skymesh_naming::{KickTarget, ResultCode};
use skymesh_proto as proto;
use skymesh_proto::InstanceState::{Draining, Offline, Online};
use skymesh_proto::msg::Body;
use skymesh_types::{AttributeChange, Handle, ServiceUrl, SessionId};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{Client, Server, config, serve, soon, start};

const DIAL: Duration = Duration::from_secs(5);

fn with_token(path: &Path) -> NameserverConfig {
    NameserverConfig { admin: AdminConfig { token_file: Some(path.to_owned()) }, ..config() }
}

/// A nameserver in memory with an admin channel, and the token.
async fn operated() -> (Server, Token, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let server = start(with_token(&path)).await;
    (server, Token::read(&path).unwrap(), folder)
}

async fn connect(server: &Server, token: &Token) -> Result<AdminClient, AdminError> {
    let address = server.handle.local_addr().to_string();
    soon("connect", AdminClient::connect(&address, token, DIAL)).await
}

fn other_token() -> Token {
    let folder = tempfile::tempdir().unwrap();
    Token::read_or_make(&folder.path().join("token")).unwrap()
}

fn url(instance: u64) -> ServiceUrl {
    format!("app.env.room/{instance}").parse().unwrap()
}

fn set(key: &str, value: u64) -> AttributeChange {
    AttributeChange { set: [(key.to_owned(), value.into())].into(), unset: Vec::new() }
}

#[tokio::test]
async fn operators_kick_drain_and_override() {
    let (server, token, _folder) = operated().await;
    let mut agent = Client::dial(&server).await;
    let session = SessionId::new(agent.introduce(1, 0).await.session).unwrap();
    for n in 1..=3 {
        agent.register(&url(n).to_string(), 10 + n).await;
    }
    let mut watcher = Client::agent(&server, 9).await;
    watcher.snapshot("app.env.room").await;

    let mut operator = connect(&server, &token).await.unwrap();
    let drained = operator.drain(&url(1)).await.unwrap();
    let delta = watcher.delta().await;
    assert_eq!((delta.revision, delta.changes[0].state()), (drained.0, Draining));

    operator.override_attributes(&url(2), set("load", 9), None).await.unwrap();
    assert_eq!(watcher.delta().await.changes[0].attributes, r#"{"load":9}"#);
    let unset = AttributeChange { set: Default::default(), unset: vec!["load".to_owned()] };
    operator.override_attributes(&url(2), unset, None).await.unwrap();
    assert_eq!(watcher.delta().await.changes[0].attributes, "");
    // It ends by itself.
    let moment = Some(Duration::from_nanos(1));
    operator.override_attributes(&url(2), set("load", 1), moment).await.unwrap();
    let mut seen = Vec::new();
    while seen.last() != Some(&Bytes::new()) {
        seen.extend(watcher.delta().await.changes.into_iter().map(|change| change.attributes));
    }

    operator.kick(KickTarget::Url(url(1)), "by url").await.unwrap();
    operator.kick(KickTarget::Instance(Handle::new(12).unwrap()), "by handle").await.unwrap();
    for (handle, reason) in [(11, "by url"), (12, "by handle")] {
        let Body::KickOffInstance(kicked) = agent.next().await else { panic!("kicked") };
        assert_eq!((kicked.handle, kicked.reason.as_str()), (handle, reason));
    }
    operator.kick(KickTarget::Session(session), "by lease").await.unwrap();
    watcher.sees(Offline, &[11, 12, 13]).await;
    assert!(agent.last_word().await.unwrap().contains("an operator kicked the session off"));
    assert_eq!(server.handle.counters().admin_requests.get(), 7);
}

#[tokio::test]
async fn what_is_not_done_is_answered_with_the_reason() {
    let (server, token, _folder) = operated().await;
    let mut operator = connect(&server, &token).await.unwrap();
    let AdminError::NotDone { code, reason } = operator.drain(&url(7)).await.unwrap_err() else {
        panic!("no such instance")
    };
    assert_eq!(code, ResultCode::UNKNOWN_INSTANCE);
    assert_eq!(reason, "no instance `app.env.room/7` is registered; see `skymesh services`");
    let session = KickTarget::Session(SessionId::new(77).unwrap());
    let error = operator.kick(session, "").await.unwrap_err().to_string();
    assert_eq!(error, "there is no such session; see `skymesh services`");
    let long = set(&"k".repeat(200), 1);
    let error = operator.override_attributes(&url(1), long, None).await.unwrap_err().to_string();
    assert!(error.contains("ATTRIBUTE_KEY_BYTES"), "{error}");
    // And the connection goes on.
    operator.override_attributes(&url(1), set("load", 9), None).await.unwrap();
}

#[tokio::test]
async fn overrides_through_the_channel_are_durable() {
    let folder = tempfile::tempdir().unwrap();
    let config = || NameserverConfig { store: StoreConfig::file(folder.path()), ..config() };
    let server = start(config()).await;
    let token = Token::read(&folder.path().join("admin.token")).expect("made at the first start");
    let mut operator = connect(&server, &token).await.unwrap();
    operator.override_attributes(&url(1), set("load", 9), None).await.unwrap();
    drop(operator);
    server.handle.stop();
    soon("stop", server.running).await.unwrap();
    drop(server.handle);

    let server = soon("the folder is free", async {
        loop {
            match Nameserver::bind(config()).await {
                Ok(nameserver) => return serve(nameserver),
                Err(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await;
    let mut agent = Client::agent(&server, 1).await;
    agent.register("app.env.room/1", 11).await;
    let snapshot = agent.snapshot("app.env.room").await;
    assert_eq!(snapshot.instances[0].attributes, r#"{"load":9}"#);
    connect(&server, &token).await.expect("the token is the same");
}

#[tokio::test]
async fn an_operator_with_another_token_finds_out_before_it_asks() {
    let (server, _, _folder) = operated().await;
    let error = connect(&server, &other_token()).await.unwrap_err();
    assert!(matches!(error, AdminError::WrongToken { .. }), "{error}");
    assert!(error.to_string().contains("use the one in its token file"), "{error}");
}

#[tokio::test]
async fn without_a_token_there_is_no_channel() {
    let server = start(config()).await;
    let error = connect(&server, &other_token()).await.unwrap_err();
    assert!(matches!(error, AdminError::Refused { .. }), "{error}");
    assert!(error.to_string().contains("name a file for its token"), "{error}");
    assert_eq!(server.handle.counters().admin_denied.get(), 1);
}

#[tokio::test]
async fn a_token_that_others_may_read_stops_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    Token::read_or_make(&path).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
    let error = Nameserver::bind(with_token(&path)).await.unwrap_err().to_string();
    assert!(error.contains("has the permissions 644"), "{error}");
    assert!(error.ends_with("(nameserver.admin.token_file)"), "{error}");
}

/// Greets as an operator and takes the challenge.
async fn challenged(server: &Server, nonce: u8) -> (Client, proto::AdminChallenge) {
    let mut client = Client::dial(server).await;
    client.send(proto::AdminHello { nonce: vec![nonce; 32].into() }).await;
    let Body::AdminChallenge(challenge) = client.next().await else { panic!("a challenge") };
    assert_eq!((challenge.nonce.len(), challenge.proof.len()), (32, 32));
    (client, challenge)
}

fn kick() -> proto::AdminRequest {
    use prost::Message;
    let target = Some(proto::admin_kick::Target::Url(url(1).to_string()));
    let kick = proto::AdminKick { target, reason: String::new() };
    let operation = Some(proto::admin_operation::Operation::Kick(kick));
    let operation = proto::AdminOperation { operation }.encode_to_vec().into();
    proto::AdminRequest { operation, proof: Bytes::new() }
}

#[tokio::test]
async fn who_proves_nothing_is_sent_away_with_nothing_done() {
    let (server, _, _folder) = operated().await;
    let mut agent = Client::agent(&server, 1).await;
    agent.register("app.env.room/1", 11).await;
    let (_, another) = challenged(&server, 1).await;
    let proofs = [
        ("none", Bytes::new()),
        ("zeros", vec![0; 32].into()),
        ("another connection's", another.proof.clone()),
    ];
    for (what, proof) in proofs {
        let (mut stranger, challenge) = challenged(&server, 1).await;
        assert_ne!(challenge.nonce, another.nonce, "never the same");
        stranger.send(proto::AdminRequest { proof, ..kick() }).await;
        let word = stranger.last_word().await.unwrap();
        assert!(word.starts_with("the token is not that of this nameserver"), "{what}: {word}");
    }
    // The nameserver's own proof, given back.
    let (mut stranger, challenge) = challenged(&server, 1).await;
    stranger.send(proto::AdminRequest { proof: challenge.proof, ..kick() }).await;
    assert!(stranger.last_word().await.is_some());

    let mut hasty = Client::dial(&server).await;
    hasty.send(kick()).await;
    assert_eq!(hasty.next_frame().await, None, "who says no hello is told nothing");
    let mut short = Client::dial(&server).await;
    short.send(proto::AdminHello { nonce: vec![1; 31].into() }).await;
    assert!(short.last_word().await.unwrap().contains("a nonce of 32 bytes"));
    let (mut twice, _) = challenged(&server, 1).await;
    twice.send(proto::AdminHello { nonce: vec![1; 32].into() }).await;
    assert!(twice.last_word().await.unwrap().contains("must come first, once"));

    assert_eq!(server.handle.counters().admin_requests.get(), 0);
    let snapshot = agent.snapshot("app.env.room").await;
    assert_eq!(crate::client::brief(&snapshot.instances), [(11, Online)]);
}

/// A man in the middle: copies bytes both ways through `change`.
async fn between(
    nameserver: std::net::SocketAddr,
    change: impl Fn(usize, &mut Vec<u8>) + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        let (mut operator, _) = listener.accept().await.unwrap();
        let mut nameserver = TcpStream::connect(nameserver).await.unwrap();
        // Question and answer take turns: 0 hello, 1 challenge, 2 request, 3 reply.
        for turn in 0.. {
            let (from, to) = match turn % 2 {
                0 => (&mut operator, &mut nameserver),
                _ => (&mut nameserver, &mut operator),
            };
            let Ok(length) = from.read_u32().await else { return };
            let mut body = vec![0; usize::try_from(length).unwrap()];
            from.read_exact(&mut body).await.unwrap();
            change(turn, &mut body);
            to.write_u32(length).await.unwrap();
            to.write_all(&body).await.unwrap();
        }
    });
    address
}

/// Replaces a part of a body by as many bytes.
fn replace(body: &mut [u8], old: &[u8], new: &[u8]) {
    assert_eq!(old.len(), new.len());
    let at = body.windows(old.len()).position(|part| part == old).expect("it is in there");
    body[at..at + old.len()].copy_from_slice(new);
}

#[tokio::test]
async fn the_token_is_not_on_the_wire_and_nothing_can_be_changed_there() {
    let (server, token, folder) = operated().await;
    let secret = std::fs::read(folder.path().join("token")).unwrap().trim_ascii().to_vec();
    let mut agent = Client::agent(&server, 1).await;
    for n in 1..=2 {
        agent.register(&url(n).to_string(), 10 + n).await;
    }
    let nameserver = server.handle.local_addr();

    // Listening.
    let address = between(nameserver, move |_, body| {
        assert!(!body.windows(secret.len()).any(|part| part == secret), "the token is sent");
    });
    let mut operator = AdminClient::connect(&address.await, &token, DIAL).await.unwrap();
    operator.drain(&url(1)).await.unwrap();

    // Changing the request: instance 2 instead of 1.
    let address = between(nameserver, |turn, body| {
        if turn == 2 {
            replace(body, b"app.env.room/1", b"app.env.room/2");
        }
    });
    let mut operator = AdminClient::connect(&address.await, &token, DIAL).await.unwrap();
    let error = operator.drain(&url(1)).await.unwrap_err();
    assert!(matches!(error, AdminError::Refused { .. }), "{error}");

    // Changing the reply: another reason.
    let address = between(nameserver, |turn, body| {
        if turn == 3 {
            replace(body, b"registered", b"Registered");
        }
    });
    let mut operator = AdminClient::connect(&address.await, &token, DIAL).await.unwrap();
    let error = operator.drain(&url(3)).await.unwrap_err();
    assert!(matches!(error, AdminError::Forged { .. }), "{error}");

    let states = agent.snapshot("app.env.room").await.instances;
    assert_eq!(crate::client::brief(&states), [(11, Draining), (12, Online)]);
}
