//! A cable between an agent and its nameserver, to be cut.

use std::net::SocketAddr;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Passes connections on to an address, until it is cut.
#[derive(Debug)]
pub struct Cable {
    address: SocketAddr,
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
        let carries = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    if let Ok(mut far) = TcpStream::connect(address).await {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Self { address: near_end, carries }
    }

    /// What to dial.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Ends every connection, and takes no other.
    pub async fn cut(self) {
        self.carries.abort();
        let _ = self.carries.await;
    }
}
