//! Election algorithms from shared libraries: who leads by which, how a leader is replaced, and what
//! becomes of a bad algorithm.

use serde_json::json;
use skymesh_nameserver::BindError;
use skymesh_plugin_host::{PluginKind, PluginState, PluginsConfig, QuarantineConfig, SlotHealth};
use skymesh_proto as proto;
use skymesh_types::AttributeChange;

use crate::candidate::Candidate;
use crate::client::{builder, serve, soon, start_with_elections, used_store};

#[tokio::test]
async fn a_vacancy_is_filled_as_the_algorithm_says() {
    // The algorithm, and who follows instance 5: 7 stands with priority 9, 6 with priority 3 and
    // rank 20, and 8 was heard last.
    let cases = [
        (json!({"use": "first_come"}), 8),
        (json!({"use": "lowest_id", "config": {"preempt": false}}), 6),
        (json!({"use": "priority"}), 7),
        (json!({"use": "priority", "config": {"attribute": "rank"}}), 6),
        (json!({"use": "builtin"}), 8),
    ];
    for (algorithm, expected) in cases {
        let server = start_with_elections(json!({"app.*.*": algorithm})).await;
        let mut first = Candidate::room(&server, 5, json!({})).await;
        first.run(0).await;
        assert_eq!(first.hears_of_leader().await, (5, 1), "{algorithm}");
        let mut others = Vec::new();
        for (instance, priority, declared) in
            [(7, 9, json!({})), (6, 3, json!({"rank": 20})), (8, 0, json!({}))]
        {
            let mut other = Candidate::room(&server, instance, declared).await;
            other.run(priority).await;
            assert!(other.beat().await.is_empty(), "{algorithm}");
            assert!(first.leads(1).await, "{algorithm}");
            others.push(other);
        }
        others[2].beat().await;
        first.give_up().await;
        for candidate in &mut others {
            assert_eq!(candidate.hears_of_leader().await, (expected, 2), "{algorithm}");
        }
    }
}

#[tokio::test]
async fn a_better_candidate_takes_over_when_the_leader_has_stood_down() {
    let cases = [
        json!({"use": "lowest_id"}),
        json!({"use": "priority", "config": {"preempt": true}}),
        json!({"use": "priority", "config": {"preempt": true, "attribute": "rank"}}),
    ];
    for algorithm in cases {
        let server = start_with_elections(json!({"*.*.room": algorithm})).await;
        let mut old = Candidate::room(&server, 7, json!({"rank": 1})).await;
        old.run(1).await;
        assert_eq!(old.hears_of_leader().await, (7, 1), "{algorithm}");
        let mut new = Candidate::room(&server, 6, json!({"rank": 2})).await;
        new.run(2).await;
        // Revoked, and nobody leads until its word is there.
        assert_eq!((old.hears().await, new.hears().await), ((0, 1), (0, 1)), "{algorithm}");
        new.beat().await;
        old.stand_down(1).await;
        assert_eq!(
            (new.hears_of_leader().await, old.hears_of_leader().await),
            ((6, 2), (6, 2)),
            "{algorithm}"
        );
        // The old one stands on, and follows.
        new.give_up().await;
        assert_eq!(old.hears_of_leader().await, (7, 3), "{algorithm}");
    }
}

#[tokio::test]
async fn an_attribute_moves_the_leadership_set_by_the_agent_or_by_an_operator() {
    let algorithm = json!({"use": "priority", "config": {"preempt": true, "attribute": "rank"}});
    let server = start_with_elections(json!({"app.env.room": algorithm})).await;
    let mut one = Candidate::room(&server, 1, json!({})).await;
    let mut two = Candidate::room(&server, 2, json!({})).await;
    one.run(0).await;
    assert_eq!(one.hears_of_leader().await, (1, 1));
    two.run(0).await;
    two.set(json!({"load": 3})).await;
    two.beat().await;
    assert!(one.leads(1).await);
    two.set(json!({"rank": 5})).await;
    assert_eq!(one.hears().await, (0, 1));
    one.stand_down(1).await;
    assert_eq!(
        (one.hears_of_leader().await, two.hears().await, two.hears_of_leader().await),
        ((2, 2), (0, 1), (2, 2))
    );

    let set = [("rank".to_owned(), 6.into())].into();
    let change = AttributeChange { set, unset: Vec::new() };
    let url = "app.env.room/1".parse().unwrap();
    server.handle.override_attributes(url, change, None).await.unwrap();
    assert_eq!(two.hears().await, (0, 2));
    two.stand_down(2).await;
    assert_eq!(two.hears_of_leader().await, (1, 3));
}

#[tokio::test]
async fn each_name_has_the_algorithm_of_its_most_specific_pattern() {
    let server = start_with_elections(json!({
        "app.*.*": {"use": "lowest_id"},
        "app.env.hall": {"use": "first_come"},
        "*.env.yard": {"use": "priority", "config": {"preempt": true}},
    }))
    .await;
    // The name, and who leads in the end: 9 stands first, 3 with a lower id and a lower priority.
    for (name, expected) in [("room", 3), ("hall", 9), ("yard", 3)] {
        let url = |instance| format!("app.env.{name}/{instance}");
        let mut nine = Candidate::register(&server, &url(9), json!({})).await;
        nine.run(5).await;
        assert_eq!(nine.hears_of_leader().await, (9, 1), "{name}");
        let mut three = Candidate::register(&server, &url(3), json!({})).await;
        three.run(1).await;
        if expected == 9 {
            three.beat().await;
            assert!(nine.leads(1).await, "{name}");
            continue;
        }
        assert_eq!(nine.hears().await, (0, 1), "{name}");
        nine.stand_down(1).await;
        assert_eq!(nine.hears_of_leader().await, (3, 2), "{name}");
    }
    let patterns: Vec<String> =
        server.handle.elections().iter().map(|(pattern, _)| pattern.to_string()).collect();
    assert_eq!(patterns, ["app.env.hall", "app.*.*", "*.env.yard"]);
}

#[tokio::test]
async fn terms_of_replaced_leaders_outlive_the_nameserver() {
    let store = used_store().await;
    let elections = || builder(json!({"*.*.*": {"use": "lowest_id"}})).store(store.clone());
    let server = serve(elections().bind().await.unwrap());
    let mut old = Candidate::room(&server, 7, json!({})).await;
    old.run(0).await;
    assert_eq!(old.hears_of_leader().await.0, 7);
    let mut new = Candidate::room(&server, 6, json!({})).await;
    new.run(0).await;
    let (_, term) = new.hears().await;
    old.stand_down(term).await;
    assert_eq!(new.hears_of_leader().await, (6, term + 1));
    server.handle.stop();
    soon("stop", server.running).await.unwrap();

    // A whole lease is waited for the leader of before; it comes, and claims its term.
    let server = serve(elections().bind().await.unwrap());
    let mut old = Candidate::room(&server, 7, json!({})).await;
    old.run(0).await;
    let (handle, claim) = (new.handle, term + 1);
    let mut new = Candidate::register_as(handle, &server, "app.env.room/6", json!({})).await;
    new.client
        .send(proto::RunForLeader { request: 2, handle, campaign: 2, claim, ..Default::default() })
        .await;
    assert_eq!(
        (new.hears_of_leader().await, old.hears_of_leader().await),
        ((6, claim), (6, claim))
    );
}

#[tokio::test]
async fn a_bad_algorithm_leaves_elections_working_and_is_left_out() {
    let cases = [
        ("panic_in_call", "it panicked; quarantined after 5 failures"),
        ("out_of_view", "it elected somebody who does not stand; quarantined after 5 failures"),
    ];
    for (mischief, reason) in cases {
        let strategy =
            json!({"use": "skymesh_fixture_unruly/unruly", "config": {"mischief": mischief}});
        let server = start_with_elections(json!({"*.*.*": strategy})).await;
        let mut one = Candidate::room(&server, 1, json!({})).await;
        let mut two = Candidate::room(&server, 2, json!({})).await;
        one.run(0).await;
        assert_eq!(one.hears_of_leader().await, (1, 1), "{mischief}");
        two.run(0).await;
        two.beat().await;
        assert!(one.leads(1).await, "{mischief}");
        // The built-in rule, as often as it takes and beyond.
        for term in 1..10 {
            one.stand_down(term).await;
            let next = (1, term + 1);
            assert_eq!(
                (one.hears_of_leader().await, two.hears_of_leader().await),
                (next, next),
                "{mischief}"
            );
        }
        let health = server.handle.elections();
        let [(_, SlotHealth::Quarantined { failures: 5, .. })] = health.as_slice() else {
            panic!("{mischief}: {health:?}")
        };
        let rows = server.handle.plugins();
        let row = rows.iter().find(|row| row.kind == Some(PluginKind::Election)).unwrap();
        let told = (row.state, row.reason.as_deref());
        assert_eq!(told, (PluginState::Quarantined, Some(reason)), "{mischief}");
    }
}

/// One that takes its time elects the first on the ballot, whoever leads.
#[tokio::test]
async fn an_answer_that_takes_a_while_counts() {
    let lingers = json!({"use": "skymesh_fixture_unruly/unruly", "config": {"mischief": "linger"}});
    let quarantine = QuarantineConfig { failures: 1000, ..QuarantineConfig::default() };
    let plugins = PluginsConfig { quarantine, ..PluginsConfig::default() };
    let builder = builder(json!({"app.*.room": lingers})).plugins(plugins);
    let server = serve(builder.store(used_store().await).bind().await.unwrap());
    let mut seven = Candidate::room(&server, 7, json!({})).await;
    let mut six = Candidate::room(&server, 6, json!({})).await;
    let mut elsewhere = Candidate::register(&server, "app.env.hall/1", json!({})).await;
    seven.run(0).await;
    elsewhere.run(0).await;
    assert_eq!(elsewhere.hears_of_leader().await, (1, 1));
    assert_eq!(seven.hears_of_leader().await, (7, 1));
    six.run(0).await;
    assert_eq!((seven.hears().await, six.hears().await), ((0, 1), (0, 1)));
    seven.stand_down(1).await;
    assert_eq!((seven.hears_of_leader().await, six.hears_of_leader().await), ((6, 2), (6, 2)));
    assert!(six.leads(2).await);
    let health = server.handle.elections();
    assert!(matches!(health.as_slice(), [(_, SlotHealth::Healthy { .. })]), "{health:?}");
}

#[tokio::test]
async fn an_algorithm_that_can_not_be_had_is_told_at_the_start() {
    let cases = [
        (json!({"use": "no_such"}), "election `no_such` not found; "),
        (json!({"use": "lowest"}), "did you mean `lowest_id`?"),
        (json!({"use": "lowest_id", "config": {"premept": true}}), "did you mean `preempt`?"),
        (json!({"use": "priority", "version": "^9"}), "^9"),
    ];
    for (algorithm, expected) in cases {
        let error = builder(json!({"a.b.c": algorithm})).bind().await.unwrap_err();
        assert!(matches!(error, BindError::Election { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{algorithm}: {error}");
    }
    let optional = json!({"use": "no_such", "required": false});
    let server = start_with_elections(json!({"app.*.*": optional})).await;
    let health = server.handle.elections();
    assert!(matches!(health.as_slice(), [(_, SlotHealth::Missing { .. })]), "{health:?}");
    let mut one = Candidate::room(&server, 1, json!({})).await;
    one.run(0).await;
    assert_eq!(one.hears_of_leader().await, (1, 1));
}
