//! The nameserver over real sockets, spoken to by raw little clients.

#![allow(clippy::unwrap_used)]

mod admin;
mod candidate;
mod captured;
mod client;
mod elections;
mod flood;
mod hostile;
mod operating;
mod reloading;
mod restart;
mod restart_keys;
mod scale;
mod sessions;
mod stopping;
mod v1;
mod watching;
