//! One TCP connection, cut into the half that reads and the half that writes.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use crate::config::ReadConfig;
use crate::reader::FrameReader;

/// A connection on which nothing has come for so long has the system ask whether the other end is
/// there at all. A host that lost its power, or a network that forgot the connection, closes nothing:
/// who only reads would keep the connection, and the place that it takes, for ever.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(60);

/// Pause between two such questions.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);

/// So many of them without an answer, and the connection is broken: two minutes after the last word.
const KEEPALIVE_PROBES: u32 = 6;

/// A connection that was accepted or dialled. Nothing has been read or written yet.
///
/// Take it apart: give `write_half` to [`Writer::run`](crate::Writer::run) and keep `reader` in the
/// task that reads. Both halves are to be driven: only the reader hears that the peer has gone.
#[derive(Debug)]
#[non_exhaustive]
pub struct Connection {
    /// Frames from the peer.
    pub reader: FrameReader,
    /// The way to the peer.
    pub write_half: WriteHalf,
    /// The other end.
    pub peer: SocketAddr,
    /// This end.
    pub local: SocketAddr,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, peer: SocketAddr, read: &ReadConfig) -> io::Result<Self> {
        // Frames are coalesced before the socket sees them; Nagle would only delay the last one.
        stream.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_AFTER)
            .with_interval(KEEPALIVE_EVERY)
            .with_retries(KEEPALIVE_PROBES);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
        let local = stream.local_addr()?;
        let (reader, writer) = stream.into_split();
        Ok(Self {
            reader: FrameReader::new(reader, read),
            write_half: WriteHalf { socket: writer },
            peer,
            local,
        })
    }
}

/// The writing half of a connection. Dropping it tells the peer that no more will come.
#[derive(Debug)]
pub struct WriteHalf {
    socket: OwnedWriteHalf,
}

impl WriteHalf {
    /// Writes what the socket takes without waiting.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.try_write(bytes)
    }

    /// Waits until the socket may take more. Cancel safe.
    pub(crate) async fn writable(&self) -> io::Result<()> {
        self.socket.writable().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Listener, dial};

    #[tokio::test]
    async fn both_ends_have_the_system_ask_for_one_that_is_gone() {
        let read = ReadConfig::default();
        let listener = Listener::bind("127.0.0.1:0", read.clone()).await.unwrap();
        let address = listener.local_address().to_string();
        let dialled = dial(&address, Duration::from_secs(60), &read);
        let (dialled, accepted) = tokio::join!(dialled, listener.accept());
        for end in [dialled.unwrap(), accepted] {
            let stream: &TcpStream = end.write_half.socket.as_ref();
            let socket = SockRef::from(stream);
            assert!(socket.keepalive().unwrap());
            assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
            assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_EVERY);
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        }
    }
}
