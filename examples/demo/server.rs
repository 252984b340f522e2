//! The role of a server: registers, and tells the director of every message that it gets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use skymesh::config::ConfigFile;
use skymesh::{Agent, Instance, Message, Reload, Reloads, Service};
use skymesh_examples::role::{Curtain, RoleError};

use crate::SERVICE;
use crate::fact::{Fact, Plugin, tell};

/// Counts what it gets.
struct Counter {
    messages: Arc<AtomicU64>,
}

impl Service for Counter {
    async fn on_message(&mut self, _: &Instance, message: Message) {
        self.messages.fetch_add(1, Relaxed);
        match serde_json::from_slice(message.payload()) {
            Ok(parcel) => tell(&Fact::Got(parcel)),
            Err(error) => {
                eprintln!("a message of {} makes no sense: {error}", message.source().url())
            }
        }
    }
}

/// Serves as instance `number` until the curtain falls.
pub(crate) async fn serve(config: &Path, number: &str) -> Result<(), RoleError> {
    let curtain = Curtain::new();
    let file = ConfigFile::new(config);
    let config = file.load()?;
    let _log = config.log.install()?;
    let agent = file.agent_builder(&config).connect().await?;
    let reloads = agent.reloads();
    let messages = Arc::new(AtomicU64::new(0));
    let counter = Counter { messages: Arc::clone(&messages) };
    let instance = agent.register(format!("{SERVICE}/{number}")).serve(counter).await?;
    let url = instance.url().to_string();
    tell(&Fact::Ready { url, servers: 0, plugins: Plugin::of(&agent) });
    tokio::select! {
        fallen = curtain.falls() => fallen?,
        () = tell_of(reloads, &agent) => {}
    }
    agent.shutdown().await;
    tell(&Fact::Total { messages: messages.load(Relaxed) });
    Ok(())
}

/// Tells of all reloads, as long as the agent lives.
async fn tell_of(mut reloads: Reloads, agent: &Agent) {
    while let Some(reload) = reloads.next().await {
        let (reload, plugins) = (Reload::clone(&reload), Plugin::of(agent));
        tell(&Fact::Reloaded { reload, sent: 0, plugins });
    }
}
