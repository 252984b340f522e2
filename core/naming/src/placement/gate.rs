//! The receiver's side: a keyed message of another epoch was routed by another placement, and is
//! answered instead of taken. It knows nothing of keys and members.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Epoch;

/// A message was routed by another placement than the receiver knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("routed in epoch {sent}, but the receiver is at {known}; route again")]
pub struct WrongEpoch {
    /// The message's epoch.
    pub sent: Epoch,
    /// The receiver's.
    pub known: Epoch,
}

/// Admits keyed messages of the receiver's own epoch. One per stateful instance; may be asked from
/// many threads at once, without a lock.
#[derive(Debug, Default)]
pub struct EpochGate(AtomicU64);

impl EpochGate {
    /// The agent has heard of an epoch of the instance's service. An older one changes nothing.
    pub fn heard(&self, epoch: Epoch) {
        self.0.fetch_max(epoch.0, Ordering::AcqRel);
    }

    /// The newest epoch that was heard of; 0 before the first.
    pub fn known(&self) -> Epoch {
        Epoch(self.0.load(Ordering::Acquire))
    }

    /// Admits a message of `sent`.
    ///
    /// # Errors
    /// [`WrongEpoch`] if the receiver is at another one: behind, or ahead.
    pub fn admit(&self, sent: Epoch) -> Result<(), WrongEpoch> {
        let known = self.known();
        if sent == known { Ok(()) } else { Err(WrongEpoch { sent, known }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_present_epoch_is_admitted() {
        let gate = EpochGate::default();
        gate.heard(Epoch(7));
        gate.heard(Epoch(5));
        for (sent, admitted) in [(6, false), (7, true), (8, false), (0, false)] {
            let wrong = WrongEpoch { sent: Epoch(sent), known: Epoch(7) };
            assert_eq!(gate.admit(Epoch(sent)), if admitted { Ok(()) } else { Err(wrong) });
        }
    }
}
