//! A raw agent of protocol 2, towards the nameserver and towards other agents: it does only what a
//! test says, and dies when dropped.

use skymesh_proto::msg::Body;
use skymesh_proto::{
    AgentInfo, Info, Introduction, Msg, Options, PlacementPrepared, PreparePlacement, RegisterApp,
    RegisterInstance, Watch,
};
use skymesh_wire::encode_msg;

use crate::v1::V1Socket;

/// Where nobody listens.
const NOWHERE: &str = "127.0.0.1:1";

/// Connects and introduces an agent of app `app`.
///
/// # Panics
/// If it is not welcome.
pub async fn raw_agent(nameserver: &str, number: u64) -> V1Socket {
    raw_agent_at(nameserver, number, NOWHERE).await
}

/// As [`raw_agent`], of one whose peers are to dial `server_address`.
///
/// # Panics
/// As [`raw_agent`].
pub async fn raw_agent_at(nameserver: &str, number: u64, server_address: &str) -> V1Socket {
    let mut socket = V1Socket::dial(nameserver).await;
    let (server_address, app) = (server_address.to_owned(), "app".to_owned());
    let info = AgentInfo {
        server_address: server_address.clone(),
        app: app.clone(),
        protocol: 2,
        agent: number,
        ..AgentInfo::default()
    };
    let register =
        RegisterApp { server_address, app, protocol: 2, agent: number, ..RegisterApp::default() };
    socket.send(info).await;
    socket.send(register).await;
    assert!(matches!(socket.next().await, Body::RegisterAppReply(reply) if reply.result == 0));
    socket
}

/// Registers instances, and waits until all are.
///
/// # Panics
/// If one is refused.
pub async fn register_raw(socket: &mut V1Socket, instances: impl Iterator<Item = Info>) {
    let mut asked = 0;
    let mut frames = Vec::new();
    for info in instances {
        asked += 1;
        let request = RegisterInstance { request: asked, info: Some(info), ..<_>::default() };
        encode_msg(&Msg::from(request), &mut frames);
    }
    socket.send_bytes(&frames).await;
    for _ in 0..asked {
        let reply = socket.hears(|body| match body {
            Body::RegisterInstanceReply(reply) => Some(reply.result),
            _ => None,
        });
        assert_eq!(reply.await, 0);
    }
}

/// Dials an agent as its peer, and introduces one source.
pub async fn raw_peer(agent: &str, number: u64, source: Info) -> V1Socket {
    let mut socket = V1Socket::dial(agent).await;
    let app = "app".to_owned();
    socket.send(AgentInfo { app, protocol: 2, agent: number, ..AgentInfo::default() }).await;
    socket.send(introduction(source)).await;
    socket
}

/// What a source says of itself before its first message.
pub fn introduction(source: Info) -> Introduction {
    let (info, server_address) = (Some(source), NOWHERE.to_owned());
    Introduction { info, registry: 1, server_address, ..Introduction::default() }
}

/// A raw agent that watches a service, so that its word is waited for.
pub async fn raw_watcher(nameserver: &str, number: u64, service: &str) -> V1Socket {
    let mut socket = raw_agent(nameserver, number).await;
    socket.send(Watch { service_name: service.to_owned(), ..Watch::default() }).await;
    let heard = |body| matches!(body, Body::WatchSnapshot(_)).then_some(());
    socket.hears(heard).await;
    socket
}

/// What it is asked to prepare for.
pub async fn asked_to_prepare(socket: &mut V1Socket) -> PreparePlacement {
    let asked = |body| match body {
        Body::PreparePlacement(said) => Some(said),
        _ => None,
    };
    socket.hears(asked).await
}

/// Says that it has prepared.
pub async fn prepared(socket: &mut V1Socket, asked: &PreparePlacement) {
    let (service_name, round) = (asked.service_name.clone(), asked.round);
    socket.send(PlacementPrepared { service_name, round }).await;
}

/// Asks to register a stateful instance.
pub async fn register_stateful(socket: &mut V1Socket, info: Info, share: u64) {
    let options = Some(Options { consistent_hash_key: share });
    let (request, info) = (1, Some(info));
    socket.send(RegisterInstance { request, info, options, ..<_>::default() }).await;
}
