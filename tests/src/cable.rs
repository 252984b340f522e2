//! A cable between an agent and its nameserver, to be cut and mended.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// Passes connections on to an address, but while it is cut; ends when dropped.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
    is_cut: watch::Sender<bool>,
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
        let carries = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let mut cut = cut.clone();
                if *cut.borrow() {
                    continue;
                }
                connections.spawn(async move {
                    let Ok(mut far) = TcpStream::connect(address).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.wait_for(|cut| *cut) => {}
                    }
                });
            }
        });
        Self { address: near_end, is_cut, carries }
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
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.carries.abort();
    }
}
