//! The client: sends for every player all the time, and checks in the end what became of it.

use std::collections::{BTreeMap, HashMap};

use skymesh::{Config, Delivery, Inbox, Instance, Key, Resolve, Router};
use skymesh_examples::role::{self, Curtain, RoleError};
use tokio::time::timeout;

use crate::tally::{Report, Sent};
use crate::{CONFIG, DEADLINE, REPORT, SERVICE, START_SHARD};

const PLAYERS: u64 = 120;

/// So many more rounds are sent after the service has grown.
const ROUNDS_AFTER: u64 = 20;

pub(crate) async fn client(number: &str) -> Result<(), RoleError> {
    let _curtain = Curtain::new();
    let config = Config::load(CONFIG)?;
    let _log = config.log.install()?;
    let agent = config.agent_builder().connect().await?;
    let url = format!("testApp.weixin1.ShardClient/{number}");
    let (me, mut inbox) = agent.register(url.as_str()).await?;
    let router = agent.router(SERVICE)?;
    role::find(&router, has(2), START_SHARD, DEADLINE).await?;
    let before = owners(&router);
    println!("sends for {PLAYERS} players to {} shards, until there are 4", count(&before));

    // Without a pause, also while players move.
    let mut rounds = 0;
    let mut left = ROUNDS_AFTER;
    while left > 0 {
        for player in 0..PLAYERS {
            let sent = Sent { client: me.url().instance.get(), player, number: rounds };
            me.send(router.key(player), sent.to_bytes()).await?;
        }
        rounds += 1;
        left -= u64::from(has(4)(&router.instances()));
    }
    router.settled(DEADLINE).await?;
    let after = owners(&router);
    let stayed = before.iter().filter(|(player, owner)| after[player] == **owner).count();
    let astray = before
        .values()
        .zip(after.values())
        .filter(|(old, new)| old != new && before.values().any(|known| known == *new))
        .count();
    println!("{} shards: {stayed} players stayed, {} moved", count(&after), before.len() - stayed);
    claim(astray == 0, "whoever moved went to a new shard")?;
    check(&me, &mut inbox, &router, rounds).await?;
    agent.shutdown().await;
    Ok(())
}

/// Asks every shard what it took, until all that was sent is there, and checks it.
async fn check(
    me: &Instance,
    inbox: &mut Inbox,
    router: &Router,
    rounds: u64,
) -> Result<(), RoleError> {
    let sent = rounds * PLAYERS;
    println!("asks the shards what they took");
    let mut known = 0;
    let found = timeout(DEADLINE, async {
        loop {
            let findings = gather(me, inbox, router).await?;
            known = findings.received;
            if findings.received >= sent {
                return Ok::<_, RoleError>(findings);
            }
        }
    });
    let found = found.await.map_err(|_| {
        format!(
            "of {sent} messages sent, the shards that run know {known}; \
             did one of them die? Then its tally is gone, and all have to start anew"
        )
    })?;
    let Findings { received, doubly, disorder } = found?;
    claim(received == sent, &format!("{sent} messages sent, {received} received"))?;
    claim(doubly == 0, "no player had two shards in one placement")?;
    claim(disorder == 0, "every player's messages came in order")
}

/// What the shards' tallies say together.
#[derive(Debug, Default)]
struct Findings {
    /// Messages of this client.
    received: u64,
    /// Players who had two shards in one placement. Of all clients: they have to agree.
    doubly: u64,
    disorder: u64,
}

async fn gather(me: &Instance, inbox: &mut Inbox, router: &Router) -> Result<Findings, RoleError> {
    let mut owners: HashMap<(u64, u64), String> = HashMap::new();
    let mut findings = Findings::default();
    for member in router.instances().members() {
        me.send(&member.record.url, REPORT).await?;
        let (shard, report) = report(inbox).await?;
        findings.disorder += report.disorder;
        for line in report.lines {
            if line.client == me.url().instance.get() {
                findings.received += line.messages;
            }
            let owner = owners.entry((line.epoch, line.player)).or_insert_with(|| shard.clone());
            findings.doubly += u64::from(*owner != shard);
        }
    }
    Ok(findings)
}

async fn report(inbox: &mut Inbox) -> Result<(String, Report), RoleError> {
    while let Some(delivery) = inbox.recv().await {
        if let Delivery::Message(message) = delivery {
            let report = serde_json::from_slice(message.payload())?;
            return Ok((message.source().url().to_string(), report));
        }
    }
    Err("the inbox ended".into())
}

fn claim(holds: bool, what: &str) -> Result<(), RoleError> {
    if holds {
        println!("ok  {what}");
        return Ok(());
    }
    Err(format!("NOT true: {what}").into())
}

fn has(shards: usize) -> impl Fn(&Resolve) -> bool {
    move |known| known.members().len() >= shards
}

/// Which shard owns each player.
fn owners(router: &Router) -> BTreeMap<u64, u64> {
    let owner = |player| router.select(Some(Key::from(player)));
    let owners = (0..PLAYERS).map(|player| (player, owner(player)));
    owners.filter_map(|(player, shard)| Some((player, shard?.url.instance.get()))).collect()
}

fn count(owners: &BTreeMap<u64, u64>) -> usize {
    owners.values().collect::<std::collections::BTreeSet<_>>().len()
}
