//! What users may rely on, over real sockets: one module per behaviour.

// A test's own helpers may fail it, as the tests themselves may.
#![allow(clippy::unwrap_used)]

mod codecs;
mod crash;
mod defects;
mod delivery;
mod election;
mod faults;
mod forgetting;
mod grpc;
mod hostile;
mod leaving;
mod linked;
mod logs;
mod metrics;
mod nameserver_restart;
mod naming;
mod ordering;
mod picking;
mod reload;
mod rpc;
mod scale;
mod stages;
mod start;
mod stateful;
mod tracing;
mod unruly;
mod v1;
mod versions;
mod warm_restart;
