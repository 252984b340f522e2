//! Versions of plugins, as messages meet them: two of one library at once, and libraries that were built
//! with an older or a newer plugin-api than this one.

use serde_json::json;
use skymesh::Config;
use skymesh_agent::Resolve;
use skymesh_plugin_host::PluginState;
use skymesh_tests::{Mesh, SOON, next_message, services};

use crate::reload::stage::{EDITION, Versions};

const INSTANCES: u64 = 4;

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
