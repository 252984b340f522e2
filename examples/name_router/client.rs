//! The role of the client: sends to the servers in three ways, and watches what they make of it.

use std::collections::BTreeMap;

use skymesh::{Config, Delivery, Event, Inbox, Instance, InstanceRecord, Resolve, Router};
use skymesh_examples::role::{self, Curtain, RoleError};
use tokio::time::timeout;

use crate::{CONFIG, DEADLINE, SERVICE, START_SERVER};

const TURNS: usize = 4;
const PLAYERS: [u64; 4] = [1001, 1002, 1003, 1004];

/// What the attributes of the servers are to say: per server and text, how many.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts(BTreeMap<(u64, String), u64>);

pub(crate) async fn send_and_watch() -> Result<(), RoleError> {
    let _curtain = Curtain::new();
    let config = Config::load(CONFIG)?;
    let _log = config.log.install()?;
    let agent = config.agent_builder().connect().await?;
    let (client, mut inbox) = agent.register("testApp.weixin1.Client/101").await?;
    println!("registered {}", client.url());

    // From here on the inbox has the events of the servers, and the router knows who is there.
    let router = client.watch(SERVICE)?;
    let two = |known: &Resolve| servers(known).len() >= 2;
    let known = role::find(&router, two, START_SERVER, DEADLINE).await?;
    let servers = servers(&known);
    let (mut seen, mut expected) = (Counts::default(), Counts::default());
    servers.iter().for_each(|server| expected.read(server));

    broadcast(&client, &router, &servers, &mut expected).await?;
    by_loop(&client, &servers, &mut expected).await?;
    by_mod_hash(&client, &router, &mut expected).await?;
    println!("waits until the servers have counted all that in their attributes");
    let watched = timeout(DEADLINE, watch(&mut inbox, &mut seen, &expected)).await;
    watched.map_err(|_| seen.short_of(&expected))??;
    println!("the attributes say what was sent");

    drop(inbox);
    agent.shutdown().await;
    Ok(())
}

/// Who is there, sorted by instance id: the same order in every process.
fn servers(known: &Resolve) -> Vec<&InstanceRecord> {
    match known {
        Resolve::Ready(known) | Resolve::Stale(known, _) => {
            known.members.iter().map(|member| &*member.record).collect()
        }
        Resolve::Loading | Resolve::Empty => Vec::new(),
    }
}

/// To every one of them.
async fn broadcast(
    client: &Instance,
    router: &Router,
    servers: &[&InstanceRecord],
    expected: &mut Counts,
) -> Result<(), RoleError> {
    let broadcast = client.broadcast(router.name(), "Hello.").await?;
    println!("a broadcast, \"Hello.\", is on its way to {} servers", broadcast.accepted);
    if broadcast.accepted != servers.len() {
        return Err(format!("refused by {:?}", broadcast.refused).into());
    }
    servers.iter().for_each(|server| expected.add(server, "Hello."));
    Ok(())
}

/// Each in turn, by URL: whatever the configuration says.
async fn by_loop(
    client: &Instance,
    servers: &[&InstanceRecord],
    expected: &mut Counts,
) -> Result<(), RoleError> {
    for server in servers.iter().cycle().take(TURNS) {
        client.send(&server.url, "RouterByLoop").await?;
        println!("RouterByLoop goes to {}", server.url);
        expected.add(server, "RouterByLoop");
    }
    Ok(())
}

/// The one that the configured selector picks for a player: the same in every process.
async fn by_mod_hash(
    client: &Instance,
    router: &Router,
    expected: &mut Counts,
) -> Result<(), RoleError> {
    for player in PLAYERS {
        let server = router.select(Some(player.into())).ok_or("no server to pick")?;
        client.send(router.key(player), "RouterByModHash").await?;
        println!("RouterByModHash of player {player} goes to {}", server.url);
        expected.add(&server, "RouterByModHash");
    }
    Ok(())
}

/// Reads events until the attributes say what is expected.
async fn watch(inbox: &mut Inbox, seen: &mut Counts, expected: &Counts) -> Result<(), RoleError> {
    while seen != expected {
        match inbox.recv().await {
            Some(Delivery::Event(Event::Online(server))) => seen.read(&server),
            Some(Delivery::Event(Event::AttributesChanged { record: server, .. })) => {
                println!("{} has the attributes {}", server.url, server.attributes.to_text());
                seen.read(&server);
            }
            Some(_) => {}
            None => return Err("the nameserver took this client off the mesh".into()),
        }
    }
    Ok(())
}

impl Counts {
    /// Takes what a server's attributes say.
    fn read(&mut self, server: &InstanceRecord) {
        for (text, count) in server.attributes.iter() {
            let key = (server.url.instance.get(), text.to_owned());
            self.0.insert(key, count.as_u64().unwrap_or(0));
        }
    }

    /// What is missing, and why that may be.
    fn short_of(&self, expected: &Self) -> String {
        let seen = |key| self.0.get(key).copied().unwrap_or(0);
        let short = expected.0.iter().filter(|(key, count)| seen(key) != **count);
        let lines = short.map(|(key, count)| {
            let (server, text) = key;
            format!("\n  server {server} counts {} of {count} {text:?}", seen(key))
        });
        let lines: String = lines.collect();
        format!("not all that was sent was counted; does a server no longer run?{lines}")
    }

    /// One more of a text is on its way to a server.
    fn add(&mut self, server: &InstanceRecord, text: &str) {
        *self.0.entry((server.url.instance.get(), text.to_owned())).or_default() += 1;
    }
}
