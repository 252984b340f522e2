//! Election algorithms: whatever one does, somebody leads in the end, and messages reach the leader.

use serde_json::{Value, json};
use skymesh_agent::{Agent, Inbox, Instance};
use skymesh_nameserver::{
    ElectionsConfig, FreshNameserver, Nameserver, NameserverHandle, ReloadOutcome,
};
use skymesh_plugin_host::{PluginKind, PluginState, PluginsConfig, QuarantineConfig, SlotHealth};
use skymesh_tests::{SOON, hasty_nameserver, next_message, within};

use super::{optional, told, unruly};

fn elections(election: &Value) -> ElectionsConfig {
    serde_json::from_value(json!({ "*.*.*": election })).unwrap()
}

/// Two failures end an algorithm.
fn plugins() -> PluginsConfig {
    let quarantine = QuarantineConfig { failures: 2, ..QuarantineConfig::default() };
    PluginsConfig { quarantine, ..PluginsConfig::default() }
}

/// A nameserver with that election algorithm.
async fn nameserver(election: Value) -> Result<NameserverHandle, String> {
    let builder = Nameserver::builder(hasty_nameserver()).elections(elections(&election));
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
