//! Loads real libraries, as a process does: those of the fixtures, which cargo builds into the
//! folder of this very test.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not in a #[test] themselves")]

#[path = "plugins/fixture.rs"]
mod fixture;

#[path = "plugins/calls.rs"]
mod calls;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#[path = "plugins/damage.rs"]
mod damage;
#[path = "plugins/elections.rs"]
mod elections;
#[path = "plugins/exchange.rs"]
mod exchange;
#[path = "plugins/fallback.rs"]
mod fallback;
#[path = "plugins/frozen.rs"]
mod frozen;
#[path = "plugins/linking.rs"]
mod linking;
#[path = "plugins/loading.rs"]
mod loading;
#[path = "plugins/refusal.rs"]
mod refusal;
#[path = "plugins/renewal.rs"]
mod renewal;
#[path = "plugins/signing.rs"]
mod signing;
#[path = "plugins/versions.rs"]
mod versions;
