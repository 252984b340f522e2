//! Elections at our nameserver, in the words of the origin: who is told what, in which numbers.

use skymesh_proto::msg::Body;
use skymesh_proto::{
    ElectionResult, GiveUpLeader, LeaderStanding, LeaderState, RunForLeader, ServicePresence,
    WatchLeader,
};
use skymesh_tests::Mesh;
use skymesh_tests::v1::{V1Agent, V1Socket, info};

use super::ORIGIN;
use skymesh_tests::raw::{raw_agent, register_raw};

const RUN: i32 = 1001;
const GIVE_UP: i32 = 1002;

const OK: i32 = 0;
const RUN_FAILED: i32 = -1001;
const ALREADY_LEADER: i32 = -1002;
const QUIT_CANDIDATE: i32 = -1003;

/// Agents of one instance each, with handles 1, 2 and so on.
async fn agents<const N: usize>(mesh: &Mesh) -> [V1Agent; N] {
    let mut agents = Vec::new();
    for number in 1..=N as u64 {
        let mut agent = V1Agent::start(&mesh.address().to_string(), "app").await;
        assert_eq!(agent.register(ORIGIN, 100 + number, number).await, 0);
        agents.push(agent);
    }
    agents.try_into().unwrap()
}

async fn all_hear(agents: &mut [V1Agent], told: (u64, i32, i32)) {
    for (number, agent) in agents.iter_mut().enumerate() {
        assert_eq!(agent.election().await, told, "agent {}", number + 1);
    }
}

#[tokio::test]
async fn every_request_ends_in_the_origins_numbers_and_is_told_to_whom_the_origin_tells_it() {
    let mesh = Mesh::start().await;
    let mut agents: [V1Agent; 3] = agents(&mesh).await;
    agents[0].campaign(1, RUN).await;
    for agent in &mut agents {
        let candidate = Some(info(ORIGIN, 101, 1));
        let expected = ElectionResult { candidate, event: RUN, result: OK };
        assert_eq!(agent.election_result().await, expected, "everybody hears who leads");
    }
    // These are told to who asked alone: what the others hear next is of somebody else.
    agents[0].campaign(1, RUN).await;
    assert_eq!(agents[0].election().await, (1, RUN, ALREADY_LEADER));
    agents[1].campaign(2, RUN).await;
    assert_eq!(agents[1].election().await, (2, RUN, RUN_FAILED));
    agents[2].campaign(3, RUN).await;
    assert_eq!(agents[2].election().await, (3, RUN, RUN_FAILED));
    agents[2].campaign(3, GIVE_UP).await;
    assert_eq!(agents[2].election().await, (3, GIVE_UP, QUIT_CANDIDATE));
    agents[2].campaign(99, RUN).await;
    assert_eq!(agents[2].election().await, (99, RUN, RUN_FAILED), "nobody's handle");
    agents[2].campaign(2, RUN).await;
    assert_eq!(agents[2].election().await, (2, RUN, RUN_FAILED), "another's handle");

    // With a successor only that one is told of, and without one only who gave up.
    agents[0].campaign(1, GIVE_UP).await;
    all_hear(&mut agents, (2, RUN, OK)).await;
    agents[1].campaign(2, GIVE_UP).await;
    all_hear(&mut agents, (2, GIVE_UP, OK)).await;
    // Who gave up was no candidate any more, and may be one again.
    agents[0].campaign(1, RUN).await;
    all_hear(&mut agents, (1, RUN, OK)).await;
}

#[tokio::test]
async fn who_comes_later_is_welcomed_with_the_leaders() {
    let mesh = Mesh::start().await;
    let mut agents: [V1Agent; 1] = agents(&mesh).await;
    agents[0].campaign(1, RUN).await;
    all_hear(&mut agents, (1, RUN, OK)).await;
    let (mut late, welcome) = V1Agent::welcomed(&mesh.address().to_string(), "app").await;
    assert_eq!((&welcome.leaders[..], welcome.result), (&[info(ORIGIN, 101, 1)][..], 0));
    let (_foreign, welcome) = V1Agent::welcomed(&mesh.address().to_string(), "other").await;
    assert_eq!(welcome.leaders, [], "apps do not see each other");
    // It was told in the welcome, so this is the first word that it hears.
    agents[0].campaign(1, GIVE_UP).await;
    assert_eq!(late.election().await, (1, GIVE_UP, OK));
}

#[tokio::test]
async fn a_leader_that_leaves_or_dies_is_followed() {
    let mesh = Mesh::start().await;
    let mut agents: [V1Agent; 4] = agents(&mesh).await;
    agents[0].campaign(1, RUN).await;
    all_hear(&mut agents, (1, RUN, OK)).await;
    for (at, number) in [(1, 2), (2, 3)] {
        agents[at].campaign(number, RUN).await;
        assert_eq!(agents[at].election().await, (number, RUN, RUN_FAILED));
    }
    agents[0].unregister(1).await;
    let (second, event, result) = agents[3].election().await;
    assert_eq!((event, result), (RUN, OK));
    assert!(second == 2 || second == 3);
    // Its process dies: there is no goodbye, and the grace passes first.
    let [_, b, c, mut watcher] = agents;
    drop(if second == 2 { b } else { c });
    let left = 5 - second;
    assert_eq!(watcher.election().await, (left, RUN, OK));
}

#[tokio::test]
async fn the_last_candidates_end_leaves_no_leader() {
    let mesh = Mesh::start().await;
    let [mut leader, mut watcher]: [V1Agent; 2] = agents(&mesh).await;
    leader.campaign(1, RUN).await;
    assert_eq!(watcher.election().await, (1, RUN, OK));
    leader.unregister(1).await;
    // The origin tells of the election first; ours tells of it when the term is in its store.
    let mut told = Vec::new();
    for _ in 0..2 {
        let word = watcher.nameserver.hears(|body| match body {
            Body::ElectionResult(result) => Some((result.event, result.result)),
            Body::ServicePresence(ServicePresence { online: false, .. }) => Some((0, 0)),
            _ => None,
        });
        told.push(word.await);
    }
    told.sort_unstable();
    assert_eq!(told, [(0, 0), (GIVE_UP, OK)]);
}

/// Waits until an agent of protocol 2 is told that so and so leads; answers the term.
async fn told(socket: &mut V1Socket, expected: Option<u64>) -> u64 {
    let standing = socket.hears(|body| match body {
        Body::LeaderStanding(LeaderStanding { state, leader, term, .. }) => {
            let leader = match LeaderState::try_from(state) {
                Ok(LeaderState::Leads) => leader.map(|leader| leader.handle),
                Ok(LeaderState::Nobody) => None,
                _ => return None,
            };
            (leader == expected).then_some(term)
        }
        _ => None,
    });
    standing.await
}

#[tokio::test]
async fn both_protocols_stand_in_one_election_and_terms_grow_through_it() {
    let mesh = Mesh::start().await;
    let mut agents: [V1Agent; 1] = agents(&mesh).await;
    let mut ours = raw_agent(&mesh.address().to_string(), 7).await;
    register_raw(&mut ours, [info(ORIGIN, 102, 2)].into_iter()).await;
    ours.send(WatchLeader { service_name: ORIGIN.to_owned() }).await;
    agents[0].campaign(1, RUN).await;
    let first = told(&mut ours, Some(1)).await;
    assert!(first > 0);
    all_hear(&mut agents, (1, RUN, OK)).await;

    let run = RunForLeader { request: 7, handle: 2, campaign: 1, ..RunForLeader::default() };
    ours.send(run).await;
    let reply = ours.hears(|body| match body {
        Body::RequestReply(reply) if reply.request == 7 => Some(reply.result),
        _ => None,
    });
    assert_eq!(reply.await, 0, "it stands");
    agents[0].campaign(1, GIVE_UP).await;
    let second = told(&mut ours, Some(2)).await;
    assert!(second > first, "{second} after {first}");
    all_hear(&mut agents, (2, RUN, OK)).await;
    agents[0].campaign(1, RUN).await;
    assert_eq!(agents[0].election().await, (1, RUN, RUN_FAILED));
    agents[0].campaign(1, GIVE_UP).await;
    assert_eq!(agents[0].election().await, (1, GIVE_UP, QUIT_CANDIDATE));
    ours.send(GiveUpLeader { request: 8, handle: 2 }).await;
    assert_eq!(told(&mut ours, None).await, second);
    all_hear(&mut agents, (2, GIVE_UP, OK)).await;
}
