//! Election algorithms: whatever one does, somebody leads in the end, and messages reach the leader.

use serde_json::{Value, json};
use skymesh_agent::{Agent, Inbox, Instance};
use skymesh_nameserver::{ElectionsConfig, Nameserver, NameserverHandle};
use skymesh_plugin_host::{PluginKind, PluginState, PluginsConfig, QuarantineConfig};
use skymesh_tests::{SOON, hasty_nameserver, next_message, within};

use super::{optional, told, unruly};

/// A nameserver with that election algorithm, which two failures end.
async fn nameserver(election: Value) -> Result<NameserverHandle, String> {
    let elections: ElectionsConfig = serde_json::from_value(json!({ "*.*.*": election })).unwrap();
    let quarantine = QuarantineConfig { failures: 2, ..QuarantineConfig::default() };
    let plugins = PluginsConfig { quarantine, ..PluginsConfig::default() };
    let builder = Nameserver::builder(hasty_nameserver()).elections(elections).plugins(plugins);
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
