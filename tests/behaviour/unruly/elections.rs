//! Election algorithms: whatever one does, somebody leads in the end, and messages reach the leader.

use serde_json::{Value, json};
use skymesh_agent::{Agent, Election, Inbox, Instance};
use skymesh_nameserver::{
    ElectionsConfig, FreshNameserver, Nameserver, NameserverBuilder, NameserverHandle,
    ReloadOutcome,
};
use skymesh_plugin_host::{PluginKind, PluginState, PluginsConfig, QuarantineConfig, SlotHealth};
use skymesh_tests::{SOON, fast_nameserver, hasty_nameserver, next_message, used_store, within};
use tokio::sync::watch;

use super::{optional, told, unruly};

fn elections(election: &Value) -> ElectionsConfig {
    serde_json::from_value(json!({ "*.*.*": election })).unwrap()
}

/// Two failures end an algorithm.
fn plugins() -> PluginsConfig {
    let quarantine = QuarantineConfig { failures: 2, ..QuarantineConfig::default() };
    PluginsConfig { quarantine, ..PluginsConfig::default() }
}

/// A nameserver with that election algorithm. Who looks for a leader there waits for a lease.
async fn nameserver(election: Value) -> Result<NameserverHandle, String> {
    begin(Nameserver::builder(hasty_nameserver()), election).await
}

async fn begin(builder: NameserverBuilder, election: Value) -> Result<NameserverHandle, String> {
    let builder = builder.elections(elections(&election));
    let builder = builder.plugins(plugins());
    let nameserver = builder.bind().await.map_err(|error| error.to_string())?;
    let handle = nameserver.handle();
    tokio::spawn(nameserver.run());
    Ok(handle)
}

async fn agent(nameserver: &NameserverHandle) -> Agent {
    let address = nameserver.local_addr().to_string();
    Agent::builder().app("app").nameserver(address).connect().await.unwrap()
}

async fn candidate(agent: &Agent, instance: u64) -> (Instance, Inbox) {
    let url = format!("app.test.room/{instance}");
    let (candidate, inbox) = agent.register(url.as_str()).await.unwrap();
    within(SOON, candidate.run_for_leader().into_future()).await.unwrap();
    (candidate, inbox)
}

/// The first who stands leads in the end, and gets what is sent to the leader.
async fn one_leads(nameserver: &NameserverHandle) {
    let agent = agent(nameserver).await;
    let (first, mut inbox) = candidate(&agent, 1).await;
    tokio::select! {
        elected = within(SOON, first.elected()) => assert!(elected.is_ok(), "{elected:?}"),
        () = ballots(&agent) => {}
    }
    let clients = self::agent(nameserver).await;
    let (client, _inbox) = clients.register("app.test.client/1").await.unwrap();
    let leader = clients.router("app.test.room").unwrap().leader();
    client.send(&leader, "to you").await.unwrap();
    assert_eq!(next_message(&mut inbox).await.payload(), "to you");
}

/// Has the algorithm asked again and again: by candidates that stand and leave.
async fn ballots(agent: &Agent) {
    for instance in 1000.. {
        let (last, _inbox) = candidate(agent, instance).await;
        last.unregister().await.unwrap();
    }
}

#[tokio::test]
async fn one_that_panics_lies_or_blocks_is_quarantined_and_somebody_leads() {
    let cases = [
        ("panic_in_call", "it panicked; quarantined after 2 failures"),
        ("out_of_view", "it elected somebody who does not stand; quarantined after 2 failures"),
        ("largest_index", "it elected somebody who does not stand; quarantined after 2 failures"),
        ("stall", "it took longer than 20ms; quarantined after 2 failures"),
    ];
    for (mischief, reason) in cases {
        let nameserver = nameserver(unruly(mischief, 1)).await.unwrap();
        one_leads(&nameserver).await;
        let (agent, report) = (agent(&nameserver).await, || nameserver.plugins());
        let quarantined = told(report, PluginKind::Election, (PluginState::Quarantined, reason));
        tokio::select! {
            () = quarantined => {}
            () = ballots(&agent) => {}
        }
        nameserver.stop();
    }
}

/// Neither the nameserver nor the elections of other services, nor those of its own for long.
#[tokio::test]
async fn one_that_never_comes_back_holds_nobody_up_and_a_reload_ends_that() {
    // Well-behaved for as long as a reload tries it.
    let hangs = || unruly("hang_in_call", 30);
    let nameserver = nameserver(hangs()).await.unwrap();
    let agent = agent(&nameserver).await;
    let said = (PluginState::Degraded, "it has had a ballot for ");
    tokio::select! {
        () = told(|| nameserver.plugins(), PluginKind::Election, said) => {}
        () = ballots(&agent) => {}
    }
    // The built-in rule decides, here and elsewhere, while it hangs.
    one_leads(&nameserver).await;
    let (hall, _inbox) = agent.register("app.test.hall/1").await.unwrap();
    within(SOON, hall.run_for_leader().into_future()).await.unwrap();
    within(SOON, hall.elected()).await.unwrap();
    let health = nameserver.elections();
    assert!(matches!(health.as_slice(), [(_, SlotHealth::Late { .. })]), "{health:?}");
    told(|| nameserver.plugins(), PluginKind::Election, said).await;

    // Nothing else has changed.
    let fresh = FreshNameserver::new(hasty_nameserver(), elections(&hangs()), plugins());
    let reload = within(SOON, nameserver.reload_with(fresh)).await;
    assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
    let health = nameserver.elections();
    assert!(matches!(health.as_slice(), [(_, SlotHealth::Healthy { .. })]), "{health:?}");
    nameserver.stop();
}

#[tokio::test]
async fn one_that_panics_in_its_constructor_fails_the_start_unless_it_is_optional() {
    let error = nameserver(unruly("panic_in_new", 1)).await.unwrap_err();
    assert!(error.contains("the constructor panicked: mischief in new"), "{error}");
    let nameserver = nameserver(optional("panic_in_new")).await.unwrap();
    one_leads(&nameserver).await;
    let said = (PluginState::Checked, "the constructor panicked: mischief in new");
    told(|| nameserver.plugins(), PluginKind::Election, said).await;
    nameserver.stop();
}

/// What is sent to a leader again and again, one message at a time, and how many have arrived.
fn traffic(client: Instance, to: Election, mut inbox: Inbox) -> watch::Receiver<u64> {
    let (arrived, count) = watch::channel(0);
    tokio::spawn(async move {
        while !arrived.is_closed() {
            client.send(&to, "to you").await.unwrap();
            assert_eq!(next_message(&mut inbox).await.payload(), "to you");
            arrived.send_modify(|arrived| *arrived += 1);
        }
    });
    count
}

/// Waits until so many more have arrived as none could that was on its way.
async fn flows(traffic: &mut watch::Receiver<u64>) {
    let seen = *traffic.borrow_and_update();
    let more = within(SOON, traffic.wait_for(|arrived| *arrived > seen + 20)).await;
    assert!(more.is_ok(), "a message was refused or lost");
}

/// It ends with a reload that replaces it, or with its nameserver.
#[tokio::test]
async fn one_that_panics_when_it_is_dropped_is_named_and_its_leader_stays() {
    for (replaced, state) in [(true, PluginState::Retired), (false, PluginState::Created)] {
        let config = fast_nameserver();
        let store = used_store(&config).await;
        let builder = Nameserver::builder(config).store(store);
        let nameserver = begin(builder, unruly("panic_in_drop", 1)).await.unwrap();
        let (agent, clients) = (agent(&nameserver).await, agent(&nameserver).await);
        let (leader, inbox) = candidate(&agent, 1).await;
        let leadership = within(SOON, leader.elected()).await.unwrap();
        let (client, _inbox) = clients.register("app.test.client/1").await.unwrap();
        let to = clients.router("app.test.room").unwrap().leader();
        let mut traffic = traffic(client, to, inbox);
        flows(&mut traffic).await;
        let health = nameserver.elections();
        assert!(matches!(health.as_slice(), [(_, SlotHealth::Healthy { .. })]), "{health:?}");
        if replaced {
            let fresh =
                FreshNameserver::new(fast_nameserver(), ElectionsConfig::default(), plugins());
            let reload = within(SOON, nameserver.reload_with(fresh)).await;
            assert_eq!(reload.outcome, ReloadOutcome::Applied, "{reload}");
        } else {
            nameserver.stop();
        }
        let said = (state, "it panicked when it was dropped");
        told(|| nameserver.plugins(), PluginKind::Election, said).await;
        flows(&mut traffic).await;
        assert!(leadership.is_valid(), "{leadership:?}");
        if replaced {
            // By the built-in rule.
            let (next, _inbox) = candidate(&clients, 2).await;
            leader.give_up();
            within(SOON, next.elected()).await.unwrap();
        }
        nameserver.stop();
    }
}
