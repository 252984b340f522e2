//! What receivers make of leaders that lead no longer, and of messages for a leader that they are
//! not.

use std::sync::Arc;

use skymesh_agent::{FenceGate, SendError, StaleTerm, Term, UndeliverableReason};
use skymesh_rpc::{Request, Rpc};
use skymesh_tests::{Cable, next_message};
use skymesh_types::Handle;

use super::*;

const STORE: &str = "app.test.store/1";

async fn undeliverable(inbox: &mut Inbox) -> (Handle, UndeliverableReason, u64) {
    let undeliverable = |event: &Event| match event {
        Event::Undeliverable { to, reason, messages, .. } => Some((*to, *reason, *messages)),
        _ => None,
    };
    next_event(inbox, undeliverable).await
}

#[tokio::test]
async fn a_fence_refuses_a_leader_of_an_older_term_before_the_application_sees_it() {
    let mesh = Mesh::start().await;
    let gate = Arc::new(FenceGate::default());
    let agent = mesh.agent().await;
    let fenced = agent.register(STORE).fence(name(), Arc::clone(&gate));
    let (store, mut stored) = fenced.await.unwrap();
    let (leader, mut inbox) = candidate(&mesh.agent().await, 1).await;
    let leadership = elected(&mut inbox).await;
    leadership.send(STORE, "one").await.unwrap();
    let written = next_message(&mut stored).await;
    assert_eq!((written.payload().as_ref(), written.kind()), (&b"one"[..], 0));
    assert_eq!(written.term(), Some(leadership.term()));
    assert_eq!(gate.newest(), leadership.term());
    // Somebody leads in a newer term, of which this one has not heard.
    let newest = leadership.term().next();
    gate.admit(newest).unwrap();
    leadership.send(STORE, "two").await.unwrap();
    leadership.send(STORE, "three").await.unwrap();
    let reason = UndeliverableReason::StaleTerm { newest };
    let mut refused = 0;
    while refused < 2 {
        let (to, why, messages) = undeliverable(&mut inbox).await;
        assert_eq!((to, why), (store.handle(), reason));
        refused += messages;
    }
    assert_eq!(agent.counters().refused_stale_term.get(), 2);
    // What is not said as leader is not fenced.
    leader.send(STORE, "four").await.unwrap();
    let written = next_message(&mut stored).await;
    assert_eq!((written.payload().as_ref(), written.term()), (&b"four"[..], None));
    // The same within one process, where the sender is told at once.
    let (own_store, _inbox) =
        leader.agent().register("app.test.store/2").fence(name(), Arc::clone(&gate)).await.unwrap();
    let refused = leadership.send(own_store.handle(), "five").await;
    let stale = StaleTerm { term: leadership.term(), newest };
    assert_eq!(refused, Err(SendError::StaleTerm(stale)));
    // Leaders of other services are none of this fence's.
    let (other, mut other_inbox) = mesh.agent().await.register("app.test.other/1").await.unwrap();
    other.run_for_leader().await.unwrap();
    elected(&mut other_inbox).await.send(STORE, "six").await.unwrap();
    assert_eq!(next_message(&mut stored).await.payload(), "six");
    // Over is over: at the sender already.
    leadership.resign().await;
    assert_eq!(leadership.send(STORE, "seven").await, Err(SendError::NotLeading));
}

#[tokio::test]
async fn messages_to_the_leader_follow_it() {
    let mesh = Mesh::start().await;
    let (client, _client_inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    let election = client.agent().watch_election(NAME).unwrap();
    assert_eq!(client.try_send(&election, "now").err(), Some(SendError::NoLeader(name())));
    within(SOON, election.wait_until(|standing| *standing == Standing::Nobody)).await;
    assert_eq!(client.try_send(&election, "now").err(), Some(SendError::NoLeader(name())));
    // It waits for one.
    let sending = tokio::spawn({
        let (client, election) = (client.clone(), election.clone());
        async move { client.send(&election, "first").await }
    });
    let (first, mut first_inbox) = candidate(&mesh.agent().await, 1).await;
    let (_second, mut second_inbox) = candidate(&mesh.agent().await, 2).await;
    let message = next_message(&mut first_inbox).await;
    assert_eq!((message.payload().as_ref(), message.term()), (&b"first"[..], None));
    within(SOON, sending).await.unwrap().unwrap();
    assert_eq!(client.resolve(&election).await.unwrap().handle, first.handle());

    let before = election.standing();
    first.give_up();
    elected(&mut second_inbox).await;
    within(SOON, election.wait_until(|now| now.leader().is_some() && *now != before)).await;
    client.send(&election, "second").await.unwrap();
    assert_eq!(next_message(&mut second_inbox).await.payload(), "second");
    // By its router it is the same election.
    let router = client.router(NAME).unwrap();
    client.send(router.leader(), "third").await.unwrap();
    assert_eq!(next_message(&mut second_inbox).await.payload(), "third");
}

#[tokio::test]
async fn who_leads_no_longer_refuses_and_says_who_does() {
    let mesh = Mesh::start().await;
    let cable = Cable::to(mesh.address()).await;
    let agent = mesh.builder().nameserver(cable.address()).connect().await.unwrap();
    let (client, mut client_inbox) = agent.register("app.test.client/1").await.unwrap();
    let (first, mut first_inbox) = candidate(&mesh.agent().await, 1).await;
    elected(&mut first_inbox).await;
    let (second, mut second_inbox) = candidate(&mesh.agent().await, 2).await;
    let election = agent.watch_election(NAME).unwrap();
    client.send(&election, "first").await.unwrap();
    assert_eq!(next_message(&mut first_inbox).await.payload(), "first");
    // So that the client can find the other one, when it has to.
    let both = |resolve: &skymesh_agent::Resolve| resolve.members().len() == 2;
    agent.router(NAME).unwrap().wait_until(SOON, both).await.unwrap();
    // From here on it hears nothing of the election but from the candidates.
    cable.cut();
    let stale = |standing: &Standing| matches!(standing, Standing::Stale(Some(_)));
    within(SOON, election.wait_until(stale)).await;
    first.give_up();
    let next = elected(&mut second_inbox).await;
    // A candidate is told who leads.
    within(SOON, first.run_for_leader().into_future()).await.unwrap();
    client.send(&election, "for whom?").await.unwrap();
    let reason =
        UndeliverableReason::NotLeader { term: next.term(), leader: Some(second.handle()) };
    assert_eq!(undeliverable(&mut client_inbox).await, (first.handle(), reason, 1));
    assert_eq!(first.agent().counters().refused_not_leader.get(), 1);
    // What was refused is not sent again by itself; what comes now follows the hint.
    client.send(&election, "second").await.unwrap();
    assert_eq!(next_message(&mut second_inbox).await.payload(), "second");
}

/// On one thread: a call that looked again and again without waiting would let nothing else happen.
#[tokio::test]
async fn a_call_to_nobody_fails_at_once_and_may_be_tried_again() {
    let mesh = Mesh::start().await;
    let (client, inbox) = mesh.agent().await.register("app.test.client/1").await.unwrap();
    let agent = client.agent();
    let (caller, _rest) = Rpc::attach(client, inbox);
    // The instances are known, and nothing of the election.
    agent.router(NAME).unwrap().ready(SOON).await.unwrap();
    let election = agent.watch_election(NAME).unwrap();
    let nobody = caller.call(election.clone(), Request::new("who", "")).await.unwrap_err();
    assert!(nobody.is_retryable(), "{nobody}");
    within(SOON, election.wait_until(|standing| *standing == Standing::Nobody)).await;
    let nobody = caller.call(election, Request::new("who", "")).await.unwrap_err();
    assert!(nobody.is_retryable(), "{nobody}");
}

#[tokio::test]
async fn kinds_that_say_who_leads_are_the_meshs_own() {
    let mesh = Mesh::start().await;
    let (one, mut inbox) = mesh.agent().await.register("app.test.one/1").await.unwrap();
    let post = |kind| skymesh_agent::Outgoing { kind, ..Default::default() };
    assert_eq!(one.post(one.handle(), post(64)).await, Err(SendError::Kind(64)));
    assert_eq!(one.try_post(one.handle(), post(128)), Err(SendError::Kind(128)));
    one.post(one.handle(), post(31)).await.unwrap();
    assert_eq!(next_message(&mut inbox).await.kind(), 31);
    // Nobody leads in term 0.
    assert!(FenceGate::new(Term(1)).admit(Term(0)).is_err());
}
