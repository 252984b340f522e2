//! `election`: two servers stand for the leadership of their service. A client asks each leader in
//! turn to give up, by messages to *the leader*, whoever that is. The leaders write to a store, which
//! is fenced: it takes nothing of a leader whose term is over.
//!
//! All roles at once, as processes of their own; it stops by itself:
//! ```text
//! cargo run -p skymesh-examples --bin election
//! ```
//! Or each role in a terminal of its own, in this order (Ctrl-C ends all but the client):
//! ```text
//! cargo run -p skymesh-examples --bin election -- nameserver
//! cargo run -p skymesh-examples --bin election -- store
//! cargo run -p skymesh-examples --bin election -- server 101
//! cargo run -p skymesh-examples --bin election -- server 102
//! cargo run -p skymesh-examples --bin election -- client
//! ```
//! The configuration is `examples/election/mesh.toml`. How long a service is without a leader is
//! measured, and held to what is promised, by `cargo run --release -p skymesh-bench -- failover`.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use skymesh::{Config, Delivery, Event, FenceGate, Inbox, Instance, Leadership, Resolve, Standing};
use skymesh_examples::role::{self, Curtain, RoleError};
use skymesh_examples::stage::{Stage, StageError};
use tokio::time::timeout;

const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/election/mesh.toml");
const SERVICE: &str = "testApp.weixin1.electionServer";
const STORE: &str = "testApp.weixin1.store";
const CLIENT_URL: &str = "testApp.weixin1.electionClient/101";

/// What the client asks a leader, and what that answers once it is a candidate again.
const GIVE_UP: &str = "give up";
const STANDS: &str = "stands again";
const ROUNDS: usize = 4;
const START_SERVER: &str = "cargo run -p skymesh-examples --bin election -- server 101, and 102";

/// How long a step may take before something must be wrong.
const DEADLINE: Duration = Duration::from_secs(20);

#[tokio::main]
async fn main() -> ExitCode {
    skymesh_examples::cast!(all_roles(), "nameserver, store, server INSTANCE or client", {
        ["nameserver"] => role::nameserver(CONFIG, role::say_address),
        ["store"] => store(),
        ["server", instance] => server(instance),
        ["client"] => client(),
    })
}

/// Takes what leaders write, as long as no newer leader has written. A store that outlives its
/// process would keep the newest term with what is written, and begin with that.
async fn store() -> Result<(), RoleError> {
    let curtain = Curtain::new();
    let config = Config::load(CONFIG)?;
    let _log = config.log.install()?;
    let agent = config.agent_builder().connect().await?;
    let gate = Arc::new(FenceGate::default());
    let url = format!("{STORE}/1");
    let (instance, inbox) = agent.register(url.as_str()).fence(SERVICE.parse()?, gate).await?;
    println!("registered {}", instance.url());
    tokio::select! {
        () = take_writes(inbox) => {}
        ended = curtain.falls() => ended?,
    }
    agent.shutdown().await;
    Ok(())
}

async fn take_writes(mut inbox: Inbox) {
    let mut before = None;
    while let Some(delivery) = inbox.recv().await {
        let Delivery::Message(message) = delivery else { continue };
        let newer = message.term() > before;
        before = before.max(message.term());
        let text = String::from_utf8_lossy(message.payload()).into_owned();
        let term = if newer { "a new term" } else { "the same term" };
        println!("{} writes in {term}: {text}", message.source().url());
    }
}

/// Stands for the leadership, again each time that it has given it up.
async fn server(instance: &str) -> Result<(), RoleError> {
    let curtain = Curtain::new();
    let config = Config::load(CONFIG)?;
    let _log = config.log.install()?;
    let agent = config.agent_builder().connect().await?;
    let url = format!("{SERVICE}/{instance}");
    let (me, inbox) = agent.register(url.as_str()).await?;
    me.run_for_leader().await?;
    println!("stands as {}", me.url());
    tokio::select! {
        ended = lead_when_elected(&me, inbox) => ended?,
        ended = curtain.falls() => ended?,
    }
    agent.shutdown().await;
    Ok(())
}

async fn lead_when_elected(me: &Instance, mut inbox: Inbox) -> Result<(), RoleError> {
    while let Some(delivery) = inbox.recv().await {
        match delivery {
            // At a nameserver of protocol 1, which knows no terms, there is no leadership in it.
            Delivery::Event(Event::Elected { leadership: Some(leadership), .. }) => {
                println!("leads");
                // Carries the term: if somebody led after this one, the store refuses it.
                leadership.send(STORE, "the first word of a leader").await?;
            }
            Delivery::Event(Event::Unseated { .. }) => println!("leads no longer"),
            Delivery::Message(message) if message.payload() == GIVE_UP => {
                println!("is asked to give up");
                let leadership = me.leadership()?;
                give_up(leadership).await?;
                me.run_for_leader().await?;
                // Whoever asked may have gone.
                let _ = me.send(message.source(), STANDS).await;
            }
            _ => {}
        }
    }
    Ok(())
}

/// Hands over, after some last work that nobody else may begin before it is done.
async fn give_up(leadership: Leadership) -> Result<(), RoleError> {
    let guard = leadership.guard()?;
    let last_work = tokio::spawn(async move {
        let sent = guard.leadership().send(STORE, "the last word of a leader").await;
        drop(guard);
        sent
    });
    leadership.resign().await;
    last_work.await??;
    Ok(())
}

/// Asks each leader in turn to give up.
async fn client() -> Result<(), RoleError> {
    let _curtain = Curtain::new();
    let config = Config::load(CONFIG)?;
    let _log = config.log.install()?;
    let agent = config.agent_builder().connect().await?;
    let both = |known: &Resolve| known.members().len() >= 2;
    role::find(&agent.router(SERVICE)?, both, START_SERVER, DEADLINE).await?;
    let (me, mut inbox) = agent.register(CLIENT_URL).await?;
    let election = me.watch_election(SERVICE)?;
    println!("waits for a leader: the first one of a new nameserver is seated after a lease, 3 s");
    let mut before = None;
    let mut leaders = Vec::new();
    // Nobody else is asked before whoever gave up stands again: it could not be followed by that one.
    let mut both_stand = true;
    for _ in 0..ROUNDS {
        let another = |standing: &Standing| match standing {
            Standing::Leads(leader) => leader.term > before,
            _ => false,
        };
        let standing = timeout(DEADLINE, async {
            loop {
                tokio::select! {
                    standing = election.wait_until(another), if both_stand => {
                        return Ok::<_, RoleError>(standing);
                    }
                    // A new leader may hear of it later than this client did. Then it refuses what is
                    // for the leader, which is told, and asked again here.
                    Some(delivery) = inbox.recv() => match delivery {
                        Delivery::Event(Event::Undeliverable { .. }) => {
                            me.send(&election, GIVE_UP).await?;
                        }
                        Delivery::Message(answer) if answer.payload() == STANDS => both_stand = true,
                        _ => {}
                    }
                }
            }
        })
        .await??;
        let Some(leader) = standing.leader() else { continue };
        println!("{} leads", leader.url);
        leaders.push(leader.url.clone());
        before = leader.term;
        both_stand = false;
        me.send(&election, GIVE_UP).await?;
    }
    let alternate = leaders.windows(2).all(|pair| pair[0] != pair[1]);
    if !alternate {
        return Err(format!("one of them led twice in a row: {leaders:?}").into());
    }
    println!(
        "{ROUNDS} leaders, each in a newer term than the one before, none of them twice in a row"
    );
    // Nobody reads it any more; else the shutdown would wait for somebody to.
    drop(inbox);
    agent.shutdown().await;
    Ok(())
}

/// All roles as processes; succeeds if the leaders followed each other as they should.
async fn all_roles() -> Result<(), StageError> {
    let mut stage = Stage::new();
    // Any port will do, so that two of these can run side by side.
    stage.set("SKYMESH_NAMESERVER__LISTEN", "127.0.0.1:0");
    let nameserver = stage.enter("nameserver", &["nameserver"])?;
    let address = stage.wait_for(&nameserver, "listens on ", DEADLINE).await?;
    stage.set("SKYMESH_AGENT__NAMESERVER", address);
    let store = stage.enter("store", &["store"])?;
    stage.wait_for(&store, "registered ", DEADLINE).await?;
    let servers = [
        stage.enter("server 101", &["server", "101"])?,
        stage.enter("server 102", &["server", "102"])?,
    ];
    let client = stage.enter("client", &["client"])?;
    stage.wait_for_exit(&client, DEADLINE).await?;
    for mut actor in servers.into_iter().chain([store, nameserver]) {
        actor.dismiss();
        stage.wait_for_exit(&actor, DEADLINE).await?;
    }
    Ok(())
}
