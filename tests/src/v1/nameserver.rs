//! A nameserver of the origin, as far as a test plays it.

use skymesh_proto::msg::Body;
use skymesh_proto::{
    AgentInfo, RegisterApp, RegisterAppReply, RegisterService, RegisterServiceReply,
};
use tokio::net::TcpListener;

use super::V1Socket;
use crate::{SOON, within};

/// A nameserver of the origin, as far as a test plays it.
#[derive(Debug)]
pub struct V1Nameserver {
    /// Where it listens.
    pub address: String,
    listener: TcpListener,
}

impl V1Nameserver {
    /// Listens.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it listens").to_string();
        Self { address, listener }
    }

    /// The next agent, before a word was said.
    ///
    /// # Panics
    /// If none comes soon.
    pub async fn accept_any(&self) -> V1Socket {
        V1Socket::new(within(SOON, self.listener.accept()).await.expect("it listens").0)
    }

    /// The next agent, its introduction heard and answered.
    ///
    /// # Panics
    /// If none comes soon, or it does not speak as the origin's do.
    pub async fn accept(&self) -> V1Socket {
        let mut agent = self.accept_any().await;
        let (hello, app) = (agent.next().await, agent.next().await);
        let Body::AgentInfo(said) = &hello else { panic!("{hello:?} is no introduction") };
        let (server_address, name) = (said.server_address.clone(), said.app.clone());
        let plain = AgentInfo { server_address, app: name, ..AgentInfo::default() };
        assert_eq!(*said, plain, "nothing but v1");
        let (server_address, name) = (plain.server_address, plain.app);
        let expected = RegisterApp { server_address, app: name, ..RegisterApp::default() };
        assert_eq!(app, expected.into(), "nothing but v1");
        agent.send(RegisterAppReply::default()).await;
        agent
    }
}

impl V1Socket {
    /// As a nameserver: takes the next registration and answers it.
    ///
    /// # Panics
    /// If none comes soon.
    pub async fn take_registration(&mut self, result: i32) -> RegisterService {
        let said = self
            .hears(|body| match body {
                Body::RegisterService(said) => Some(said),
                _ => None,
            })
            .await;
        let handle = said.info.as_ref().map_or(0, |info| info.handle);
        self.send(RegisterServiceReply { handle, result }).await;
        said
    }
}
