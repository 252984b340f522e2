//! Two-phase as protocol 1 knows it, at our nameserver: prepare, the routers' answers, and an online
//! notification as the commit or an abort.

use skymesh_proto::msg::Body;
use skymesh_proto::{Options, RouterUpdate};
use skymesh_tests::v1::{V1Agent, V1Socket, info};
use skymesh_tests::{Mesh, SOON, within};

const SHARD: &str = "app.test.shard";
const PREPARE: i32 = 1;
const ABORT: i32 = 4;
const READY: i32 = 2;
const FAILED: i32 = 3;
const PREPARE_ERROR: i32 = -1003;

/// A router of the service, and a process with its first instance, of handle 1.
async fn start() -> (Mesh, V1Agent, V1Agent) {
    let mesh = Mesh::start().await;
    let mut first = V1Agent::start(&mesh.address().to_string(), "app").await;
    first.ask_to_register(info(SHARD, 101, 1), 1000).await;
    assert_eq!(first.registered().await, (1, 0), "nobody has to agree");
    let mut router = V1Agent::start(&mesh.address().to_string(), "app").await;
    let known = router.presence().await;
    assert_eq!(known.info, Some(info(SHARD, 101, 1)));
    assert_eq!(known.options, Some(Options { consistent_hash_key: 1000 }));
    router.route(SHARD).await;
    (mesh, router, first)
}

/// Another process, which wants to go online with an instance; the router is asked.
async fn second(mesh: &Mesh, router: &mut V1Agent, number: u64) -> V1Agent {
    let mut agent = V1Agent::start(&mesh.address().to_string(), "app").await;
    agent.ask_to_register(info(SHARD, 100 + number, number), 1000 * number).await;
    assert_eq!(router.router_update().await, update(PREPARE));
    agent
}

fn update(cmd: i32) -> RouterUpdate {
    RouterUpdate { cmd, service_name: SHARD.to_owned() }
}

/// The next word on a round, or of who comes and goes.
async fn next(socket: &mut V1Socket) -> (&'static str, u64) {
    let word = socket.hears(|body| match body {
        Body::RouterUpdate(said) if said.cmd == ABORT => Some(("abort", 0)),
        Body::RouterUpdate(said) => Some(("prepare", u64::from(said.cmd != PREPARE))),
        Body::ServicePresence(said) => {
            Some((if said.online { "online" } else { "offline" }, said.info.unwrap().handle))
        }
        _ => None,
    });
    word.await
}

#[tokio::test]
async fn a_round_is_committed_by_the_online_notification_once_all_routers_are_ready() {
    let (mesh, mut router, _first) = start().await;
    let mut other = V1Agent::start(&mesh.address().to_string(), "app").await;
    other.route(SHARD).await;
    // The answer shows that the nameserver has heard of the route.
    assert_eq!(other.register("app.test.other", 1, 77).await, 0);
    assert_eq!(next(&mut router.nameserver).await, ("online", 77));
    let mut joining = second(&mesh, &mut router, 2).await;
    assert_eq!(other.router_update().await, update(PREPARE));
    router.answer_prepare(SHARD, READY).await;
    other.answer_prepare(SHARD, READY).await;
    assert_eq!(joining.registered().await, (2, 0));
    let online = router.presence().await;
    assert_eq!(online.info, Some(info(SHARD, 102, 2)));
    assert_eq!(online.options, Some(Options { consistent_hash_key: 2000 }));
    assert_eq!((online.server_address, online.online), (joining.address.clone(), true));
    // Going online a second time is a round of its own, so nothing was left of the first.
    joining.ask_to_register(info(SHARD, 103, 3), 3000).await;
    assert_eq!(router.router_update().await, update(PREPARE));
}

#[tokio::test]
async fn a_router_that_fails_aborts_the_round_and_nobody_hears_of_who_stayed_pending() {
    let (mesh, mut router, mut first) = start().await;
    let mut joining = second(&mesh, &mut router, 2).await;
    router.answer_prepare(SHARD, FAILED).await;
    assert_eq!(router.router_update().await, update(ABORT));
    assert_eq!(joining.registered().await, (2, PREPARE_ERROR));
    // It never was online, so it never goes offline (the origin's defect 8); and the next may try.
    joining.unregister(2).await;
    joining.ask_to_register(info(SHARD, 102, 3), 2000).await;
    assert_eq!(next(&mut router.nameserver).await, ("prepare", 0));
    router.answer_prepare(SHARD, READY).await;
    assert_eq!(joining.registered().await, (3, 0));
    assert_eq!(next(&mut router.nameserver).await, ("online", 3));
    let seen = next(&mut first.nameserver).await;
    assert_eq!(seen, ("online", 3), "nothing of the one that stayed pending");
}

#[tokio::test]
async fn a_registrant_that_gives_up_frees_its_round() {
    let (mesh, mut router, _first) = start().await;
    let mut joining = second(&mesh, &mut router, 2).await;
    joining.unregister(2).await;
    assert_eq!(next(&mut router.nameserver).await, ("abort", 0));
    let mut third = second(&mesh, &mut router, 3).await;
    router.answer_prepare(SHARD, READY).await;
    assert_eq!(third.registered().await, (3, 0));
    assert_eq!(next(&mut router.nameserver).await, ("online", 3));
}

#[tokio::test]
async fn a_router_that_dies_or_never_answers_stops_no_round() {
    let (mesh, mut router, mut first) = start().await;
    let mut joining = second(&mesh, &mut router, 2).await;
    drop(router);
    assert_eq!(joining.registered().await, (2, 0));
    assert_eq!(next(&mut first.nameserver).await, ("online", 2));

    // This one is there, and silent.
    let mut silent = V1Agent::start(&mesh.address().to_string(), "app").await;
    silent.route(SHARD).await;
    assert_eq!(silent.register("app.test.other", 1, 77).await, 0);
    let mut third = second(&mesh, &mut silent, 3).await;
    assert_eq!(third.registered().await, (3, 0));
}

#[tokio::test]
async fn several_registrants_share_rounds_and_none_is_refused_for_being_the_second() {
    let (mesh, mut router, _first) = start().await;
    let mut joining = second(&mesh, &mut router, 2).await;
    let mut third = V1Agent::start(&mesh.address().to_string(), "app").await;
    third.ask_to_register(info(SHARD, 103, 3), 3000).await;
    // Its wish was heard before the answer that ends the first round.
    assert_eq!(third.register("app.test.other", 1, 77).await, 0);
    assert_eq!(next(&mut router.nameserver).await, ("online", 77));
    router.answer_prepare(SHARD, READY).await;
    assert_eq!(joining.registered().await, (2, 0));
    assert_eq!(next(&mut router.nameserver).await, ("online", 2));
    assert_eq!(next(&mut router.nameserver).await, ("prepare", 0));
    router.answer_prepare(SHARD, READY).await;
    assert_eq!(within(SOON, third.registered()).await, (3, 0));
    assert_eq!(next(&mut router.nameserver).await, ("online", 3));
}
