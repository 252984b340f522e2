//! The configuration file changes while the client sends: rightly, and then with a mistake in it. No
//! process is started anew, nor told anything: agents look whether their file has changed.

use std::time::{Duration, Instant};

use skymesh::{Reload, ReloadOutcome};

use super::{BATCH, CHANGE, MESSAGES, full};
use crate::SERVERS;
use crate::claim;
use crate::claim::reload::{self, Reloads};
use crate::director::{DemoError, Director, Shown, Word};
use crate::fact::{Cue, Fact};

const BEFORE: &str = "round_robin";
const AFTER: &str = "mod_hash";
const LINE: &str = r#"selector = { use = "mod_hash" }"#;

/// What comes of it if one wants the next scene's selector, and has not looked up how it is written.
const MISTAKEN: &str = "consistant_hash";
const MISTAKEN_LINE: &str = r#"selector = { use = "consistant_hash" }"#;

/// So many messages before the change, after it, and again after the mistake: three of each key, so that
/// each key can come to each of three servers.
const BESIDE: u32 = 600;

/// What came of a change of the file.
struct Answers {
    reloads: Reloads,
    /// The number of the message that the client sent next.
    next: u32,
}

/// Plays the scene; answers the agents' last words on the file.
pub(super) async fn play(director: &mut Director) -> Result<Reloads, DemoError> {
    director.screen.line("\n2. by key from now on: mesh.toml is changed while the client sends");
    director.show(Shown { act: CHANGE, full: full(director, MESSAGES), changed: None });
    director.cue_client(&Cue::Play { act: CHANGE, messages: None, batch: BATCH }).await?;
    director.until_received(CHANGE, BESIDE, "messages before the change").await?;

    let right = save(director, &Reloads::new(), "saved", LINE).await?;
    director.show_keys_from(right.next);
    director.until_received(CHANGE, right.next + BESIDE, "messages after the change").await?;
    let loaded = director.loaded_by_client("selector", AFTER);

    let wrong = save(director, &right.reloads, "saved with a mistake", MISTAKEN_LINE).await?;
    director.until_received(CHANGE, wrong.next + BESIDE, "messages after the mistake").await?;

    let (sent, refused) = director.halt(CHANGE).await?;
    director.until_received(CHANGE, sent, &format!("the arrival of all {sent} messages")).await?;
    director.settle();

    let (received, servers) = (director.act(CHANGE), director.living());
    director.claim(loaded)?;
    director.claim(reload::taken_up(&right.reloads, SERVERS + 1, BEFORE, AFTER))?;
    director.claim(reload::refused(&wrong.reloads, &right.reloads, MISTAKEN))?;
    director.claim(reload::all_accepted(sent, refused))?;
    director.claim(claim::each_once(&received, sent))?;
    director.claim(reload::in_turn_until(&received, right.next, &servers))?;
    director.claim(reload::by_key_from(&received, right.next, wrong.next, &servers))?;
    Ok(wrong.reloads)
}

/// The same between two scenes, after those words.
pub(super) async fn take_up(
    director: &mut Director,
    before: &Reloads,
    line: &str,
) -> Result<(), DemoError> {
    save(director, before, "saved", line).await?;
    Ok(())
}

/// Saves the file with another choice of a selector, shows what the client's agent says of that, and
/// waits until all agents have said something else than `before`.
async fn save(
    director: &mut Director,
    before: &Reloads,
    how: &str,
    line: &str,
) -> Result<Answers, DemoError> {
    director.screen.above(&format!("   {how}: {line}"));
    director.save(line)?;
    let saved = Instant::now();
    let mut answers = Answers { reloads: Reloads::new(), next: 0 };
    while answers.reloads.len() < director.living().len() + 1 {
        let (actor, word) = director.hear("the word of every agent on the changed file").await?;
        let Word::Said(Fact::Reloaded { reload, sent, .. }) = word else { continue };
        if reload.outcome == ReloadOutcome::Unchanged || before.get(&actor) == Some(&reload) {
            // It looked once more, and found nothing new.
            continue;
        }
        if director.is_client(&actor) {
            answers.next = sent;
            director.screen.above(&told(&reload, saved.elapsed()));
        }
        answers.reloads.insert(actor, reload);
    }
    Ok(answers)
}

/// The agent's word, as `skymesh reload` shows it.
fn told(reload: &Reload, after: Duration) -> String {
    let verdict = reload.verdict();
    let details = reload.changed.iter().map(ToString::to_string).chain(reload.faults.clone());
    let details: String = details.map(|detail| format!("\n      {detail}")).collect();
    format!("   the client, {after:.1?} later: {verdict}{details}")
}
