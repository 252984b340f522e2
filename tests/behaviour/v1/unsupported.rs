//! What our agent asks of a nameserver of the origin beyond the plain: what protocol 1 has no word for is
//! refused and not left out, and stateful registrations are as the origin knows them.

use std::future::IntoFuture;

use skymesh_agent::{Inbox, Instance, RegisterError, Registration, RequestError};
use skymesh_proto::msg::Body;
use skymesh_proto::{ElectionRequest, Options};
use skymesh_tests::v1::{V1Nameserver, V1Socket};
use skymesh_tests::{SOON, within};
use skymesh_types::Share;

use super::nameserver::{joined, registered};

const SHARD: &str = "app.test.shard/1";

fn not_supported(error: &RequestError) {
    assert!(matches!(error, RequestError::NotSupported(_)), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("is not supported by this nameserver"), "{said}");
}

/// What becomes of a registration that the nameserver hears of and answers with `result`.
async fn answered(
    asked: Registration,
    socket: &mut V1Socket,
    result: i32,
) -> (Result<(Instance, Inbox), RegisterError>, Option<Options>) {
    let asked = within(SOON, asked.into_future());
    let (outcome, heard) = tokio::join!(asked, socket.take_registration(result));
    (outcome, heard.options)
}

#[tokio::test]
async fn registrations_that_protocol_1_has_no_word_for_are_refused_and_not_left_out() {
    let nameserver = V1Nameserver::start().await;
    let (agent, mut socket) = joined(&nameserver).await;
    for asked in [
        agent.register("app.test.heavy/1").weight(200),
        agent.register(SHARD).stateful(Share::up_to(1999)),
        agent.register(SHARD).stateful(Share::up_to(0)),
    ] {
        let refused = within(SOON, asked.into_future()).await.unwrap_err();
        let RegisterError::Request { source, .. } = &refused else { panic!("{refused:?}") };
        not_supported(source);
    }
    // Nothing was said of them; this is the first registration that is heard.
    let usual = async { agent.register("app.test.usual/1").weight(100).await.unwrap() };
    let (_usual, heard) = tokio::join!(usual, socket.take_registration(0));
    assert_eq!(heard.info.unwrap().service_name, "app.test.usual");
}

#[tokio::test]
async fn a_priority_and_draining_are_refused_and_change_nothing() {
    let nameserver = V1Nameserver::start().await;
    let (agent, mut socket) = joined(&nameserver).await;
    let (server, _inbox) = registered(&agent, &mut socket).await;
    let preferred = server.run_for_leader().priority(7).into_future();
    not_supported(&within(SOON, preferred).await.unwrap_err());
    assert!(!server.give_up(), "it does not stand");
    not_supported(&within(SOON, server.drain()).await.unwrap_err());
    // The first candidacy that is heard is the plain one; nothing was said of draining.
    within(SOON, server.run_for_leader().priority(0).into_future()).await.unwrap();
    loop {
        match socket.next().await {
            Body::Heartbeat(_) => {}
            Body::ElectionRequest(asked) => {
                let plain = ElectionRequest { handle: server.handle().get(), event: 1001 };
                break assert_eq!(asked, plain);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_stateful_instance_shows_its_key_as_the_origin_does_and_goes_without_a_round() {
    let nameserver = V1Nameserver::start().await;
    let (agent, mut socket) = joined(&nameserver).await;
    let (outcome, options) = answered(agent.register(SHARD).stateful(1000), &mut socket, 0).await;
    let (shard, _inbox) = outcome.unwrap();
    assert_eq!(options, Some(Options { consistent_hash_key: 1000 }));
    let own = shard.handle().get();
    let left = async {
        loop {
            match socket.next().await {
                Body::UnregisterService(said) => break said.handle,
                Body::Heartbeat(beat) => assert_eq!(beat.handle, own),
                other => panic!("{other:?}"),
            }
        }
    };
    let (unregistered, left) = tokio::join!(within(SOON, shard.unregister()), left);
    assert_eq!((unregistered, left), (Ok(()), own));
}

#[tokio::test]
async fn the_origins_rounds_refuse_a_stateful_instance_which_may_try_again() {
    let nameserver = V1Nameserver::start().await;
    let (agent, mut socket) = joined(&nameserver).await;
    for (result, why) in [
        (-1003, "a router of the service refused"),
        (-1004, "did not answer in time"),
        (-1005, "another instance of the service is being agreed on"),
    ] {
        let asked = agent.register(SHARD).stateful(1000);
        let (outcome, _) = answered(asked, &mut socket, result).await;
        let Err(RegisterError::NotAgreed { url, reason }) = &outcome else { panic!("{outcome:?}") };
        assert_eq!(url.to_string(), SHARD);
        assert!(reason.contains(why), "{result}: {reason}");
    }
    let (outcome, _) = answered(agent.register(SHARD).stateful(1000), &mut socket, 0).await;
    let (shard, _inbox) = outcome.unwrap();
    // It is of the mesh as any other: its own routers see it, and what is refused leaves nothing behind.
    let known = agent.router("app.test.shard").unwrap();
    let one = |known: &skymesh_agent::Resolve| {
        let handles: Vec<_> = known.members().iter().map(|m| m.record.handle).collect();
        handles == [shard.handle()]
    };
    known.wait_until(SOON, one).await.unwrap();
}
