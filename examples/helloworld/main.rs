//! `helloworld`: a client greets a server, and the server answers.
//!
//! All roles at once, as processes of their own; it stops by itself:
//! ```text
//! cargo run -p skymesh-examples --bin helloworld
//! ```
//! Or each role in a terminal of its own, in this order (Ctrl-C ends the first two):
//! ```text
//! cargo run -p skymesh-examples --bin helloworld -- nameserver
//! cargo run -p skymesh-examples --bin helloworld -- server
//! cargo run -p skymesh-examples --bin helloworld -- client
//! ```
//! The configuration is `examples/helloworld/mesh.toml`.

use std::process::ExitCode;
use std::time::Duration;

use skymesh::{Config, Delivery, Inbox, Instance, Message, Resolve, Service};
use skymesh_examples::role::{self, Curtain, RoleError};
use skymesh_examples::stage::{Stage, StageError};
use tokio::time::timeout;

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/helloworld/mesh.toml");
const SERVER: &str = "testApp.weixin1.greeterServer";
const SERVER_URL: &str = "testApp.weixin1.greeterServer/101";
const CLIENT_URL: &str = "testApp.weixin1.greeterClient/101";
const GREETINGS: usize = 3;
const START_SERVER: &str = "cargo run -p skymesh-examples --bin helloworld -- server";

/// How long a step may take before something must be wrong.
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> ExitCode {
    skymesh_examples::cast!(all_roles(), "nameserver, server or client", {
        ["nameserver"] => role::nameserver(CONFIG, role::say_address),
        ["server"] => server(),
        ["client"] => client(),
    })
}

/// Answers every greeting.
struct Greeter;

impl Service for Greeter {
    async fn on_message(&mut self, instance: &Instance, message: Message) {
        let text = String::from_utf8_lossy(message.payload());
        println!("{} says: {text}", message.source().url());
        if let Err(error) = instance.send(message.source(), "Nice to meet you too.").await {
            eprintln!("can't answer {}: {error}", message.source().url());
        }
    }
}

async fn server() -> Result<(), RoleError> {
    let curtain = Curtain::new();
    let config = Config::load(CONFIG)?;
    let _log = config.log.install()?;
    let agent = config.agent_builder().connect().await?;
    let greeter = agent.register(SERVER_URL).serve(Greeter).await?;
    println!("registered {}", greeter.url());
    curtain.falls().await?;
    agent.shutdown().await;
    Ok(())
}

async fn client() -> Result<(), RoleError> {
    let _curtain = Curtain::new();
    let config = Config::load(CONFIG)?;
    let _log = config.log.install()?;
    let agent = config.agent_builder().connect().await?;
    let (instance, mut inbox) = agent.register(CLIENT_URL).await?;
    println!("registered {}", instance.url());
    let there = |known: &Resolve| matches!(known, Resolve::Ready(_));
    role::find(&agent.router(SERVER)?, there, START_SERVER, DEADLINE).await?;
    for _ in 0..GREETINGS {
        instance.send(SERVER_URL, "Nice to meet you.").await?;
        let reply = timeout(DEADLINE, next_message(&mut inbox)).await.map_err(|_| {
            format!("no answer from {SERVER} within {DEADLINE:?}; does the server still run?")
        })?;
        let reply = reply.ok_or("the nameserver took this client off the mesh")?;
        let text = String::from_utf8_lossy(reply.payload());
        println!("{} says: {text}", reply.source().url());
    }
    // Nobody reads it any more; else the shutdown would wait for somebody to.
    drop(inbox);
    agent.shutdown().await;
    Ok(())
}

/// Messages and events share the inbox, in order; here only messages matter.
async fn next_message(inbox: &mut Inbox) -> Option<Message> {
    loop {
        if let Delivery::Message(message) = inbox.recv().await? {
            return Some(message);
        }
    }
}

/// Nameserver, server and client as processes; succeeds if every greeting was answered.
async fn all_roles() -> Result<(), StageError> {
    let mut stage = Stage::new();
    stage.set("SKYMESH_NAMESERVER__LISTEN", "127.0.0.1:0");
    let mut nameserver = stage.enter("nameserver", &["nameserver"])?;
    let address = stage.wait_for(&nameserver, "listens on", DEADLINE).await?;
    stage.set("SKYMESH_AGENT__NAMESERVER", address);
    let mut server = stage.enter("server", &["server"])?;
    let client = stage.enter("client", &["client"])?;
    stage.wait_for_exit(&client, DEADLINE).await?;
    server.dismiss();
    stage.wait_for_exit(&server, DEADLINE).await?;
    nameserver.dismiss();
    stage.wait_for_exit(&nameserver, DEADLINE).await
}
