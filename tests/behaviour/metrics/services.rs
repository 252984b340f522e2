//! What is shown of services: the registry's view of them, leaders, placements, and the calls that they
//! serve.

use skymesh_agent::Resolve;
use skymesh_rpc::{Methods, Request, Response, Rpc, Status};
use skymesh_tests::exposition::{Exposition, endpoint};
use skymesh_tests::scraping::{scraped, shown_at};
use skymesh_tests::{Mesh, SOON, next_event, within};

use super::show_nameserver;

#[tokio::test]
async fn a_nameserver_shows_its_registry() {
    let mesh = Mesh::start().await;
    let endpoint = endpoint();
    let _shown = show_nameserver(&mesh, endpoint);
    let agent = mesh.agent().await;
    let (one, _one) = agent.register("app.test.server/1").await.unwrap();
    let (_two, _two_inbox) = agent.register("app.test.server/2").await.unwrap();
    let instances = |count: f64| {
        move |read: &Exposition| read.value("skymesh_registry_instances", &[]) == Some(count)
    };
    let seen = scraped(endpoint, instances(2.0)).await;
    assert_eq!(seen.value("skymesh_registry_sessions", &[]), Some(1.0));
    assert!(seen.value("skymesh_registry_revision", &[]) >= Some(2.0));
    let opened = [("event", "sessions_opened")];
    assert_eq!(seen.value("skymesh_nameserver_events_total", &opened), Some(1.0));
    assert_eq!(seen.value("target_info", &[("role", "nameserver")]), Some(1.0));
    one.unregister().await.unwrap();
    scraped(endpoint, instances(1.0)).await;
}

#[tokio::test]
async fn who_leads_and_in_which_term_shows() {
    let mesh = Mesh::start().await;
    let endpoint = endpoint();
    let _shown = show_nameserver(&mesh, endpoint);
    let agent = mesh.agent().await;
    let labels = [("service", "app.test.room")];
    let led = |term: f64, led: f64| {
        move |read: &Exposition| {
            read.value("skymesh_leader_term", &labels) == Some(term)
                && read.value("skymesh_service_led", &labels) == Some(led)
        }
    };
    let mut first_term = 0.0;
    for _ in 0..2 {
        let (room, mut inbox) = agent.register("app.test.room/1").await.unwrap();
        within(SOON, room.run_for_leader().into_future()).await.unwrap();
        let elected = |event: &skymesh_agent::Event| match event {
            skymesh_agent::Event::Elected { leadership, .. } => leadership.clone(),
            _ => None,
        };
        let term = next_event(&mut inbox, elected).await.term().0;
        let term = (term & ((1 << 53) - 1)) as f64;
        assert!(term > first_term, "{term} after {first_term}");
        first_term = term;
        scraped(endpoint, led(term, 1.0)).await;
        room.unregister().await.unwrap();
        scraped(endpoint, led(term, 0.0)).await;
    }
    let seen = scraped(endpoint, |_| true).await;
    let elections = [("event", "elections")];
    assert_eq!(seen.value("skymesh_nameserver_events_total", &elections), Some(2.0));
}

#[tokio::test]
async fn a_router_and_the_nameserver_show_the_same_placement() {
    let mesh = Mesh::start().await;
    let (at_nameserver, at_client) = (endpoint(), endpoint());
    let _shown = show_nameserver(&mesh, at_nameserver);
    let client = shown_at(mesh.builder(), at_client).connect().await.unwrap();
    let router = client.router("app.test.shard").unwrap();
    let servers = mesh.agent().await;
    let mut held = Vec::new();
    for number in 1..=3u64 {
        let url = format!("app.test.shard/{number}");
        held.push(servers.register(url.as_str()).stateful(1000 * number).await.unwrap());
    }
    let all = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members.len() == 3);
    router.wait_until(SOON, all).await.unwrap();
    let labels = [("service", "app.test.shard")];
    // Each of the three came by a round that the client had a word in, or before it watched.
    let seen = scraped(at_nameserver, |read| {
        read.value("skymesh_open_rounds", &[]) == Some(0.0)
            && read.value("skymesh_placement_epoch", &labels).is_some()
    })
    .await;
    let rounds = seen.value("skymesh_rounds_total", &[("outcome", "committed")]).unwrap();
    assert!((1.0..=3.0).contains(&rounds), "{rounds}");
    let epoch = seen.value("skymesh_placement_epoch", &labels);
    let seen =
        scraped(at_client, |read| read.value("skymesh_router_epoch", &labels) == epoch).await;
    assert_eq!(seen.value("skymesh_held_messages", &labels), Some(0.0));
    assert_eq!(seen.value("skymesh_held_bytes", &labels), Some(0.0));
    // Another epoch, at both.
    held.pop().unwrap().0.unregister().await.unwrap();
    let next =
        scraped(at_nameserver, |read| read.value("skymesh_placement_epoch", &labels) > epoch);
    let epoch = next.await.value("skymesh_placement_epoch", &labels);
    scraped(at_client, |read| read.value("skymesh_router_epoch", &labels) == epoch).await;
}

#[tokio::test]
async fn a_server_shows_how_long_it_serves_and_what_goes_wrong_there() {
    const CALLS: usize = 10;
    let mesh = Mesh::start().await;
    let endpoint = endpoint();
    let server = shown_at(mesh.builder(), endpoint).connect().await.unwrap();
    let (client, rest) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    let (client, _rest) = Rpc::attach(client, rest);
    let router = client.instance().router("app.test.geometry").unwrap();
    let labels = [("service", "app.test.geometry")];
    let event = |event| [("service", "app.test.geometry"), ("event", event)];
    // Two instances after each other: what the first one counted stays.
    for round in 1..=2 {
        let (geometry, rest) = server.register("app.test.geometry/7").await.unwrap();
        let methods = Methods::new()
            .method("echo", |request: Request| async move {
                Ok::<_, Status>(Response::new(request.into_payload()))
            })
            .method("break", |_| async { panic!("as the test wants it") });
        let (geometry, rest) = Rpc::builder(geometry, rest).serve(methods).attach();
        let handle = geometry.instance().handle();
        let is_there = |resolve: &Resolve| matches!(resolve, Resolve::Ready(k) if k.members[..].iter().any(|one| one.record.handle == handle));
        router.wait_until(SOON, is_there).await.unwrap();
        for _ in 0..CALLS {
            let call = client.call("app.test.geometry", Request::new("echo", "abc"));
            within(SOON, call).await.unwrap();
        }
        let call = client.call("app.test.geometry", Request::new("break", ""));
        within(SOON, call).await.unwrap_err();
        let served = (round * (CALLS + 1)) as f64;
        let seen = scraped(endpoint, |read| {
            read.value("skymesh_serve_duration_seconds_count", &labels) == Some(served)
        })
        .await;
        assert!(seen.value("skymesh_serve_duration_seconds_sum", &labels) > Some(0.0));
        let panics = seen.value("skymesh_rpc_events_total", &event("panics"));
        assert_eq!(panics, Some(round as f64));
        assert_eq!(seen.value("skymesh_rpc_events_total", &event("expired")), Some(0.0));
        // The server calls nobody.
        assert_eq!(seen.value("skymesh_call_duration_seconds_count", &labels), None);
        geometry.instance().unregister().await.unwrap();
        drop((geometry, rest));
    }
    let seen = scraped(endpoint, |_| true).await;
    assert_eq!(seen.value("skymesh_rpc_events_total", &event("panics")), Some(2.0));
}
