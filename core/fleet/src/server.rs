//! A server: workers, and a queue before them.

use std::collections::VecDeque;

use crate::tally::CallId;

/// Workers of a server of weight 100.
const WORKERS: u32 = 4;
/// Its weight.
const WEIGHT: u32 = 100;

/// One instance of the service.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) weight: u32,
    pub(crate) workers: u32,
    /// Counts its lives; what was begun in another one is void.
    pub(crate) incarnation: u32,
    pub(crate) lives: bool,
    busy: u32,
    /// Calls that wait for a worker: at most all that are open.
    queue: VecDeque<CallId>,
}

impl Server {
    pub(crate) fn of_weight(weight: u32) -> Self {
        let workers = (WORKERS * weight / WEIGHT).max(1);
        let queue = VecDeque::new();
        Self { weight, workers, incarnation: 0, lives: true, busy: 0, queue }
    }

    pub(crate) fn usual() -> Self {
        Self::of_weight(WEIGHT)
    }

    /// Takes a call; answers it back if a worker can begin at once.
    pub(crate) fn take(&mut self, call: CallId) -> Option<CallId> {
        if self.busy < self.workers {
            self.busy += 1;
            return Some(call);
        }
        self.queue.push_back(call);
        None
    }

    /// A worker is free: answers the call that it begins next.
    pub(crate) fn finish(&mut self) -> Option<CallId> {
        let next = self.queue.pop_front();
        if next.is_none() {
            self.busy -= 1;
        }
        next
    }

    /// Everything that it had is lost.
    pub(crate) fn die(&mut self) {
        self.lives = false;
        self.incarnation += 1;
        self.busy = 0;
        self.queue.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_worker_takes_waits_in_order() {
        let mut server = Server::of_weight(50);
        let calls: Vec<CallId> = (0..4).map(CallId).collect();
        assert_eq!(calls.iter().filter_map(|call| server.take(*call)).count(), 2);
        assert_eq!([server.finish(), server.finish()], [Some(CallId(2)), Some(CallId(3))]);
        assert_eq!([server.finish(), server.finish()], [None, None]);
        assert_eq!(server.take(calls[0]), Some(CallId(0)));
        server.take(calls[1]);
        server.take(calls[2]);
        server.die();
        assert!(!server.lives && server.busy == 0 && server.queue.is_empty());
    }
}
