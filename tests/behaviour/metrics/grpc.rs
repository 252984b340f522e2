//! gRPC's calls and virtual connections, at both ends.

use skymesh_grpc::Grpc;
use skymesh_tests::exposition::endpoint;
use skymesh_tests::scraping::{scraped, shown_at};
use skymesh_tests::trial::{Ask, Server, TrialClient, TrialServer};
use skymesh_tests::{Mesh, SOON, within};

#[tokio::test]
async fn a_grpc_server_and_its_client_show_how_long_calls_take() {
    const CALLS: usize = 5;
    let mesh = Mesh::start().await;
    let (at_server, at_client) = (endpoint(), endpoint());
    let server = shown_at(mesh.builder(), at_server).connect().await.unwrap();
    let client = shown_at(mesh.builder(), at_client).connect().await.unwrap();
    let (instance, inbox) = server.register("app.test.trial/1").await.unwrap();
    let (served, incoming) = Grpc::attach(instance, inbox);
    let tonic = tonic::transport::Server::builder()
        .layer(served.server_spans())
        .add_service(TrialServer::new(Server(1)));
    tokio::spawn(tonic.serve_with_incoming(incoming));
    let (instance, inbox) = client.register("app.test.client/1").await.unwrap();
    let (grpc, _) = Grpc::attach(instance, inbox);
    let channel = grpc.channel("app.test.trial").unwrap();
    let router = channel.router().unwrap();
    router.wait_until(SOON, |known| known.members().len() == 1).await.unwrap();
    let mut trial = TrialClient::new(channel);
    for _ in 0..CALLS {
        within(SOON, trial.unary(Ask::default())).await.unwrap();
    }
    let labels = [("service", "app.test.trial")];
    for (endpoint, shown, not_shown) in [
        (at_server, "skymesh_serve_duration_seconds", "skymesh_call_duration_seconds"),
        (at_client, "skymesh_call_duration_seconds", "skymesh_serve_duration_seconds"),
    ] {
        let count = |metric: &str| format!("{metric}_count");
        let seen =
            scraped(endpoint, |read| read.value(&count(shown), &labels) == Some(CALLS as f64))
                .await;
        assert!(seen.value(&format!("{shown}_sum"), &labels) > Some(0.0));
        assert_eq!(seen.value(&count(not_shown), &labels), None);
        let service = if endpoint == at_server { "app.test.trial" } else { "app.test.client" };
        let refused = [("service", service), ("event", "refused")];
        assert_eq!(seen.value("skymesh_grpc_events_total", &refused), Some(0.0));
    }
}
