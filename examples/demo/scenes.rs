//! What the demo plays, scene by scene, and what it claims of each.

pub(crate) mod own;

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use skymesh_examples::stage::Actor;
use tokio::time::{interval, timeout};

use crate::SERVERS;
use crate::claim::{self, Claim};
use crate::director::{DemoError, Director, Word, seconds};
use crate::fact::{Act, Cue, Fact};
use crate::tally::Received;

/// The whole demo.
const LIMIT: Duration = Duration::from_secs(28);

/// Messages every 10 ms: 1 200 a second, slow enough to watch.
const BATCH: u32 = 12;

/// Two seconds' worth: 12 of each key.
const MESSAGES: u32 = 2400;
/// After the kill: 6 of each key.
const MESSAGES_AFTER: u32 = 1200;
/// So many messages before the kill, and again after the end of the server is known.
const BESIDE_THE_KILL: u32 = 480;

/// Who is killed.
const VICTIM: u64 = 2;

const SIGKILL: i32 = 9;

/// A selector that is chosen in the configuration file.
struct Choice {
    act: Act,
    line: &'static str,
    id: &'static str,
    meaning: &'static str,
}

const TURNS: Choice = Choice {
    act: Act(1),
    line: r#"selector = { use = "round_robin" }"#,
    id: "round_robin",
    meaning: "each server in turn",
};
const REMAINDERS: Choice = Choice {
    act: Act(2),
    line: r#"selector = { use = "mod_hash" }"#,
    id: "mod_hash",
    meaning: "by key",
};
const TABLE: Choice = Choice {
    act: Act(3),
    // A small table: one of the default size takes half a second to fill in a debug build.
    line: r#"selector = { use = "consistent_hash", config = { slots = 4096 } }"#,
    id: "consistent_hash",
    meaning: "by key, and stable",
};
const KILL: Act = Act(4);
const AFTER: Act = Act(5);

/// Plays everything.
pub(crate) async fn play() -> Result<(), DemoError> {
    timeout(LIMIT, whole()).await.unwrap_or(Err(DemoError::Slow(LIMIT)))
}

async fn whole() -> Result<(), DemoError> {
    println!("skymesh demo: five processes, one mesh.toml, strategies from shared libraries\n");
    let started = Instant::now();
    let mut director = Director::open(None).await?;
    let played = scenes(&mut director).await;
    end(&mut director, played, started)
}

/// The last line, if all went well; else what the processes logged.
fn end(
    director: &mut Director,
    played: Result<(), DemoError>,
    started: Instant,
) -> Result<(), DemoError> {
    if played.is_err() {
        director.print_logs();
    }
    played?;
    let text = format!("\n{} claims, all of them checked; {}", director.claims(), seconds(started));
    director.screen.line(&text);
    Ok(())
}

async fn scenes(director: &mut Director) -> Result<(), DemoError> {
    let everyone = director.living();
    let received = select(director, &TURNS).await?;
    director.claim(claim::evenly(&received, &everyone))?;

    let received = select(director, &REMAINDERS).await?;
    director.claim(claim::one_server_per_key(&received))?;
    director.claim(claim::by_remainder(&received, &everyone))?;

    let before = select(director, &TABLE).await?;
    director.claim(claim::one_server_per_key(&before))?;
    director.claim(claim::all_have_a_share(&before, &everyone))?;

    let sent = kill(director).await?;
    after(director, &before, sent).await?;
    close(director).await
}

/// Changes the selector, lets the client send, and shows where it arrives.
async fn select(director: &mut Director, choice: &Choice) -> Result<Received, DemoError> {
    let Choice { act, line, id, meaning } = choice;
    director.screen.line(&format!("\n{}. {meaning}: {line}", act.0));
    director.switch_to(line).await?;
    let received = send(director, *act, MESSAGES, BATCH).await?;
    director.claim(director.loaded_by_client("selector", id))?;
    if *act == TURNS.act {
        director.claim(director.loaded_by_all("codec", "compact"))?;
    }
    director.claim(claim::each_once(&received, MESSAGES))?;
    Ok(received)
}

/// Lets the client send `messages`, until the servers have them all.
async fn send(
    director: &mut Director,
    act: Act,
    messages: u32,
    batch: u32,
) -> Result<Received, DemoError> {
    let full = messages * 135 / (100 * director.living().len() as u32);
    director.cue_client(&Cue::Play { act, messages: Some(messages), batch }).await?;
    let what = format!("the arrival of all {messages} messages");
    let mut played = false;
    while !played || director.tally.received(act) < messages {
        if let (_, Word::Said(Fact::Played { .. })) = director.hear(&what).await? {
            played = true;
        }
        let bars = director.bars(act);
        director.screen.show(&bars, full);
    }
    let bars = director.bars(act);
    director.screen.settle(&bars, full);
    Ok(director.act(act))
}

/// What is seen of a death.
#[derive(Debug, Default)]
struct Death {
    signal: Option<i32>,
    suspect: Option<Duration>,
    offline: Option<Duration>,
    /// When the first message for the dead server came to another one.
    moved: Option<Duration>,
}

/// Kills a server while the client sends; answers how many messages it sent, and how many of them
/// were not accepted.
async fn kill(director: &mut Director) -> Result<(u32, u32), DemoError> {
    let full = MESSAGES * 45 / 100;
    let pid = director.servers.get(&VICTIM).map_or(0, Actor::pid);
    director
        .screen
        .line(&format!("\n4. kill -9 {pid}: server {VICTIM} dies while the client sends"));
    let before = director.act(TABLE.act);
    director.cue_client(&Cue::Play { act: KILL, messages: None, batch: BATCH }).await?;
    while director.tally.received(KILL) < BESIDE_THE_KILL {
        director.hear("messages before the kill").await?;
        let bars = director.bars(KILL);
        director.screen.show(&bars, full);
    }
    director.kill(VICTIM);
    let killed = Instant::now();
    let mut death = Death::default();
    let mut enough = None;
    while enough.is_none_or(|enough| director.tally.received(KILL) < enough) {
        let (actor, word) = director.hear("the offline event of the killed server").await?;
        observe(&mut death, &before, &actor, &word, killed.elapsed());
        if death.offline.is_some() && death.signal.is_some() && enough.is_none() {
            enough = Some(director.tally.received(KILL) + BESIDE_THE_KILL);
        }
        let bars = director.bars(KILL);
        director.screen.show(&bars, full);
    }
    director.cue_client(&Cue::Halt).await?;
    let sent = director
        .until("the client's account", |_, fact| match fact {
            Fact::Played { act: KILL, sent, refused } => Some((*sent, *refused)),
            _ => None,
        })
        .await?;
    let bars = director.bars(KILL);
    director.screen.settle(&bars, full);
    director.claim(died(&death))?;
    Ok(sent)
}

fn observe(death: &mut Death, before: &Received, actor: &str, word: &Word, at: Duration) {
    match word {
        Word::Left(status) => death.signal = status.signal(),
        Word::Said(Fact::Suspect { server: VICTIM }) => {
            death.suspect.get_or_insert(at);
        }
        Word::Said(Fact::Offline { server: VICTIM }) => {
            death.offline.get_or_insert(at);
        }
        Word::Said(Fact::Got(parcel)) => {
            let elsewhere = actor != format!("server {VICTIM}");
            if elsewhere && before.home(parcel.key) == Some(VICTIM) {
                death.moved.get_or_insert(at);
            }
        }
        Word::Said(_) => {}
    }
}

fn died(death: &Death) -> Claim {
    let Death { signal: Some(SIGKILL), suspect, offline: Some(offline), moved: Some(moved) } =
        death
    else {
        return Err(format!("the death of server {VICTIM} was seen only in part: {death:?}"));
    };
    let doubted = suspect.map_or_else(String::new, |at| format!("doubted after {at:.0?}, "));
    Ok(format!(
        "the client heard: {doubted}offline after {offline:.1?}; keys moved after {moved:.0?}"
    ))
}

/// The mesh without the killed server, and the account of what was sent while it died.
async fn after(
    director: &mut Director,
    before: &Received,
    sent: (u32, u32),
) -> Result<(), DemoError> {
    director.screen.line("\n5. afterwards, with the servers that are left");
    let after = send(director, AFTER, MESSAGES_AFTER, BATCH).await?;
    director.claim(claim::each_once(&after, MESSAGES_AFTER))?;
    director.claim(claim::only_the_dead_ones_keys_moved(before, &after, VICTIM))?;
    // What was sent later has arrived, so what was sent while the server died has too.
    let during = director.act(KILL);
    director.claim(claim::nobody_elses_key_left(before, &during, VICTIM))?;
    let losses = admitted(director, before, &during, sent).await?;
    director.claim(losses)
}

/// Asks the client's agent for its counters until they account for what is missing. It counts once
/// it has let go of the dead server, soon after the offline event.
async fn admitted(
    director: &mut Director,
    before: &Received,
    during: &Received,
    sent: (u32, u32),
) -> Result<Claim, DemoError> {
    let mut asks = interval(Duration::from_millis(50));
    let mut account = Err("the client's agent was not asked".to_owned());
    for _ in 0..20 {
        asks.tick().await;
        director.cue_client(&Cue::CountLosses).await?;
        let counted = director
            .until("the client's counters", |_, fact| match fact {
                Fact::Losses { unconfirmed, undeliverable } => Some(unconfirmed + undeliverable),
                _ => None,
            })
            .await?;
        account = claim::losses_are_counted(before, during, sent, counted, VICTIM);
        if account.is_ok() {
            break;
        }
    }
    Ok(account)
}

/// Everyone leaves in order; the servers' own totals are what was counted.
async fn close(director: &mut Director) -> Result<(), DemoError> {
    let totals = director.close().await?;
    let wrong = totals.iter().find(|(server, total)| director.tally.of_server(**server) != **total);
    director.claim(match wrong {
        _ if totals.len() != SERVERS - 1 => Err(format!("only {} totals came", totals.len())),
        Some((server, total)) => Err(format!("server {server} counts {total} messages by itself")),
        None => Ok("everyone left in order; the servers' own totals agree".to_owned()),
    })
}
