//! `skymesh explain`, asked of an agent that runs, through its admin socket: each stage's reason, with
//! and without a key, what it says where there is nothing to say.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use skymesh::config::{AdminSocket, StoreConfig};
use skymesh::{Agent, Config, Inbox, Instance, Nameserver, NameserverHandle, Resolve, Router};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use crate::binary::{Answer, run};

const SERVICE: &str = "shop.test.till";
/// A guard against what never happens.
const SOON: Duration = Duration::from_secs(60);

/// A nameserver that gives up nobody soon.
async fn nameserver() -> (NameserverHandle, String) {
    let mut config = Config::default();
    config.nameserver.listen = "127.0.0.1:0".into();
    config.nameserver.store = StoreConfig::memory();
    config.nameserver.lease = SOON;
    config.nameserver.session_grace = SOON;
    // It knows that it starts into an empty mesh.
    config.nameserver.recovery = Some(Duration::ZERO);
    let nameserver = Nameserver::bind(config.nameserver).await.unwrap();
    let (handle, address) = (nameserver.handle(), nameserver.local_addr().to_string());
    tokio::spawn(nameserver.run());
    (handle, address)
}

async fn agent(nameserver: &str, zone: &str, admin: AdminSocket, stages: Value) -> Agent {
    let mut config = Config::default();
    config.agent.app = "shop".parse().ok();
    config.agent.nameserver = nameserver.to_owned();
    config.agent.zone = Some(zone.to_owned());
    config.agent.admin = admin;
    config.services = serde_json::from_value(json!({ "shop.*.*": {
        "selector": { "use": "skymesh_fixture_orderly/cycle" }, "stages": stages,
    } }))
    .unwrap();
    config.agent_builder().connect().await.unwrap()
}

async fn register(agent: &Agent, instances: &[u64]) -> Vec<(Instance, Inbox)> {
    let mut held = Vec::new();
    for instance in instances {
        let url = format!("{SERVICE}/{instance}");
        held.push(agent.register(url.as_str()).await.unwrap());
    }
    held
}

/// What lies between an agent and its nameserver, to be cut.
async fn cable(to: String) -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = listener.local_addr().unwrap().to_string();
    let carries = tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let to = to.clone();
            connections.spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                let _ = copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    (near, carries)
}

/// Waits until so many instances are left to the selector, of so many.
async fn candidates(router: &Router, count: usize, of: usize) {
    let waited = router
        .wait_until(SOON, |_: &Resolve| {
            let all = router.explain(None).instances;
            all.len() == of && all.iter().filter(|one| one.dropped.is_none()).count() == count
        })
        .await;
    waited.unwrap_or_else(|error| panic!("{error}: {}", router.explain(None).text()));
}

async fn explain(socket: &Path, more: &[&str]) -> Answer {
    let socket = socket.to_str().unwrap();
    run(&[&["explain", SERVICE, "--agent", socket][..], more].concat()).await
}

#[tokio::test]
async fn every_stage_says_whom_it_leaves_out_and_why() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let (operator, address) = nameserver().await;
    let (cut_off, carries) = cable(address.clone()).await;
    let none = || json!({});
    let east = agent(&address, "east", AdminSocket::Off, none()).await;
    let west = agent(&address, "west", AdminSocket::Off, none()).await;
    let doubted = agent(&cut_off, "east", AdminSocket::Off, none()).await;
    let held = register(&east, &[1, 2, 3, 4, 5]).await;
    let _others = (register(&west, &[6]).await, register(&doubted, &[7]).await);
    let stages = json!({
        "outliers": { "errors_percent": 50, "hold": "1h" }, "zone_min_instances": 2, "subset_size": 2,
    });
    let client = agent(&address, "east", AdminSocket::Path(socket.clone()), stages).await;

    let told = explain(&socket, &[]).await;
    let nothing = format!("error: this agent does not route to {SERVICE}; it routes to nothing");
    assert_eq!(told.errors(), [nothing]);

    let router = client.router(SERVICE).unwrap();
    candidates(&router, 2, 7).await;
    operator.drain(held[0].0.url().clone()).await.unwrap();
    carries.abort();
    router.stats(2u64.try_into().unwrap()).unwrap().set_error_ppm(600_000);
    let reasons = |text: &str| -> Vec<String> {
        let lines =
            text.lines().filter_map(|line| line.strip_prefix("  left out  shop.test.till/"));
        lines.map(str::to_owned).collect()
    };
    // Of 3, 4 and 5 two are in the subset; which, is the agent's luck.
    let expected = |text: &str| {
        let reasons = reasons(text);
        let [drains, outlier, subset, zone, suspect] = reasons.as_slice() else { return false };
        drains == "1: it drains"
            && outlier == "2: too many of its answers were errors (60 % of late)"
            && subset[1..] == *": it is not of this agent's subset"
            && zone == "6: it is in another zone, and there are enough in this one (its zone: west)"
            && suspect == "7: it is suspect, and others are healthy"
    };
    let settled = router.wait_until(SOON, |_: &Resolve| expected(&router.explain(None).text()));
    settled.await.unwrap_or_else(|error| panic!("{error}: {}", router.explain(None).text()));

    let answer = explain(&socket, &[]).await;
    let lines: Vec<&str> = answer.good().lines().collect();
    assert!(expected(&answer.stdout), "{answer:?}");
    let picked = lines[0].strip_prefix("shop.test.till: shop.test.till/").unwrap();
    assert_eq!(lines[1], "  known     ready, 7 instances");
    let selector = "  selector  skymesh_fixture_orderly/cycle 0.4.1 (healthy), table ";
    assert!(lines.iter().any(|line| line.starts_with(selector) && line.ends_with("s old")));
    assert!(lines.contains(&"  chose     from 2:"), "{answer:?}");
    let chosen = format!("  ->        shop.test.till/{picked} weight 100, zone east");
    assert!(lines.iter().any(|line| line.starts_with(&chosen)), "{answer:?}");

    // By keys: a number as it is, a text with what selectors see of it.
    let by_number = explain(&socket, &["--key", "41"]).await;
    assert!(
        by_number.good().starts_with("shop.test.till by key 41: shop.test.till/"),
        "{by_number:?}"
    );
    let by_text = explain(&socket, &["--key", "alice"]).await;
    assert!(by_text.good().starts_with("shop.test.till by key \"alice\" ("), "{by_text:?}");

    let json = explain(&socket, &["--key", "alice", "--json"]).await;
    let json: Value = serde_json::from_str(json.good()).unwrap();
    assert_eq!((&json["name"], &json["key_text"]), (&SERVICE.into(), &"alice".into()));
    let stages: Vec<&str> = json["instances"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["dropped"].as_str())
        .collect();
    assert_eq!(stages, ["draining", "outlier", "subset", "zone", "health"]);
    assert!(
        json["instances"][5]["reason"].as_str().unwrap().ends_with("(its zone: west)"),
        "{json}"
    );

    let no_name = run(&["explain", "till", "--agent", socket.to_str().unwrap()]).await;
    assert_eq!(no_name.code, Some(2), "{no_name:?}");
    assert!(no_name.stderr.contains("service name `till` has 1 part; write it"), "{no_name:?}");

    let other = run(&["explain", "shop.test.none", "--agent", socket.to_str().unwrap()]).await;
    let unknown = "error: this agent does not route to shop.test.none; it routes to shop.test.till";
    assert_eq!(other.errors(), [unknown]);
}

#[tokio::test]
async fn nobody_has_a_reason_and_a_newcomer_its_part() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let (operator, address) = nameserver().await;
    let servers = agent(&address, "east", AdminSocket::Off, json!({})).await;
    let stages = json!({ "slow_start": "1h" });
    let client = agent(&address, "east", AdminSocket::Path(socket.clone()), stages).await;
    let router = client.router(SERVICE).unwrap();
    router.ready(SOON).await.unwrap();
    let empty = explain(&socket, &[]).await;
    let nobody =
        "shop.test.till: nobody: the service has no instance\n  known     empty, 0 instances\n";
    assert!(empty.good().starts_with(nobody), "{empty:?}");

    let mut held = register(&servers, &[1]).await;
    candidates(&router, 1, 1).await;
    // Nobody is new where there is nobody else; then the second is, beside whom the first is not.
    operator.drain(held[0].0.url().clone()).await.unwrap();
    candidates(&router, 0, 1).await;
    let drained = explain(&socket, &["--key", "1"]).await;
    let nobody =
        "shop.test.till by key 1: nobody: every instance drains\n  known     ready, 1 instance\n";
    assert!(drained.good().starts_with(nobody) && !drained.stdout.contains("chose"), "{drained:?}");

    // An agent that looks now finds the first one there, and the second one new.
    let late = folder.path().join("late.sock");
    let stages = json!({ "slow_start": "1h" });
    let client = agent(&address, "east", AdminSocket::Path(late.clone()), stages).await;
    held.extend(register(&servers, &[2]).await);
    let router = client.router(SERVICE).unwrap();
    candidates(&router, 1, 2).await;
    held.extend(register(&servers, &[3]).await);
    candidates(&router, 2, 3).await;
    let fresh = explain(&late, &[]).await;
    let newcomer = fresh.good().lines().find(|line| line.contains("shop.test.till/3 weight"));
    assert!(newcomer.is_some_and(|line| line.contains(", new: 5 % of its picks")), "{fresh:?}");
    let settled = fresh.stdout.lines().find(|line| line.contains("shop.test.till/2 weight"));
    assert!(settled.is_some_and(|line| !line.contains("new:")), "{fresh:?}");
}

/// Of a stateful service the owner of a key gets what is sent by it, whatever this agent's stages are.
#[tokio::test]
async fn keys_of_a_stateful_service_go_by_placement() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("agent.sock");
    let (_operator, address) = nameserver().await;
    let servers = agent(&address, "east", AdminSocket::Off, json!({})).await;
    let client = agent(&address, "east", AdminSocket::Path(socket.clone()), json!({})).await;
    let router = client.router(SERVICE).unwrap();
    let _shard = servers.register("shop.test.till/1").stateful(1).await.unwrap();
    router.settled(SOON).await.unwrap();
    candidates(&router, 1, 1).await;
    let placed = "  placed    the key's owner gets it, whatever the stages say";
    let by_key = explain(&socket, &["--key", "7"]).await;
    assert!(by_key.good().starts_with("shop.test.till by key 7: shop.test.till/1\n"), "{by_key:?}");
    assert!(by_key.stdout.lines().any(|line| line == placed), "{by_key:?}");
    let to_any = explain(&socket, &[]).await;
    assert!(!to_any.good().contains("placed"), "{to_any:?}");
}

#[tokio::test]
async fn where_no_agent_runs_that_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let gone = folder.path().join("gone.sock");
    let answer = explain(&gone, &[]).await;
    assert!(answer.errors()[0].contains("gone.sock: no agent answers ("), "{answer:?}");
    assert!(answer.errors()[0].contains("`agent.admin`"), "{answer:?}");
    assert_eq!(run(&["explain"]).await.code, Some(2));
    // Without --agent, all sockets of this user are looked for; these are in another's folders.
    let nowhere = folder.path().to_str().unwrap();
    let environment = [("TMPDIR", nowhere), ("XDG_RUNTIME_DIR", nowhere)];
    let answer = crate::binary::run_in(&["explain", SERVICE], &environment).await;
    let told = "error: no agent of this user's runs here; name its socket with --agent";
    assert_eq!(answer.errors(), [told]);
}
