//! The catalogue of spans against what is emitted, in both directions.

use std::collections::{BTreeMap, BTreeSet};

use skymesh_grpc::Grpc;
use skymesh_rpc::{Methods, Request, Response, Rpc, Status};
use skymesh_telemetry::spans::{ALL, SpanEntry};
use skymesh_tests::trial::{Ask, Server, TrialClient, TrialServer};
use skymesh_tests::{Mesh, SOON, within};

use super::collector::{Collector, Taken};

/// Calls and notifies of both protocols that end well and that fail: each kind of span with each
/// of its attributes.
async fn all_there_is() -> Vec<Taken> {
    let mesh = Mesh::start().await;
    let collector = Collector::start().await;
    let agent = collector.agent(&mesh, "all").await;
    let (instance, inbox) = agent.register("app.test.trial/1").await.unwrap();
    let methods = Methods::new()
        .method("good", |_| async { Ok(Response::default()) })
        .method("bad", |_| async { Err(Status::internal("on purpose")) });
    let (rpc, rest) = Rpc::builder(instance.clone(), inbox).serve(methods).attach();
    let (grpc, incoming) = Grpc::builder(instance).attach_behind(rest);
    let server = tonic::transport::Server::builder()
        .layer(grpc.server_spans())
        .add_service(TrialServer::new(Server(1)));
    tokio::spawn(server.serve_with_incoming(incoming));
    let mut trial = TrialClient::new(grpc.channel("app.test.trial").unwrap());
    let to = "app.test.trial/1";
    for (method, code) in [("good", 0), ("bad", 13)] {
        let _ = within(SOON, rpc.call(to, Request::new(method, ""))).await;
        within(SOON, rpc.notify(to, Request::new(method, ""))).await.unwrap();
        let _ = within(SOON, trial.unary(Ask { code, ..Ask::default() })).await;
    }
    let nobody = within(SOON, rpc.notify("app.test.trial/9", Request::new("good", ""))).await;
    nobody.unwrap_err();
    collector.spans(13).await
}

#[tokio::test]
async fn every_span_is_in_the_catalogue_with_its_attributes_and_none_else() {
    let spans = all_there_is().await;
    let of = |one: &Taken| -> &'static SpanEntry {
        let is_its = |entry: &&&SpanEntry| {
            entry.system == one.text("rpc.system.name")
                && format!("{:?}", entry.kind).to_lowercase() == one.kind()
        };
        ALL.iter().find(is_its).unwrap_or_else(|| panic!("not in the catalogue: {one:?}"))
    };
    let mut seen: BTreeMap<(&str, &str), BTreeSet<String>> = BTreeMap::new();
    for one in &spans {
        let entry = of(one);
        let keys: BTreeSet<String> =
            one.span.attributes.iter().map(|one| one.key.clone()).collect();
        assert_eq!(keys.len(), one.span.attributes.len(), "said once: {one:?}");
        for key in entry.always {
            assert!(keys.contains(*key), "{key} is missing: {one:?}");
        }
        let known = |key: &String| entry.always.iter().chain(entry.sometimes).any(|one| key == one);
        assert!(keys.iter().all(known), "not in the catalogue: {one:?}");
        seen.entry((entry.system, one.kind())).or_default().extend(keys);
    }
    for entry in ALL {
        let kind = format!("{:?}", entry.kind).to_lowercase();
        let keys = seen.get(&(entry.system, kind.as_str()));
        let keys = keys.unwrap_or_else(|| panic!("nobody makes {entry:?}"));
        let all = entry.always.iter().chain(entry.sometimes);
        let never: Vec<_> = all.filter(|key| !keys.contains(**key)).collect();
        assert!(never.is_empty(), "{entry:?} never has {never:?}");
    }
}
