//! What a shard took, and how a message says whom it is for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One message: which client sent it for which player, and the how manieth of the two it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) client: u64,
    pub(crate) player: u64,
    pub(crate) number: u64,
}

impl Sent {
    pub(crate) fn to_bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.client.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.player.to_le_bytes());
        bytes[16..].copy_from_slice(&self.number.to_le_bytes());
        bytes
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Self { client: number(0)?, player: number(8)?, number: number(16)? })
    }
}

/// One line of a tally.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) client: u64,
    pub(crate) player: u64,
    /// The placement by which they came.
    pub(crate) epoch: u64,
    pub(crate) messages: u64,
}

/// Everything that one shard took.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    messages: BTreeMap<(u64, u64, u64), u64>,
    last: BTreeMap<(u64, u64), u64>,
    disorder: u64,
}

/// A tally as it travels.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) lines: Vec<Line>,
    /// Messages of one client and player that came after a later one.
    pub(crate) disorder: u64,
}

impl Tally {
    pub(crate) fn note(&mut self, epoch: u64, sent: Sent) {
        let Sent { client, player, number } = sent;
        *self.messages.entry((client, player, epoch)).or_default() += 1;
        let last = self.last.insert((client, player), number);
        self.disorder += u64::from(last.is_some_and(|last| last >= number));
    }

    pub(crate) fn to_json(&self) -> Vec<u8> {
        let line = |((client, player, epoch), messages): (&(u64, u64, u64), &u64)| Line {
            client: *client,
            player: *player,
            epoch: *epoch,
            messages: *messages,
        };
        let lines = self.messages.iter().map(line).collect();
        serde_json::to_vec(&Report { lines, disorder: self.disorder }).unwrap_or_default()
    }
}
