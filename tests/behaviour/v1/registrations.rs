//! What our nameserver answers agents of the origin that register, beat, change and leave, and that
//! it says to them what the origin said.

use std::collections::HashMap;
use std::time::Duration;

use skymesh_nameserver::{KickTarget, NameserverConfig};
use skymesh_proto::msg::Body;
use skymesh_proto::{AgentInfo, Heartbeat, SetAttributes};
use skymesh_tests::v1::{Captured, V1Agent, V1Socket, captured, info};
use skymesh_tests::{Mesh, fast_nameserver};
use skymesh_types::{AttributeChange, ServiceUrl};

use super::{ORIGIN, THEIRS};

#[tokio::test]
async fn a_registration_is_answered_in_the_origins_numbers() {
    let mesh = Mesh::start().await;
    let nameserver = mesh.address().to_string();
    let mut agent = V1Agent::start(&nameserver, "app").await;
    assert_eq!(agent.register(ORIGIN, 101, THEIRS).await, 0);
    assert_eq!(agent.register(ORIGIN, 101, THEIRS).await, 0, "the same once more");
    let mut other = V1Agent::start(&nameserver, "app").await;
    assert_eq!(other.register(ORIGIN, 101, THEIRS + 1).await, -1001, "registered by another");
    assert_eq!(agent.register(ORIGIN, 101, THEIRS + 2).await, -1001, "registered by itself");
    // Numbers of our own, which it takes for failures as well.
    for (name, instance, handle, result) in [
        ("other.origin.room", 1, 1, -2000),
        (ORIGIN, 102, THEIRS, -2001),
        ("no name", 1, 2, -2005),
        (ORIGIN, 0, 3, -2005),
    ] {
        assert_eq!(agent.register(name, instance, handle).await, result, "{name}/{instance}");
    }
    // What is not answered disturbs nobody.
    agent.unregister(99).await;
    agent.unregister(0).await;
    agent.nameserver.send(SetAttributes { handle: 99, attributes: "{}".into() }).await;
    agent.nameserver.send(SetAttributes { handle: THEIRS, attributes: "[".into() }).await;
    agent.nameserver.send(Heartbeat { handle: 99 }).await;
    agent.unregister(THEIRS).await;
    assert_eq!(agent.register(ORIGIN, 101, THEIRS + 2).await, 0, "its place is free");

    // Without an app.
    let mut hasty = V1Socket::dial(&nameserver).await;
    let (server_address, app) = ("127.0.0.1:9".to_owned(), "app".to_owned());
    hasty.send(AgentInfo { server_address, app, ..AgentInfo::default() }).await;
    let registration = skymesh_proto::RegisterService {
        info: Some(info(ORIGIN, 103, 5)),
        options: Some(skymesh_proto::Options::default()),
    };
    hasty.send(registration).await;
    let result = hasty.hears(|body| match body {
        Body::RegisterServiceReply(reply) => Some(reply.result),
        _ => None,
    });
    assert_eq!(result.await, -1000);
}

#[tokio::test]
async fn an_instance_that_is_not_heard_of_goes_offline_alone_and_is_told_so() {
    let lease_v1 = Duration::from_secs(1);
    let mesh = Mesh::start_with(NameserverConfig { lease_v1, ..fast_nameserver() }).await;
    let nameserver = mesh.address().to_string();
    let mut watcher = V1Agent::start(&nameserver, "app").await;
    let mut agent = V1Agent::start(&nameserver, "app").await;
    assert_eq!(agent.register(ORIGIN, 101, THEIRS).await, 0);
    assert_eq!(agent.register(ORIGIN, 102, THEIRS + 1).await, 0);
    for _ in 0..2 {
        assert!(watcher.presence().await.online);
    }
    // The agent goes on speaking of the first one only.
    let mut beat = tokio::time::interval(lease_v1 / 5);
    let gone = {
        let gone = watcher.presence();
        tokio::pin!(gone);
        loop {
            tokio::select! {
                gone = &mut gone => break gone,
                _ = beat.tick() => agent.nameserver.send(Heartbeat { handle: THEIRS }).await,
            }
        }
    };
    assert_eq!((gone.info, gone.online), (Some(info(ORIGIN, 102, THEIRS + 1)), false));
    let told = agent.nameserver.hears(|body| match body {
        Body::KickOff(kick) => Some(kick.handle),
        _ => None,
    });
    assert_eq!(told.await, THEIRS + 1);
    // Its place is free, and the connection stands.
    assert_eq!(agent.register(ORIGIN, 102, THEIRS + 2).await, 0);
    let back = watcher.presence().await;
    assert_eq!((back.info, back.online), (Some(info(ORIGIN, 102, THEIRS + 2)), true));
}

#[tokio::test]
async fn what_an_operator_does_reaches_agents_of_the_origin() {
    let mesh = Mesh::start().await;
    let nameserver = mesh.address().to_string();
    let mut agent = V1Agent::start(&nameserver, "app").await;
    let mut watcher = V1Agent::start(&nameserver, "app").await;
    assert_eq!(agent.register(ORIGIN, 101, THEIRS).await, 0);
    assert!(watcher.presence().await.online);
    let url: ServiceUrl = format!("{ORIGIN}/101").parse().unwrap();
    let set = [("load".to_owned(), 9.into())].into();
    let change = AttributeChange { set, unset: Vec::new() };
    mesh.nameserver().override_attributes(url.clone(), change, None).await.unwrap();
    let changed = watcher.nameserver.hears(|body| match body {
        Body::AttributesChanged(said) => Some(said.attributes),
        _ => None,
    });
    assert_eq!(changed.await, "{\"load\":9}");
    mesh.nameserver().kick(KickTarget::Url(url), "maintenance").await.unwrap();
    let kicked = agent.nameserver.hears(|body| match body {
        Body::KickOff(said) => Some(said.handle),
        _ => None,
    });
    assert_eq!(kicked.await, THEIRS);
    let gone = watcher.presence().await;
    assert_eq!((gone.info, gone.online), (Some(info(ORIGIN, 101, THEIRS)), false));
    assert_eq!(agent.register(ORIGIN, 101, THEIRS).await, -2006, "that incarnation stays away");
    assert_eq!(agent.register(ORIGIN, 101, THEIRS + 1).await, 0);
}

/// The origin's own agents, frame by frame, at our nameserver: each hears what it heard there.
#[tokio::test]
async fn the_origins_own_agents_hear_what_they_heard_from_their_nameserver() {
    let names = ["helloworld", "name_router", "inner_service", "election", "grpc"];
    for name in names {
        replay(&format!("{name}.jsonl")).await;
    }
}

/// One agent of the capture.
struct Agent {
    socket: V1Socket,
    /// What it heard there since an agent said something last.
    hears: Vec<Body>,
}

async fn replay(name: &str) {
    let mesh = Mesh::start().await;
    let mut agents: HashMap<u64, Agent> = HashMap::new();
    let mut heard = 0;
    for Captured { direction, from_port, to_port, frame, body } in captured(name) {
        match &*direction {
            "agent->nameserver" => {
                heard += all_hear(name, &mut agents).await;
                let mut agent = match agents.remove(&from_port) {
                    Some(agent) => agent,
                    None => {
                        let socket = V1Socket::dial(&mesh.address().to_string()).await;
                        Agent { socket, hears: Vec::new() }
                    }
                };
                agent.socket.send_bytes(&frame).await;
                agents.insert(from_port, agent);
            }
            "nameserver->agent" => agents.get_mut(&to_port).unwrap().hears.push(body),
            _ => {}
        }
    }
    heard += all_hear(name, &mut agents).await;
    assert!(heard > 5, "{name}: {heard} frames");
}

async fn all_hear(name: &str, agents: &mut HashMap<u64, Agent>) -> usize {
    let mut count = 0;
    for (port, agent) in agents {
        let expected = std::mem::take(&mut agent.hears);
        count += expected.len();
        let mut heard = Vec::new();
        while heard.len() < expected.len() {
            let word = agent.socket.next().await;
            // Attributes that were set before it came; the origin keeps none (its defect 15).
            let early = matches!(word, Body::AttributesChanged(_)) && !expected.contains(&word);
            heard.extend(Some(word).filter(|_| !early));
        }
        assert_eq!(unordered(heard), unordered(expected), "{name}, to {port}");
    }
    count
}

/// The origin lists who is online in the order of a hash table.
fn unordered(mut bodies: Vec<Body>) -> Vec<Body> {
    let is_presence = |body: &Body| matches!(body, Body::ServicePresence(_));
    for run in bodies.chunk_by_mut(|a, b| is_presence(a) && is_presence(b)) {
        run.sort_by_key(|body| format!("{body:?}"));
    }
    bodies
}
