//! What the servers have received, as they said themselves. The client's word is not asked.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds;

use crate::fact::{Act, Parcel};

/// All acts.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    acts: BTreeMap<Act, Received>,
    by_server: BTreeMap<u64, u64>,
}

/// One act.
#[derive(Debug, Default, Clone)]
pub(crate) struct Received {
    /// By the number: who got it first, and its key.
    arrivals: BTreeMap<u32, (u64, u64)>,
    twice: u32,
    by_server: BTreeMap<u64, u32>,
    servers_of_key: BTreeMap<u64, BTreeSet<u64>>,
}

impl Tally {
    pub(crate) fn note(&mut self, server: u64, parcel: &Parcel) {
        *self.by_server.entry(server).or_default() += 1;
        self.acts.entry(parcel.act).or_default().note(server, parcel.number, parcel.key);
    }

    pub(crate) fn act(&self, act: Act) -> Received {
        self.acts.get(&act).cloned().unwrap_or_default()
    }

    /// How many messages an act has brought so far.
    pub(crate) fn received(&self, act: Act) -> u32 {
        self.acts.get(&act).map_or(0, Received::messages)
    }

    /// How many messages of all acts a server got.
    pub(crate) fn of_server(&self, server: u64) -> u64 {
        self.by_server.get(&server).copied().unwrap_or(0)
    }
}

impl Received {
    pub(crate) fn note(&mut self, server: u64, number: u32, key: u64) {
        match self.arrivals.entry(number) {
            Entry::Vacant(arrival) => drop(arrival.insert((server, key))),
            Entry::Occupied(_) => self.twice += 1,
        }
        *self.by_server.entry(server).or_default() += 1;
        self.servers_of_key.entry(key).or_default().insert(server);
    }

    /// How many messages came, repeated ones included.
    pub(crate) fn messages(&self) -> u32 {
        self.by_server.values().sum()
    }

    /// How many messages came more than once.
    pub(crate) fn twice(&self) -> u32 {
        self.twice
    }

    /// How many of them came to `server`.
    pub(crate) fn at(&self, server: u64) -> u32 {
        self.by_server.get(&server).copied().unwrap_or(0)
    }

    /// How many keys `server` saw.
    pub(crate) fn keys_at(&self, server: u64) -> usize {
        self.servers_of_key.values().filter(|servers| servers.contains(&server)).count()
    }

    /// The messages of 0 to `sent` that nobody got.
    pub(crate) fn missing(&self, sent: u32) -> Vec<u32> {
        (0..sent).filter(|number| !self.arrivals.contains_key(number)).collect()
    }

    /// Every message that came: its number, its key, and the first server that got it.
    pub(crate) fn arrivals(&self) -> impl Iterator<Item = (u32, u64, u64)> {
        self.arrivals.iter().map(|(number, (server, key))| (*number, *key, *server))
    }

    /// The messages of these numbers only; of repeated ones the first.
    pub(crate) fn part(&self, numbers: impl RangeBounds<u32>) -> Self {
        let mut part = Self::default();
        for (number, (server, key)) in self.arrivals.range(numbers) {
            part.note(*server, *number, *key);
        }
        part
    }

    /// Every key that came, and who got it.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (u64, &BTreeSet<u64>)> {
        self.servers_of_key.iter().map(|(key, servers)| (*key, servers))
    }

    /// The one server that got all of a key; `None` if there were several, or none.
    pub(crate) fn home(&self, key: u64) -> Option<u64> {
        let servers = self.servers_of_key.get(&key)?;
        servers.first().copied().filter(|_| servers.len() == 1)
    }
}
