//! `skymesh nameserver`: runs a nameserver until it is told to stop. On SIGHUP it reloads.

use std::future::Future;
use std::io;

use clap::Args;
use skymesh::BindError;
use skymesh::config::NameserverConfig;
use tokio::signal::unix::{SignalKind, signal};

use super::ConfigFile;
use crate::failure::{Failure, failed};
use crate::output::print;

/// Arguments of `skymesh nameserver`.
#[derive(Debug, Args)]
pub(super) struct Nameserver {
    #[command(flatten)]
    file: ConfigFile,
    /// Where to listen, ip:port; port 0 takes any free one [default: nameserver.listen of the
    /// configuration, or 127.0.0.1:9100]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
}

impl Nameserver {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut file = self.file.again();
        if let Some(listen) = self.listen {
            well_formed(&listen)?;
            file = file.adjusted(move |config| config.nameserver.listen = listen.clone());
        }
        let config = file.load()?;
        let _log = config.log.install().map_err(failed)?;
        let runtime = tokio::runtime::Runtime::new().map_err(failed)?;
        runtime.block_on(async {
            let bound = file.nameserver_builder(&config).bind().await;
            let nameserver = bound.map_err(|error| self.file.blamed(&error))?;
            // Before the line below: who reads it may signal at once.
            let stop = stop_signal().map_err(failed)?;
            nameserver.handle().reload_on_hangup().map_err(failed)?;
            print(&format!("listening on {}\n", nameserver.local_addr()))?;
            nameserver.run_until(stop).await;
            Ok(())
        })
    }
}

/// Whether the argument is an address: as a wrong one in a file, but called by its own name.
fn well_formed(listen: &str) -> Result<(), Failure> {
    let config = NameserverConfig { listen: listen.to_owned(), ..NameserverConfig::default() };
    let wrong = config.faults().into_iter().next();
    wrong.map_or(Ok(()), |wrong| Err(failed(format!("--listen: {}", wrong.reason()))))
}

impl ConfigFile {
    /// Why a nameserver does not start, with the file where that says the reason's place.
    fn blamed(&self, error: &BindError) -> Failure {
        match (&self.path, error) {
            (Some(path), BindError::Election { .. }) => {
                failed(format!("{}: {error}", path.display()))
            }
            _ => failed(error),
        }
    }
}

/// Ready on the first SIGINT or SIGTERM from now on.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}
