//! Two ends of one loopback connection, and what every test needs to use them.

use std::future::Future;
use std::io;
use std::time::Duration;

use skymesh_transport::{
    Connection, FrameReader, Listener, Outbox, OutboxConfig, ReadConfig, ReadError, WriteEnd, dial,
};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A hang fails the test; nothing else depends on this.
pub(crate) const GUARD: Duration = Duration::from_secs(20);

pub(crate) async fn guarded<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(GUARD, future).await.unwrap_or_else(|_| panic!("{what} hangs"))
}

/// Dials a listener of ours: (dialled end, accepted end).
pub(crate) async fn connections(read: ReadConfig) -> (Connection, Connection) {
    let listener = Listener::bind("127.0.0.1:0", read.clone()).await.unwrap();
    let address = listener.local_address().to_string();
    let (dialled, accepted) = tokio::join!(dial(&address, GUARD, &read), listener.accept());
    (dialled.unwrap(), accepted)
}

/// One of our connections, and the bare socket of a peer whose receive buffer is small.
pub(crate) async fn with_bare_peer(read: ReadConfig) -> (Connection, TcpStream) {
    let listener = Listener::bind("127.0.0.1:0", read).await.unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let (peer, ours) = tokio::join!(socket.connect(listener.local_address()), listener.accept());
    (ours, peer.unwrap())
}

/// A served outbox at one end, a reader at the other.
pub(crate) struct OneWay {
    pub(crate) outbox: Outbox,
    pub(crate) writer: JoinHandle<WriteEnd>,
    pub(crate) reader: FrameReader,
    /// The unused direction of both ends, kept open.
    _rest: (FrameReader, skymesh_transport::WriteHalf),
}

pub(crate) async fn one_way(config: OutboxConfig) -> OneWay {
    let (ours, theirs) = connections(ReadConfig::default()).await;
    let (outbox, writer) = Outbox::new(config);
    let writer = tokio::spawn(writer.run(ours.write_half, Vec::new()));
    let mut reader = theirs.reader;
    reader.introduced();
    OneWay { outbox, writer, reader, _rest: (ours.reader, theirs.write_half) }
}

/// Appends one frame with that body.
pub(crate) fn frame(body: &[u8]) -> impl Fn(&mut Vec<u8>) + Clone + '_ {
    move |out| {
        out.extend_from_slice(&u32::try_from(body.len()).unwrap().to_be_bytes());
        out.extend_from_slice(body);
    }
}

/// Reads bodies until `count` have come or the peer closed.
pub(crate) async fn bodies(reader: &mut FrameReader, count: usize) -> Vec<Vec<u8>> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        let Some(frames) = guarded("reading", reader.next()).await.unwrap() else { break };
        bodies.extend(frames.iter().map(|frame| frame.body().to_vec()));
    }
    bodies
}

/// The error that reading ends with.
pub(crate) async fn read_error(reader: &mut FrameReader) -> ReadError {
    loop {
        match guarded("reading", reader.next()).await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the peer closed cleanly"),
            Err(error) => return error,
        }
    }
}

/// Writes all to a bare socket.
pub(crate) async fn write_all(socket: &TcpStream, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        socket.writable().await.unwrap();
        match socket.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads from a bare socket until it ends or `most` bytes have come.
pub(crate) async fn read_bare(socket: &TcpStream, most: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(most.min(1 << 20));
    while bytes.len() < most {
        guarded("reading bare", socket.readable()).await.unwrap();
        match socket.try_read_buf(&mut bytes) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => panic!("{error}"),
        }
    }
    bytes
}
