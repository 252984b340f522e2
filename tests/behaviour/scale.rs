//! Sizes that the origin could not take.

use std::time::Duration;

use skymesh_agent::{Resolve, Router};
use skymesh_tests::{Mesh, within};

async fn grown_to(router: &Router, size: usize) {
    let all = |r: &Resolve| matches!(r, Resolve::Ready(known) if known.members.len() == size);
    router.wait_until(Duration::from_secs(60), all).await.unwrap();
}

/// Defect 12 of the origin: the fourth registration in a row hung.
#[tokio::test]
async fn defect_12_a_thousand_registrations_in_a_row_from_one_process() {
    let mesh = Mesh::start().await;
    let agent = mesh.agent().await;
    // Any wait in each of them would add up.
    let all = async {
        let mut instances = Vec::new();
        for instance in 1..=1000u64 {
            let url = format!("app.test.server/{instance}");
            instances.push(agent.register(url.as_str()).await.unwrap());
        }
        instances
    };
    let _instances = within(Duration::from_secs(60), all).await;
    let watcher = mesh.agent().await;
    grown_to(&watcher.router("app.test.server").unwrap(), 1000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_instances_of_one_service() {
    const INSTANCES: u64 = 10_000;
    const AGENTS: u64 = 4;
    let mesh = Mesh::start().await;
    let watcher = mesh.agent().await;
    let router = watcher.router("app.test.server").unwrap();
    let mut registrations = Vec::new();
    for part in 0..AGENTS {
        let agent = mesh.agent().await;
        registrations.push(tokio::spawn(async move {
            let mut instances = Vec::new();
            for instance in 1 + part * INSTANCES / AGENTS..=(part + 1) * INSTANCES / AGENTS {
                let url = format!("app.test.server/{instance}");
                instances.push(agent.register(url.as_str()).await.unwrap());
            }
            instances
        }));
    }
    let mut instances = Vec::new();
    for registration in registrations {
        let registered = within(Duration::from_secs(120), registration).await.unwrap();
        instances.extend(registered);
    }
    grown_to(&router, INSTANCES as usize).await;
    // A newcomer gets them as one snapshot.
    let newcomer = mesh.agent().await;
    grown_to(&newcomer.router("app.test.server").unwrap(), INSTANCES as usize).await;
    let (client, _inbox) = newcomer.register("app.test.client/1").await.unwrap();
    client.send("app.test.server/9999", b"you there").await.unwrap();
    let (_, inbox) = &mut instances[9998];
    assert_eq!(skymesh_tests::next_message(inbox).await.payload(), &b"you there"[..]);
}
