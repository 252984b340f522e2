//! Reloads, as a nameserver's handle has them.

use std::sync::Arc;

use skymesh_reload::{Reload, Reloads};

use super::FreshNameserver;
use crate::server::NameserverHandle;

impl NameserverHandle {
    /// Reads the configuration from its [source](crate::NameserverBuilder::source) and all plugins from
    /// their files, and has them take effect while the nameserver serves; or says what is wrong, and all
    /// runs on as before. When it returns, elections go by what is new. Reloads take turns.
    ///
    /// Waits for [`Nameserver::run`](crate::Nameserver::run). Cancel safe: what was asked for goes on.
    pub async fn reload(&self) -> Arc<Reload> {
        self.reload_by(None).await
    }

    /// As [`reload`](Self::reload), with a configuration of the program's own.
    pub async fn reload_with(&self, config: FreshNameserver) -> Arc<Reload> {
        self.reload_by(Some(config)).await
    }

    async fn reload_by(&self, config: Option<FreshNameserver>) -> Arc<Reload> {
        let stopped = || {
            let faults = vec!["the nameserver has stopped".to_owned()];
            Arc::new(Reload::refused(self.desk.latest().version, faults))
        };
        self.desk.reload(config).await.unwrap_or_else(stopped)
    }

    /// Tells of reloads from now on, whoever asks for them.
    pub fn reloads(&self) -> Reloads {
        self.desk.watch()
    }

    /// Reloads at every SIGHUP that this process gets from now on. A signal belongs to the whole
    /// process, and without this it ends the process; so only the program itself may ask for it. Must
    /// be called within a tokio runtime.
    ///
    /// # Errors
    /// If the operating system gives no signals.
    pub fn reload_on_hangup(&self) -> std::io::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut hangup = signal(SignalKind::hangup())?;
        let nameserver = self.clone();
        let mut stop = self.stopping();
        tokio::spawn(async move {
            loop {
                let hung_up = tokio::select! {
                    _ = stop.wait_for(|stop| *stop) => false,
                    _ = hangup.recv() => true,
                };
                if !hung_up {
                    return;
                }
                nameserver.reload().await;
            }
        });
        Ok(())
    }
}
