//! Instances come and go over one connection for ever: nothing of them stays behind at their peers.

use skymesh_proto::msg::Body;
use skymesh_proto::{Info, Msg, PeerWelcome, Pong, UnregisterService};
use skymesh_tests::raw::{introduction, raw_agent_at, raw_peer, register_raw};
use skymesh_tests::v1::{V1Socket, info, message};
use skymesh_tests::{Mesh, SOON, next_message, within};
use skymesh_wire::encode_msg;
use tokio::net::TcpListener;

const SERVER: &str = "app.test.server/1";

/// Most sources that one connection may have at a time.
const MOST: u64 = 65_536;

fn guest(number: u64) -> Info {
    info("app.test.guest", number, number)
}

/// Introduces sources, each of which retires at once or stays.
async fn introduce(peer: &mut V1Socket, guests: impl Iterator<Item = u64>, retire: bool) {
    let guests: Vec<u64> = guests.collect();
    for some in guests.chunks(1000) {
        let mut frames = Vec::new();
        for number in some {
            encode_msg(&Msg::from(introduction(guest(*number))), &mut frames);
            if retire {
                encode_msg(&Msg::from(UnregisterService { handle: *number }), &mut frames);
            }
        }
        peer.send_bytes(&frames).await;
    }
}

#[tokio::test]
async fn sources_that_retired_do_not_count_against_the_limit_of_their_connection() {
    let mesh = Mesh::start().await;
    let servers = mesh.agent().await;
    let (server, mut inbox) = servers.register(SERVER).await.unwrap();
    let mut peer = raw_peer(servers.address(), 9, guest(1)).await;
    introduce(&mut peer, 2..=MOST + 2, true).await;
    peer.send(message(guest(1), server.handle(), "more than the limit have gone")).await;
    assert_eq!(next_message(&mut inbox).await.payload(), "more than the limit have gone");
    // As many as may be at a time, counted with the one that stays.
    introduce(&mut peer, 2..=MOST, false).await;
    peer.send(message(guest(MOST), server.handle(), "the last that may come")).await;
    assert_eq!(next_message(&mut inbox).await.payload(), "the last that may come");
    assert_eq!(servers.counters().connections_refused.get(), 0);
    peer.send(introduction(guest(MOST + 1))).await;
    within(SOON, async { while peer.next_frame().await.is_some() {} }).await;
    assert_eq!(servers.counters().connections_refused.get(), 1);
}

#[tokio::test]
async fn an_instance_that_leaves_retires_at_every_peer_that_it_sent_to() {
    let mesh = Mesh::start().await;
    let nameserver = mesh.address().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut peer = raw_agent_at(&nameserver, 7, &address).await;
    register_raw(&mut peer, [info("app.test.server", 1, 11)].into_iter()).await;
    let guests = mesh.agent().await;
    // It stays, and the connection with it.
    let (stays, _inbox) = guests.register("app.test.guest/1").await.unwrap();
    stays.send(SERVER, b"hello").await.unwrap();
    let mut socket = V1Socket::accept(&listener).await;
    socket.send(PeerWelcome { agent: 7, window_bytes: 1 << 20 }).await;
    for number in 2..=4u64 {
        let url = format!("app.test.guest/{number}");
        let (guest, _inbox) = guests.register(url.as_str()).await.unwrap();
        guest.send(SERVER, b"hello").await.unwrap();
        let introduced = socket.hears(|body| match body {
            Body::Introduction(said) => said.info.filter(|info| info.instance == number),
            _ => None,
        });
        assert_eq!(introduced.await.handle, guest.handle().get());
        let retires = async {
            loop {
                match socket.next().await {
                    Body::Ping(ping) => {
                        socket.send(Pong { seq: ping.seq, handle: ping.destination }).await;
                    }
                    Body::UnregisterService(said) => return said.handle,
                    _ => {}
                }
            }
        };
        let (left, retired) = tokio::join!(guest.unregister(), retires);
        left.unwrap();
        assert_eq!(retired, guest.handle().get());
    }
}
