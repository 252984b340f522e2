//! What is measured of a service: how much goes to it and comes to it, and how long that takes.
//! Written on the message path, read when metrics are flushed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use skymesh_telemetry::{Histogram, Tally};
use skymesh_types::ServiceName;

use crate::counted::Accounts;

/// Services that are measured one by one. Those beyond share a meter, which is shown under the
/// service name `other`: a meter takes 7 KiB, and peers can make names up.
const SERVICES: usize = 1024;

/// One service's. Of a process's whole life: it outlives routes and instances.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    /// Messages sent, their bytes, messages received, their bytes.
    traffic: Tally<4>,
    /// Round trips of pings.
    pub(crate) rtt: Histogram,
    /// Calls, from the request to the answer.
    pub(crate) calls: Histogram,
    /// Requests to instances here, from their arrival to the end of their handlers.
    pub(crate) served: Histogram,
    /// What protocols on top of messages count for instances here.
    pub(crate) accounts: Accounts,
}

impl Meter {
    /// A message to the service was accepted.
    #[inline]
    pub(crate) fn sent(&self, bytes: usize) {
        self.traffic.add([1, bytes as u64, 0, 0]);
    }

    /// Instances of the service in this process got messages.
    #[inline]
    pub(crate) fn received(&self, messages: u64, bytes: u64) {
        self.traffic.add([0, 0, messages, bytes]);
    }

    /// Messages and bytes by direction.
    pub(crate) fn traffic(&self) -> [(&'static str, u64, u64); 2] {
        let [sent, sent_bytes, received, received_bytes] = self.traffic.sums();
        [("sent", sent, sent_bytes), ("received", received, received_bytes)]
    }
}

/// A request that an instance serves: how long that takes, until this is dropped, is shown as
/// [`SERVE_DURATION`](skymesh_telemetry::catalogue::SERVE_DURATION). [`Instance::serving`](crate::Instance::serving).
#[derive(Debug)]
#[must_use = "it measures until it is dropped"]
pub struct Serving {
    meter: Arc<Meter>,
    began: Instant,
}

impl Serving {
    pub(crate) fn begin(meter: &Arc<Meter>) -> Self {
        Self { meter: Arc::clone(meter), began: Instant::now() }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.meter.served.record(self.began.elapsed());
    }
}

/// Every service's.
#[derive(Debug, Default)]
pub(crate) struct Meters {
    by_name: Mutex<HashMap<ServiceName, Arc<Meter>>>,
    other: Arc<Meter>,
}

impl Meters {
    /// The meter of a service, made if there is none yet.
    pub(crate) fn of(&self, name: &ServiceName) -> Arc<Meter> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(meter) = by_name.get(name) {
            return Arc::clone(meter);
        }
        if by_name.len() >= SERVICES {
            return Arc::clone(&self.other);
        }
        Arc::clone(by_name.entry(name.clone()).or_default())
    }

    /// All there are, by name.
    pub(crate) fn all(&self) -> Vec<(String, Arc<Meter>)> {
        let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<(String, Arc<Meter>)> =
            by_name.iter().map(|(name, meter)| (name.to_string(), Arc::clone(meter))).collect();
        drop(by_name);
        all.push(("other".to_owned(), Arc::clone(&self.other)));
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_limit_share_a_meter() {
        let meters = Meters::default();
        let name = |number: usize| format!("app.test.service{number}").parse().unwrap();
        for number in 0..SERVICES + 5 {
            meters.of(&name(number)).sent(10);
        }
        meters.of(&name(0)).received(2, 7);
        let all = meters.all();
        assert_eq!(all.len(), SERVICES + 1);
        let of = |wanted: &str| all.iter().find(|(name, _)| name == wanted).unwrap().1.traffic();
        assert_eq!(of("other"), [("sent", 5, 50), ("received", 0, 0)]);
        assert_eq!(of("app.test.service0"), [("sent", 1, 10), ("received", 2, 7)]);
    }
}
