//! Every metric that skymesh has of itself: names, meanings, labels. [`ALL`] lists them, [`LABELS`] says
//! what their labels are. Names and labels are kept from release to release; new ones may come.
//!
//! Counters count from the start of their process, durations are in seconds. What is per instance or
//! router goes with it, and a new incarnation begins at 0; what is per service stays for the process's
//! life, of 1024 services: those beyond are shown together as the service `other`. Something that never
//! happened to a service (no message, no call) has no series of it.
//!
//! What waits at a nameserver to be read by its agents is not shown: the events `watchers_lagged`,
//! `replies_unread` and `slow_v1_agents` tell who does not read.
//!
//! Terms and epochs have 64 bits, of which the time takes the upper ones; values of metrics are
//! floating-point numbers with 53. So the lowest 53 are shown: they are equal in two processes where the
//! numbers are, and grow as these do while a nameserver lives; after a restart they may be lower.

/// What kind of series a metric has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Counts up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// One metric.
#[derive(Debug, PartialEq, Eq)]
pub struct Metric {
    /// Its name, the same for every sink.
    pub name: &'static str,
    /// What it means, in one line.
    pub help: &'static str,
    /// `bytes`, `seconds`, or empty.
    pub unit: &'static str,
    /// What kind of series it has.
    pub kind: MetricKind,
    /// The labels that tell its series apart.
    pub labels: &'static [&'static str],
}

macro_rules! catalogue {
    ($($constant:ident = $kind:ident $name:literal $unit:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = concat!("`", $name, "`: ", $help, ".")]
            pub static $constant: Metric = Metric {
                name: $name,
                help: $help,
                unit: $unit,
                kind: MetricKind::$kind,
                labels: &[$($label),*],
            };
        )*

        /// All of them.
        ///
        /// | name | kind | labels | meaning |
        /// |---|---|---|---|
        $(#[doc = concat!(
            "| [`", $name, "`](", stringify!($constant), ") | ", stringify!($kind), " | ",
            $("`", $label, "` ",)* "| ", $help, " |"
        )])*
        pub static ALL: &[&Metric] = &[$(&$constant),*];
    };
}

catalogue! {
    MESSAGES = Counter "skymesh_messages_total" "" ["service", "direction"]
        "Messages of this process: sent to instances of the service, or received by its instances here";
    MESSAGE_BYTES = Counter "skymesh_message_bytes_total" "bytes" ["service", "direction"]
        "Payload bytes of these messages";
    PICKS = Counter "skymesh_picks_total" "" ["service", "instance"]
        "How often the service's selector picked the instance, for messages and calls";
    REFUSED = Counter "skymesh_messages_refused_total" "" ["reason"]
        "Messages that this process refused to their senders";
    KEYED = Counter "skymesh_keyed_messages_total" "" ["outcome"]
        "Messages by key that went another way than straight to the owner: bounced (of this process, back \
         to be routed again), turned_back (sent back by it), bounces_refused (can't be of this process; \
         dropped), undelivered (accepted from the app and given up, which it was told)";
    HELD_MESSAGES = Gauge "skymesh_held_messages" "" ["service"]
        "Messages by key to a stateful service that wait here until it is agreed who owns their keys";
    HELD_BYTES = Gauge "skymesh_held_bytes" "bytes" ["service"]
        "What these take";
    UNDELIVERABLE = Counter "skymesh_messages_undeliverable_total" "" []
        "Messages of this process that a receiver refused";
    UNCONFIRMED = Counter "skymesh_messages_unconfirmed_total" "" []
        "Messages of this process that a lost connection may have taken with it; an upper bound";
    INBOX_BYTES = Gauge "skymesh_inbox_bytes" "bytes" ["service", "instance"]
        "What waits in the inbox of an instance of this process, 64 bytes a message included";
    OUTBOX_BYTES = Gauge "skymesh_outbox_bytes" "bytes" ["peer"]
        "What waits to be written to a peer";
    IN_FLIGHT = Gauge "skymesh_calls_in_flight" "" ["service", "instance"]
        "Calls of this process that wait for their answer, to instances of services that it routes to; \
         those here among them";
    RTT = Histogram "skymesh_rtt_seconds" "seconds" ["service"]
        "Round trips of pings to the processes of the service's instances";
    CALL_DURATION = Histogram "skymesh_call_duration_seconds" "seconds" ["service"]
        "From a call to its answer or deadline, RPC and gRPC, at the caller";
    SERVE_DURATION = Histogram "skymesh_serve_duration_seconds" "seconds" ["service"]
        "From a request's arrival to the end of its handler, however it ended, at the callee: RPC with \
         notifies, and gRPC where the server has its layer server_spans, until the head of the answer";
    RPC_EVENTS = Counter "skymesh_rpc_events_total" "" ["service", "event"]
        "What went another way than the usual one in RPC of the service's instances here, by the names of \
         RpcCounters";
    GRPC_EVENTS = Counter "skymesh_grpc_events_total" "" ["service", "event"]
        "What went another way than the usual one in gRPC of the service's instances here, by the names \
         of GrpcCounters";
    INSTANCES = Gauge "skymesh_instances" "" ["service", "state"]
        "Instances of a service that this process routes to, by their state";
    ROUTER_DEGRADED = Gauge "skymesh_router_degraded" "" ["service"]
        "1 while the built-in selector serves in place of the configured one";
    EJECTED = Gauge "skymesh_instances_ejected" "" ["service"]
        "Instances that this process leaves out for a while, as too many of their answers were errors";
    ROUTER_EPOCH = Gauge "skymesh_router_epoch" "" ["service"]
        "The epoch of the placement of a stateful service that this process routes by, its lowest 53 bits";
    PLUGIN_STATE = Gauge "skymesh_plugin_state" "" ["library", "id", "kind", "version", "state"]
        "1 for each plugin, its state in the label";
    EVENTS_LAGGED = Counter "skymesh_events_lagged_total" "" []
        "Events that an inbox at its limit did not take";
    UPLINK_CONNECTED = Gauge "skymesh_uplink_connected" "" []
        "1 while this process has a nameserver, 0 while it serves by what it knew last";
    UPLINKS_LOST = Counter "skymesh_uplinks_lost_total" "" []
        "Times that this process lost the nameserver";
    PINGS_LOST = Counter "skymesh_pings_lost_total" "" []
        "Pings that got no answer in time";
    CONNECTIONS_REFUSED = Counter "skymesh_connections_refused_total" "" []
        "Connections that were closed because of what the other side sent, or for want of room";
    UNKNOWN_COMMANDS = Counter "skymesh_unknown_commands_total" "" []
        "Frames with a command that is not known; skipped";
    FLUSHES_FAILED = Counter "skymesh_telemetry_flushes_failed_total" "" []
        "Flushes that the metrics plugin refused, or in which it panicked; a quarantined one gets none, \
         and none is counted";
    FLUSHES_SKIPPED = Counter "skymesh_telemetry_flushes_skipped_total" "" []
        "Flushes that were left out because the one before was still going on";
    SERIES_LEFT_OUT = Gauge "skymesh_telemetry_series_left_out" "" []
        "Series that the last flush had no room for";
    SPANS_DROPPED = Counter "skymesh_telemetry_spans_dropped_total" "" []
        "Finished spans that were dropped because the queue to the trace plugin was full, or the plugin \
         did not take their batch. What it took and could not send on, only its own log tells";
    SPANS_WAITING = Gauge "skymesh_telemetry_spans_waiting" "" []
        "Finished spans that wait for the trace plugin, of trace.queue";
    REGISTRY_INSTANCES = Gauge "skymesh_registry_instances" "" []
        "Instances that the nameserver knows, in all states";
    REGISTRY_REVISION = Gauge "skymesh_registry_revision" "" []
        "The newest revision of the nameserver's registry";
    REGISTRY_SESSIONS = Gauge "skymesh_registry_sessions" "" []
        "Sessions of agents, connected or within their grace";
    REGISTRY_QUEUE = Gauge "skymesh_registry_queue" "" []
        "What waits for the nameserver's registry, of nameserver.limits.queue";
    NAMESERVER_EVENTS = Counter "skymesh_nameserver_events_total" "" ["event"]
        "What the nameserver counts, by its name: connections, sessions, refusals, snapshots, elections";
    LEADER_TERM = Gauge "skymesh_leader_term" "" ["service"]
        "The newest term of an elected leader of the service, its lowest 53 bits";
    LED = Gauge "skymesh_service_led" "" ["service"]
        "1 while an elected leader of the service is known, 0 while there is none, of services that had one";
    OPEN_ROUNDS = Gauge "skymesh_open_rounds" "" []
        "Changes of placements that the nameserver is having routers agree on";
    ROUNDS = Counter "skymesh_rounds_total" "" ["outcome"]
        "Rounds of such agreement that have ended: committed or aborted";
    PLACEMENT_EPOCH = Gauge "skymesh_placement_epoch" "" ["service"]
        "The epoch of the placement of a stateful service as the nameserver has it, its lowest 53 bits";
}

/// Every label, and what its values are. The values of some are of the host's making and few; those of
/// `service`, `instance` and `peer` are as many as there are such things.
pub static LABELS: &[(&str, &str)] = &[
    ("direction", "`sent` or `received`"),
    ("event", "what happened, by the name of its counter"),
    ("id", "a plugin's id"),
    ("instance", "the number of a service's instance"),
    ("kind", "`selector`, `codec`, `election`, `metrics` or `trace`"),
    ("library", "the library that a plugin is from"),
    ("outcome", "how it ended"),
    ("peer", "`ip:port` of another process's agent"),
    ("reason", "why a message was refused"),
    ("service", "a service name, `app.env.service`; `other` stands for those beyond the limit"),
    (
        "state",
        "of an instance: `pending`, `online`, `suspect`, `draining`; of a plugin, what became of it",
    ),
    ("version", "a plugin's version"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_rules_of_their_kind() {
        let names: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len(), "a name is used twice");
        for metric in ALL {
            let Metric { name, unit, help, labels, .. } = metric;
            assert!(name.starts_with("skymesh_"), "{name}");
            let is_word = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
            assert!(name.bytes().all(is_word) && labels.iter().all(|one| one.bytes().all(is_word)));
            let counts = metric.kind == MetricKind::Counter;
            assert_eq!(name.ends_with("_total"), counts, "{name}");
            let stem = name.strip_suffix("_total").unwrap_or(name);
            assert!(unit.is_empty() || stem.ends_with(unit), "{name} is in {unit}");
            assert!(!help.ends_with('.') && !help.contains(['\n', '|']), "{name}");
        }
    }

    #[test]
    fn every_label_is_explained_and_nothing_else_is() {
        let used: BTreeSet<&str> = ALL.iter().flat_map(|metric| metric.labels).copied().collect();
        let explained: Vec<&str> = LABELS.iter().map(|(label, _)| *label).collect();
        assert_eq!(used.into_iter().collect::<Vec<_>>(), explained);
    }
}
