//! The catalogue against what is shown: each metric in it appears, with its help, its kind and its
//! labels, once something has happened that it is about; and nothing appears that is not in it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use skymesh_agent::Agent;
use skymesh_grpc::Grpc;
use skymesh_rpc::{Methods, Request, Response, Rpc, Status};
use skymesh_telemetry::catalogue::{ALL, Metric};
use skymesh_tests::exposition::{Exposition, endpoint, scrape};
use skymesh_tests::scraping::shown_at;
use skymesh_tests::{Mesh, SOON, next_event, within};

use super::show_nameserver;

/// Has something happen that each metric is about. What is answered keeps it going.
async fn bustle(server: &Agent, client: &Agent) -> impl Sized + use<> {
    let (leader, mut leader_inbox) = server.register("app.test.leader/1").await.unwrap();
    within(SOON, leader.run_for_leader().into_future()).await.unwrap();
    let elected = |event: &skymesh_agent::Event| match event {
        skymesh_agent::Event::Elected { .. } => Some(()),
        _ => None,
    };
    next_event(&mut leader_inbox, elected).await;
    let shard = server.register("app.test.shard/1").stateful(1000).await.unwrap();
    let shard_router = client.router("app.test.shard").unwrap();
    let (stream, stream_inbox) = server.register("app.test.stream/1").await.unwrap();
    let grpc = Grpc::attach(stream, stream_inbox);
    let (echo, echo_inbox) = server.register("app.test.echo/1").await.unwrap();
    let methods = Methods::new().method("echo", |request: Request| async move {
        Ok::<_, Status>(Response::new(request.into_payload()))
    });
    let echo = Rpc::builder(echo, echo_inbox).serve(methods).attach();
    let (me, inbox) = client.register("app.test.client/1").await.unwrap();
    let me = Rpc::attach(me, inbox);
    within(SOON, me.0.call("app.test.echo", Request::new("echo", "x"))).await.unwrap();
    (leader, leader_inbox, shard, shard_router, grpc, echo, me)
}

fn check(read: &Exposition, seen: &mut BTreeSet<&'static str>) {
    let by_name: BTreeMap<&str, &'static Metric> =
        ALL.iter().map(|metric| (metric.name, *metric)).collect();
    for (name, kind) in &read.kinds {
        if !name.starts_with("skymesh_") {
            assert!(
                ["target_info", "process_start_time_seconds"].contains(&name.as_str()),
                "{name}"
            );
            continue;
        }
        let metric = by_name.get(name.as_str()).copied();
        let metric = metric.unwrap_or_else(|| panic!("{name} is not in the catalogue"));
        assert_eq!(*kind, format!("{:?}", metric.kind).to_lowercase(), "{name}");
        assert_eq!(read.helps[name], metric.help, "{name}");
        let documented: BTreeSet<&str> = metric.labels.iter().copied().collect();
        let series = read.labels_of(name);
        assert!(!series.is_empty(), "{name} has no series");
        for labels in series {
            let have: BTreeSet<&str> = labels.keys().map(String::as_str).collect();
            assert_eq!(have, documented, "{name}");
        }
        seen.insert(metric.name);
    }
}

#[tokio::test]
async fn each_metric_of_the_catalogue_appears_as_documented_and_no_other_does() {
    let mesh = Mesh::start().await;
    let endpoints: [SocketAddr; 3] = std::array::from_fn(|_| endpoint());
    let [at_nameserver, at_server, at_client] = endpoints;
    let _shown = show_nameserver(&mesh, at_nameserver);
    let server = shown_at(mesh.builder(), at_server).connect().await.unwrap();
    let client = shown_at(mesh.builder(), at_client).connect().await.unwrap();
    let _kept = bustle(&server, &client).await;
    let mut seen = BTreeSet::new();
    let rounds = async {
        while seen.len() < ALL.len() {
            for endpoint in endpoints {
                if let Some(text) = scrape(endpoint).await {
                    check(&Exposition::read(&text), &mut seen);
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let done = tokio::time::timeout(SOON, rounds).await;
    let missing = ALL.iter().map(|metric| metric.name).filter(|name| !seen.contains(name));
    let missing: Vec<&str> = missing.collect();
    assert!(done.is_ok(), "never shown: {missing:?}");
}
