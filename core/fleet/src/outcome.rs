//! What a run has shown, and several runs together.

use std::time::Duration;

use crate::latencies::Latencies;

/// What a run, or several of different seeds, has shown of a selector.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Calls made.
    pub calls: u64,
    /// Of these: nobody was picked, or who was picked died, was dead already or answered an error.
    pub failed: u64,
    /// Picks that the plugin failed at (a panic, an index out of the view), for which the built-in
    /// selector served.
    pub faults: u64,
    /// Clients that took the plugin out of service for that.
    pub quarantined: u64,
    /// The fullest server, in parts of what was due to it by its weight: peak over mean where weights
    /// are equal.
    pub spread: f64,
    /// How much clients move together: the Allan factor of the calls that each server gets in windows
    /// of 100 ms. 1 is what random picks give; regular turns are below, a herd is far above.
    pub herd: f64,
    /// What becomes of keys when servers come and go; `None` where none do, or where the selector
    /// does not go by keys.
    pub keys_moved: Option<KeysMoved>,
    /// Which share of the calls stayed in the caller's zone; `None` where there are no zones.
    pub local: Option<f64>,
    /// To how many servers a client has sent, in the mean: connections.
    pub peers: f64,
    /// Of the calls that were answered.
    pub latencies: Latencies,
}

/// Keys that are served by another server after a change of the membership, summed over changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeysMoved {
    /// Keys looked at, once per change.
    pub keys: u64,
    /// Keys that moved.
    pub moved: u64,
    /// Keys that had to: those of a server that left, and those that one that came got.
    pub least: u64,
}

impl KeysMoved {
    /// The share that moved, per change.
    pub fn share(&self) -> f64 {
        self.moved as f64 / self.keys as f64
    }

    /// The share that had to move, per change.
    pub fn least_share(&self) -> f64 {
        self.least as f64 / self.keys as f64
    }
}

impl Outcome {
    /// Which share of all calls was answered in less than `limit`.
    pub fn answered_within(&self, limit: Duration) -> f64 {
        self.latencies.below(limit) as f64 / (self.calls as f64).max(1.0)
    }

    /// Several runs as one: what is counted is summed up, the others are means. `None` of
    /// none.
    pub fn pooled(outcomes: impl IntoIterator<Item = Self>) -> Option<Self> {
        let mut runs = 0.0;
        let sum = outcomes.into_iter().inspect(|_| runs += 1.0).reduce(|mut sum, one| {
            sum.calls += one.calls;
            sum.failed += one.failed;
            sum.faults += one.faults;
            sum.quarantined += one.quarantined;
            sum.spread += one.spread;
            sum.herd += one.herd;
            sum.peers += one.peers;
            sum.local = sum.local.zip(one.local).map(|(a, b)| a + b);
            sum.latencies.add(&one.latencies);
            sum.keys_moved = sum.keys_moved.zip(one.keys_moved).map(|(a, b)| KeysMoved {
                keys: a.keys + b.keys,
                moved: a.moved + b.moved,
                least: a.least + b.least,
            });
            sum
        })?;
        Some(Self {
            spread: sum.spread / runs,
            herd: sum.herd / runs,
            peers: sum.peers / runs,
            local: sum.local.map(|local| local / runs),
            ..sum
        })
    }
}
