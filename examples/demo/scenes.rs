//! What the demo plays, scene by scene, and what it claims of each.

mod change;
mod death;
pub(crate) mod own;

use std::time::{Duration, Instant};

use skymesh_examples::stage;
use tokio::time::timeout;

use crate::SERVERS;
use crate::claim;
use crate::director::{DemoError, Director, Shown, Word, seconds};
use crate::fact::{Act, Cue, Fact};
use crate::tally::Received;

/// The whole demo. It takes some 10 seconds; nothing in it is to fail because the machine is busy.
const LIMIT: Duration = Duration::from_secs(120);

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

/// A selector that is chosen in the configuration file.
struct Choice {
    act: Act,
    line: &'static str,
    id: &'static str,
}

const TURNS: Choice =
    Choice { act: Act(1), line: r#"selector = { use = "round_robin" }"#, id: "round_robin" };
const CHANGE: Act = Act(2);
const TABLE: Choice = Choice {
    act: Act(3),
    // A small table: one of the default size takes half a second to fill in a debug build.
    line: r#"selector = { use = "consistent_hash", config = { slots = 4096 } }"#,
    id: "consistent_hash",
};
const KILL: Act = Act(4);
const AFTER: Act = Act(5);

/// Plays everything.
pub(crate) async fn play() -> Result<(), DemoError> {
    timeout(LIMIT, whole()).await.unwrap_or(Err(DemoError::Slow(LIMIT)))
}

async fn whole() -> Result<(), DemoError> {
    stage::show(
        "skymesh demo: five processes, one mesh.toml, strategies from shared libraries\n\n",
    );
    let started = Instant::now();
    let mut director = Director::open(TURNS.line, None).await?;
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
    director.screen.line(&format!("\n1. each server in turn: {}", TURNS.line));
    director.joined().await?;
    let received = select(director, &TURNS).await?;
    director.claim(claim::evenly(&received, &everyone))?;

    let said = change::play(director).await?;

    director.screen.line("\n3. by key, and stable: mesh.toml is changed once more");
    change::take_up(director, &said, TABLE.line).await?;
    let before = select(director, &TABLE).await?;
    director.claim(claim::one_server_per_key(&before))?;
    director.claim(claim::all_have_a_share(&before, &everyone))?;

    let sent = death::kill(director).await?;
    death::after(director, &before, sent).await?;
    close(director).await
}

/// Lets the client send by a selector, and shows where it arrives.
async fn select(director: &mut Director, choice: &Choice) -> Result<Received, DemoError> {
    let received = send(director, choice.act, MESSAGES, BATCH).await?;
    director.claim(director.loaded_by_client("selector", choice.id))?;
    if choice.act == TURNS.act {
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
    director.show(Shown { act, full: full(director, messages), changed: None });
    director.cue_client(&Cue::Play { act, messages: Some(messages), batch }).await?;
    let what = format!("the arrival of all {messages} messages");
    let mut played = false;
    while !played || director.tally.received(act) < messages {
        if let (_, Word::Said(Fact::Played { .. })) = director.hear(&what).await? {
            played = true;
        }
    }
    director.settle();
    Ok(director.act(act))
}

/// What fills a bar: somewhat more than a server's fair share.
fn full(director: &Director, messages: u32) -> u32 {
    messages * 135 / (100 * director.living().len() as u32)
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
