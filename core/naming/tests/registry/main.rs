//! Behaviour of the registry, seen from outside: scripts with their transcripts, and random
//! operations against a simple model.

#![allow(clippy::unwrap_used)]

mod model;
mod operation;
mod random;
mod script;
mod watcher;
mod world;
