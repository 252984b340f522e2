//! `custom_selector`: a selector of one's own, in a crate of its own, loaded by configuration. Three
//! rooms say in an attribute how many players they have, and every player is sent to the emptiest.
//! ```text
//! cargo run -p skymesh-examples --bin custom_selector
//! ```
//! The plugin is `examples/custom_selector/plugin/src/lib.rs`, and the configuration that loads it
//! `examples/custom_selector/mesh.toml`. This program does not know how the plugin decides; it only
//! checks each decision afterwards, and ends with code 0 if all of them were the plugin's.

use std::process::ExitCode;
use std::time::Duration;

use skymesh::{
    Agent, Config, Instance, InstanceId, Message, Nameserver, PluginState, Resolve, Router, Service,
};
use skymesh_examples::role::{self, RoleError};

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/custom_selector/mesh.toml");
const SERVICE: &str = "arena.local.room";
const PLAYERS: u64 = 12;

/// How long a step may take before something must be wrong.
const DEADLINE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    role::perform_alone(env!("CARGO_BIN_NAME"), run()).await
}

/// A room: counts its players, and says so.
struct Room {
    players: u64,
}

impl Service for Room {
    async fn on_message(&mut self, instance: &Instance, _: Message) {
        self.players += 1;
        if let Err(error) = instance.set_attribute("players", self.players).await {
            eprintln!("{}: can't say how many players there are: {error}", instance.url());
        }
    }
}

/// For once all in one process: nameserver, rooms and lobby.
async fn run() -> Result<(), RoleError> {
    let mut config = Config::load(CONFIG)?;
    let nameserver = Nameserver::bind(config.nameserver.clone()).await?;
    config.agent.nameserver = nameserver.local_addr().to_string();
    tokio::spawn(nameserver.run());

    let arena = config.agent_builder().connect().await?;
    let mut players = [5, 1, 3];
    for (room, players) in (1..).zip(players) {
        let url = format!("{SERVICE}/{room}");
        arena.register(url).attributes([("players", players)]).serve(Room { players }).await?;
    }
    let lobby = config.agent_builder().connect().await?;
    let (host, _inbox) = lobby.register("arena.local.lobby/1").await?;
    let rooms = lobby.router(SERVICE)?;
    let all = |known: &Resolve| matches!(known, Resolve::Ready(known) if known.members.len() == 3);
    rooms.wait_until(DEADLINE, all).await?;
    show_plugin(&lobby)?;

    println!("rooms have {players:?} players");
    for player in 1..=PLAYERS {
        host.send(&rooms, format!("player {player}")).await?;
        let after = one_more(&rooms, players).await?;
        let joined = (0..3).find(|room| after[*room] > players[*room]).unwrap_or_default();
        println!("player {player:>2} joins room {}: {after:?}", joined + 1);
        if players.iter().any(|others| *others < players[joined]) {
            return Err("that was not the emptiest room: the plugin did not decide".into());
        }
        players = after;
    }
    println!("every player went to the emptiest room");
    lobby.shutdown().await;
    arena.shutdown().await;
    Ok(())
}

/// Prints where the plugin comes from.
fn show_plugin(agent: &Agent) -> Result<(), RoleError> {
    let all = agent.plugins();
    let found = all.iter().find(|plugin| plugin.id.as_deref() == Some("emptiest_room"));
    match found.and_then(|plugin| Some((plugin.state, plugin.path.as_ref()?))) {
        Some((PluginState::Active, path)) => println!("emptiest_room is {}", path.display()),
        _ => return Err(format!("the plugin is not in use: {all:?}").into()),
    }
    Ok(())
}

/// Waits until the rooms, as the selector sees them, have one more player than `before`.
async fn one_more(rooms: &Router, before: [u64; 3]) -> Result<[u64; 3], RoleError> {
    let wanted = before.iter().sum::<u64>() + 1;
    let mut after = before;
    let there = |_: &Resolve| {
        after = [1, 2, 3].map(|room| players_in(rooms, room).unwrap_or_default());
        after.iter().sum::<u64>() == wanted
    };
    rooms.wait_until(DEADLINE, there).await?;
    Ok(after)
}

fn players_in(rooms: &Router, room: u64) -> Option<u64> {
    rooms.attributes(InstanceId::new(room).ok()?)?.get("players")?.as_u64()
}
