//! What a nameserver shows of itself, by the names of the catalogue.

use std::sync::PoisonError;
use std::sync::atomic::Ordering::Relaxed;

use skymesh_telemetry::{Metrics, Samples, Source, catalogue};

use crate::counters::Counters;
use crate::server::NameserverHandle;

impl Source for Counters {
    fn collect(&self, samples: &mut Samples) {
        for (metric, value) in [
            (&catalogue::REGISTRY_INSTANCES, &self.size.instances),
            (&catalogue::REGISTRY_SESSIONS, &self.size.sessions),
            (&catalogue::REGISTRY_REVISION, &self.size.revision),
        ] {
            samples.gauge(metric, &[], value.load(Relaxed) as f64);
        }
        for (event, count) in self.all() {
            samples.counter(&catalogue::NAMESERVER_EVENTS, &[("event", event)], count);
        }
        let terms = self.terms.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (service, term) in terms {
            let service = service.to_string();
            samples.gauge(&catalogue::LEADER_TERM, &[("service", &service)], term as f64);
        }
    }
}

impl NameserverHandle {
    /// From now on `metrics` shows what this nameserver counts.
    pub fn show_on(&self, metrics: &Metrics) {
        metrics.add(self.shared_counters());
    }
}
