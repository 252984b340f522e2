//! One run of one contender: how much it sends, what the receiver must see, what it costs.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

use crate::frame;

/// What both roles know before they start.
#[derive(Clone)]
pub(crate) struct Run {
    /// Payload bytes of every message.
    pub(crate) size: usize,
    /// All messages, those of the warm-up included.
    pub(crate) messages: u64,
    /// Worker threads for those that use tokio.
    pub(crate) threads: usize,
}

impl Run {
    /// Messages that are sent before anything is measured.
    fn warm_up(&self) -> u64 {
        self.messages / 10
    }

    /// Runs a role as a task on a tokio runtime, as services run; not on the main thread, which
    /// tokio has to wake from outside.
    pub(crate) fn task<T: Send + 'static>(
        &self,
        role: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let mut builder = match self.threads {
            0 | 1 => tokio::runtime::Builder::new_current_thread(),
            _ => tokio::runtime::Builder::new_multi_thread(),
        };
        let runtime = builder
            .worker_threads(self.threads.max(1))
            .enable_all()
            .build()
            .expect("a tokio runtime starts");
        runtime.block_on(async { tokio::spawn(role).await.expect("a role does not panic") })
    }
}

/// Processor time of this process so far, user and system, all threads.
pub(crate) fn cpu_nanos() -> u64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A moment by both clocks.
struct Mark {
    at: Instant,
    cpu: u64,
}

impl Mark {
    fn now() -> Self {
        Self { at: Instant::now(), cpu: cpu_nanos() }
    }
}

/// What a role measured after its warm-up.
#[derive(Clone, Copy)]
pub(crate) struct Measured {
    pub(crate) messages: u64,
    pub(crate) nanos: u64,
    pub(crate) cpu_nanos: u64,
}

/// Counts messages in a role and measures from the end of the warm-up on.
pub(crate) struct Tally {
    run: Run,
    next: u64,
    warm_up: u64,
    begun: Option<Mark>,
}

impl Tally {
    pub(crate) fn new(run: &Run) -> Self {
        Self { run: run.clone(), next: 0, warm_up: run.warm_up(), begun: None }
    }

    /// Sender: the sequence number of the next message, or `None` when all were sent.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<u64> {
        if self.next == self.warm_up {
            self.begun = Some(Mark::now());
        }
        let sequence = self.next;
        self.next += 1;
        (sequence < self.run.messages).then_some(sequence)
    }

    /// Receiver: verifies that this payload is the next one; true when it was the last.
    #[inline]
    pub(crate) fn verify(&mut self, payload: &[u8]) -> bool {
        if self.next == self.warm_up {
            self.begun = Some(Mark::now());
        }
        let mut sequence = [0; 8];
        sequence.copy_from_slice(&payload[..8]);
        assert_eq!(u64::from_le_bytes(sequence), self.next, "a message is missing or misplaced");
        assert_eq!(payload.len(), self.run.size, "a message was cut");
        self.next += 1;
        self.next == self.run.messages
    }

    /// Call when the role has done all its work.
    pub(crate) fn measured(&self) -> Measured {
        let begun = self.begun.as_ref().expect("invariant: the warm-up came to its end");
        Measured {
            messages: self.run.messages - self.warm_up,
            nanos: begun.at.elapsed().as_nanos() as u64,
            cpu_nanos: cpu_nanos() - begun.cpu,
        }
    }
}

/// The payload that a sender stamps again and again.
pub(crate) fn payload(run: &Run) -> Vec<u8> {
    frame::payload(run.size)
}
