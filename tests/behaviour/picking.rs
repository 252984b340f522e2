//! Selectors loaded from shared libraries, as messages meet them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use skymesh_agent::Resolve;
use skymesh_agent::config::AgentConfig;
use skymesh_tests::{Mesh, Node, SOON, Stock, both_ways, next_message, services};
use skymesh_types::{InstanceId, Key};

const NODE: &str = env!("CARGO_BIN_EXE_mesh-node");

// Whatever way the plugins come to the process.
both_ways! {
    defect_01_the_same_mod_hash_key_picks_the_same_instance_in_every_process,
    defect_02_quality_spreads_penalises_errors_and_takes_the_unknown_for_the_median,
    the_configured_selector_and_codec_decide,
}

/// Defect 1 of the origin: instances were kept in the order of their arrival.
async fn defect_01_the_same_mod_hash_key_picks_the_same_instance_in_every_process(stock: Stock) {
    const KEYS: usize = 200;
    let mesh = Mesh::start().await.with(stock);
    let nameserver = mesh.address().to_string();
    let mut servers = Vec::new();
    let mut picks = Vec::new();
    // The first process watches before any instance is there, the others in between and after: all
    // hear of the instances in another order.
    let own = mesh
        .builder()
        .services(services(json!({ "app.*.*": { "selector": { "use": "mod_hash" } } })));
    let own = own.connect().await.unwrap();
    let router = own.router("app.test.server").unwrap();
    for instance in [9u64, 2, 11, 5, 7] {
        let url = format!("app.test.server/{instance}");
        servers.push(mesh.agent().await.register(url.as_str()).await.unwrap());
    }
    let all = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() == 5);
    router.wait_until(SOON, all).await.unwrap();
    let here: Vec<u64> = (0..KEYS as u64)
        .map(|key| router.select(Some(Key::from(key))).unwrap().url.instance.get())
        .collect();
    for _ in 0..3 {
        let mut node =
            Node::start(NODE, &["pick", &nameserver, "app.test.server", &KEYS.to_string()]);
        let said = node.says().await;
        picks.push(serde_json::from_value::<Vec<u64>>(said["picks"].clone()).unwrap());
        assert!(node.ends_well().await);
    }
    let expected: Vec<u64> = (0..KEYS).map(|key| [2, 5, 7, 9, 11][key % 5]).collect();
    assert_eq!(here, expected);
    for there in picks {
        assert_eq!(there, expected);
    }
}

/// Defect 2 of the origin: everybody goes to the smallest mean of pings.
async fn defect_02_quality_spreads_penalises_errors_and_takes_the_unknown_for_the_median(
    stock: Stock,
) {
    const PICKS: u32 = 5000;
    const FAIR: u32 = PICKS / 5;
    const MILLISECOND: u64 = 1_000_000;
    let mesh = Mesh::start().await.with(stock);
    let servers = mesh.agent().await;
    let mut registered = Vec::new();
    for instance in 1..=5u64 {
        let url = format!("app.test.server/{instance}");
        registered.push(servers.register(url.as_str()).await.unwrap());
    }
    // It measures nothing itself: the test says what was measured.
    let config = AgentConfig { ping_interval: Duration::ZERO, ..mesh.config() };
    let table = services(json!({ "app.*.*": { "selector": { "use": "quality" } } }));
    let agent = mesh.builder().config(config).services(table).connect().await.unwrap();
    let router = agent.router("app.test.server").unwrap();
    let all = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() == 5);
    router.wait_until(SOON, all).await.unwrap();
    let stats = |instance| router.stats(InstanceId::new(instance).unwrap()).unwrap();
    let picks = || {
        let mut counts = [0; 5];
        for _ in 0..PICKS {
            counts[router.select(None).unwrap().url.instance.get() as usize - 1] += 1;
        }
        counts
    };
    // One is a little nearer than the others. The origin sends everything there.
    for (instance, percent) in [(1, 95), (2, 100), (3, 100), (4, 100), (5, 105)] {
        stats(instance).set_rtt_ewma_ns(MILLISECOND * percent / 100);
    }
    let counts = picks();
    assert!(counts.iter().all(|count| (FAIR / 2..FAIR * 2).contains(count)), "{counts:?}");
    assert!(!router.health().is_degraded(), "{:?}", router.health());
    // Half of what one is asked fails.
    stats(1).set_error_ppm(500_000);
    let counts = picks();
    assert!(counts[0] < FAIR / 10, "{counts:?}");
    assert!(counts[1..].iter().all(|count| *count > FAIR / 2), "{counts:?}");
    stats(1).set_error_ppm(0);
    // Nothing is known of one: neither the best nor the worst.
    stats(5).set_rtt_ewma_ns(0);
    let counts = picks();
    assert!((FAIR / 2..FAIR * 2).contains(&counts[4]), "{counts:?}");
    // One is far away, and still gets what shows when it comes nearer.
    stats(5).set_rtt_ewma_ns(3 * MILLISECOND);
    let counts = picks();
    assert!((1..FAIR / 2).contains(&counts[4]), "{counts:?}");
}

/// Which server took how many of `messages` messages, under the selector of `config`.
async fn spread(
    (mesh, stock): (&Mesh, Stock),
    config: serde_json::Value,
    keyed: bool,
    messages: u64,
) -> BTreeMap<u64, u64> {
    let mut servers = Vec::new();
    for instance in 1..=4u64 {
        let url = format!("app.spread.server/{instance}");
        // They decode what the client is configured to send.
        let server = mesh.builder().services(services(config.clone()));
        let server = server.connect().await.unwrap();
        servers.push(server.register(url.as_str()).await.unwrap());
    }
    let agent = mesh.builder().services(services(config)).connect().await.unwrap();
    assert!(agent.plugins().iter().all(|plugin| !plugin.failed()), "{:?}", agent.plugins());
    stock.check(&agent);
    let (client, _inbox) = agent.register("app.spread.client/1").await.unwrap();
    let router = agent.router("app.spread.server").unwrap();
    let all = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() == 4);
    router.wait_until(SOON, all).await.unwrap();
    for key in 0..messages {
        if keyed {
            client.send(router.key(key % 8), key.to_le_bytes()).await.unwrap();
        } else {
            client.send(&router, key.to_le_bytes()).await.unwrap();
        }
    }
    client.broadcast(router.name(), [0xff]).await.unwrap();
    let mut counts = BTreeMap::new();
    for (server, inbox) in &mut servers {
        let mut count = 0;
        while next_message(inbox).await.payload().len() > 1 {
            count += 1;
        }
        counts.insert(server.url().instance.get(), count);
    }
    for (server, _) in &servers {
        server.unregister().await.unwrap();
    }
    let router = agent.router("app.spread.server").unwrap();
    assert!(!router.health().is_degraded(), "{:?}", router.health());
    client.unregister().await.unwrap();
    counts
}

async fn the_configured_selector_and_codec_decide(stock: Stock) {
    let mesh = &Mesh::start().await.with(stock);
    let table = |selector: &str, codec: &str| json!({ "app.spread.*": { "selector": { "use": selector }, "codec": { "use": codec } } });
    // In one task round robin is exact.
    let even = spread((mesh, stock), table("round_robin", "compact"), false, 400).await;
    assert_eq!(even.into_values().collect::<Vec<_>>(), [100; 4]);
    let hashed = spread((mesh, stock), table("mod_hash", "protobuf"), true, 400).await;
    assert_eq!(hashed.into_values().collect::<Vec<_>>(), [100; 4]);
    let ring = spread((mesh, stock), table("consistent_hash", "compact"), true, 800).await;
    assert_eq!(ring.values().sum::<u64>(), 800);
    assert!(ring.values().all(|count| count % 100 == 0), "a key moved: {ring:?}");
    for selector in ["random", "weighted", "quality", "p2c", "least_request"] {
        let spread = spread((mesh, stock), table(selector, "compact"), false, 400).await;
        assert_eq!(spread.values().sum::<u64>(), 400, "{selector}");
        assert!(spread.len() == 4, "{selector}: {spread:?}");
    }
    let none = spread((mesh, stock), json!({}), false, 400).await;
    assert_eq!(none.values().sum::<u64>(), 400);
    assert!(none.values().all(|count| (50..150).contains(count)), "built-in random: {none:?}");
}
