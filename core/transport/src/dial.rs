//! Dialling a peer or a nameserver, once. Trying again is the caller's, see [`Backoff`](crate::Backoff).

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::config::ReadConfig;
use crate::connection::Connection;

/// Why a peer could not be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Nobody answered in time.
    #[error(
        "no answer from {address} within {deadline:?}: is the host up, and does a firewall drop the port?"
    )]
    TimedOut {
        /// Where to.
        address: String,
        /// How long it was tried.
        deadline: Duration,
    },
    /// The host answered that nobody listens there.
    #[error("nobody listens at {address}: start the process that should, or correct the address")]
    Refused {
        /// Where to.
        address: String,
    },
    /// Anything else: name resolution, routing, local limits.
    #[error("can't connect to {address}: {source}{}", written(.source))]
    Failed {
        /// Where to.
        address: String,
        /// What the operating system says.
        source: io::Error,
    },
}

/// What to write where the text is the trouble.
fn written(source: &io::Error) -> &'static str {
    match source.kind() {
        io::ErrorKind::InvalidInput => "; an address is written host:port",
        _ => "",
    }
}

/// Connects to `address`, an "ip:port" or "host:port", within `deadline`. Cancel safe: dropping the
/// future drops the attempt.
///
/// # Errors
/// [`DialError`]; dialling again later may succeed for all of them.
pub async fn dial(
    address: &str,
    deadline: Duration,
    read: &ReadConfig,
) -> Result<Connection, DialError> {
    let failed = |source| DialError::Failed { address: address.to_owned(), source };
    let stream = match timeout(deadline, TcpStream::connect(address)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            return Err(DialError::Refused { address: address.to_owned() });
        }
        Ok(Err(error)) => return Err(failed(error)),
        Err(_) => return Err(DialError::TimedOut { address: address.to_owned(), deadline }),
    };
    let peer = stream.peer_addr().map_err(failed)?;
    Connection::new(stream, peer, read).map_err(failed)
}
