//! `skymesh kick`, `skymesh drain`, `skymesh attr`, against a nameserver process with a data folder and
//! an agent in this one.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use skymesh::{Agent, Delivery, Event, Inbox, InstanceState, Resolve, Router};
use tokio::time::timeout;

use crate::binary::{Answer, Running, run, run_in};

/// A guard against waiting for ever; nothing waits for this to pass.
const GUARD: Duration = Duration::from_secs(20);

const ROOM: &str = "game.test.room";

async fn agent(nameserver: &Running) -> Agent {
    Agent::builder().app("game").nameserver(&nameserver.address).connect().await.unwrap()
}

/// Runs a command of an operator who stands beside the data folder.
async fn operate(nameserver: &Running, folder: &Path, arguments: &[&str]) -> Answer {
    let environment = [
        ("SKYMESH_AGENT__NAMESERVER", nameserver.address.as_str()),
        ("SKYMESH_NAMESERVER__STORE__PATH", folder.to_str().unwrap()),
    ];
    run_in(arguments, &environment).await
}

/// Waits until the one room is as `is_so` says.
async fn room(router: &Router, is_so: impl Fn(&InstanceState, Option<&serde_json::Value>) -> bool) {
    let resolved = router.wait_until(GUARD, |resolve| {
        let Resolve::Ready(known) = resolve else { return false };
        known
            .members
            .iter()
            .any(|member| is_so(&member.record.state, member.record.attributes.get("load")))
    });
    resolved.await.unwrap();
}

async fn kicked(inbox: &mut Inbox) -> String {
    let kicked = async {
        loop {
            match inbox.recv().await.expect("the inbox goes on") {
                Delivery::Event(Event::KickedOff { reason, .. }) => return reason.to_string(),
                _ => continue,
            }
        }
    };
    timeout(GUARD, kicked).await.expect("it is told")
}

#[tokio::test]
async fn an_instance_is_overridden_drained_and_kicked() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let nameserver = Running::start_on(&data, "127.0.0.1:0").await;
    let server = agent(&nameserver).await;
    let (_, mut inbox) =
        server.register("game.test.room/1").attributes([("load", 1)]).await.unwrap();
    let client = agent(&nameserver).await;
    let router = client.router(ROOM).unwrap();
    room(&router, |_, load| load == Some(&1.into())).await;

    let url = "game.test.room/1";
    let set = operate(&nameserver, &data, &["attr", "set", url, "load=9", "map=\"dust\""]).await;
    assert!(set.good().starts_with("overrides of game.test.room/1 changed; revision "), "{set:?}");
    room(&router, |_, load| load == Some(&9.into())).await;
    let unset = operate(&nameserver, &data, &["attr", "unset", url, "load", "map"]).await;
    let expected = "no override of load, map at game.test.room/1 any more; revision ";
    assert!(unset.good().starts_with(expected), "{unset:?}");
    room(&router, |_, load| load == Some(&1.into())).await;
    // For a while.
    operate(&nameserver, &data, &["attr", "set", url, "load=7", "--for", "2s"]).await.good();
    room(&router, |_, load| load == Some(&7.into())).await;
    room(&router, |_, load| load == Some(&1.into())).await;

    let drained = operate(&nameserver, &data, &["drain", url]).await;
    assert!(drained.good().starts_with("game.test.room/1 drains; revision "), "{drained:?}");
    room(&router, |state, _| *state == InstanceState::Draining).await;
    let gone = operate(&nameserver, &data, &["kick", url, "--reason", "maintenance"]).await;
    assert!(gone.good().starts_with("kicked game.test.room/1 off; revision "), "{gone:?}");
    assert_eq!(kicked(&mut inbox).await, "maintenance");
    let empty = |resolve: &Resolve| matches!(resolve, Resolve::Empty);
    router.wait_until(GUARD, empty).await.unwrap();

    let again = operate(&nameserver, &data, &["kick", url]).await;
    let expected = "error: no instance `game.test.room/1` is registered; see `skymesh services`";
    assert_eq!(again.errors(), [expected]);
}

#[tokio::test]
async fn a_session_is_kicked_by_its_number() {
    let folder = tempfile::tempdir().unwrap();
    let nameserver = Running::start_on(folder.path(), "127.0.0.1:0").await;
    let server = agent(&nameserver).await;
    let (one, mut inbox) = server.register("game.test.room/1").await.unwrap();
    let (_, mut other) = server.register("game.test.room/2").await.unwrap();
    let listing = run(&["services", "--json", "--nameserver", &nameserver.address]).await;
    let listing: serde_json::Value = serde_json::from_str(listing.good()).unwrap();
    let session = listing["instances"][0]["session"].to_string().replace('"', "");

    let handle = one.handle().to_string();
    operate(&nameserver, folder.path(), &["kick", "--handle", &handle]).await.good();
    assert_eq!(kicked(&mut inbox).await, "kicked off by an operator");
    operate(&nameserver, folder.path(), &["kick", "--session", &session]).await.good();
    kicked(&mut other).await;
}

#[tokio::test]
async fn overrides_survive_a_killed_nameserver_and_services_are_listed_without_a_token() {
    let folder = tempfile::tempdir().unwrap();
    let first = Running::start_on(folder.path(), "127.0.0.1:0").await;
    let address = first.address.clone();
    operate(&first, folder.path(), &["attr", "set", "game.test.room/1", "load=9"]).await.good();
    assert_eq!(first.end(Signal::KILL).await.0, None, "killed");

    let second = Running::start_on(folder.path(), &address).await;
    let server = agent(&second).await;
    let (_, _inbox) = server.register("game.test.room/1").attributes([("load", 1)]).await.unwrap();
    let listing = run(&["services", "--json", "--nameserver", &address]).await;
    let listing: serde_json::Value = serde_json::from_str(listing.good()).unwrap();
    assert_eq!(listing["instances"][0]["attributes"]["load"], 9);
}

#[tokio::test]
async fn an_address_that_is_none_is_told_as_such() {
    let answer = run(&["services", "--nameserver", "foo"]).await;
    let error = answer.errors()[0];
    assert!(error.contains("can't connect to foo: "), "{error}");
    assert!(error.ends_with("; an address is written host:port"), "{error}");
}

#[tokio::test]
async fn who_has_no_token_is_told_where_to_get_it() {
    let folder = tempfile::tempdir().unwrap();
    let nameserver = Running::start_on(&folder.path().join("data"), "127.0.0.1:0").await;
    let elsewhere = folder.path().join("elsewhere");
    let missing = operate(&nameserver, &elsewhere, &["drain", "game.test.room/1"]).await;
    let said = missing.errors()[0];
    assert!(said.starts_with("error: no token at `") && said.contains("admin.token"), "{said}");

    // The token of another nameserver.
    let other = Running::start_on(&elsewhere, "127.0.0.1:0").await;
    let wrong = operate(&nameserver, &elsewhere, &["drain", "game.test.room/1"]).await;
    let expected = format!("the token is not that of the nameserver at {}", nameserver.address);
    assert!(wrong.errors()[0].contains(&expected), "{wrong:?}");
    drop(other);

    // One by name.
    let token = folder.path().join("data/admin.token");
    let token = ["--token-file", token.to_str().unwrap()];
    let right = [&["drain", "game.test.room/1"][..], &token].concat();
    let right = operate(&nameserver, &elsewhere, &right).await;
    assert!(right.errors()[0].contains("is registered"), "only nobody is there: {right:?}");

    // A nameserver in memory has none unless it is named.
    let environment = [("SKYMESH_NAMESERVER__STORE__KIND", "memory")];
    let none = run_in(&["drain", "game.test.room/1"], &environment).await;
    let expected = "error: no token: name the nameserver's token file with --token-file";
    assert_eq!(none.errors(), [expected]);
}

#[tokio::test]
async fn wrong_arguments_are_told_with_what_is_right() {
    let url = "game.test.room/1";
    let cases: [(&[&str], &str); 8] = [
        (&["kick"], "required"),
        (&["kick", url, "--session", "1"], "cannot be used with"),
        (&["kick", "--handle", "0"], "must not be 0"),
        (&["drain", "game.test.room"], "game.test.room"),
        (&["attr", "set", url], "KEY=JSON"),
        (&["attr", "set", url, "map=dust"], "text needs quotes: map='\"text\"'"),
        (&["attr", "set", url, "a=1", "--for", "0s"], "at least 1ms"),
        (&["attr", "unset", url], "KEY"),
    ];
    for (arguments, expected) in cases {
        let answer = run(arguments).await;
        assert_eq!(answer.code, Some(2), "{arguments:?}: {answer:?}");
        assert!(answer.stderr.contains(expected), "{arguments:?}: {}", answer.stderr);
    }
}

#[tokio::test]
async fn a_data_folder_in_use_is_told_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Running::start_on(folder.path(), "127.0.0.1:0").await;
    let environment = [("SKYMESH_NAMESERVER__STORE__PATH", folder.path().to_str().unwrap())];
    let second = run_in(&["nameserver", "--listen", "127.0.0.1:0"], &environment).await;
    let said = second.errors();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("is in use by another nameserver (process "), "{said:?}");
}
