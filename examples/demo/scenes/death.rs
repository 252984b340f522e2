//! The death of a server while the client sends to it, what is left then, and the account of it all.

use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

use skymesh_examples::stage::Actor;
use tokio::time::interval;

use super::{
    AFTER, BATCH, BESIDE_THE_KILL, KILL, MESSAGES, MESSAGES_AFTER, TABLE, VICTIM, full, send,
};
use crate::claim::{self, Claim};
use crate::director::{DemoError, Director, Shown, Word};
use crate::fact::{Cue, Fact};
use crate::tally::Received;

const SIGKILL: i32 = 9;

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
pub(super) async fn kill(director: &mut Director) -> Result<(u32, u32), DemoError> {
    let pid = director.servers.get(&VICTIM).map_or(0, Actor::pid);
    director
        .screen
        .line(&format!("\n4. kill -9 {pid}: server {VICTIM} dies while the client sends"));
    let before = director.act(TABLE.act);
    director.show(Shown { act: KILL, full: full(director, MESSAGES), changed: None });
    director.cue_client(&Cue::Play { act: KILL, messages: None, batch: BATCH }).await?;
    director.until_received(KILL, BESIDE_THE_KILL, "messages before the kill").await?;
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
    }
    let sent = director.halt(KILL).await?;
    director.settle();
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
pub(super) async fn after(
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
