//! A selector that the demo knows nothing of: under load, while a server dies, and afterwards. What is
//! claimed holds for any selector.

use std::path::PathBuf;
use std::time::Instant;

use skymesh_examples::stage;
use tokio::time::timeout;

use super::{AFTER, BESIDE_THE_KILL, KILL, LIMIT, VICTIM, end, send};
use crate::claim::{self, Claim};
use crate::director::{DemoError, Director, Word};
use crate::fact::{Act, Cue, Fact};

pub(crate) const USAGE: &str = "usage: demo [--selector ID[{ key = value }] [--plugins FOLDER]]";
pub(crate) const HELP: &str =
    "Without options: three selectors, exchanged in the running mesh, and the death of a server.
  --selector ID     this selector under load instead; a table of its configuration may follow
  --plugins FOLDER  where its library may lie, besides the folder of this program";

const LOAD: Act = Act(1);
/// Messages every 10 ms: 3 000 a second.
const BATCH: u32 = 30;
/// Three seconds' worth.
const MESSAGES: u32 = 9000;
/// One second's worth.
const MESSAGES_AFTER: u32 = 3000;

/// Which selector, and where its library may lie.
#[derive(Debug, PartialEq)]
pub(crate) struct Own {
    /// `id` or `library/id`.
    name: String,
    /// An inline table, or nothing.
    config: String,
    plugins: Option<PathBuf>,
}

impl Own {
    /// # Errors
    /// What is wrong with the arguments.
    pub(crate) fn from_arguments(arguments: &[&str]) -> Result<Self, String> {
        let (mut selector, mut plugins) = (None, None);
        let mut rest = arguments;
        while let [option, value, further @ ..] = rest {
            match *option {
                "--selector" => selector = Some(*value),
                "--plugins" => plugins = Some(folder(value)?),
                _ => return Err(USAGE.to_owned()),
            }
            rest = further;
        }
        let selector = selector.filter(|_| rest.is_empty()).ok_or(USAGE)?;
        let (name, config) = selector.split_at(selector.find('{').unwrap_or(selector.len()));
        Ok(Self { name: name.trim().to_owned(), config: config.to_owned(), plugins })
    }

    /// The line of the configuration file.
    fn line(&self) -> String {
        let config = match self.config.as_str() {
            "" => String::new(),
            config => format!(", config = {config}"),
        };
        format!("selector = {{ use = {:?}{config} }}", self.name)
    }

    fn id(&self) -> &str {
        self.name.rsplit_once('/').map_or(&self.name, |(_, id)| id)
    }

    /// Plays everything.
    pub(crate) async fn play(&self) -> Result<(), DemoError> {
        timeout(LIMIT, self.whole()).await.unwrap_or(Err(DemoError::Slow(LIMIT)))
    }

    async fn whole(&self) -> Result<(), DemoError> {
        stage::show("skymesh demo: five processes, and a selector that it knows nothing of\n\n");
        let started = Instant::now();
        let mut director = Director::open(&self.line(), self.plugins.as_deref()).await?;
        let played = self.scenes(&mut director).await;
        end(&mut director, played, started)
    }

    async fn scenes(&self, director: &mut Director) -> Result<(), DemoError> {
        director.screen.line(&format!("\n1. under load: {}", self.line()));
        director.joined().await?;
        let received = send(director, LOAD, MESSAGES, BATCH).await?;
        director.claim(claim::each_once(&received, MESSAGES))?;
        self.claim_in_use(director).await?;

        kill(director).await?;

        director.screen.line("\n3. afterwards, with the servers that are left");
        let after = send(director, AFTER, MESSAGES_AFTER, BATCH).await?;
        director.claim(claim::each_once(&after, MESSAGES_AFTER))?;
        self.claim_in_use(director).await?;
        super::close(director).await
    }

    /// Asks the client's agent anew: a selector that fails is taken out of service.
    async fn claim_in_use(&self, director: &mut Director) -> Result<(), DemoError> {
        director.cue_client(&Cue::TellPlugins).await?;
        let told = |_: &str, fact: &Fact| matches!(fact, Fact::Plugins(_)).then_some(());
        director.until("the client's word on its plugins", told).await?;
        director.claim(director.loaded_by_client("selector", self.id()))
    }
}

/// Kills a server while the client sends.
async fn kill(director: &mut Director) -> Result<(), DemoError> {
    director.screen.line(&format!("\n2. kill -9: server {VICTIM} dies while the client sends"));
    director.cue_client(&Cue::Play { act: KILL, messages: None, batch: BATCH }).await?;
    director.until_received(KILL, BESIDE_THE_KILL, "messages before the kill").await?;
    director.kill(VICTIM);
    let (killed, mut offline, mut enough) = (Instant::now(), None, None);
    while enough.is_none_or(|enough| director.tally.received(KILL) < enough) {
        let (_, word) = director.hear("the offline event of the killed server").await?;
        if matches!(word, Word::Said(Fact::Offline { server: VICTIM })) {
            offline.get_or_insert(killed.elapsed());
            enough = Some(director.tally.received(KILL) + BESIDE_THE_KILL);
        }
    }
    let (sent, refused) = director.halt(KILL).await?;
    let during = director.act(KILL);
    let claim: Claim = match during.twice() {
        0 => Ok(format!(
            "offline after {:.1?}; of {sent} messages {} were received by then, {refused} refused, none twice",
            offline.unwrap_or_default(),
            during.messages()
        )),
        twice => Err(format!("{twice} messages arrived twice")),
    };
    director.claim(claim)
}

fn folder(path: &str) -> Result<PathBuf, String> {
    PathBuf::from(path).canonicalize().map_err(|error| format!("--plugins {path}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_choose_a_selector_and_a_folder() {
        let own = |arguments: &[&str]| Own::from_arguments(arguments);
        let plain = own(&["--selector", "my_router"]).unwrap();
        assert_eq!(plain.line(), r#"selector = { use = "my_router" }"#);
        let full = own(&["--plugins", "/", "--selector", "lib/mine{ choices = 3 }"]).unwrap();
        assert_eq!(full.line(), r#"selector = { use = "lib/mine", config = { choices = 3 } }"#);
        assert_eq!((full.id(), full.plugins.clone()), ("mine", Some("/".into())));
        for wrong in
            [&["--selector"][..], &["--plugins", "/"], &["--selector", "a", "b"], &["--x", "y"]]
        {
            assert_eq!(own(wrong), Err(USAGE.to_owned()), "{wrong:?}");
        }
        let missing = own(&["--plugins", "/no/such", "--selector", "a"]).unwrap_err();
        assert!(missing.starts_with("--plugins /no/such: "), "{missing}");
    }
}
