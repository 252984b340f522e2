//! Behaviour of connections over real loopback sockets, a module per behaviour. Nothing sleeps to
//! wait: every wait is for an event, under a deadline that only guards against a hang.

#![allow(clippy::unwrap_used)]

#[path = "loopback/accept.rs"]
mod accept;
#[path = "loopback/close.rs"]
mod close;
#[path = "loopback/coalesce.rs"]
mod coalesce;
#[path = "loopback/pair.rs"]
mod pair;
#[path = "loopback/pressure.rs"]
mod pressure;
#[path = "loopback/read.rs"]
mod read;
#[path = "loopback/traffic.rs"]
mod traffic;
