//! `stateful_routing`: two shards share the players of a game; two clients send for each player to the
//! shard that owns it. Under that load the service grows to four shards: players stay where they are or
//! move once, to a new shard. Then the clients ask every shard what it took, and check that no message
//! was lost and that no player had two owners at a time.
//!
//! All roles at once, as processes of their own; it stops by itself:
//! ```text
//! cargo run -p skymesh-examples --bin stateful_routing
//! ```
//! Or each role in a terminal of its own, the shards 103 and 104 last (Ctrl-C ends all but the clients):
//! ```text
//! cargo run -p skymesh-examples --bin stateful_routing -- nameserver
//! cargo run -p skymesh-examples --bin stateful_routing -- shard 101
//! cargo run -p skymesh-examples --bin stateful_routing -- shard 102
//! cargo run -p skymesh-examples --bin stateful_routing -- client 1
//! cargo run -p skymesh-examples --bin stateful_routing -- client 2
//! cargo run -p skymesh-examples --bin stateful_routing -- shard 103
//! cargo run -p skymesh-examples --bin stateful_routing -- shard 104
//! ```
//! The configuration is `examples/stateful_routing/mesh.toml`.

mod client;
mod tally;

use std::process::ExitCode;
use std::time::Duration;

use skymesh::{Config, Instance, Message, Service};
use skymesh_examples::role::{self, Curtain, RoleError};
use skymesh_examples::stage::{self, Heard, Stage, StageError};
use tally::{Sent, Tally};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/stateful_routing/mesh.toml");
const SERVICE: &str = "testApp.weixin1.Shard";
const START_SHARD: &str =
    "cargo run -p skymesh-examples --bin stateful_routing -- shard 101, and 102";

/// What a client asks a shard in the end: its tally.
const REPORT: &str = "report";

/// How long a step may take before something must be wrong.
const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> ExitCode {
    skymesh_examples::cast!(all_roles(), "nameserver, shard NUMBER or client NUMBER", {
        ["nameserver"] => role::nameserver(CONFIG, role::say_address),
        ["shard", number] => shard(number),
        ["client", number] => client::client(number),
    })
}

/// Keeps what a real shard would keep of its players: here, what each of them said.
struct Shard(Tally);

impl Service for Shard {
    async fn on_message(&mut self, me: &Instance, message: Message) {
        if message.payload() == REPORT {
            // Whoever asked may have gone.
            let _ = me.send(message.source(), self.0.to_json()).await;
        } else if let Some(sent) = Sent::read(message.payload()) {
            // The placement by which it came: all who know the same one know the same owners.
            self.0.note(message.epoch(), sent);
        }
    }
}

async fn shard(number: &str) -> Result<(), RoleError> {
    let curtain = Curtain::new();
    let config = Config::load(CONFIG)?;
    let _log = config.log.install()?;
    let agent = config.agent_builder().connect().await?;
    let url = format!("{SERVICE}/{number}");
    // Answered once every router of the service has agreed; nobody sees the shard before.
    let share = number.parse::<u64>()?;
    let shard = agent.register(url.as_str()).stateful(share).serve(Shard(Tally::default())).await?;
    println!("owns its share of the players as {}", shard.url());
    curtain.falls().await?;
    // Its players move to the others before it goes.
    agent.shutdown().await;
    Ok(())
}

/// Everybody as processes; succeeds if what the clients check holds.
async fn all_roles() -> Result<(), StageError> {
    let mut stage = Stage::new();
    stage.set("SKYMESH_NAMESERVER__LISTEN", "127.0.0.1:0");
    let mut nameserver = stage.enter("nameserver", &["nameserver"])?;
    let address = stage.wait_for(&nameserver, "listens on", DEADLINE).await?;
    stage.set("SKYMESH_AGENT__NAMESERVER", address);
    let mut shards = Vec::new();
    for number in ["101", "102"] {
        let shard = stage.enter(&format!("shard {number}"), &["shard", number])?;
        stage.wait_for(&shard, "owns", DEADLINE).await?;
        shards.push(shard);
    }
    let mut clients = Vec::new();
    for number in ["1", "2"] {
        let client = stage.enter(&format!("client {number}"), &["client", number])?;
        stage.wait_for(&client, "sends", DEADLINE).await?;
        clients.push(client);
    }
    // Both at once, and while the clients send.
    for number in ["103", "104"] {
        shards.push(stage.enter(&format!("shard {number}"), &["shard", number])?);
    }
    // The clients end in any order.
    let mut playing = clients.len();
    while playing > 0 {
        match stage.hear("the end of the clients", DEADLINE).await? {
            Heard::Line { actor, line } => stage::show(&format!("[{actor}] {line}\n")),
            Heard::Left { status, .. } if status.success() => playing -= 1,
            Heard::Left { actor, status } => return Err(StageError::Left { actor, status }),
        }
    }
    for mut shard in shards {
        shard.dismiss();
        stage.wait_for_exit(&shard, DEADLINE).await?;
    }
    nameserver.dismiss();
    stage.wait_for_exit(&nameserver, DEADLINE).await
}
