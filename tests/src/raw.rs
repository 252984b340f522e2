//! A raw agent of protocol 2 towards the nameserver: it does only what a test says, and dies when
//! dropped.

use skymesh_proto::msg::Body;
use skymesh_proto::{
    AgentInfo, Info, Options, PlacementPrepared, PreparePlacement, RegisterApp, RegisterInstance,
    Watch,
};

use crate::v1::V1Socket;

/// Connects and introduces an agent of app `app`.
///
/// # Panics
/// If it is not welcome.
pub async fn raw_agent(nameserver: &str, number: u64) -> V1Socket {
    let mut socket = V1Socket::dial(nameserver).await;
    let (server_address, app) = ("127.0.0.1:1".to_owned(), "app".to_owned());
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
