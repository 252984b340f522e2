//! Accepting connections. What can go wrong with one connection, or with the process for a while,
//! never ends the listener.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;

use crate::config::ReadConfig;
use crate::connection::Connection;

/// Wait after an accept error that will not go away by itself, such as too many open files. Without
/// it the loop would spin; much longer would delay the peers that wait in the backlog.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(20);

/// Why an address could not be listened at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another socket has it.
    #[error(
        "{address} is in use: stop the process that listens there, or choose another port (0 for any)"
    )]
    InUse {
        /// Where.
        address: String,
    },
    /// The address belongs to no interface of this host.
    #[error("{address} is not an address of this host: use one of its own, or 0.0.0.0 for all")]
    NotHere {
        /// Where.
        address: String,
    },
    /// The port needs rights that this process lacks.
    #[error("no permission to listen at {address}: choose a port from 1024 up")]
    NotPermitted {
        /// Where.
        address: String,
    },
    /// Anything else, e.g. an address that does not parse.
    #[error("can't listen at {address}: {source}; an address is written ip:port")]
    Failed {
        /// Where.
        address: String,
        /// What the operating system says.
        source: io::Error,
    },
}

impl BindError {
    fn new(address: &str, source: io::Error) -> Self {
        let address = address.to_owned();
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::AddrNotAvailable => Self::NotHere { address },
            io::ErrorKind::PermissionDenied => Self::NotPermitted { address },
            _ => Self::Failed { address, source },
        }
    }
}

/// A listening socket.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    local: SocketAddr,
    read: ReadConfig,
    errors: AtomicU64,
}

impl Listener {
    /// Listens at `address`, an "ip:port"; port 0 takes any free one, see
    /// [`local_address`](Self::local_address). `read` holds for every connection.
    ///
    /// # Errors
    /// [`BindError`] names the address and the remedy.
    pub async fn bind(address: &str, read: ReadConfig) -> Result<Self, BindError> {
        let failed = |source| BindError::new(address, source);
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, local, read, errors: AtomicU64::new(0) })
    }

    /// Where it listens.
    pub const fn local_address(&self) -> SocketAddr {
        self.local
    }

    /// The next connection. Waits as long as it takes: accept errors are counted and survived.
    /// Cancel safe: a connection that was not returned is still in the backlog.
    pub async fn accept(&self) -> Connection {
        loop {
            let error = match self.socket.accept().await {
                Ok((stream, peer)) => match Connection::new(stream, peer, &self.read) {
                    Ok(connection) => return connection,
                    // The peer hung up between its connect and our accept.
                    Err(error) => error,
                },
                Err(error) => error,
            };
            self.errors.fetch_add(1, Ordering::Relaxed);
            if passes_with_its_connection(&error) {
                tracing::debug!(%error, local = %self.local, "a connection failed before it was accepted");
            } else {
                tracing::warn!(
                    %error, local = %self.local,
                    "can't accept connections for now; if files ran out, raise the limit (ulimit -n)"
                );
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }

    /// How many accepts have failed since the listener was bound.
    pub fn accept_errors(&self) -> u64 {
        self.errors.load(Ordering::Relaxed)
    }
}

/// Whether an accept error concerns one connection only, so that the next accept may succeed at
/// once. On Linux, accept also reports network errors that were pending on the new socket.
fn passes_with_its_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::NotConnected
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::Interrupted
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::TimedOut
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_told_with_its_address_and_a_remedy() {
        let first = Listener::bind("127.0.0.1:0", ReadConfig::default()).await.unwrap();
        let address = first.local_address().to_string();
        let error = Listener::bind(&address, ReadConfig::default()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            format!(
                "{address} is in use: stop the process that listens there, or choose another port \
                 (0 for any)"
            )
        );
    }

    #[tokio::test]
    async fn a_malformed_or_foreign_address_is_told() {
        let error = Listener::bind("nonsense", ReadConfig::default()).await.unwrap_err();
        assert!(matches!(&error, BindError::Failed { address, .. } if address == "nonsense"));
        // TEST-NET-1 belongs to nobody.
        let error = Listener::bind("192.0.2.1:0", ReadConfig::default()).await.unwrap_err();
        assert!(matches!(error, BindError::NotHere { .. }), "{error}");
    }
}
