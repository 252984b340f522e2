//! `skymesh services`, against a nameserver process and an agent in this one.

use skymesh::{Agent, Attributes};
use tokio::net::TcpListener;

use crate::binary::{Running, run, run_in};

#[tokio::test]
async fn shows_what_is_registered() {
    let nameserver = Running::start(&["--listen", "127.0.0.1:0"]).await;
    let address = nameserver.address.as_str();
    let empty = run(&["services", "--nameserver", address]).await;
    assert!(
        empty.good().starts_with("0 instances of 0 services; 0 sessions; registry "),
        "{empty:?}"
    );

    let agent = Agent::builder().app("game").nameserver(address).connect().await.unwrap();
    let map = Attributes::from([("map", "dust")]);
    let (room, _inbox) = agent.register("game.test.room/2").attributes(map).await.unwrap();
    let (_, _other) = agent.register("game.test.room/1").weight(7).await.unwrap();
    let (_, _gate) = agent.register("game.test.gate/1").await.unwrap();

    let answer = run(&["services", "--nameserver", address]).await;
    let lines: Vec<&str> = answer.good().lines().collect();
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(lines.len(), 5, "{answer:?}");
    assert!(lines[0].starts_with("SERVICE         INSTANCE  STATE"), "{answer:?}");
    assert_eq!(words(lines[1])[..3], ["game.test.gate", "1", "online"]);
    assert_eq!(words(lines[2])[..3], ["game.test.room", "1", "online"]);
    assert_eq!(words(lines[2])[8..], ["7", "{}"]);
    let handle = room.handle().to_string();
    assert_eq!(words(lines[3])[..5], ["game.test.room", "2", "online", &handle, agent.address()]);
    assert!(lines[3].ends_with(r#"100     {"map":"dust"}"#), "{answer:?}");
    assert!(lines[4].starts_with("3 instances of 2 services; 1 session; "), "{answer:?}");

    // The address may come from the environment; the pattern chooses.
    let environment = [("SKYMESH_AGENT__NAMESERVER", address)];
    let answer = run_in(&["services", "*.test.room", "--json"], &environment).await;
    let json: serde_json::Value = serde_json::from_str(answer.good()).unwrap();
    assert_eq!(json["instances"].as_array().unwrap().len(), 2);
    assert_eq!(json["instances"][1]["handle"], handle);
    assert_eq!(json["instances"][1]["attributes"]["map"], "dust");
    assert_eq!(json["instances"][0]["weight"], 7);
}

#[tokio::test]
async fn a_nameserver_that_can_not_be_asked_is_told_in_one_line() {
    // Bound and dropped: nobody listens there.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute_address = mute.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((connection, _)) = mute.accept().await {
            drop(connection);
        }
    });
    let cases = [
        (free.as_str(), "error: nameserver: nobody listens at 127.0.0.1:"),
        (mute_address.as_str(), "error: 127.0.0.1:"),
    ];
    for (address, expected) in cases {
        let answer = run(&["services", "--nameserver", address]).await;
        let errors = answer.errors();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].starts_with(expected), "{errors:?}");
    }
}

#[tokio::test]
async fn a_pattern_that_is_none_is_a_usage_error() {
    let answer = run(&["services", "game.room"]).await;
    assert_eq!(answer.code, Some(2));
    assert!(answer.stderr.contains("`game.room` is no service name pattern"), "{}", answer.stderr);
}
