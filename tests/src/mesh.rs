//! A mesh on loopback ports: a nameserver in this process, and agents that know where it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use skymesh_agent::config::{AgentConfig, ServicesConfig};
use skymesh_agent::{Agent, AgentBuilder};
use skymesh_nameserver::{Nameserver, NameserverConfig, NameserverHandle, StoreConfig, StoreKind};
use skymesh_store::MemoryStore;
use tokio::task::JoinHandle;

use crate::{SOON, Stock, within};

/// A nameserver in this process; stops when dropped.
#[derive(Debug)]
pub struct Mesh {
    handle: NameserverHandle,
    running: Option<JoinHandle<()>>,
    stock: Stock,
}

/// Longer than any test waits for anything (a few times [`SOON`](crate::SOON)): what happens at all did
/// not wait for the end of it.
pub const LONG: Duration = Duration::from_secs(300);

/// The longest that a nameserver takes.
const LONGEST_ROUND: Duration = Duration::from_secs(60);

/// A nameserver configuration that is quick to believe that a process is gone whose connection has
/// ended, and takes nobody for dead who is only busy: the lease is [`LONG`]. It leaves nothing on the
/// disk and knows that it starts into an empty mesh, so it does not wait for agents to come back.
pub fn fast_nameserver() -> NameserverConfig {
    NameserverConfig {
        listen: "127.0.0.1:0".to_owned(),
        lease: LONG,
        session_grace: Duration::from_millis(300),
        recovery: Some(Duration::ZERO),
        store: StoreConfig::memory(),
        ..NameserverConfig::default()
    }
}

/// As [`fast_nameserver`], with the shortest lease that there is: for tests that wait for its end.
pub fn hasty_nameserver() -> NameserverConfig {
    NameserverConfig { lease: Duration::from_secs(1), ..fast_nameserver() }
}

/// A `[services]` table from JSON.
///
/// # Panics
/// If it is none.
pub fn services(table: serde_json::Value) -> ServicesConfig {
    serde_json::from_value(table).expect("a [services] table")
}

/// What an agent of app `app` is configured with, at the nameserver of that address.
pub fn agent_config(nameserver: &str) -> AgentConfig {
    AgentConfig {
        app: "app".parse().ok(),
        nameserver: nameserver.to_owned(),
        ..AgentConfig::default()
    }
}

/// A connected agent of app `app`.
///
/// # Panics
/// If it can't connect soon.
pub async fn agent_at(nameserver: &str) -> Agent {
    let connecting = Agent::builder().config(agent_config(nameserver)).connect();
    within(SOON, connecting).await.expect("an agent")
}

/// A store in memory that an earlier nameserver of that configuration has used: on a new one, nobody is
/// elected for a whole lease, for there might be a leader of before.
///
/// # Panics
/// If that one can't listen.
pub async fn used_store(config: &NameserverConfig) -> Arc<MemoryStore> {
    let store = Arc::new(MemoryStore::new());
    let earlier = NameserverConfig { listen: "127.0.0.1:0".to_owned(), ..config.clone() };
    let earlier = Nameserver::bind_with_store(earlier, store.clone()).await;
    drop(earlier.expect("a nameserver on a free port"));
    store
}

impl Mesh {
    /// Starts a nameserver as [`fast_nameserver`] says.
    pub async fn start() -> Self {
        Self::start_with(fast_nameserver()).await
    }

    /// Starts a nameserver whose leases end soon: for tests that wait for that.
    pub async fn hasty() -> Self {
        Self::start_with(hasty_nameserver()).await
    }

    /// Starts a nameserver that waits for a process whose connection has ended for longer than a test
    /// does: for tests of what must not wait for that.
    pub async fn forgiving() -> Self {
        Self::start_with(NameserverConfig { session_grace: LONG, ..fast_nameserver() }).await
    }

    /// Starts a nameserver whose rounds of agreement no time ends [soon](crate::SOON): for tests of what does.
    pub async fn patient_rounds() -> Self {
        Self::start_with(NameserverConfig { round: LONGEST_ROUND, ..fast_nameserver() }).await
    }

    /// Starts a nameserver. If its store is the memory, it is a [`used_store`].
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start_with(config: NameserverConfig) -> Self {
        let nameserver = match config.store.kind {
            StoreKind::Memory => {
                let store = used_store(&config).await;
                Nameserver::bind_with_store(config, store).await
            }
            _ => Nameserver::bind(config).await,
        };
        let nameserver = nameserver.expect("a nameserver on a free port");
        let handle = nameserver.handle();
        let running = Some(tokio::spawn(nameserver.run()));
        Self { handle, running, stock: Stock::default() }
    }

    /// The same, for agents whose plugins come that way.
    #[must_use]
    pub fn with(mut self, stock: Stock) -> Self {
        self.stock = stock;
        self
    }

    /// Stops the nameserver, and waits until it has.
    pub async fn stop(mut self) {
        self.handle.stop();
        if let Some(running) = self.running.take() {
            let _ = running.await;
        }
    }

    /// Where the nameserver listens.
    pub fn address(&self) -> SocketAddr {
        self.handle.local_addr()
    }

    /// The nameserver itself.
    pub fn nameserver(&self) -> &NameserverHandle {
        &self.handle
    }

    /// What an agent of app `app` is configured with.
    pub fn config(&self) -> AgentConfig {
        agent_config(&self.address().to_string())
    }

    /// An agent of app `app`, ready to connect.
    pub fn builder(&self) -> AgentBuilder {
        let builder = Agent::builder().app("app").nameserver(self.address().to_string());
        self.stock.for_agent(builder)
    }

    /// A connected agent of app `app`.
    ///
    /// # Panics
    /// If it can't connect.
    pub async fn agent(&self) -> Agent {
        self.builder().connect().await.expect("an agent")
    }
}

impl Drop for Mesh {
    fn drop(&mut self) {
        self.handle.stop();
    }
}
