//! What a nameserver shows of itself, by the names of the catalogue.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Mutex, MutexGuard, PoisonError};

use skymesh_plugin_host::PluginHost;
use skymesh_telemetry::{
    Metrics, MetricsConfig, Samples, Sinks, Source, TelemetryError, TraceConfig, Tracing, catalogue,
};

use crate::counters::Counters;
use crate::server::NameserverHandle;

impl Source for Counters {
    fn collect(&self, samples: &mut Samples) {
        let size = &self.size;
        for (metric, value) in [
            (&catalogue::REGISTRY_INSTANCES, &size.instances),
            (&catalogue::REGISTRY_SESSIONS, &size.sessions),
            (&catalogue::REGISTRY_REVISION, &size.revision),
            (&catalogue::OPEN_ROUNDS, &size.open_rounds),
        ] {
            samples.gauge(metric, &[], value.load(Relaxed) as f64);
        }
        samples.gauge(&catalogue::REGISTRY_QUEUE, &[], self.queue.waiting() as f64);
        for (outcome, count) in
            [("committed", &size.rounds_committed), ("aborted", &size.rounds_aborted)]
        {
            samples.counter(&catalogue::ROUNDS, &[("outcome", outcome)], count.load(Relaxed));
        }
        for (event, count) in self.all() {
            samples.counter(&catalogue::NAMESERVER_EVENTS, &[("event", event)], count);
        }
        for (service, term) in &*lock(&self.terms) {
            samples.number(&catalogue::LEADER_TERM, &[("service", &service.to_string())], *term);
        }
        for (service, led) in &*lock(&self.led) {
            let led = f64::from(u8::from(*led));
            samples.gauge(&catalogue::LED, &[("service", &service.to_string())], led);
        }
        for (service, epoch) in &*lock(&self.epochs) {
            let service = service.to_string();
            samples.number(&catalogue::PLACEMENT_EPOCH, &[("service", &service)], *epoch);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What shows a nameserver that listens there.
pub(crate) fn sinks(
    host: &PluginHost,
    config: &MetricsConfig,
    address: SocketAddr,
) -> Result<Arc<Sinks>, TelemetryError> {
    let address = address.to_string();
    let resource = [("role", "nameserver"), ("address", &address)];
    let resource = resource.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let metrics = Metrics::start(host, config, resource.into())?;
    let tracing = Tracing::start(host, &TraceConfig::default(), Vec::new())?;
    Ok(Arc::new(Sinks { metrics, tracing }))
}

impl NameserverHandle {
    /// From now on `metrics` shows what this nameserver counts, and its plugins.
    pub fn show_on(&self, metrics: &Metrics) {
        metrics.add(self.shared_counters());
        metrics.add(self.shared_host());
    }
}

#[cfg(test)]
mod tests;
