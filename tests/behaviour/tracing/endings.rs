//! Calls that do not end with an answer: dropped by their caller, or past their deadline.

use std::future::pending;
use std::time::Duration;

use skymesh_rpc::{Code, Methods, Request, Rpc};
use skymesh_tests::{Mesh, SOON, within};
use tokio::sync::mpsc;

use super::caller;
use super::collector::Collector;

#[tokio::test]
async fn calls_that_are_given_up_or_late_say_so_on_both_sides() {
    let mesh = Mesh::start().await;
    let collector = Collector::start().await;
    let (server, client) =
        (collector.agent(&mesh, "server").await, collector.agent(&mesh, "client").await);
    let (began, mut begins) = mpsc::channel(8);
    let hang = Methods::new().method("hang", move |_| {
        let began = began.clone();
        async move {
            began.send(()).await.unwrap();
            pending().await
        }
    });
    let (instance, inbox) = server.register("app.test.back/1").await.unwrap();
    let _back = Rpc::builder(instance, inbox).serve(hang).attach();
    let (rpc, _rest) = caller(&client, "app.test.client/1").await;

    let call = tokio::spawn(rpc.call("app.test.back", Request::new("hang", "")));
    within(SOON, begins.recv()).await.unwrap();
    assert!(collector.now().is_empty(), "it goes on");
    call.abort();
    let spans = collector.spans(2).await;
    let mut kinds: Vec<&str> = spans.iter().map(|one| one.kind()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["client", "server"]);
    for one in &spans {
        assert_eq!(one.text("rpc.response.status_code"), "CANCELLED");
        assert_eq!(one.failure(), Some("it was given up"), "{one:?}");
    }
    let of = |kind: &str| &spans.iter().find(|one| one.kind() == kind).unwrap().span;
    assert_eq!(of("server").trace_id, of("client").trace_id);
    assert_eq!(of("server").parent_span_id, of("client").span_id);

    let request = Request::new("hang", "").timeout(Duration::from_millis(100));
    let late = within(SOON, rpc.call("app.test.back", request)).await.unwrap_err();
    assert_eq!(late.code(), Code::DeadlineExceeded);
    for one in &collector.spans(4).await[2..] {
        assert_eq!(one.text("rpc.response.status_code"), "DEADLINE_EXCEEDED");
        assert!(one.failure().unwrap().contains("in time"), "{one:?}");
    }
    // An instance that leaves drops its handlers.
    let lost = tokio::spawn(rpc.call("app.test.back", Request::new("hang", "")));
    within(SOON, begins.recv()).await.unwrap();
    within(SOON, begins.recv()).await.unwrap();
    server.shutdown().await;
    let lost = within(SOON, lost).await.unwrap().unwrap_err();
    assert_eq!(lost.code(), Code::Unavailable);
    let spans = collector.spans(6).await;
    let status = |kind: &str| {
        let one = spans[4..].iter().find(|one| one.kind() == kind).unwrap();
        one.text("rpc.response.status_code")
    };
    assert_eq!((status("client"), status("server")), ("UNAVAILABLE", "CANCELLED"));
}
