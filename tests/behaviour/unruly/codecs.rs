//! Codecs: what one can't encode or decode is that message's loss, and told; what others send flows.
//! None is taken out of service (D11).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde_json::{Value, json};
use skymesh_agent::Delivery;
use skymesh_plugin_host::{PluginKind, PluginState};
use skymesh_tests::{Mesh, SOON, next_message, services, within};
use tokio::time::timeout;

use super::{Client, Servers, optional, told, unruly};

fn table(codec: &Value) -> Value {
    json!({ "app.unruly.*": { "codec": codec } })
}

/// One that panics, or asks for more space whatever it is given: the output buffer's size never
/// suffices.
#[tokio::test]
async fn what_it_can_not_encode_is_told_to_the_sender_and_the_rest_flows() {
    let cases = [
        ("panic_in_call", 3, "the codec panicked", "it panicked; failures so far: "),
        ("insatiable", 1, "asked for more space", "it asked for more space than it had said"),
    ];
    for (mischief, every, refusal, reason) in cases {
        let mesh = Mesh::start().await;
        let mut servers = Servers::start(&mesh, 1, table(&unruly("none", 1))).await;
        let (beside, mut beside_inbox) = servers.agent.register("app.test.beside/1").await.unwrap();
        let client = Client::start(&mesh, table(&unruly(mischief, every))).await;
        let (mut refused, mut sent) = (0, 0);
        for number in 0..30u8 {
            match client.me.send("app.unruly.server/1", [number]).await {
                Ok(()) => sent += 1,
                Err(error) => {
                    assert!(error.to_string().contains(refusal), "{mischief}: {error}");
                    refused += 1;
                }
            }
            client.me.send(beside.url().clone(), [number]).await.unwrap();
        }
        assert!(refused >= 10, "{mischief}: only {refused} were refused");
        for number in 0..30u8 {
            assert_eq!(next_message(&mut beside_inbox).await.payload(), &[number][..]);
        }
        for _ in 0..sent {
            next_message(&mut servers.instances[0].1).await;
        }
        let report = || client.agent.plugins();
        told(report, PluginKind::Codec, (PluginState::Degraded, reason)).await;
    }
}

#[tokio::test]
async fn one_that_blocks_is_shown_and_all_arrives() {
    let mesh = Mesh::start().await;
    let mut servers = Servers::start(&mesh, 1, table(&unruly("none", 1))).await;
    let client = Client::start(&mesh, table(&unruly("stall", 1))).await;
    let router = client.router(1).await;
    client.send(&router, 20).await;
    assert_eq!(servers.count(&client.me).await, 20);
    let said = (PluginState::Degraded, "it took longer than 1ms; failures so far: ");
    told(|| client.agent.plugins(), PluginKind::Codec, said).await;
}

/// Who can't be understood is cut off, and comes again; others of the process are not disturbed. Of what was
/// accepted nothing vanishes: it arrives once and in order, is told, or was on a connection that was cut off
/// (D6), which counts what it may have taken with it.
#[tokio::test]
async fn what_it_can_not_decode_ends_that_connection_and_messages_flow_again() {
    let cases = [
        ("panic_in_call", "it panicked; failures so far: "),
        ("foreign_bytes", "neither in the input nor in the scratch"),
    ];
    for (mischief, reason) in cases {
        let mesh = Mesh::start().await;
        let mut servers = Servers::start(&mesh, 1, table(&unruly(mischief, 5))).await;
        let (beside, mut beside_inbox) = servers.agent.register("app.test.beside/1").await.unwrap();
        let client = Client::start(&mesh, table(&unruly("none", 1))).await;
        let (other, _inbox) = mesh.agent().await.register("app.test.other/1").await.unwrap();
        let arrived = Arc::new(AtomicU64::new(0));
        let (_server, mut inbox) = servers.instances.remove(0);
        let taken = Arc::clone(&arrived);
        let taker = tokio::spawn(async move {
            let mut last = 0;
            while let Some(delivery) = inbox.recv().await {
                let Delivery::Message(message) = delivery else { continue };
                let number = u64::from_le_bytes(message.payload()[..].try_into().unwrap());
                assert!(number > last, "{number} after {last}");
                last = number;
                taken.fetch_add(1, Relaxed);
            }
        });
        let mut accepted = 0;
        let flowing = async {
            for number in 1u64.. {
                // While the connection is made anew, some are refused.
                let sent = client.me.send("app.unruly.server/1", number.to_le_bytes()).await;
                accepted += u64::from(sent.is_ok());
                tokio::task::yield_now().await;
                if arrived.load(Relaxed) >= 24 {
                    break;
                }
            }
        };
        within(SOON, flowing).await;
        let counters = client.agent.counters();
        let accounts = || {
            let told = counters.undeliverable.get();
            (arrived.load(Relaxed) + told, counters.unconfirmed.get())
        };
        let all_accounted = async {
            while accounts().0 + accounts().1 < accepted {
                tokio::task::yield_now().await;
            }
        };
        if timeout(SOON, all_accounted).await.is_err() {
            panic!(
                "{mischief}: {accepted} were accepted, but (known, may be lost) {:?}",
                accounts()
            );
        }
        let (known, may_be_lost) = accounts();
        assert!(known <= accepted && may_be_lost > 0, "{known} {may_be_lost} {accepted}");
        for number in 0..30u8 {
            other.send(beside.url().clone(), [number]).await.unwrap();
        }
        for number in 0..30u8 {
            assert_eq!(next_message(&mut beside_inbox).await.payload(), &[number][..]);
        }
        let report = || servers.agent.plugins();
        told(report, PluginKind::Codec, (PluginState::Degraded, reason)).await;
        taker.abort();
    }
}

#[tokio::test]
async fn one_that_panics_in_its_constructor_fails_the_start_unless_it_is_optional() {
    let mesh = Mesh::start().await;
    let mut servers = Servers::start(&mesh, 1, table(&optional("panic_in_new"))).await;
    let required = mesh.builder().services(services(table(&unruly("panic_in_new", 1))));
    let error = required.connect().await.unwrap_err().to_string();
    assert!(error.contains("the constructor panicked: mischief in new"), "{error}");
    let client = Client::start(&mesh, table(&optional("panic_in_new"))).await;
    client.send(&client.router(1).await, 20).await;
    assert_eq!(servers.count(&client.me).await, 20, "in the core's own form");
    let said = (PluginState::Checked, "the constructor panicked: mischief in new");
    told(|| client.agent.plugins(), PluginKind::Codec, said).await;
}

/// It lives as long as a connection that uses it.
#[tokio::test]
async fn one_that_panics_when_it_is_dropped_is_named() {
    let mesh = Mesh::start().await;
    let mut servers = Servers::start(&mesh, 1, table(&unruly("none", 1))).await;
    let client = Client::start(&mesh, table(&unruly("panic_in_drop", 1))).await;
    client.send(&client.router(1).await, 20).await;
    assert_eq!(servers.count(&client.me).await, 20);
    // Another codec for new connections; the old connection ends with its peer.
    client.reload(table(&unruly("none", 2))).await;
    within(SOON, servers.agent.shutdown()).await;
    let report = || client.agent.plugins();
    let said = (PluginState::Active, "it panicked when it was dropped");
    told(report, PluginKind::Codec, said).await;
    let mut servers = Servers::start(&mesh, 1, table(&unruly("none", 1))).await;
    client.send(&client.router(1).await, 20).await;
    assert_eq!(servers.count(&client.me).await, 20);
}
