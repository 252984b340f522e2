//! The agent's public handle: start it, register instances, watch services, stop it.

mod builder;
pub(crate) mod shown;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use skymesh_plugin_host::PluginReport;
use skymesh_telemetry::Sinks;
use skymesh_types::{AppId, NameError, ServiceName, ServiceUrl, UrlError};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::counters::Counters;
use crate::pings::BACKLOG;
use crate::registration::Registration;
use crate::reload::{FreshConfig, Reload, Reloads};
use crate::router::Router;
use crate::runtime::{Contact, Runtime};
use crate::send::SendError;
use crate::uplink::Command;
pub use builder::{AgentBuilder, ConnectError};

/// How long the agent's tasks and the last flush may take though all of `drain_timeout` is used up: they end as
/// soon as they have a core, unless a plugin hangs.
const ENDING: Duration = Duration::from_secs(1);

/// The in-process runtime: one per app and process. Cheap to clone.
///
/// Stop it with [`shutdown`](Self::shutdown). A process that just ends looks like a crash to its
/// peers: they notice within the nameserver's `session_grace`.
#[derive(Clone)]
pub struct Agent {
    runtime: Arc<Runtime>,
}

impl Agent {
    /// Starts with the defaults.
    pub fn builder() -> AgentBuilder {
        AgentBuilder::default()
    }

    pub(crate) fn of(runtime: Arc<Runtime>) -> Self {
        Self { runtime }
    }

    pub(crate) fn runtime(&self) -> &Arc<Runtime> {
        &self.runtime
    }

    /// The app that this process belongs to.
    pub fn app(&self) -> &AppId {
        &self.runtime.app
    }

    /// Where peers reach this agent, `ip:port`.
    pub fn address(&self) -> &str {
        &self.runtime.address
    }

    /// An instance to be registered: `await` it, or let it [`serve`](Registration::serve).
    pub fn register<U>(&self, url: U) -> Registration
    where
        U: TryInto<ServiceUrl>,
        UrlError: From<U::Error>,
    {
        let url = url.try_into().map_err(UrlError::from);
        Registration::new(Arc::clone(&self.runtime), url)
    }

    /// The live view of a service; watched from now on.
    ///
    /// # Errors
    /// [`SendError`] if the name is none, the service is of a foreign app, or its strategies can't
    /// be loaded.
    pub fn router<N>(&self, name: N) -> Result<Router, SendError>
    where
        N: TryInto<ServiceName>,
        NameError: From<N::Error>,
    {
        self.runtime.named_router(name)
    }

    /// What the agent has counted since its start.
    pub fn counters(&self) -> &Counters {
        &self.runtime.counters
    }

    /// Every plugin that was asked for, and what became of it.
    pub fn plugins(&self) -> Vec<PluginReport> {
        self.runtime.host.report()
    }

    /// Reads the configuration from its [source](AgentBuilder::source) and all plugins from their
    /// files, and has them take effect while messages flow; or says what is wrong, and all runs on
    /// as before. When it returns, messages are routed by what is new. Reloads take turns.
    ///
    /// Cancel safe: what was asked for goes on.
    pub async fn reload(&self) -> Arc<Reload> {
        self.reload_by(None).await
    }

    /// As [`reload`](Self::reload), with a configuration of the program's own.
    pub async fn reload_with(&self, config: FreshConfig) -> Arc<Reload> {
        self.reload_by(Some(config)).await
    }

    async fn reload_by(&self, config: Option<FreshConfig>) -> Arc<Reload> {
        let stopped = || {
            let version = self.runtime.desk.latest().version;
            Arc::new(Reload::refused(version, vec!["the agent has stopped".to_owned()]))
        };
        self.runtime.desk.reload(config).await.unwrap_or_else(stopped)
    }

    /// Tells of reloads from now on, whoever asks for them.
    pub fn reloads(&self) -> Reloads {
        self.runtime.desk.watch()
    }

    /// Reloads at every SIGHUP that this process gets from now on. A signal belongs to the whole
    /// process, and without this it ends the process; so only the program itself may ask for it.
    ///
    /// # Errors
    /// If the operating system gives no signals.
    pub fn reload_on_hangup(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup())?;
        let agent = self.clone();
        self.runtime.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = agent.runtime.stopping.cancelled() => return,
                    _ = hangup.recv() => agent.reload().await,
                };
            }
        });
        Ok(())
    }

    /// Where this agent answers the command line; `None` if it does not.
    pub fn admin_socket(&self) -> Option<&Path> {
        self.runtime.admin_socket.get().map(PathBuf::as_path)
    }

    /// Waits for SIGINT or SIGTERM, then stops gracefully.
    ///
    /// # Errors
    /// If the operating system gives no signals.
    pub async fn run_until_signal(self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        self.shutdown().await;
        Ok(())
    }

    /// Stops gracefully: peers learn that nothing new is to be sent here, what was sent is read,
    /// what this agent sent goes out, and the nameserver hears a goodbye. Takes up to
    /// `agent.drain_timeout`; what is still open then is cut off, which takes a second more at most.
    ///
    /// Services driven by [`serve`](Registration::serve) finish what is in their inboxes.
    ///
    /// If the future is dropped, it stops nevertheless.
    pub async fn shutdown(&self) {
        // Of its own: an agent that has stopped half way would neither serve nor ever end.
        let _ = tokio::spawn(self.clone().stop()).await;
    }

    async fn stop(self) {
        let runtime = &self.runtime;
        runtime.stopping.cancel();
        let deadline = Instant::now() + runtime.hot.load().agent.drain_timeout;
        // Without a nameserver there is nobody to tell; peers notice when the connections end.
        let told = *runtime.contact.borrow() == Contact::Made;
        // Whoever leads finishes its guarded work meanwhile, and somebody else can be seated.
        runtime.elections.give_up_all(runtime);
        if told {
            let (drained, done) = oneshot::channel();
            let _ = timeout_at(deadline, runtime.uplink.send(Command::Drain(drained))).await;
            let _ = timeout_at(deadline, done).await;
        }
        let _ = timeout_at(deadline, runtime.nothing_kept(None)).await;
        let _ = timeout_at(deadline, runtime.quiet()).await;
        let links = runtime.directory.links();
        let _ = timeout_at(deadline, runtime.deliver_on(links, BACKLOG)).await;
        // First the belief ends, then the word goes out.
        runtime.elections.forget_all();
        if told {
            let (goodbye, said) = oneshot::channel();
            let _ = timeout_at(deadline, runtime.uplink.send(Command::Goodbye(goodbye))).await;
            let _ = timeout_at(deadline, said).await;
        }
        for queue in runtime.directory.locals() {
            queue.close();
        }
        runtime.stopped.cancel();
        runtime.directory.clear();
        runtime.tasks.close();
        // Each heeds `stopped`, and counts what it leaves undone.
        let deadline = deadline.max(Instant::now() + ENDING);
        let _ = timeout_at(deadline, runtime.tasks.wait()).await;
        // The last flush has all that was counted. Each waits for its plugin, maybe for ever: so not one
        // after the other, nor on a thread that the program's runtime would wait for.
        let endings = runtime.sinks().map(Sinks::endings).into_iter().flatten();
        let ended: Vec<_> = endings.map(apart).collect();
        for ended in ended.into_iter().flatten() {
            let _ = timeout_at(deadline, ended).await;
        }
    }
}

/// Has it done by a thread of its own; answers what ends with that.
fn apart(work: Box<dyn FnOnce() + Send>) -> Option<oneshot::Receiver<()>> {
    let (ended, end) = oneshot::channel();
    let work = move || {
        work();
        // Who waited may have gone.
        let _ = ended.send(());
    };
    // Without a thread the sink goes unflushed.
    std::thread::Builder::new().name("skymesh-end".to_owned()).spawn(work).ok().map(|_| end)
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent")
            .field("app", self.app())
            .field("address", &self.address())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    use super::*;
    use crate::bare;
    use crate::config::AgentConfig;
    use crate::runtime::Settings;

    #[tokio::test(start_paused = true)]
    async fn tasks_end_before_a_shutdown_does_though_its_time_is_used_up() {
        let agent = AgentConfig { drain_timeout: Duration::ZERO, ..AgentConfig::default() };
        let (runtime, _commands) = bare::runtime_with(Settings { agent, ..Settings::default() });
        let has_counted = Arc::new(AtomicBool::new(false));
        let (counts, stopped) = (Arc::clone(&has_counted), runtime.stopped.clone());
        runtime.tasks.spawn(async move {
            stopped.cancelled().await;
            // As where there is no core to be had.
            tokio::time::sleep(ENDING / 2).await;
            counts.store(true, Relaxed);
        });
        Agent::of(runtime).shutdown().await;
        assert!(has_counted.load(Relaxed));
    }
}
