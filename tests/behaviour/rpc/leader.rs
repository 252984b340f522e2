//! Calls to whoever leads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use skymesh_agent::Standing;
use skymesh_rpc::{Code, Methods, Processing, Request, Response, Rpc};
use skymesh_tests::{Mesh, SOON, within};

use super::{CLIENT, caller, serve};

const NAME: &str = "app.test.room";

/// A candidate that says who it is, and counts who asked.
async fn candidate(mesh: &Mesh, number: u64) -> (Rpc, skymesh_rpc::Rest, Arc<AtomicU32>) {
    let asked = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&asked);
    let methods = Methods::new().method("who", move |_| {
        counter.fetch_add(1, SeqCst);
        async move { Ok(Response::new(number.to_string())) }
    });
    let (rpc, rest) = serve(&mesh.agent().await, &format!("{NAME}/{number}"), methods).await;
    within(SOON, rpc.instance().run_for_leader().into_future()).await.unwrap();
    (rpc, rest, asked)
}

#[tokio::test]
async fn a_call_reaches_who_leads_and_a_former_leader_does_not_process_it() {
    let mesh = Mesh::start().await;
    let (first, _rest, first_asked) = candidate(&mesh, 1).await;
    let leadership = within(SOON, first.instance().elected()).await.unwrap();
    let (second, _rest, _asked) = candidate(&mesh, 2).await;
    let (client, _rest) = caller(&mesh.agent().await, CLIENT).await;
    let election = client.instance().watch_election(NAME).unwrap();
    let leads = |rpc: &Rpc| {
        let handle = rpc.instance().handle();
        move |standing: &Standing| standing.leader().is_some_and(|who| who.handle == handle)
    };
    within(SOON, election.wait_until(leads(&first))).await;
    let who = || Request::new("who", "");
    let answer = within(SOON, client.call(&election, who())).await.unwrap();
    assert_eq!(answer.payload(), "1");

    // Looked up while it led, called when it does no more.
    let former = within(SOON, client.instance().resolve(&election)).await.unwrap();
    assert_eq!(former.leads_in, Some(leadership.term()));
    within(SOON, leadership.resign()).await;
    within(SOON, second.instance().elected()).await.unwrap();
    let refused = within(SOON, client.call(former.clone(), who())).await.unwrap_err();
    assert_eq!(
        (refused.code(), refused.processing()),
        (Code::Unavailable, Processing::NotProcessed)
    );
    assert_eq!(first_asked.load(SeqCst), 1);
    within(SOON, election.wait_until(leads(&second))).await;
    let answer = within(SOON, client.call(&election, who())).await.unwrap();
    assert_eq!(answer.payload(), "2");
    // To the instance as such it is as it ever was.
    let answer = within(SOON, client.call(former.handle, who())).await.unwrap();
    assert_eq!(answer.payload(), "1");
}
