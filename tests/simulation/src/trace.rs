//! A hash over everything that happened in a run (FNV-1a): two runs with the same hash were, for all
//! practical purposes, the same run. Unlike the standard library's hashers it is the same in every
//! release.

use std::hash::Hasher;

#[derive(Debug, Clone)]
pub(crate) struct Trace(u64);

impl Default for Trace {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Trace {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
