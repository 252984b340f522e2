//! Metrics and trace plugins: no call waits for one, none holds up another, and none the end.

use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;
use skymesh_agent::config::AgentConfig;
use skymesh_agent::{Agent, AgentBuilder};
use skymesh_plugin_host::{PluginKind, PluginState, PluginsConfig, QuarantineConfig};
use skymesh_rpc::{Methods, Request, Response, Rest, Rpc, Status};
use skymesh_telemetry::{MetricsConfig, TraceConfig};
use skymesh_tests::{Mesh, SOON, within};

use super::{UNRULY, row, told, unruly};

const KINDS: [PluginKind; 2] = [PluginKind::Metrics, PluginKind::Trace];

/// An agent whose sinks do these mischiefs; three failures end one.
fn agent(mesh: &Mesh, metrics: &str, trace: &str, required: bool) -> AgentBuilder {
    let table = |mischief| {
        let Value::Object(mut strategy) = unruly(mischief, 1) else { panic!("no object") };
        serde_json::from_value(strategy.remove("config").unwrap()).unwrap()
    };
    let plugin = || Some(UNRULY.to_owned());
    let interval = Duration::from_millis(100);
    let quarantine = QuarantineConfig {
        failures: 3,
        batch_budget: Duration::from_millis(10),
        ..QuarantineConfig::default()
    };
    let config = AgentConfig { drain_timeout: Duration::from_secs(1), ..mesh.config() };
    Agent::builder()
        .config(config)
        .plugins(PluginsConfig { quarantine, ..PluginsConfig::default() })
        .metrics(MetricsConfig {
            plugin: plugin(),
            interval,
            required,
            config: table(metrics),
            ..MetricsConfig::default()
        })
        .trace(TraceConfig {
            plugin: plugin(),
            interval,
            required,
            config: table(trace),
            ..TraceConfig::default()
        })
}

/// A server that answers, and a caller in `agent`.
async fn line(mesh: &Mesh, agent: &Agent) -> [(Rpc, Rest); 2] {
    let (server, inbox) = mesh.agent().await.register("app.test.server/1").await.unwrap();
    let echo = Methods::new().method("echo", |request: Request| async move {
        Ok::<_, Status>(Response::new(request.into_payload()))
    });
    let server = Rpc::builder(server, inbox).serve(echo).attach();
    let (caller, inbox) = agent.register("app.test.caller/1").await.unwrap();
    [Rpc::attach(caller, inbox), server]
}

async fn call(caller: &Rpc) {
    let call = caller.call("app.test.server", Request::new("echo", "abc"));
    assert_eq!(within(SOON, call).await.unwrap().payload(), "abc");
}

/// Calls, until the report says so of the sinks.
async fn calls_until(agent: &Agent, caller: &Rpc, kinds: &[PluginKind], said: (PluginState, &str)) {
    let calls = async {
        loop {
            call(caller).await;
            tokio::task::yield_now().await;
        }
    };
    let all_told = async {
        for kind in kinds {
            told(|| agent.plugins(), *kind, said).await;
        }
    };
    tokio::select! {
        () = calls => {}
        () = all_told => {}
    }
}

#[tokio::test]
async fn one_that_panics_or_blocks_is_left_out_and_no_call_fails() {
    let cases = [
        ("panic_in_call", "it panicked; quarantined after 3 failures"),
        ("stall", "it took longer than 10ms; quarantined after 3 failures"),
    ];
    for (mischief, reason) in cases {
        let mesh = Mesh::start().await;
        let agent = agent(&mesh, mischief, mischief, true).connect().await.unwrap();
        let [(caller, _rest), _server] = line(&mesh, &agent).await;
        calls_until(&agent, &caller, &KINDS, (PluginState::Quarantined, reason)).await;
        call(&caller).await;
        within(SOON, agent.shutdown()).await;
    }
}

/// How a program ends.
#[derive(Debug, Clone, Copy)]
enum End {
    Shutdown,
    /// It forgets the agent's shutdown.
    Drop,
}

/// Neither the other sink, nor calls, nor the agent's end, nor the process's.
#[test]
fn one_that_never_comes_back_holds_nothing_up() {
    for (hanging, end) in
        KINDS.into_iter().flat_map(|kind| [(kind, End::Shutdown), (kind, End::Drop)])
    {
        let (done, ended) = channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                let mesh = Mesh::start().await;
                let (metrics, trace) = match hanging {
                    PluginKind::Metrics => ("hang_in_call", "panic_in_call"),
                    _ => ("panic_in_call", "hang_in_call"),
                };
                let agent = agent(&mesh, metrics, trace, true).connect().await.unwrap();
                let [(caller, _rest), _server] = line(&mesh, &agent).await;
                let said = (PluginState::Degraded, "it has had a batch for ");
                calls_until(&agent, &caller, &[hanging], said).await;
                let other = KINDS.into_iter().find(|kind| *kind != hanging).unwrap();
                let said = (PluginState::Quarantined, "it panicked; quarantined");
                calls_until(&agent, &caller, &[other], said).await;
                call(&caller).await;
                match end {
                    End::Shutdown => within(SOON, agent.shutdown()).await,
                    End::Drop => drop(agent),
                }
            });
            drop(runtime);
            done.send(()).unwrap();
        });
        let ended = ended.recv_timeout(3 * SOON);
        assert!(ended.is_ok(), "the {hanging} plugin holds up the process, {end:?}: {ended:?}");
    }
}

#[tokio::test]
async fn one_that_panics_when_it_is_dropped_is_named() {
    let mesh = Mesh::start().await;
    let agent = agent(&mesh, "panic_in_drop", "panic_in_drop", true).connect().await.unwrap();
    let [(caller, _rest), _server] = line(&mesh, &agent).await;
    call(&caller).await;
    within(SOON, agent.shutdown()).await;
    for kind in KINDS {
        let said = (PluginState::Created, "it panicked when it was dropped");
        told(|| agent.plugins(), kind, said).await;
    }
}

#[tokio::test]
async fn one_that_panics_in_its_constructor_fails_the_start_unless_it_is_optional() {
    let mesh = Mesh::start().await;
    for (metrics, trace) in [("panic_in_new", "none"), ("none", "panic_in_new")] {
        let error = agent(&mesh, metrics, trace, true).connect().await.unwrap_err().to_string();
        assert!(error.contains("the constructor panicked: mischief in new"), "{error}");
    }
    let agent = agent(&mesh, "panic_in_new", "panic_in_new", false).connect().await.unwrap();
    let [(caller, _rest), _server] = line(&mesh, &agent).await;
    call(&caller).await;
    for kind in KINDS {
        let rows = agent.plugins();
        let reason = row(&rows, kind).unwrap().reason.as_deref().unwrap();
        assert!(reason.contains("the constructor panicked: mischief in new"), "{reason}");
    }
}
