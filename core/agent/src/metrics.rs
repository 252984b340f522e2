//! What an agent shows of itself, by the names of the catalogue. Asked at each flush, never on the
//! message path.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use skymesh_naming::InstanceState;
use skymesh_telemetry::{Samples, Source, catalogue};

use crate::keyed::Keyed as Placer;
use crate::router::View;
use crate::runtime::Runtime;

/// What counters of refusals are called in [`Counters::all`](crate::Counters::all).
const REFUSED_COUNTER: &str = "refused_";

/// And those of messages by key.
const KEYED: &str = "keyed_";

impl Source for Runtime {
    fn collect(&self, samples: &mut Samples) {
        self.collect_counters(samples);
        self.collect_meters(samples);
        self.collect_queues(samples);
        self.host.collect(samples);
        self.collect_routers(samples);
    }
}

impl Runtime {
    fn collect_counters(&self, samples: &mut Samples) {
        for (name, count) in self.counters.all() {
            if let Some(reason) = name.strip_prefix(REFUSED_COUNTER) {
                samples.counter(&catalogue::REFUSED, &[("reason", reason)], count);
            } else if let Some(outcome) = name.strip_prefix(KEYED) {
                samples.counter(&catalogue::KEYED, &[("outcome", outcome)], count);
            }
        }
        let connected = f64::from(u8::from(!self.is_cut_off()));
        samples.gauge(&catalogue::UPLINK_CONNECTED, &[], connected);
        samples.counter(&catalogue::SPANS_DROPPED, &[], self.tracer().dropped());
        samples.gauge(&catalogue::SPANS_WAITING, &[], self.tracer().waiting() as f64);
        let counters = &self.counters;
        for (metric, counter) in [
            (&catalogue::UNDELIVERABLE, &counters.undeliverable),
            (&catalogue::UNCONFIRMED, &counters.unconfirmed),
            (&catalogue::UNKNOWN_COMMANDS, &counters.unknown_commands),
            (&catalogue::CONNECTIONS_REFUSED, &counters.connections_refused),
            (&catalogue::EVENTS_LAGGED, &counters.events_lagged),
            (&catalogue::UPLINKS_LOST, &counters.uplinks_lost),
            (&catalogue::PINGS_LOST, &counters.pings_lost),
        ] {
            samples.counter(metric, &[], counter.get());
        }
    }

    fn collect_meters(&self, samples: &mut Samples) {
        for (service, meter) in self.meters.all() {
            for (direction, messages, bytes) in meter.traffic() {
                let labels = [("service", service.as_str()), ("direction", direction)];
                if messages > 0 {
                    samples.counter(&catalogue::MESSAGES, &labels, messages);
                    samples.counter(&catalogue::MESSAGE_BYTES, &labels, bytes);
                }
            }
            for (metric, histogram) in [
                (&catalogue::RTT, &meter.rtt),
                (&catalogue::CALL_DURATION, &meter.calls),
                (&catalogue::SERVE_DURATION, &meter.served),
            ] {
                let distribution = histogram.read();
                if distribution.count > 0 {
                    samples.histogram(metric, &[("service", &service)], distribution);
                }
            }
            for (metric, event, count) in meter.accounts.sums() {
                samples.counter(metric, &[("service", &service), ("event", event)], count);
            }
        }
    }

    fn collect_queues(&self, samples: &mut Samples) {
        for queue in self.directory.locals() {
            let Some(instance) = queue.instance() else { continue };
            let (service, instance) = (queue.name().to_string(), instance.to_string());
            let labels = [("service", service.as_str()), ("instance", &instance)];
            samples.gauge(&catalogue::INBOX_BYTES, &labels, queue.unread_bytes() as f64);
        }
        let mut by_peer: BTreeMap<String, usize> = BTreeMap::new();
        for peer in self.directory.peers() {
            if let Some(link) = peer.link() {
                *by_peer.entry(peer.key().address.to_string()).or_default() +=
                    link.outbox().buffered();
            }
        }
        for (peer, bytes) in by_peer {
            samples.gauge(&catalogue::OUTBOX_BYTES, &[("peer", &peer)], bytes as f64);
        }
    }

    fn collect_routers(&self, samples: &mut Samples) {
        for core in self.directory.routers() {
            let service = core.name.to_string();
            let labels = [("service", service.as_str())];
            let degraded = f64::from(u8::from(core.selector.health().is_degraded()));
            samples.gauge(&catalogue::ROUTER_DEGRADED, &labels, degraded);
            let ejected = core.ejections.lock().unwrap_or_else(PoisonError::into_inner).out();
            samples.gauge(&catalogue::EJECTED, &labels, ejected as f64);
            if let Some(placer) = core.keyed.get() {
                collect_placer(placer, &labels, samples);
            }
            collect_members(&core.view.load(), &service, samples);
        }
    }
}

fn collect_placer(placer: &Placer, labels: &[(&'static str, &str)], samples: &mut Samples) {
    let (messages, bytes) = placer.held();
    samples.gauge(&catalogue::HELD_MESSAGES, labels, messages as f64);
    samples.gauge(&catalogue::HELD_BYTES, labels, bytes as f64);
    samples.number(&catalogue::ROUTER_EPOCH, labels, placer.placed().epoch.0);
}

fn collect_members(view: &View, service: &str, samples: &mut Samples) {
    let mut states: BTreeMap<&str, u64> = BTreeMap::new();
    for member in &view.members {
        let route = &member.route;
        *states.entry(state(member.record.state)).or_default() += 1;
        let instance = member.record.url.instance.to_string();
        let labels = [("service", service), ("instance", &instance)];
        samples.counter(&catalogue::PICKS, &labels, route.picks.get());
        samples.gauge(&catalogue::IN_FLIGHT, &labels, f64::from(route.stats.in_flight()));
    }
    for (state, count) in states {
        let labels = [("service", service), ("state", state)];
        samples.gauge(&catalogue::INSTANCES, &labels, count as f64);
    }
}

fn state(state: InstanceState) -> &'static str {
    match state {
        InstanceState::Pending => "pending",
        InstanceState::Online => "online",
        InstanceState::Suspect => "suspect",
        InstanceState::Draining => "draining",
        InstanceState::Offline => "offline",
    }
}

#[cfg(test)]
mod tests;
