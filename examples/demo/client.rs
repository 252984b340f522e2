//! The role of the client: sends what the director asks for, by service name and key, and tells what
//! its agent says of the servers.

use std::path::Path;
use std::time::Duration;

use skymesh::config::ConfigFile;
use skymesh::{
    Agent, Config, Delivery, Event, Inbox, Instance, InstanceState, Reload, Reloads, Resolve,
    Router,
};
use skymesh_examples::role::{Cues, RoleError};
use tokio::time::interval;

use crate::fact::{Act, Cue, Fact, Parcel, Plugin, tell};
use crate::{KEYS, SERVERS, SERVICE};

/// Messages go out in batches, one per tick.
const TICK: Duration = Duration::from_millis(10);

/// How long the servers may take to show up.
const SERVERS_WITHIN: Duration = Duration::from_secs(10);

/// The client on the mesh.
struct Client {
    agent: Agent,
    instance: Instance,
    inbox: Inbox,
    servers: Router,
    reloads: Reloads,
}

/// Joins the mesh, and does as it is told until the director is gone.
pub(crate) async fn obey(config: &Path) -> Result<(), RoleError> {
    let mut cues = Cues::listen();
    let file = ConfigFile::new(config);
    let config = file.load()?;
    let _log = config.log.install()?;
    let mut client = Client::join(&file, &config).await?;
    loop {
        tokio::select! {
            cue = cues.next() => match cue {
                Some(cue) => client.obey(serde_json::from_str(&cue)?, &mut cues).await?,
                None => break,
            },
            Some(reload) = client.reloads.next() => client.tell_of(&reload, 0),
        }
    }
    client.agent.shutdown().await;
    Ok(())
}

impl Client {
    async fn join(file: &ConfigFile, config: &Config) -> Result<Self, RoleError> {
        let agent = file.agent_builder(config).connect().await?;
        let reloads = agent.reloads();
        let (instance, inbox) = agent.register("demo.local.client/1").await?;
        let servers = instance.watch(SERVICE)?;
        let all = |known: &Resolve| matches!(known, Resolve::Ready(known) if known.members.len() == SERVERS);
        servers.wait_until(SERVERS_WITHIN, all).await?;
        let url = instance.url().to_string();
        tell(&Fact::Ready { url, servers: SERVERS, plugins: Plugin::of(&agent) });
        Ok(Self { agent, instance, inbox, servers, reloads })
    }

    async fn obey(&mut self, cue: Cue, cues: &mut Cues) -> Result<(), RoleError> {
        match cue {
            Cue::Play { act, messages, batch } => self.play(act, messages, batch, cues).await?,
            Cue::TellPlugins => tell(&Fact::Plugins(Plugin::of(&self.agent))),
            Cue::CountLosses => {
                let counted = self.agent.counters();
                let unconfirmed = counted.unconfirmed.get();
                tell(&Fact::Losses { unconfirmed, undeliverable: counted.undeliverable.get() });
            }
            // It came when all was sent.
            Cue::Halt => {}
        }
        Ok(())
    }

    /// Tells of a reload, after which message number `sent` is the next one.
    fn tell_of(&self, reload: &Reload, sent: u32) {
        let (reload, plugins) = (reload.clone(), Plugin::of(&self.agent));
        tell(&Fact::Reloaded { reload, sent, plugins });
    }

    /// Sends until `messages` are sent, or the director speaks.
    async fn play(
        &mut self,
        act: Act,
        messages: Option<u32>,
        batch: u32,
        cues: &mut Cues,
    ) -> Result<(), RoleError> {
        let (mut sent, mut refused) = (0, 0);
        let mut ticks = interval(TICK);
        while messages.is_none_or(|messages| sent < messages) {
            tokio::select! {
                _ = ticks.tick() => {
                    for number in sent..sent + batch {
                        refused += u32::from(!self.send(act, number).await?);
                    }
                    sent += batch;
                }
                delivery = self.inbox.recv() => match delivery {
                    Some(Delivery::Event(event)) => note(&event),
                    Some(Delivery::Message(_)) => {}
                    None => return Err("the nameserver took the client off the mesh".into()),
                },
                Some(reload) = self.reloads.next() => self.tell_of(&reload, sent),
                _ = cues.next() => break,
            }
        }
        tell(&Fact::Played { act, sent, refused });
        Ok(())
    }

    /// Sends one message to the server that the configured selector picks for its key. False if it
    /// was not accepted.
    async fn send(&self, act: Act, number: u32) -> Result<bool, RoleError> {
        let key = u64::from(number) % KEYS;
        let parcel = serde_json::to_vec(&Parcel { act, number, key })?;
        let sent = self.instance.send(self.servers.key(key), parcel).await;
        if let Err(error) = &sent {
            eprintln!("message {number} of act {act:?} was not accepted: {error}");
        }
        Ok(sent.is_ok())
    }
}

/// Tells of the events that matter to the play.
fn note(event: &Event) {
    match event {
        Event::StateChanged { record, .. } if record.state == InstanceState::Suspect => {
            tell(&Fact::Suspect { server: record.url.instance.get() });
        }
        Event::Offline { record, .. } => {
            tell(&Fact::Offline { server: record.url.instance.get() });
        }
        _ => {}
    }
}
