//! The role of a server: registers, and tells the director of every message that it gets.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use skymesh::{Config, Instance, Message, Service};
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
    let config = Config::load(config)?;
    let _log = config.log.install()?;
    let agent = config.agent_builder().connect().await?;
    let messages = Arc::new(AtomicU64::new(0));
    let counter = Counter { messages: Arc::clone(&messages) };
    let instance = agent.register(format!("{SERVICE}/{number}")).serve(counter).await?;
    let url = instance.url().to_string();
    tell(&Fact::Ready { url, servers: 0, plugins: Plugin::of(&agent) });
    curtain.falls().await?;
    agent.shutdown().await;
    tell(&Fact::Total { messages: messages.load(Relaxed) });
    Ok(())
}
