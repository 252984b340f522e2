//! A virtual fleet under a virtual clock: clients that pick, instances that take their time, answers
//! that come back. The same in every run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use skymesh_plugin_api::{Member, Request, Roster, Selector};

pub(crate) const MS: u64 = 1_000_000;

/// SplitMix64.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// About `mean`, up to `percent` more or less.
    pub(crate) fn around(&mut self, mean: u64, percent: u64) -> u64 {
        let spread = mean * percent / 100;
        mean - spread + self.roll() % (2 * spread + 1)
    }
}

/// One call as it went.
pub(crate) struct Call {
    pub(crate) instance: usize,
    pub(crate) began_ns: u64,
    pub(crate) took_ns: u64,
}

/// What a fleet is asked.
pub(crate) struct Load {
    pub(crate) clients: usize,
    pub(crate) instances: u64,
    /// Of all clients together.
    pub(crate) calls_per_second: u64,
    pub(crate) seconds: u64,
    pub(crate) seed: u64,
}

impl Load {
    /// Sends all calls. `takes` says how long an instance needs for a call, by its index, the time,
    /// and how many calls of all clients it has; `picks` picks.
    pub(crate) fn run(
        &self,
        mut takes: impl FnMut(usize, u64, u32, &mut Dice) -> u64,
        mut picks: impl FnMut(usize, &Roster, &Request) -> usize,
    ) -> Vec<Call> {
        let mut dice = Dice(self.seed);
        let rosters: Vec<Roster> = (0..self.clients)
            .map(|_| Roster::new((1..=self.instances).map(Member::new).collect()))
            .collect();
        let mut busy = vec![0u32; self.instances as usize];
        let mut calls: Vec<Call> = Vec::new();
        let mut ends: BinaryHeap<Reverse<(u64, usize, usize)>> = BinaryHeap::new();
        for turn in 0..self.calls_per_second * self.seconds {
            let now_ns = 1 + turn * (1000 * MS) / self.calls_per_second;
            while let Some(&Reverse((end_ns, client, call))) = ends.peek()
                && end_ns <= now_ns
            {
                ends.pop();
                let call = &calls[call];
                let stats = rosters[client].view().stats(call.instance);
                stats.ended();
                stats.note_latency(call.took_ns, end_ns);
                busy[call.instance] -= 1;
            }
            let client = (dice.roll() % self.clients as u64) as usize;
            let request = Request::new(None, dice.roll(), now_ns, 0);
            let instance = picks(client, &rosters[client], &request);
            rosters[client].view().stats(instance).began();
            busy[instance] += 1;
            let took_ns = takes(instance, now_ns, busy[instance], &mut dice);
            ends.push(Reverse((now_ns + took_ns, client, calls.len())));
            calls.push(Call { instance, began_ns: now_ns, took_ns });
        }
        calls
    }

    /// As [`run`](Self::run), each client picking by a selector of its own kind `S`.
    pub(crate) fn run_by<S: Selector>(
        &self,
        selector: &S,
        takes: impl FnMut(usize, u64, u32, &mut Dice) -> u64,
    ) -> Vec<Call> {
        let sample = Roster::new((1..=self.instances).map(Member::new).collect());
        let table = selector.prepare(sample.view());
        self.run(takes, |_, roster, request| {
            selector.pick(roster.view(), &table, request).expect("somebody is there")
        })
    }
}

/// The share of each instance in some calls.
pub(crate) fn shares<'a>(calls: impl IntoIterator<Item = &'a Call>, instances: u64) -> Vec<f64> {
    let mut counts = vec![0u32; instances as usize];
    calls.into_iter().for_each(|call| counts[call.instance] += 1);
    let total = f64::from(counts.iter().sum::<u32>().max(1));
    counts.into_iter().map(|count| f64::from(count) / total).collect()
}
