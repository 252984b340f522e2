//! A cable between an agent and its nameserver or a peer, to be cut and mended, or held as by a peer that does
//! not read.

use std::net::SocketAddr;
use std::pin::pin;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Passes connections on to an address, but while it is cut; ends when dropped.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
    is_held: watch::Sender<bool>,
    carries: JoinHandle<()>,
}

impl Cable {
    /// Lays a cable to `address`.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn to(address: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let near_end = listener.local_addr().expect("it listens");
        let (is_cut, cut) = watch::channel(false);
        let (is_held, held) = watch::channel(false);
        let carries = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let (mut cut, held) = (cut.clone(), held.clone());
                if *cut.borrow() {
                    continue;
                }
                connections.spawn(async move {
                    let Ok(far) = TcpStream::connect(address).await else { return };
                    tokio::select! {
                        () = carry(near, far, held) => {}
                        _ = cut.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        Self { address: near_end, is_cut, is_held, carries }
    }

    /// What to dial.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Ends every connection, and any that comes at once.
    pub fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    /// Passes connections on again.
    pub fn mend(&self) {
        self.is_cut.send_replace(false);
    }

    /// From now on connections stay, and nothing is read from them.
    pub fn hold(&self) {
        self.is_held.send_replace(true);
    }

    /// Reads again, and passes on what has waited.
    pub fn release(&self) {
        self.is_held.send_replace(false);
    }
}

/// Carries one connection's bytes both ways, but while the cable is held.
async fn carry(mut near: TcpStream, mut far: TcpStream, mut held: watch::Receiver<bool>) {
    let mut both = pin!(copy_bidirectional(&mut near, &mut far));
    loop {
        tokio::select! {
            _ = &mut both => return,
            _ = held.wait_for(|held| *held) => {}
        }
        // Without the cable, what it held ends.
        if held.wait_for(|held| !*held).await.is_err() {
            return;
        }
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.carries.abort();
    }
}
