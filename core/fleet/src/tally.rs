//! What is counted in a run: open calls, where calls went, in which rhythm, and how long they took.

use std::sync::Arc;

use skymesh_plugin_host::InstanceStats;

use crate::latencies::Latencies;

/// How long a window is in which the calls of each server are counted, for the herd index.
const WINDOW_NS: u64 = 100_000_000;

/// A place in [`Calls`]; taken again once the call has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct CallId(pub(crate) usize);

/// A call that has not ended.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) client: usize,
    pub(crate) server: usize,
    pub(crate) began_ns: u64,
    /// It is with its server, waiting or worked on.
    pub(crate) there: bool,
    pub(crate) stats: Arc<InstanceStats>,
}

/// The open calls.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    open: Vec<Option<Call>>,
    free: Vec<usize>,
}

impl Calls {
    pub(crate) fn begin(&mut self, call: Call) -> CallId {
        let place = self.free.pop().unwrap_or(self.open.len());
        if place == self.open.len() {
            self.open.push(None);
        }
        self.open[place] = Some(call);
        CallId(place)
    }

    pub(crate) fn get(&mut self, id: CallId) -> &mut Call {
        self.open[id.0].as_mut().expect("invariant: an event names an open call")
    }

    pub(crate) fn end(&mut self, id: CallId) -> Call {
        self.free.push(id.0);
        self.open[id.0].take().expect("invariant: a call ends once")
    }

    /// Calls that are with a server.
    pub(crate) fn at(&self, server: usize) -> Vec<CallId> {
        let open = self.open.iter().enumerate();
        let there = |call: &Call| call.server == server && call.there;
        open.filter(|(_, call)| call.as_ref().is_some_and(there))
            .map(|(id, _)| CallId(id))
            .collect()
    }
}

/// Everything else that is counted.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    /// Calls to another zone.
    pub(crate) crossed: u64,
    pub(crate) latencies: Latencies,
    servers: Vec<Share>,
    window: u64,
    /// Over all servers and windows.
    squares: f64,
    in_windows: f64,
}

/// What one server got.
#[derive(Debug, Default, Clone)]
struct Share {
    got: u64,
    /// By its weight among those whom the clients knew.
    due: f64,
    in_window: u64,
    in_window_before: u64,
}

impl Tally {
    pub(crate) fn new(servers: usize) -> Self {
        Self {
            calls: 0,
            failed: 0,
            crossed: 0,
            latencies: Latencies::default(),
            servers: vec![Share::default(); servers],
            window: 0,
            squares: 0.0,
            in_windows: 0.0,
        }
    }

    /// A call goes to a server.
    pub(crate) fn sent(&mut self, server: usize, now_ns: u64) {
        while self.window < now_ns / WINDOW_NS {
            self.close_window();
        }
        self.servers[server].got += 1;
        self.servers[server].in_window += 1;
    }

    fn close_window(&mut self) {
        for share in &mut self.servers {
            if self.window > 0 {
                let change = share.in_window as f64 - share.in_window_before as f64;
                self.squares += change * change;
                self.in_windows += (share.in_window + share.in_window_before) as f64;
            }
            share.in_window_before = std::mem::take(&mut share.in_window);
        }
        self.window += 1;
    }

    /// So many calls were made among servers of these weights.
    pub(crate) fn due(&mut self, calls: u64, members: impl Iterator<Item = (usize, u32)> + Clone) {
        let sum: f64 = members.clone().map(|(_, weight)| f64::from(weight)).sum();
        for (server, weight) in members {
            self.servers[server].due += calls as f64 * f64::from(weight) / sum;
        }
    }

    /// The fullest server, in parts of what was due to it.
    pub(crate) fn spread(&self) -> f64 {
        let known = self.servers.iter().filter(|share| share.due > 0.0);
        known.map(|share| share.got as f64 / share.due).fold(0.0, f64::max)
    }

    /// The Allan factor of the calls that each server gets (Allan 1966): the mean square of the
    /// change from one window to the next, over twice the mean. 1 where calls come independently.
    pub(crate) fn herd(&self) -> f64 {
        if self.in_windows == 0.0 { 0.0 } else { self.squares / self.in_windows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::Dice;

    /// `per_window` calls in each of 1000 windows to 10 servers.
    fn herd(per_window: u64, mut server: impl FnMut(u64, u64) -> usize) -> f64 {
        let mut tally = Tally::new(10);
        for window in 0..1000 {
            (0..per_window).for_each(|call| tally.sent(server(window, call), window * WINDOW_NS));
        }
        tally.herd()
    }

    #[test]
    fn the_herd_index_tells_turns_chance_and_a_herd_apart() {
        assert_eq!(herd(200, |_, call| (call % 10) as usize), 0.0);
        let mut dice = Dice::new(1, 1);
        // As independent as can be with a fixed sum: 1 less a tenth.
        let chance = herd(200, |_, _| dice.below(10));
        assert!((0.8..1.0).contains(&chance), "{chance}");
        let herd = herd(200, |window, _| (window % 10) as usize);
        assert!(herd > 100.0, "{herd}");
    }

    #[test]
    fn spread_goes_by_weight() {
        let mut tally = Tally::new(2);
        (0..400).for_each(|call| tally.sent(usize::from(call % 4 > 0), 0));
        tally.due(400, [(0, 100), (1, 300)].into_iter());
        assert!((tally.spread() - 1.0).abs() < 1e-9, "{}", tally.spread());
        let mut tally = Tally::new(2);
        (0..400).for_each(|call| tally.sent(call % 2, 0));
        tally.due(400, [(0, 100), (1, 300)].into_iter());
        assert!((tally.spread() - 2.0).abs() < 1e-9, "{}", tally.spread());
    }
}
