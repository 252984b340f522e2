//! A mesh on loopback ports: a nameserver in this process, and agents that know where it is.

use std::net::SocketAddr;
use std::time::Duration;

use skymesh_agent::config::ServicesConfig;
use skymesh_agent::{Agent, AgentBuilder};
use skymesh_nameserver::{Nameserver, NameserverConfig, NameserverHandle, StoreConfig};
use tokio::task::JoinHandle;

/// A nameserver in this process; stops when dropped.
#[derive(Debug)]
pub struct Mesh {
    handle: NameserverHandle,
    running: Option<JoinHandle<()>>,
}

/// A nameserver configuration whose graces are short enough for tests. It leaves nothing on the disk
/// and knows that it starts into
/// an empty mesh, so it does not wait for agents to come back.
pub fn fast_nameserver() -> NameserverConfig {
    NameserverConfig {
        listen: "127.0.0.1:0".to_owned(),
        lease: Duration::from_secs(1),
        session_grace: Duration::from_millis(300),
        recovery: Some(Duration::ZERO),
        store: StoreConfig::memory(),
        ..NameserverConfig::default()
    }
}

/// A `[services]` table from JSON.
///
/// # Panics
/// If it is none.
pub fn services(table: serde_json::Value) -> ServicesConfig {
    serde_json::from_value(table).expect("a [services] table")
}

impl Mesh {
    /// Starts a nameserver with short graces.
    pub async fn start() -> Self {
        Self::start_with(fast_nameserver()).await
    }

    /// Starts a nameserver that takes nobody for dead who is only busy: for tests that keep a
    /// processor for as long as a short lease.
    pub async fn patient() -> Self {
        let lease = Duration::from_secs(60);
        Self::start_with(NameserverConfig { lease, ..fast_nameserver() }).await
    }

    /// Starts a nameserver.
    ///
    /// # Panics
    /// If it can't listen.
    pub async fn start_with(config: NameserverConfig) -> Self {
        let nameserver = Nameserver::bind(config).await.expect("a nameserver on a free port");
        let handle = nameserver.handle();
        let running = Some(tokio::spawn(nameserver.run()));
        Self { handle, running }
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

    /// An agent of app `app`, ready to connect.
    pub fn builder(&self) -> AgentBuilder {
        Agent::builder().app("app").nameserver(self.address().to_string())
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
