//! Our agent in the elections of a nameserver of the origin, which knows no terms.

use skymesh_agent::{Event, Inbox, Lost, NotLeading, Standing};
use skymesh_proto::msg::Body;
use skymesh_proto::{ElectionRequest, ElectionResult};
use skymesh_tests::v1::{V1Nameserver, V1Socket, info};
use skymesh_tests::{Mesh, SOON, next_event, within};

use super::nameserver::{config, joined, registered};

const SERVER: &str = "app.test.server";
const RUN: i32 = 1001;
const GIVE_UP: i32 = 1002;

async fn elected(inbox: &mut Inbox) {
    let elected = |event: &Event| match event {
        Event::Elected { leadership, .. } => Some(leadership.clone()),
        _ => None,
    };
    assert_eq!(next_event(inbox, elected).await, None, "it has no term");
}

async fn unseated(inbox: &mut Inbox) -> Lost {
    let unseated = |event: &Event| match event {
        Event::Unseated { term, why, .. } => {
            assert_eq!(*term, None);
            Some(*why)
        }
        _ => None,
    };
    next_event(inbox, unseated).await
}

async fn asked(socket: &mut V1Socket) -> ElectionRequest {
    let asked = |body| match body {
        Body::ElectionRequest(asked) => Some(asked),
        _ => None,
    };
    socket.hears(asked).await
}

fn result(instance: u64, handle: u64, event: i32, result: i32) -> ElectionResult {
    ElectionResult { candidate: Some(info(SERVER, instance, handle)), event, result }
}

#[tokio::test]
async fn elections_pass_through_and_terms_are_not_supported() {
    let nameserver = V1Nameserver::start().await;
    let (agent, mut socket) = joined(&nameserver).await;
    let (server, mut inbox) = registered(&agent, &mut socket).await;
    let own = server.handle().get();
    let election = server.watch_election(SERVER).unwrap();
    assert_eq!(within(SOON, server.leader_of(SERVER)).await, Ok(Standing::Nobody));
    within(SOON, server.run_for_leader().into_future()).await.unwrap();
    assert_eq!(asked(&mut socket).await, ElectionRequest { handle: own, event: RUN });
    // Somebody else leads, and it is the next in line.
    socket.send(result(1, own, RUN, -1001)).await;
    socket.send(result(2, 77, RUN, 0)).await;
    let led = within(SOON, election.wait_until(|standing| standing.leader().is_some())).await;
    let leader = led.leader().unwrap();
    assert_eq!((leader.handle.get(), leader.term), (77, None));
    assert!(!server.is_leader());
    socket.send(result(1, own, RUN, 0)).await;
    elected(&mut inbox).await;
    assert!(server.is_leader());
    assert_eq!(server.leadership(), Err(NotLeading::NotSupported));
    assert_eq!(within(SOON, server.elected()).await, Err(NotLeading::NotSupported));
    let reason = NotLeading::NotSupported.to_string();
    assert!(reason.contains("not supported by this nameserver"), "{reason}");
    // Its keepalives are its heartbeats, and nobody answers them: it leads on all the same.
    let beat = |body| matches!(body, Body::Heartbeat(_)).then_some(());
    for _ in 0..4 {
        socket.hears(beat).await;
    }
    assert!(server.is_leader());
    assert!(server.give_up() && !server.is_leader());
    assert_eq!(asked(&mut socket).await, ElectionRequest { handle: own, event: GIVE_UP });
    assert_eq!(unseated(&mut inbox).await, Lost::Resigned);
    socket.send(result(1, own, GIVE_UP, 0)).await;
    within(SOON, election.wait_until(|standing| *standing == Standing::Nobody)).await;
    // Taken away, as it may be there.
    within(SOON, server.run_for_leader().into_future()).await.unwrap();
    socket.send(result(1, own, RUN, 0)).await;
    elected(&mut inbox).await;
    socket.send(result(2, 77, RUN, 0)).await;
    assert_eq!(unseated(&mut inbox).await, Lost::Revoked);
    assert!(!server.is_leader());
}

#[tokio::test]
async fn a_candidacy_is_said_again_after_the_registration() {
    let nameserver = V1Nameserver::start().await;
    let (agent, mut socket) = joined(&nameserver).await;
    let (server, mut inbox) = registered(&agent, &mut socket).await;
    let own = server.handle().get();
    within(SOON, server.run_for_leader().into_future()).await.unwrap();
    socket.send(result(1, own, RUN, 0)).await;
    elected(&mut inbox).await;
    drop(socket);
    let mut socket = nameserver.accept().await;
    // The origin knows nobody that is not registered.
    socket.take_registration(0).await;
    assert_eq!(asked(&mut socket).await, ElectionRequest { handle: own, event: RUN });
    socket.send(result(1, own, RUN, -1002)).await;
    // It led on all the time: nothing else was said to the application.
    server.give_up();
    assert_eq!(unseated(&mut inbox).await, Lost::Resigned);
    assert_eq!(asked(&mut socket).await, ElectionRequest { handle: own, event: GIVE_UP });
}

/// Our own nameserver serves agents of protocol 1 too.
#[tokio::test]
async fn two_agents_of_ours_hand_over_at_a_v1_nameserver() {
    let mesh = Mesh::start().await;
    let address = mesh.address().to_string();
    let candidate = async |instance| {
        let connecting = skymesh_agent::Agent::builder().config(config(&address)).connect();
        let agent = connecting.await.unwrap();
        let url = format!("{SERVER}/{instance}");
        let (candidate, inbox) = agent.register(url.as_str()).await.unwrap();
        within(SOON, candidate.run_for_leader().into_future()).await.unwrap();
        (candidate, inbox)
    };
    let (first, mut first_inbox) = candidate(1).await;
    elected(&mut first_inbox).await;
    let (second, mut second_inbox) = candidate(2).await;
    assert!(first.is_leader() && !second.is_leader());
    first.give_up();
    elected(&mut second_inbox).await;
    assert!(!first.is_leader() && second.is_leader());
    let standing = within(SOON, first.leader_of(SERVER)).await.unwrap();
    let election = first.agent().watch_election(SERVER).unwrap();
    let leads = |now: &Standing| now.leader().is_some_and(|l| l.handle == second.handle());
    within(SOON, election.wait_until(leads)).await;
    assert!(standing.leader().is_none_or(|leader| leader.term.is_none()));
    // Messages to the leader reach it; there is no term that they could carry.
    first.send(&election, "hello").await.unwrap();
    let message = skymesh_tests::next_message(&mut second_inbox).await;
    assert_eq!(message.payload(), "hello");
}
