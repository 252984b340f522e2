//! `name_router`: one service name, several instances, and the ways to choose among them: all of them
//! (broadcast), by a loop of one's own, by the configured selector with a key. The servers count what
//! they get in their attributes, and the client watches those.
//!
//! All roles at once, as processes of their own; it stops by itself:
//! ```text
//! cargo run -p skymesh-examples --bin name_router
//! ```
//! Or each role in a terminal of its own, in this order (Ctrl-C ends all but the client):
//! ```text
//! cargo run -p skymesh-examples --bin name_router -- nameserver
//! cargo run -p skymesh-examples --bin name_router -- server 101
//! cargo run -p skymesh-examples --bin name_router -- server 102
//! cargo run -p skymesh-examples --bin name_router -- client
//! ```
//! The configuration is `examples/name_router/mesh.toml`.

mod client;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use skymesh::{Config, Instance, Message, Service};
use skymesh_examples::role::{self, Curtain, RoleError};
use skymesh_examples::stage::{Stage, StageError};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/name_router/mesh.toml");
const SERVICE: &str = "testApp.weixin1.Server";
const START_SERVER: &str = "cargo run -p skymesh-examples --bin name_router -- server 101, and 102";

/// How long a step may take before something must be wrong.
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> ExitCode {
    skymesh_examples::cast!(all_roles(), "nameserver, server INSTANCE or client", {
        ["nameserver"] => role::nameserver(CONFIG, role::say_address),
        ["server", instance] => server(instance),
        ["client"] => client::send_and_watch(),
    })
}

/// Counts the texts that it gets, in attributes of their names.
#[derive(Default)]
struct Counter {
    texts: BTreeMap<String, u64>,
}

impl Service for Counter {
    async fn on_message(&mut self, instance: &Instance, message: Message) {
        let text = String::from_utf8_lossy(message.payload()).into_owned();
        println!("{} says: {text}", message.source().url());
        let count = self.texts.entry(text.clone()).or_default();
        *count += 1;
        if let Err(error) = instance.set_attribute(text, *count).await {
            eprintln!("can't set an attribute: {error}");
        }
    }
}

async fn server(instance: &str) -> Result<(), RoleError> {
    let curtain = Curtain::new();
    let config = Config::load(CONFIG)?;
    let _log = config.log.install()?;
    let agent = config.agent_builder().connect().await?;
    let counter = agent.register(format!("{SERVICE}/{instance}")).serve(Counter::default()).await?;
    println!("registered {}", counter.url());
    curtain.falls().await?;
    agent.shutdown().await;
    Ok(())
}

/// Every role as a process; succeeds if the servers' attributes come to say what was sent.
async fn all_roles() -> Result<(), StageError> {
    let mut stage = Stage::new();
    stage.set("SKYMESH_NAMESERVER__LISTEN", "127.0.0.1:0");
    let mut nameserver = stage.enter("nameserver", &["nameserver"])?;
    let address = stage.wait_for(&nameserver, "listens on", DEADLINE).await?;
    stage.set("SKYMESH_AGENT__NAMESERVER", address);
    let mut servers = Vec::new();
    for instance in ["101", "102"] {
        servers.push(stage.enter(&format!("server {instance}"), &["server", instance])?);
    }
    let client = stage.enter("client", &["client"])?;
    stage.wait_for_exit(&client, DEADLINE).await?;
    for server in &mut servers {
        server.dismiss();
        stage.wait_for_exit(server, DEADLINE).await?;
    }
    nameserver.dismiss();
    stage.wait_for_exit(&nameserver, DEADLINE).await
}
