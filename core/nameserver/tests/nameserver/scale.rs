//! Many of everything.

use skymesh_proto as proto;
use skymesh_proto::msg::Body;
use skymesh_wire::encode_msg;

use crate::client::{Client, config, registration, start};

/// Registers `count` instances of `name` without waiting for replies, then reads all replies.
async fn register_all(agent: &mut Client, name: &str, count: u64) {
    let mut out = Vec::new();
    for n in 1..=count {
        encode_msg(&registration(n, &format!("{name}/{n}"), n).into(), &mut out);
    }
    agent.send_bytes(&out).await;
    for n in 1..=count {
        match agent.next().await {
            Body::RegisterInstanceReply(reply) => {
                assert_eq!((reply.request, reply.result), (n, 0), "{}", reply.reason);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_thousand_registrations_in_a_row_from_one_process() {
    let server = start(config()).await;
    let mut agent = Client::agent(&server, 1).await;
    register_all(&mut agent, "app.env.room", 1000).await;
    for n in 1001..=1010 {
        assert_eq!(agent.register(&format!("app.env.room/{n}"), n).await.result, 0);
    }
}

#[tokio::test]
async fn ten_thousand_instances_of_one_service() {
    let server = start(config()).await;
    let mut early = Client::agent(&server, 8).await;
    early.snapshot("app.env.room").await;
    let mut agent = Client::agent(&server, 1).await;
    register_all(&mut agent, "app.env.room", 10_000).await;
    let mut late = Client::agent(&server, 9).await;
    let snapshot = late.snapshot("app.env.room").await;
    let instances = snapshot.instances.iter().map(|i| i.info.as_ref().unwrap().instance);
    assert!(instances.eq(1..=10_000), "all of them, in order");

    let (mut at, mut seen) = (0, std::collections::BTreeSet::new());
    while seen.len() < 10_000 {
        let delta = early.delta().await;
        assert_eq!(delta.previous, at, "deltas chain");
        at = delta.revision;
        seen.extend(delta.changes.iter().map(|change| change.info.as_ref().unwrap().handle));
    }
    agent.send(proto::Goodbye::default()).await;
    let mut gone = 0;
    while gone < 10_000 {
        gone += late.delta().await.changes.len();
    }
}
