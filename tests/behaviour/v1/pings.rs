//! Pings between ours and the origin's: every answer travels over a connection of its own.

use skymesh_agent::Agent;
use skymesh_agent::config::AgentConfig;
use skymesh_proto::msg::Body;
use skymesh_proto::{Ping, Pong};
use skymesh_tests::v1::V1Socket;
use skymesh_tests::{Mesh, SOON};
use skymesh_types::InstanceId;

use super::{ORIGIN, dialled_by, origin};

#[tokio::test]
async fn a_v1_ping_is_answered_at_the_address_that_it_names() {
    let mesh = Mesh::start().await;
    let origin = origin(&mesh).await;
    let agent = mesh.agent().await;
    let (server, _inbox) = agent.register("app.test.server/1").await.unwrap();
    let mut socket = V1Socket::dial(agent.address()).await;
    socket.send(origin.ping(7, server.handle())).await;
    let mut back = dialled_by(&agent, &origin).await;
    let pong = |seq| Body::from(Pong { seq, handle: server.handle().get() });
    assert_eq!(back.next().await, pong(7));
    // Nobody answers for an instance that is not there, nor at the address of a third party.
    socket.send(Ping { destination: 99, ..origin.ping(8, server.handle()) }).await;
    let elsewhere = "127.0.0.2:9".to_owned();
    socket.send(Ping { server_address: elsewhere, ..origin.ping(9, server.handle()) }).await;
    socket.send(origin.ping(10, server.handle())).await;
    assert_eq!(back.next().await, pong(10));
    assert_eq!(socket.heard_in_all().await, 0, "nothing is written to what a v1 peer dialled");
}

#[tokio::test]
async fn a_v1_pong_on_the_peers_own_connection_measures_it() {
    let mesh = Mesh::start().await;
    let origin = origin(&mesh).await;
    let config =
        AgentConfig { ping_interval: std::time::Duration::from_millis(10), ..mesh.config() };
    let agent = Agent::builder().config(config).connect().await.unwrap();
    let router = agent.router(ORIGIN).unwrap();
    router.ready(SOON).await.unwrap();
    let mut pinged = dialled_by(&agent, &origin).await;
    let first = pinged.next_ping().await;
    assert_eq!(first.server_address, agent.address());
    let stats = router.stats(InstanceId::new(101).unwrap()).unwrap();
    assert_eq!(stats.rtt_ewma_ns(), 0);
    // Its first frame to us, as it happens with the origin.
    let mut socket = V1Socket::dial(agent.address()).await;
    socket.send(Pong { seq: first.seq, handle: first.destination + 1 }).await;
    socket.send(Pong { seq: first.seq, handle: first.destination }).await;
    // There is one ping at a time, so a second one says that the first is answered.
    let second = pinged.next_ping().await;
    assert!(second.seq > first.seq);
    assert!(stats.rtt_ewma_ns() > 0);
}
