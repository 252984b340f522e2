//! A server: workers, and a queue before them.

use std::collections::VecDeque;

use crate::tally::CallId;

/// Workers of a server of weight 100.
const WORKERS: u32 = 4;
/// Its weight.
const WEIGHT: u32 = 100;

/// What a server is, to itself and to the nameserver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It serves.
    Serving,
    /// It serves, and asks for nothing new.
    Draining,
    /// It is dead, and still listed: its loss is doubted.
    Doubted,
    /// It is dead, and everybody hears of it.
    Gone,
}

/// One instance of the service.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) weight: u32,
    pub(crate) workers: u32,
    /// Counts its lives; what was begun in another one is void.
    pub(crate) incarnation: u32,
    pub(crate) standing: Standing,
    pub(crate) zone: &'static str,
    /// When it came back the last time; 0 if it was always there.
    pub(crate) born_ns: u64,
    busy: u32,
    /// Calls that wait for a worker: at most all that are open.
    queue: VecDeque<CallId>,
}

impl Server {
    pub(crate) fn of_weight(weight: u32) -> Self {
        let workers = (WORKERS * weight / WEIGHT).max(1);
        let queue = VecDeque::new();
        let (standing, zone) = (Standing::Serving, "");
        Self { weight, workers, incarnation: 0, standing, zone, born_ns: 0, busy: 0, queue }
    }

    /// Whether it answers.
    pub(crate) fn lives(&self) -> bool {
        matches!(self.standing, Standing::Serving | Standing::Draining)
    }

    /// Whether clients are told of it.
    pub(crate) fn is_listed(&self) -> bool {
        self.standing != Standing::Gone
    }

    /// Comes back, with nothing of its former life.
    pub(crate) fn rise(&mut self, now_ns: u64) {
        self.standing = Standing::Serving;
        self.born_ns = now_ns;
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

    /// Everything that it had is lost; `standing` says what others are told.
    pub(crate) fn die(&mut self, standing: Standing) {
        self.standing = standing;
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
        server.die(Standing::Gone);
        assert!(!server.lives() && server.busy == 0 && server.queue.is_empty());
        server.rise(7);
        assert!(server.lives() && server.is_listed());
        server.die(Standing::Doubted);
        assert!(!server.lives() && server.is_listed());
    }
}
