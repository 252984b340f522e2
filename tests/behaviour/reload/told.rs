//! Who may ask for a reload, and how it is told.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use skymesh_agent::admin::{AdminClient, AdminSocket, AskError, find};
use skymesh_agent::config::AgentConfig;
use skymesh_agent::{Agent, ConfigSource, FreshConfig, ReloadOutcome, Reloads, Router};
use skymesh_plugin_host::{PluginState, PluginsConfig};
use skymesh_tests::{Mesh, SOON, services, within};
use skymesh_types::Key;
use tokio::net::UnixStream;

use super::stage::{EDITION, Shop, keyed_to};

/// A configuration file of which a test says what is in it.
#[derive(Clone)]
struct Paper {
    services: Arc<Mutex<Result<Value, String>>>,
    plugins: PluginsConfig,
    path: PathBuf,
}

impl ConfigSource<FreshConfig> for Paper {
    fn read(&self) -> Result<FreshConfig, Vec<String>> {
        let table = self.services.lock().unwrap().clone().map_err(|error| vec![error])?;
        let agent = AgentConfig::default();
        Ok(FreshConfig::new(agent, services(table), self.plugins.clone()))
    }

    fn files(&self) -> Vec<PathBuf> {
        vec![self.path.clone()]
    }
}

impl Paper {
    fn write(&self, table: Result<Value, String>) {
        *self.services.lock().unwrap() = table;
    }
}

async fn agent(mesh: &Mesh, shop: &Shop, adjust: impl FnOnce(&mut AgentConfig)) -> (Agent, Paper) {
    let services = Arc::new(Mutex::new(Ok(json!({}))));
    let path = shop.plugins().dirs[0].join("mesh.toml");
    std::fs::write(&path, "0").unwrap();
    let paper = Paper { services, plugins: shop.plugins(), path };
    let mut config = mesh.config();
    adjust(&mut config);
    let builder = shop.builder(mesh, json!({})).config(config);
    (builder.source(paper.clone()).connect().await.unwrap(), paper)
}

#[tokio::test]
async fn the_command_line_asks_by_a_socket_of_the_users_own() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    shop.deploy(1);
    let (agent, paper) = agent(&mesh, &shop, |_| ()).await;
    let router = shop.router(&agent).await;
    let socket = agent.admin_socket().unwrap().to_owned();
    assert!(find(&std::process::id().to_string()).contains(&socket));
    let client = AdminClient::new(&socket);
    let about = client.about().await.unwrap();
    assert_eq!((about.pid, about.app.as_str()), (std::process::id(), "app"));
    assert_eq!(about.address, agent.address());

    let mut reloads = agent.reloads();
    paper.write(Ok(json!({ "app.shop.*": { "selector": { "use": EDITION } } })));
    let reload = client.reload().await.unwrap();
    assert_eq!((reload.version, reload.outcome), (1, ReloadOutcome::Applied), "{reload}");
    assert_eq!(*within(SOON, reloads.next()).await.unwrap(), reload);
    assert_eq!(router.select(Some(Key::from(2))).unwrap().url.instance.get(), keyed_to(2, 1));
    paper.write(Err("mesh.toml:7: unknown key `x`".into()));
    let refused = client.reload().await.unwrap();
    assert_eq!((refused.version, refused.outcome), (1, ReloadOutcome::Refused));
    assert_eq!(refused.faults, ["mesh.toml:7: unknown key `x`"]);

    let live = client.plugins().await.unwrap();
    let edition = live.plugins.iter().find(|row| row.id.as_deref() == Some("edition")).unwrap();
    assert_eq!(edition.state, PluginState::Active);
    let till = live.routers.iter().find(|one| one.name == "app.shop.till").unwrap();
    assert_eq!(till.selector, "skymesh_fixture_edition/edition 1.0.0");
    assert_eq!((till.health.as_str(), live.reload), ("healthy", refused));

    agent.shutdown().await;
    assert!(!socket.exists());
    assert!(client.about().await.is_err());
}

/// Eight are answered at a time; they need not have asked yet.
#[tokio::test]
async fn the_ninth_who_asks_is_told_so_at_once() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    let (agent, _paper) = agent(&mesh, &shop, |_| ()).await;
    let socket = agent.admin_socket().unwrap().to_owned();
    let client = AdminClient::new(&socket);
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(UnixStream::connect(&socket).await.unwrap());
    }
    let refused = within(SOON, client.about()).await.unwrap_err();
    assert!(matches!(refused, AskError::Refused(_)), "{refused:?}");
    let said = refused.to_string();
    assert_eq!(said, "8 questions are being answered, as many as may be: ask again");
    // A crowd is turned away as well, one way or the other, and nobody hangs.
    let crowd = (0..60).map(|_| client.about());
    for answer in within(SOON, futures_util::future::join_all(crowd)).await {
        let error = answer.unwrap_err();
        let told = matches!(error, AskError::Refused(_) | AskError::Unreachable { .. });
        assert!(told, "{error:?}");
    }
    // As soon as one of the eight is done, the next is answered.
    drop(silent.pop());
    let answered = async {
        while client.about().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within(SOON, answered).await;
}

#[tokio::test]
async fn a_socket_may_be_named_or_left_out() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    let off = |config: &mut AgentConfig| config.admin = AdminSocket::Off;
    let (without, _) = agent(&mesh, &shop, off).await;
    assert_eq!(without.admin_socket(), None);
    let path = shop.plugins().dirs[0].join("agent.sock");
    let named = |config: &mut AgentConfig| config.admin = AdminSocket::Path(path.clone());
    let (with, _) = agent(&mesh, &shop, named).await;
    assert_eq!(with.admin_socket(), Some(path.as_path()));
    assert!(AdminClient::new(path).about().await.is_ok());
}

/// An agent that watches its files.
struct Watching {
    _mesh: Mesh,
    shop: Shop,
    _agent: Agent,
    paper: Paper,
    router: Router,
    reloads: Reloads,
}

impl Watching {
    async fn start() -> Self {
        let mesh = Mesh::start().await;
        let shop = Shop::open(&mesh).await;
        let often = |config: &mut AgentConfig| config.watch_files = Duration::from_millis(10);
        let (agent, paper) = agent(&mesh, &shop, often).await;
        let (router, reloads) = (shop.router(&agent).await, agent.reloads());
        Self { _mesh: mesh, shop, _agent: agent, paper, router, reloads }
    }

    /// Writes the configuration anew: of another length, so that its time does not matter.
    fn write(&self, table: Result<Value, String>) {
        self.paper.write(table);
        let before = std::fs::read(&self.paper.path).unwrap();
        std::fs::write(&self.paper.path, [before, b"0".to_vec()].concat()).unwrap();
    }

    /// What came of the next reload.
    async fn told(&mut self) -> (u64, ReloadOutcome, Vec<String>) {
        let reload = within(SOON, self.reloads.next()).await.unwrap();
        (reload.version, reload.outcome, reload.faults.clone())
    }

    fn picks_by(&self, edition: u64) -> bool {
        let picked = self.router.select(Some(Key::from(2))).unwrap();
        picked.url.instance.get() == keyed_to(2, edition)
    }
}

#[tokio::test]
async fn files_that_change_take_effect_by_themselves() {
    let mut watching = Watching::start().await;
    // The configuration's file, and a library's that it asks for.
    watching.shop.deploy(1);
    watching.write(Ok(json!({ "app.shop.*": { "selector": { "use": EDITION } } })));
    assert_eq!(watching.told().await, (1, ReloadOutcome::Applied, vec![]));
    // The library's file.
    watching.shop.deploy(2);
    assert_eq!(watching.told().await, (2, ReloadOutcome::Applied, vec![]));
    assert!(watching.picks_by(2));
    // A mistake is told once, and its correction is taken.
    watching.write(Err("a mistake".into()));
    assert_eq!(watching.told().await, (2, ReloadOutcome::Refused, vec!["a mistake".to_owned()]));
    watching.write(Ok(json!({})));
    assert_eq!(watching.told().await, (3, ReloadOutcome::Applied, vec![]));
}

/// A reload that was refused for want of a library is tried again when that arrives.
#[tokio::test]
async fn what_was_missing_takes_effect_when_it_arrives() {
    let mut watching = Watching::start().await;
    watching.write(Ok(json!({ "app.shop.*": { "selector": { "use": EDITION } } })));
    let (version, outcome, _) = watching.told().await;
    assert_eq!((version, outcome), (0, ReloadOutcome::Refused));
    watching.shop.deploy(2);
    assert_eq!(watching.told().await, (1, ReloadOutcome::Applied, vec![]));
    assert!(watching.picks_by(2));
}

#[tokio::test]
async fn a_hangup_reloads_where_the_program_asked_for_it() {
    let mesh = Mesh::start().await;
    let shop = Shop::open(&mesh).await;
    let (agent, paper) = agent(&mesh, &shop, |_| ()).await;
    agent.reload_on_hangup().unwrap();
    let mut reloads = agent.reloads();
    paper.write(Ok(json!({ "app.shop.*": { "inbox_limit_bytes": 2_000_000 } })));
    let pid = rustix::process::getpid();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    let reload = within(SOON, reloads.next()).await.unwrap();
    assert_eq!((reload.version, reload.outcome), (1, ReloadOutcome::Applied), "{reload}");
}
