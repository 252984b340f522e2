//! `skymesh reload`, and what else asks a running agent. The agent is this test's own.

use std::fs::write;

use skymesh::config::{AdminSocket, ConfigFile, StoreConfig};
use skymesh::{Agent, Config, Nameserver, NameserverHandle};

use crate::binary::{Answer, run};

/// A nameserver, and an agent that reads `mesh.toml` of the folder and answers at a socket in it.
async fn running(folder: &tempfile::TempDir) -> (NameserverHandle, Agent) {
    let mut config = Config::default();
    config.nameserver.listen = "127.0.0.1:0".into();
    config.nameserver.store = StoreConfig::memory();
    let nameserver = Nameserver::bind(config.nameserver).await.unwrap();
    let (handle, address) = (nameserver.handle(), nameserver.local_addr().to_string());
    tokio::spawn(nameserver.run());
    let (path, socket) = (folder.path().join("mesh.toml"), folder.path().join("agent.sock"));
    write(&path, "[agent]\napp = 'shop'\n").unwrap();
    let file = ConfigFile::new(path).adjusted(move |config| {
        config.agent.nameserver = address.clone();
        config.agent.admin = AdminSocket::Path(socket.clone());
    });
    let config = file.load().unwrap();
    (handle, file.agent_builder(&config).connect().await.unwrap())
}

#[tokio::test]
async fn a_running_agent_reloads_and_says_what_came_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let (_nameserver, agent) = running(&folder).await;
    let socket = agent.admin_socket().unwrap().to_str().unwrap().to_owned();
    let _router = agent.router("shop.test.till").unwrap();
    let idle = run(&["reload", "--agent", &socket]).await;
    assert_eq!(idle.good(), "nothing changed: configuration 0 holds\n");
    let live = run(&["plugin", "list", "--agent", &socket]).await;
    let none = "last reload: none has changed anything since the start; 0 retired\n";
    assert!(live.good().ends_with(none), "{live:?}");

    let file = folder.path().join("mesh.toml");
    let table = "[agent]\napp = 'shop'\nmax_frame_bytes = 100000\n[metrics]\ninterval = '7s'\n\
                 [log]\nformat = 'json'\n[services.'shop.*.*']\nselector = { use = 'last' }\n";
    // The fixture's library has another name than its plugin.
    write(&file, table.replace("'last'", "'skymesh_fixture_orderly/last'")).unwrap();
    let applied = run(&["reload", "--agent", &socket]).await;
    let lines: Vec<&str> = applied.good().lines().collect();
    assert_eq!(lines[0], "configuration 1 holds", "{applied:?}");
    let exchanged = "  selector of shop.test.till: builtin -> skymesh_fixture_orderly/last 0.4.1";
    assert!(lines.contains(&exchanged), "{applied:?}");
    assert!(
        lines.contains(&"  needs a restart: agent.max_frame_bytes: 16777216 -> 100000"),
        "{applied:?}"
    );

    assert!(lines.contains(&"  metrics.interval: \"5s\" -> \"7s\""), "{applied:?}");
    // This test's process has no log of ours, so there is nothing to change.
    assert!(!applied.stdout.contains("log."), "{applied:?}");

    let live = run(&["plugin", "list", "--agent", &socket]).await;
    let told = "configuration 1 holds; services.\"shop.*.*\".selector.use: nothing -> \
                \"skymesh_fixture_orderly/last\"; selector of shop.test.till: builtin -> \
                skymesh_fixture_orderly/last 0.4.1; metrics.interval: \"5s\" -> \"7s\"; needs a restart: \
                agent.max_frame_bytes: 16777216 -> 100000; 0 retired";
    assert_eq!(last_reload(&live), told);

    write(&file, "[agent]\nmax_frames = 1\n").unwrap();
    let refused = run(&["reload", "--agent", &socket]).await;
    assert_eq!(refused.code, Some(1));
    assert_eq!(refused.stdout, "refused: configuration 1 still holds\n");
    assert!(refused.stderr.contains("mesh.toml:2: unknown key `agent.max_frames`"), "{refused:?}");

    // Whatever can be told at once is: what is out of its range, and what is not there.
    let wrong = "[agent]\nmax_connections = 0\n[metrics]\ninterval = '1ms'\nuse = 'nowhere'\n\
                 [[plugins.load]]\nlibrary = 'absent'\n[services.'a.b.c']\ncodec = { use = 'none' }\n";
    write(&file, wrong).unwrap();
    let refused = run(&["reload", "--agent", &socket]).await;
    let said = [
        "mesh.toml:2: `agent.max_connections`: 0 is out of range: at least 1",
        "mesh.toml:4: `metrics.interval`: 1ms is out of range: 100ms to 1h",
        "library `absent` not found",
        "services.\"a.b.c\".codec: codec `none` not found",
        "metrics `nowhere` not found",
    ];
    let errors = refused.errors();
    assert_eq!(errors.len(), said.len(), "{refused:?}");
    assert!(errors.iter().zip(said).all(|(error, said)| error.contains(said)), "{refused:?}");

    write(&file, "[agent]\nmax_frames = 1\n").unwrap();
    let refused = run(&["reload", "--agent", &socket]).await;
    let live = run(&["plugin", "list", "--agent", &socket]).await;
    let row =
        |start: &str| live.good().lines().find(|line| line.starts_with(start)).map(str::to_owned);
    assert!(row("last ").unwrap().contains("active"), "{live:?}");
    assert!(
        row("shop.test.till").unwrap().contains("skymesh_fixture_orderly/last 0.4.1  healthy"),
        "{live:?}"
    );
    let reason = refused.stderr.trim().strip_prefix("error: ").unwrap();
    let told = format!("refused: configuration 1 still holds; {reason}; 0 retired");
    assert_eq!(last_reload(&live), told);
    let json = run(&["plugin", "list", "--json", "--agent", &socket]).await;
    let json: serde_json::Value = serde_json::from_str(json.good()).unwrap();
    assert_eq!(json["reload"]["outcome"], "refused");

    let explained = run(&["explain", "shop.test.till", "--agent", &socket]).await;
    assert!(explained.good().starts_with("shop.test.till: nobody: "), "{explained:?}");
    assert!(
        explained.stdout.contains("skymesh_fixture_orderly/last 0.4.1 (healthy)"),
        "{explained:?}"
    );
    let other = run(&["explain", "shop.test.none", "--agent", &socket]).await;
    assert!(other.stderr.contains("it routes to shop.test.till"), "{other:?}");
    agent.shutdown().await;
}

/// What `plugin list` says of it.
fn last_reload(listed: &Answer) -> String {
    let line = listed.good().lines().find_map(|line| line.strip_prefix("last reload: "));
    line.unwrap_or_else(|| panic!("{listed:?}")).to_owned()
}

#[tokio::test]
async fn an_agent_that_is_not_there_is_told() {
    let answer = run(&["reload", "--agent", "/nowhere/agent.sock"]).await;
    assert_eq!(answer.code, Some(1));
    assert!(answer.stderr.contains("/nowhere/agent.sock: no agent answers"), "{answer:?}");
    // Process 1 is none of ours.
    let answer = run(&["reload", "--agent", "1"]).await;
    assert!(answer.stderr.contains("process 1 has no agent"), "{answer:?}");
}
