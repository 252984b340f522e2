//! Reloads of a nameserver: who leads stays, terms increase, what is wrong changes nothing, and an
//! operator may ask for them.

use std::future::Future;
use std::task::Poll;
use std::time::Duration;

use serde_json::{Value, json};
use skymesh_nameserver::{
    AdminClient, AdminConfig, ElectionsConfig, FreshNameserver, Nameserver, NameserverConfig,
    ReloadOutcome, Token,
};
use skymesh_plugin_host::{LoadConfig, PluginsConfig, SlotHealth};

use crate::candidate::Candidate;
use crate::client::{Server, builder, config, serve, soon, start_with_elections, used_store};

fn elections(table: Value) -> ElectionsConfig {
    serde_json::from_value(table).unwrap()
}

fn fresh(table: Value) -> FreshNameserver {
    FreshNameserver::new(config(), elections(table), PluginsConfig::default())
}

/// Reloads, which must take effect; answers what changed.
async fn applied(server: &Server, table: Value) -> Vec<String> {
    let reload = soon("reload", server.handle.reload_with(fresh(table))).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    assert!(reload.faults.is_empty(), "{reload}");
    reload.changed.iter().map(ToString::to_string).collect()
}

#[tokio::test]
async fn who_leads_stays_until_the_ballot_changes_and_is_then_judged_by_the_new_rule() {
    let server = start_with_elections(json!({"app.*.*": {"use": "first_come"}})).await;
    let mut seven = Candidate::room(&server, 7, json!({})).await;
    seven.run(0).await;
    assert_eq!(seven.hears_of_leader().await, (7, 1));
    let mut six = Candidate::room(&server, 6, json!({})).await;
    six.run(0).await;
    six.beat().await;

    let changed = applied(&server, json!({"app.*.*": {"use": "lowest_id"}})).await;
    let exchanged = "election of app.*.*: skymesh_election_first_come/first_come ";
    assert!(changed.iter().any(|line| line.starts_with(exchanged)), "{changed:?}");
    let key = "services.\"app.*.*\".election.use: \"first_come\" -> \"lowest_id\"";
    assert!(changed.iter().any(|line| line == key), "{changed:?}");
    assert!(seven.leads(1).await, "a reload alone takes the leadership from nobody");

    // The next change of the ballot is the new rule's: 5 has the lowest id now.
    let mut five = Candidate::room(&server, 5, json!({})).await;
    five.run(0).await;
    assert_eq!(seven.hears().await, (0, 1));
    seven.stand_down(1).await;
    assert_eq!(seven.hears_of_leader().await, (5, 2));

    // Back again: the built-in rule keeps whoever leads, at any ballot.
    let changed = applied(&server, json!({})).await;
    assert!(changed.iter().any(|line| line.ends_with(" -> no rule")), "{changed:?}");
    let mut four = Candidate::room(&server, 4, json!({})).await;
    four.run(0).await;
    assert!(four.beat().await.is_empty());
    assert_eq!((five.hears().await, five.hears_of_leader().await), ((0, 1), (5, 2)));
    assert!(five.leads(2).await);
}

#[tokio::test]
async fn a_vacancy_that_the_old_rule_left_is_for_the_new_rule_at_once() {
    // Without mischief the fixture elects nobody.
    let nobody = json!({"use": "skymesh_fixture_unruly/unruly", "config": {"mischief": "none"}});
    let server = start_with_elections(json!({"app.*.*": nobody})).await;
    let mut one = Candidate::room(&server, 1, json!({})).await;
    one.run(0).await;
    assert!(one.beat().await.is_empty());
    applied(&server, json!({"app.*.*": {"use": "lowest_id"}})).await;
    assert_eq!(one.hears_of_leader().await, (1, 1));
}

#[tokio::test]
async fn a_vacancy_is_for_a_narrower_builtin_rule_at_once_and_the_next_reload_finds_it_the_same() {
    let nobody = || json!({"use": "skymesh_fixture_unruly/unruly", "config": {"mischief": "none"}});
    let server = start_with_elections(json!({"app.*.*": nobody()})).await;
    let mut one = Candidate::room(&server, 1, json!({})).await;
    one.run(0).await;
    assert!(one.beat().await.is_empty());
    let optional = json!({"use": "builtin", "required": false});
    let narrower = || json!({"app.*.*": nobody(), "app.env.room": optional.clone()});
    let changed = applied(&server, narrower()).await;
    assert_eq!(one.hears_of_leader().await, (1, 1));
    let line = "election of app.env.room: no rule -> builtin";
    assert!(changed.iter().any(|change| change == line), "{changed:?}");
    let again = soon("reload", server.handle.reload_with(fresh(narrower()))).await;
    assert_eq!((again.version, again.outcome), (1, ReloadOutcome::Unchanged), "{again}");
}

#[tokio::test]
async fn limits_by_which_no_plugin_could_be_had_are_refused_as_such() {
    let rule = || json!({"app.*.*": {"use": "first_come"}});
    let server = start_with_elections(rule()).await;
    let none = PluginsConfig { start_budget: Duration::ZERO, ..PluginsConfig::default() };
    let fresh = FreshNameserver::new(config(), elections(rule()), none.clone());
    let reload = soon("reload", server.handle.reload_with(fresh)).await;
    assert_eq!(reload.outcome, ReloadOutcome::Refused, "{reload}");
    let said = "plugins.start_budget: 0s is out of range: at least 10ms";
    assert_eq!(reload.faults, [said]);
    let start = builder(rule()).plugins(none).bind().await;
    assert_eq!(start.unwrap_err().to_string(), said);
}

#[tokio::test]
async fn a_quarantined_algorithm_is_made_anew() {
    let panics = || {
        let config = json!({"mischief": "panic_in_call", "every": 40});
        json!({"use": "skymesh_fixture_unruly/unruly", "config": config})
    };
    let server = start_with_elections(json!({"*.*.*": panics()})).await;
    let mut one = Candidate::room(&server, 1, json!({})).await;
    one.run(0).await;
    let is_quarantined = |server: &Server| {
        matches!(server.handle.elections().as_slice(), [(_, SlotHealth::Quarantined { .. })])
    };
    // Each change of the ballot asks it; it elects nobody, or panics: seldom enough to pass a self-test.
    let mut count = 0;
    while !is_quarantined(&server) {
        count += 1;
        one.set(json!({"count": count})).await;
        one.beat_past_standings().await;
    }
    let reload = soon("reload", server.handle.reload_with(fresh(json!({"*.*.*": panics()})))).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    assert!(!is_quarantined(&server));
}

#[tokio::test]
async fn what_is_wrong_is_named_and_changes_nothing() {
    let server = start_with_elections(json!({"app.*.*": {"use": "lowest_id"}})).await;
    let mut seven = Candidate::room(&server, 7, json!({})).await;
    seven.run(0).await;
    assert_eq!(seven.hears_of_leader().await, (7, 1));
    let bad = |strategy: Value| fresh(json!({"app.*.*": {"use": "first_come"}, "a.b.*": strategy}));
    let out_of_range = NameserverConfig { lease: Duration::ZERO, ..config() };
    let cases = [
        (
            bad(json!({"use": "nowhere"})),
            "services.\"a.b.*\".election: election `nowhere` not found",
        ),
        (bad(json!({"use": "priority", "config": {"rank": 1}})), "rank"),
        (
            bad(
                json!({"use": "skymesh_fixture_unruly/unruly", "config": {"mischief": "panic_in_call"}}),
            ),
            "it panicked on a ballot",
        ),
        (
            FreshNameserver::new(out_of_range, elections(json!({})), PluginsConfig::default()),
            "nameserver key `lease` is 0s",
        ),
    ];
    for (fresh, said) in cases {
        let reload = soon("reload", server.handle.reload_with(fresh)).await;
        assert_eq!((reload.version, reload.outcome), (0, ReloadOutcome::Refused), "{reload}");
        assert!(reload.faults.iter().any(|fault| fault.contains(said)), "{reload}");
        assert!(reload.changed.is_empty());
    }
    // Of every sort at once: a range, a declared library that is not there, and two rules that are not.
    let table = json!({"a.b.*": {"use": "nowhere"}, "a.c.*": {"use": "absent/rule"}});
    let absent = LoadConfig { library: Some("absent".to_owned()), ..LoadConfig::default() };
    let plugins = PluginsConfig { load: vec![absent], ..PluginsConfig::default() };
    let out_of_range = NameserverConfig { lease: Duration::ZERO, ..config() };
    let fresh_one = FreshNameserver::new(out_of_range, elections(table), plugins);
    let reload = soon("reload", server.handle.reload_with(fresh_one)).await;
    let said = [
        "nameserver key `lease` is 0s",
        "library `absent` not found",
        "services.\"a.b.*\".election: election `nowhere` not found",
        "services.\"a.c.*\".election: library `absent` not found",
    ];
    assert_eq!((reload.version, reload.outcome), (0, ReloadOutcome::Refused), "{reload}");
    assert_eq!(reload.faults.len(), said.len(), "{reload}");
    assert!(reload.faults.iter().zip(said).all(|(fault, said)| fault.contains(said)), "{reload}");

    // The old rule rules: a lower id takes over.
    let mut six = Candidate::room(&server, 6, json!({})).await;
    six.run(0).await;
    assert_eq!(seven.hears().await, (0, 1));

    // What is optional is told, and keeps nothing else from taking effect.
    let optional =
        json!({"app.*.*": {"use": "first_come"}, "a.*.*": {"use": "nowhere", "required": false}});
    let reload = soon("reload", server.handle.reload_with(fresh(optional))).await;
    assert_eq!((reload.version, reload.outcome), (1, ReloadOutcome::Applied), "{reload}");
    assert!(reload.faults[0].contains("`nowhere` not found"), "{reload}");
    let health = server.handle.elections();
    assert!(health.iter().any(|(_, one)| matches!(one, SlotHealth::Missing { .. })), "{health:?}");
    // The built-in rule in place of another one is no other rule.
    let other =
        json!({"app.*.*": {"use": "first_come"}, "a.*.*": {"use": "elsewhere", "required": false}});
    let reload = soon("reload", server.handle.reload_with(fresh(other))).await;
    assert_eq!((reload.version, reload.outcome), (2, ReloadOutcome::Applied), "{reload}");
    assert!(
        !reload.changed.iter().any(|change| change.what.starts_with("election of ")),
        "{reload}"
    );
    let health = server.handle.elections();
    let says_it = |one: &SlotHealth| matches!(one, SlotHealth::Missing { reason } if reason.contains("elsewhere"));
    assert!(health.iter().any(|(_, one)| says_it(one)), "{health:?}");
}

#[tokio::test]
async fn terms_only_grow_while_rules_change_and_candidates_come_and_go() {
    let rules = [
        json!({"app.*.*": {"use": "lowest_id"}}),
        json!({"app.env.*": {"use": "priority", "config": {"preempt": true}}}),
        json!({"app.*.*": {"use": "first_come"}}),
        json!({}),
    ];
    let server = start_with_elections(json!({})).await;
    let mut watcher = Candidate::room(&server, 1000, json!({})).await;
    watcher.watch("app.env.room").await;
    assert_eq!(watcher.hears().await, (0, 0));
    let mut newest = 0;
    for turn in 0..40u64 {
        applied(&server, rules[turn as usize % rules.len()].clone()).await;
        let mut candidate = Candidate::room(&server, turn + 1, json!({})).await;
        candidate.run((turn % 5) as i64).await;
        // Nobody else stands: it leads, in a term that nobody had.
        let (leader, term) = watcher.hears_of_leader().await;
        assert_eq!(leader, turn + 1);
        assert!(term > newest, "{term} after {newest}");
        newest = term;
        let changed = applied(&server, rules[(turn as usize + 1) % rules.len()].clone());
        changed.await;
        candidate.give_up().await;
        assert_eq!(watcher.hears().await, (0, term));
        candidate.goodbye().await;
        // All turns together may take longer than its lease.
        assert!(watcher.beat().await.is_empty());
        applied(&server, rules[turn as usize % rules.len()].clone()).await;
    }
}

#[tokio::test]
async fn an_operator_reloads_and_lists_plugins_by_the_admin_channel() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    let config =
        NameserverConfig { admin: AdminConfig { token_file: Some(path.clone()) }, ..config() };
    let builder =
        Nameserver::builder(config).elections(elections(json!({"a.*.*": {"use": "lowest_id"}})));
    let server = serve(builder.bind().await.unwrap());
    let address = server.handle.local_addr().to_string();
    let token = Token::read(&path).unwrap();
    let connect = AdminClient::connect(&address, &token, Duration::from_secs(20));
    let mut operator = soon("connect", connect).await.unwrap();
    let mut reloads = server.handle.reloads();
    let reload = operator.reload().await.unwrap();
    assert_eq!((reload.version, reload.outcome), (0, ReloadOutcome::Unchanged), "{reload}");
    assert_eq!(*soon("event", reloads.next()).await.unwrap(), reload);
    let live = operator.plugins().await.unwrap();
    assert_eq!(live.reload, reload);
    assert!(live.plugins.iter().any(|row| row.id.as_deref() == Some("lowest_id")), "{live:?}");
    let [election] = live.elections.as_slice() else { panic!("{live:?}") };
    assert_eq!((election.pattern.as_str(), election.health.as_str()), ("a.*.*", "healthy"));
    assert!(election.algorithm.starts_with("skymesh_election_lowest_id/lowest_id "), "{live:?}");
    // The others go on over the same connection.
    assert!(operator.drain(&"a.b.c/1".parse().unwrap()).await.is_err());
}

#[tokio::test]
async fn a_reload_waits_for_the_run_and_there_is_none_after_it() {
    let nameserver = builder(json!({})).store(used_store().await).bind().await.unwrap();
    let handle = nameserver.handle();
    let mut early = Box::pin(handle.reload());
    let polled = std::future::poll_fn(|cx| Poll::Ready(early.as_mut().poll(cx))).await;
    assert!(polled.is_pending());
    let server = serve(nameserver);
    assert_eq!(soon("reload", early).await.outcome, ReloadOutcome::Unchanged);
    server.handle.stop();
    soon("stop", server.running).await.unwrap();
    let reload = soon("reload", server.handle.reload()).await;
    assert_eq!(reload.faults, ["the nameserver has stopped"]);
}
