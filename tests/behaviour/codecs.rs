//! Codecs loaded from shared libraries, as messages meet them: what is sent arrives unchanged, the
//! configured form is what travels, and hostile bytes close their own connection only.

use std::net::SocketAddr;

use serde_json::{Value, json};
use skymesh_agent::config::AgentConfig;
use skymesh_agent::{Agent, AgentBuilder, FreshConfig, ReloadOutcome};
use skymesh_plugin_host::{PluginState, PluginsConfig};
use skymesh_tests::{Mesh, SOON, next_message, services, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const SERVER: &str = "app.test.server/1";

/// The codecs, each with a configuration.
fn codecs() -> [Value; 6] {
    [
        json!({ "use": "compact" }),
        json!({ "use": "protobuf" }),
        json!({ "use": "json" }),
        json!({ "use": "lz4" }),
        json!({ "use": "zstd" }),
        json!({ "use": "zstd", "config": { "threshold_bytes": 0, "level": 9 } }),
    ]
}

async fn agent(mesh: &Mesh, codec: &Value) -> Agent {
    let table = json!({ "app.*.*": { "codec": codec } });
    let agent = mesh.builder().services(services(table)).connect().await.unwrap();
    let is_it = |id: &str| codec["use"] == *id;
    let report = agent.plugins();
    let active = report
        .iter()
        .any(|one| one.id.as_deref().is_some_and(is_it) && one.state == PluginState::Active);
    assert!(active, "{codec}: {report:?}");
    agent
}

/// Payloads around the edges of what is packed and escaped, repeating and not.
fn payloads() -> Vec<Vec<u8>> {
    let text = "Nice to \"meet\" you, ä€.\r\n";
    let mut payloads: Vec<Vec<u8>> =
        [0, 1, 511, 512, 513, 70_000, 300_000].into_iter().map(|len| vec![b'x'; len]).collect();
    payloads.extend([1, 20, 5000].map(|times| text.repeat(times).into_bytes()));
    // The high bits of a multiplicative sequence scrambled: nothing packs them.
    let noise = |len: u64| {
        let scrambled = (0..len).map(|at| at.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        scrambled
            .map(|word| ((word ^ (word >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 56) as u8)
    };
    payloads.extend([700, 100_000].map(|len| noise(len).collect()));
    payloads
}

#[tokio::test]
async fn what_is_sent_arrives_unchanged_in_every_form() {
    for codec in codecs() {
        let mesh = Mesh::start().await;
        let (_server, mut inbox) = agent(&mesh, &codec).await.register(SERVER).await.unwrap();
        let (client, _inbox) =
            agent(&mesh, &codec).await.register("app.test.client/1").await.unwrap();
        for payload in payloads() {
            client.send(SERVER, &payload).await.unwrap();
        }
        for payload in payloads() {
            let message = next_message(&mut inbox).await;
            assert!(message.payload() == &payload, "{codec}: {} bytes", payload.len());
        }
    }
}

/// Nobody else listens at this loopback address, so the port of a listener at another is free here.
const BEHIND: [u8; 4] = [127, 77, 0, 1];

/// Passes one connection on to the port of its own at [`BEHIND`], and answers all bytes of its first
/// direction at its end.
async fn tap() -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let to = SocketAddr::from((BEHIND, address.port()));
    let task = tokio::spawn(async move {
        let (from, _) = listener.accept().await.unwrap();
        let onward = TcpStream::connect(to).await.unwrap();
        let (mut from_read, mut from_write) = from.into_split();
        let (mut to_read, mut to_write) = onward.into_split();
        let back =
            tokio::spawn(async move { tokio::io::copy(&mut to_read, &mut from_write).await });
        let (mut seen, mut space) = (Vec::new(), vec![0; 1 << 16]);
        while let Ok(len) = from_read.read(&mut space).await {
            if len == 0 || to_write.write_all(&space[..len]).await.is_err() {
                break;
            }
            seen.extend_from_slice(&space[..len]);
        }
        let _ = to_write.shutdown().await;
        let _ = back.await;
        seen
    });
    (address, task)
}

pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// An agent with that codec, the first connection to which is tapped.
async fn tapped_agent(mesh: &Mesh, codec: &Value) -> (Agent, JoinHandle<Vec<u8>>) {
    tapped(mesh, mesh.builder().services(services(json!({ "app.*.*": { "codec": codec } })))).await
}

/// An agent, the first connection to which is tapped.
pub(crate) async fn tapped(mesh: &Mesh, builder: AgentBuilder) -> (Agent, JoinHandle<Vec<u8>>) {
    let (front, tapped) = tap().await;
    let config = AgentConfig {
        listen: SocketAddr::from((BEHIND, front.port())),
        advertise: Some(front.to_string()),
        ..mesh.config()
    };
    (builder.config(config).connect().await.unwrap(), tapped)
}

/// What one 100 000-byte message of a repeated sentence looks like between two agents.
async fn on_the_wire(codec: &Value) -> Vec<u8> {
    let payload = b"The same sentence again and again. ".repeat(100_000 / 35);
    let mesh = Mesh::start().await;
    let (server, tapped) = tapped_agent(&mesh, codec).await;
    let (_server, mut inbox) = server.register(SERVER).await.unwrap();
    let client_agent = agent(&mesh, codec).await;
    let (client, _inbox) = client_agent.register("app.test.client/1").await.unwrap();
    client.send(SERVER, &payload).await.unwrap();
    assert!(next_message(&mut inbox).await.payload() == &payload, "{codec}");
    within(SOON, client_agent.shutdown()).await;
    within(SOON, server.shutdown()).await;
    within(SOON, tapped).await.unwrap()
}

#[tokio::test]
async fn the_configured_form_is_what_travels() {
    let sentence = b"The same sentence again and again.";
    let plain = on_the_wire(&json!({ "use": "compact" })).await;
    assert!(plain.len() > 100_000 - 35 && contains(&plain, sentence));
    let json = on_the_wire(&json!({ "use": "json" })).await;
    assert!(contains(&json, br#","kind":"message","text":"The same sentence again"#));
    let lz4 = on_the_wire(&json!({ "use": "lz4" })).await;
    assert!(lz4.len() < 3000, "{} bytes", lz4.len());
    let zstd = on_the_wire(&json!({ "use": "zstd" })).await;
    assert!(zstd.len() < 2000, "{} bytes", zstd.len());
    let threshold = json!({ "use": "lz4", "config": { "threshold_bytes": 100_001 } });
    assert!(on_the_wire(&threshold).await.len() > 100_000 - 35);
}

#[tokio::test]
async fn two_services_have_two_tables_of_one_codec() {
    let mesh = Mesh::start().await;
    let sentence = b"The same sentence again and again. ";
    let payload = sentence.repeat(100_000 / 35);
    // Patterns in both orders: neither table may serve for both.
    let table = json!({
        "app.a.*": { "codec": { "use": "lz4" } },
        "app.b.*": { "codec": { "use": "lz4", "config": { "threshold_bytes": 100_001 } } },
        "app.c.*": { "codec": { "use": "lz4" } },
    });
    let builder = || mesh.builder().services(services(table.clone()));
    let (server, tap) = tapped(&mesh, builder()).await;
    let clients = builder().connect().await.unwrap();
    let (client, _inbox) = clients.register("app.test.client/1").await.unwrap();
    let mut servers = Vec::new();
    for service in ["app.a.server/1", "app.b.server/1", "app.c.server/1"] {
        let (instance, mut inbox) = server.register(service).await.unwrap();
        client.send(service, &payload).await.unwrap();
        assert!(next_message(&mut inbox).await.payload() == &payload, "{service}");
        // The one connection lasts for as long as there is somebody to send to.
        servers.push((instance, inbox));
    }
    within(SOON, clients.shutdown()).await;
    within(SOON, server.shutdown()).await;
    let seen = within(SOON, tap).await.unwrap();
    // One of the three travels as it is.
    let plain = payload.len();
    assert!((plain..plain + 10_000).contains(&seen.len()), "{} bytes", seen.len());
    assert!(contains(&seen, &payload));
}

#[tokio::test]
async fn a_reload_brings_new_connections_another_codec_and_leaves_the_old_ones_theirs() {
    let mesh = Mesh::start().await;
    let (json, compact) = (json!({ "use": "json" }), json!({ "use": "compact" }));
    let (first, first_tap) = tapped_agent(&mesh, &json).await;
    let (_first, mut first_inbox) = first.register(SERVER).await.unwrap();
    let clients = agent(&mesh, &json).await;
    let (client, _inbox) = clients.register("app.test.client/1").await.unwrap();
    client.send(SERVER, "before").await.unwrap();
    assert_eq!(next_message(&mut first_inbox).await.payload(), "before");

    let table = services(json!({ "app.*.*": { "codec": compact } }));
    let fresh = FreshConfig::new(mesh.config(), table, PluginsConfig::default());
    let reload = within(SOON, clients.reload_with(fresh)).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    let (second, second_tap) = tapped_agent(&mesh, &compact).await;
    let (second_server, mut second_inbox) = second.register("app.test.server/2").await.unwrap();
    clients
        .router("app.test.server")
        .unwrap()
        .wait_until(SOON, |r| r.members().len() == 2)
        .await
        .unwrap();
    client.send(second_server.url(), "a new one").await.unwrap();
    assert_eq!(next_message(&mut second_inbox).await.payload(), "a new one");
    client.send(SERVER, "after").await.unwrap();
    assert_eq!(next_message(&mut first_inbox).await.payload(), "after");

    for agent in [&clients, &first, &second] {
        within(SOON, agent.shutdown()).await;
    }
    let (first, second) = (first_tap.await.unwrap(), second_tap.await.unwrap());
    for text in ["before", "after"] {
        let form = format!(r#","kind":"message","text":"{text}""#);
        assert!(contains(&first, form.as_bytes()), "{}", String::from_utf8_lossy(&first));
    }
    assert!(contains(&second, b"a new one") && !contains(&second, br#""kind""#));
}

/// A peer that claims a packed message of a gigabyte is told off; the others do not notice.
#[tokio::test]
async fn a_bomb_closes_its_own_connection_only() {
    for codec in ["lz4", "zstd", "json"] {
        let mesh = Mesh::start().await;
        let server = agent(&mesh, &json!({ "use": codec })).await;
        let (_server, mut inbox) = server.register(SERVER).await.unwrap();
        let client = agent(&mesh, &json!({ "use": codec })).await;
        let (client, _inbox) = client.register("app.test.client/1").await.unwrap();
        client.send(SERVER, "before").await.unwrap();

        let mut bomb = vec![0, 1, 1, 0];
        bomb.extend_from_slice(&[7; 16]);
        // No flags, epoch, correlation or metadata; 2^30 bytes packed into 4.
        bomb.extend_from_slice(&[0, 0, 0, 0, 0x80, 0x80, 0x80, 0x80, 4, 1, 2, 3, 4]);
        let hello = crate::hostile::hello("app", &[codec]);
        let reasons =
            crate::hostile::provoke(&server, &[hello, crate::hostile::frame(&bomb)].concat()).await;
        let expected = if codec == "json" { "no JSON object" } else { "less than 1/1024" };
        assert!(reasons.iter().any(|one| one.contains(expected)), "{codec}: {reasons:?}");

        client.send(SERVER, "after").await.unwrap();
        assert_eq!(next_message(&mut inbox).await.payload(), &b"before"[..]);
        assert_eq!(next_message(&mut inbox).await.payload(), &b"after"[..]);
    }
}
