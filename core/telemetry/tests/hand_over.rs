//! A sink that is to make room for another one and does not: what is told is what is so.

#![allow(clippy::unwrap_used, reason = "a test panics where something is amiss")]

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use skymesh_plugin_api::{Metrics as Sink, MetricsBatch, NoConfig, PluginError, export_plugin};
use skymesh_plugin_host::{PluginHost, PluginsConfig};
use skymesh_telemetry::{Metrics, MetricsConfig, Sinks, TraceConfig, Tracing};

/// A guard, for a test that would never end otherwise.
const SOON: Duration = Duration::from_secs(60);

/// Where one `sticky` sink is held up, and how far it is.
#[derive(Debug, Default)]
struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    shut: bool,
    /// Whether it is held up now.
    held: bool,
    flushes: u64,
    ended: bool,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
        self.changed.notify_all();
    }

    fn pass(&self) {
        self.set(|state| state.held = state.shut);
        drop(self.changed.wait_while(self.lock(), |state| state.shut).unwrap());
        self.set(|state| state.held = false);
    }

    /// Waits until it is so.
    fn until(&self, so: impl Fn(&State) -> bool) {
        let waited = self.changed.wait_timeout_while(self.lock(), SOON, |state| !so(state));
        let (state, timeout) = waited.unwrap();
        assert!(!timeout.timed_out(), "{state:?}");
    }
}

/// Opens it, so that a test that fails ends.
struct Opener(&'static Gate);

impl Drop for Opener {
    fn drop(&mut self) {
        self.0.set(|state| state.shut = false);
    }
}

/// One for the test where a batch is held up, one for that where the end is.
static GATES: [Gate; 2] = [const { Gate { state: Mutex::new(OPEN), changed: Condvar::new() } }; 2];
const OPEN: State = State { shut: false, held: false, flushes: 0, ended: false };
const IN_BATCH: usize = 0;
const AT_END: usize = 1;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StickyConfig {
    gate: usize,
}

/// Passes its gate with each batch, or at its end.
struct Sticky(usize);

impl Sink for Sticky {
    const ID: &'static str = "sticky";
    const CONFIG_SCHEMA: &'static str =
        r#"{"type": "object", "properties": {"gate": {"type": "integer"}}}"#;
    type Config = StickyConfig;

    fn new(config: StickyConfig) -> Result<Self, PluginError> {
        Ok(Self(config.gate))
    }

    fn flush(&self, _batch: &MetricsBatch<'_>) -> Result<(), PluginError> {
        if self.0 == IN_BATCH {
            GATES[self.0].pass();
        }
        GATES[self.0].set(|state| state.flushes += 1);
        Ok(())
    }
}

impl Drop for Sticky {
    fn drop(&mut self) {
        if self.0 == AT_END {
            GATES[self.0].pass();
        }
        GATES[self.0].set(|state| state.ended = true);
    }
}

/// Lacks what somebody else has.
struct Greedy;

impl Sink for Greedy {
    const ID: &'static str = "greedy";
    type Config = NoConfig;

    fn new(_config: NoConfig) -> Result<Self, PluginError> {
        Err(PluginError::failed("the port is in use"))
    }

    fn flush(&self, _batch: &MetricsBatch<'_>) -> Result<(), PluginError> {
        Ok(())
    }
}

export_plugin! { metrics: [Sticky, Greedy] }

fn host() -> PluginHost {
    PluginHost::with_linked(PluginsConfig::default(), [skymesh_plugin()]).unwrap()
}

fn sticky(gate: usize) -> MetricsConfig {
    let interval = Duration::from_millis(100);
    let serde_json::Value::Object(config) = serde_json::json!({ "gate": gate }) else { panic!() };
    MetricsConfig { plugin: Some("sticky".into()), interval, config, ..MetricsConfig::default() }
}

fn greedy() -> MetricsConfig {
    MetricsConfig { plugin: Some("greedy".into()), ..MetricsConfig::default() }
}

fn sinks(host: &PluginHost, gate: usize) -> Sinks {
    let metrics = Metrics::start(host, &sticky(gate), Vec::new()).unwrap();
    let tracing = Tracing::start(host, &TraceConfig::default(), Vec::new()).unwrap();
    Sinks { metrics, tracing }
}

#[test]
fn one_that_is_stuck_in_a_batch_serves_on_and_the_reload_is_refused() {
    let (host, gate) = (host(), &GATES[IN_BATCH]);
    let sinks = sinks(&host, IN_BATCH);
    let _opener = Opener(gate);
    gate.set(|state| state.shut = true);
    gate.until(|state| state.held);
    let (renewal, missing) = host.renew(PluginsConfig::default());
    assert_eq!(missing, []);
    let mut plan = sinks.plan(&renewal, &greedy(), &TraceConfig::default()).unwrap();
    let refused = sinks.hand_over(&host, &renewal, &mut plan).unwrap_err();
    assert!(refused[0].starts_with("metrics: hand_over/sticky "), "{refused:?}");
    assert!(refused[0].contains("serves on: reload again"), "{refused:?}");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(sinks.metrics.is_on());
    // Several: it is not only that the last one comes to its end.
    let before = gate.lock().flushes;
    gate.set(|state| state.shut = false);
    gate.until(|state| state.flushes > before + 3);
    assert!(!gate.lock().ended);
    // It ends as any other.
    let off = MetricsConfig::default();
    let mut plan = sinks.plan(&renewal, &off, &TraceConfig::default()).unwrap();
    sinks.hand_over(&host, &renewal, &mut plan).unwrap();
    sinks.apply(plan, &off, &TraceConfig::default());
    gate.until(|state| state.ended);
}

#[test]
fn one_that_is_stuck_at_its_end_is_lost_which_is_told_and_another_takes_its_place() {
    let (host, gate) = (host(), &GATES[AT_END]);
    let sinks = sinks(&host, AT_END);
    let _opener = Opener(gate);
    gate.set(|state| state.shut = true);
    let (renewal, missing) = host.renew(PluginsConfig::default());
    assert_eq!(missing, []);
    let mut plan = sinks.plan(&renewal, &greedy(), &TraceConfig::default()).unwrap();
    sinks.hand_over(&host, &renewal, &mut plan).unwrap();
    let exchanged = sinks.apply(plan, &greedy(), &TraceConfig::default());
    assert!(gate.lock().held);
    let [(table, [from, to])] = &exchanged.changed[..] else { panic!("{exchanged:?}") };
    assert!(from.starts_with("hand_over/sticky "), "{from}");
    assert_eq!((*table, to.as_str()), ("metrics", "none"));
    let [fault] = &exchanged.faults[..] else { panic!("{exchanged:?}") };
    assert!(fault.contains("nothing is shown: reload again once it has ended"), "{fault}");
    assert!(!sinks.metrics.is_on());
    // What it held is free again.
    gate.set(|state| state.shut = false);
    gate.until(|state| state.ended);
    let mut plan = sinks.plan(&renewal, &sticky(AT_END), &TraceConfig::default()).unwrap();
    sinks.hand_over(&host, &renewal, &mut plan).unwrap();
    let exchanged = sinks.apply(plan, &sticky(AT_END), &TraceConfig::default());
    assert_eq!((exchanged.changed.len(), exchanged.faults.len()), (1, 0), "{exchanged:?}");
    assert!(sinks.metrics.is_on());
}
