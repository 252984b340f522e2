//! One TCP connection, cut into the half that reads and the half that writes.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;

use crate::config::ReadConfig;
use crate::reader::FrameReader;

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
