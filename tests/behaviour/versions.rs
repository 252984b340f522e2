//! Versions of plugins, as messages meet them: two of one library at once, and libraries that were built
//! with an older or a newer plugin-api than this one.

use serde_json::json;
use skymesh::Config;
use skymesh_agent::{FreshConfig, ReloadOutcome, Resolve};
use skymesh_plugin_host::{PluginState, PluginsConfig};
use skymesh_tests::{Mesh, SOON, next_message, services, within};

use crate::codecs::{contains, tapped};
use crate::reload::stage::{EDITION, Versions};

const INSTANCES: u64 = 4;

/// The codec of the fixture, which says on the wire which edition has written.
const STAMPED: &str = "skymesh_fixture_edition/stamped";

/// Two service names ask for two versions of one plugin in the configuration file, and a third for
/// whatever is highest.
#[tokio::test]
async fn two_versions_of_one_plugin_serve_two_services_at_once() {
    let mesh = Mesh::start().await;
    let folder = Versions::installed();
    let server = mesh.agent().await;
    let mut tills = Vec::new();
    for shop in ["one", "two", "any"] {
        for till in 1..=INSTANCES {
            let url = format!("app.{shop}.till/{till}");
            tills.push(server.register(url.as_str()).await.unwrap());
        }
    }
    let [lib, cache] = folder.paths();
    let text = format!(
        r#"
        [agent]
        app = "app"
        nameserver = "{nameserver}"
        [plugins]
        dirs = ["{lib}"]
        cache_dir = "{cache}"
        [services."app.one.*"]
        selector = {{ use = "{EDITION}", version = "^1" }}
        [services."app.two.*"]
        selector = {{ use = "{EDITION}", version = "^2" }}
        [services."app.any.*"]
        selector = {{ use = "{EDITION}" }}
        "#,
        nameserver = mesh.address(),
    );
    let config = Config::from_toml(&text).unwrap();
    let agent = config.agent_builder().connect().await.unwrap();
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    for shop in ["one", "two", "any"] {
        let router = agent.router(format!("app.{shop}.till").as_str()).unwrap();
        let all = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() as u64 == INSTANCES);
        router.wait_until(SOON, all).await.unwrap();
        for key in 0..100u64 {
            client.send(router.key(key), key.to_le_bytes()).await.unwrap();
        }
    }
    // Each edition sends a key to another instance.
    for (place, (till, inbox)) in tills.iter_mut().enumerate() {
        let edition = [1, 2, 2][place / INSTANCES as usize];
        let at = till.url().instance.get();
        for key in (0..100).filter(|key| crate::reload::stage::keyed_to(*key, edition) == at) {
            let message = next_message(inbox).await;
            assert_eq!(message.payload(), &key.to_le_bytes()[..], "{}", till.url());
        }
    }
    let rows = agent.plugins();
    let active = rows.iter().filter(|row| row.state == PluginState::Active);
    let mut versions: Vec<_> = active.filter_map(|row| row.version.as_deref()).collect();
    versions.sort_unstable();
    assert_eq!(versions, ["1.0.0", "2.0.0"], "{rows:?}");

    // A version that nobody has is the start's error, and says which there are.
    let text = text.replace("^2", "^3");
    let error = Config::from_toml(&text).unwrap().agent_builder().connect().await.unwrap_err();
    let error = error.to_string();
    assert!(error.contains("of version `^3` not found"), "{error}");
    assert!(error.contains("there are only"), "{error}");
}

/// Each service is written to by its version of the codec, and the higher one reads both.
#[tokio::test]
async fn two_versions_of_one_codec_write_to_two_services_at_once() {
    let mesh = Mesh::start().await;
    let folder = Versions::installed();
    let [lib, cache] = folder.paths();
    let plugins = || PluginsConfig {
        dirs: vec![lib.clone().into()],
        cache_dir: Some(cache.clone().into()),
        ..PluginsConfig::default()
    };
    let codec = |version: &str| json!({ "codec": { "use": STAMPED, "version": version } });
    // The lower one is the last pattern's.
    let table = || services(json!({ "app.a.*": codec("^2"), "app.b.*": codec("^1") }));
    let builder = || mesh.builder().services(table()).plugins(plugins());
    let (server, tap) = tapped(&mesh, builder()).await;
    let clients = builder().connect().await.unwrap();
    let (client, _inbox) = clients.register("app.test.client/1").await.unwrap();
    let (_a, mut a) = server.register("app.a.server/1").await.unwrap();
    let (_b, mut b) = server.register("app.b.server/1").await.unwrap();
    for text in ["one", "two"] {
        client.send("app.a.server/1", text).await.unwrap();
        assert_eq!(next_message(&mut a).await.payload(), text);
        client.send("app.b.server/1", text).await.unwrap();
        assert_eq!(next_message(&mut b).await.payload(), text);
    }

    // Only new connections are written to in another version.
    let now = services(json!({ "app.*.*": codec("^2") }));
    let fresh = FreshConfig::new(mesh.config(), now, plugins());
    let reload = within(SOON, clients.reload_with(fresh)).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    let told = reload.changed.iter().find(|one| one.what == "codec stamped of new connections");
    let told = told.unwrap_or_else(|| panic!("{reload}"));
    let [one, two] = ["1.0.0", "2.0.0"].map(|version| format!("{STAMPED} {version}"));
    assert_eq!((&told.from, &told.to), (&Some(format!("{one}, {two}")), &Some(two)));
    client.send("app.b.server/1", "three").await.unwrap();
    assert_eq!(next_message(&mut b).await.payload(), "three");
    let (later, later_tap) = tapped(&mesh, builder()).await;
    let (_later, mut later_b) = later.register("app.b.server/2").await.unwrap();
    client.send("app.b.server/2", "four").await.unwrap();
    assert_eq!(next_message(&mut later_b).await.payload(), "four");

    for agent in [&clients, &server, &later] {
        within(SOON, agent.shutdown()).await;
    }
    let count = |seen: &[u8], mark: &[u8]| seen.windows(mark.len()).filter(|w| *w == mark).count();
    let seen = within(SOON, tap).await.unwrap();
    assert_eq!((count(&seen, b"edition-1"), count(&seen, b"edition-2")), (3, 2));
    let seen = within(SOON, later_tap).await.unwrap();
    assert!(contains(&seen, b"edition-2") && !contains(&seen, b"edition-1"));
}

/// 1.0's own text, frozen, and a 1.1 that has appended a field and a function: both serve here.
#[tokio::test]
async fn plugins_of_an_older_and_of_a_newer_api_serve_messages() {
    let mesh = Mesh::start().await;
    let table = || {
        services(json!({
            "app.frozen.*": {
                "selector": { "use": "skymesh_fixture_frozen/last" },
                "codec": { "use": "skymesh_fixture_frozen/mirrored" },
            },
            "app.newer.*": {
                "selector": { "use": "skymesh_fixture_of_newer/middle" },
                "codec": { "use": "skymesh_fixture_frozen/plain" },
            },
        }))
    };
    let server = mesh.builder().services(table()).connect().await.unwrap();
    let agent = mesh.builder().services(table()).connect().await.unwrap();
    let (client, _inbox) = agent.register("app.test.client/1").await.unwrap();
    for (name, picked) in [("app.frozen.till", 4), ("app.newer.till", 3)] {
        let mut tills = Vec::new();
        for till in 1..=INSTANCES {
            let url = format!("{name}/{till}");
            tills.push(server.register(url.as_str()).await.unwrap());
        }
        let router = agent.router(name).unwrap();
        let all = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() as u64 == INSTANCES);
        router.wait_until(SOON, all).await.unwrap();
        for number in 0..100u64 {
            client.send(&router, number.to_le_bytes()).await.unwrap();
        }
        let (_, inbox) = &mut tills[picked - 1];
        for number in 0..100u64 {
            assert_eq!(next_message(inbox).await.payload(), &number.to_le_bytes()[..], "{name}");
        }
    }
    for agent in [&agent, &server] {
        let rows = agent.plugins();
        let api = |library: &str| {
            rows.iter().find(|row| row.library == library).unwrap().api_version.as_deref()
        };
        assert_eq!(api("skymesh_fixture_frozen"), Some("1.0.0"));
        assert_eq!(api("skymesh_fixture_of_newer"), Some("1.1.0"));
        assert!(rows.iter().all(|row| !row.failed()), "{rows:?}");
    }
}
