//! Live statistics of one instance. The host writes them; selectors read them at any time.

use std::sync::atomic::Ordering::Relaxed;

use crate::abi::layout::InstanceStats;

macro_rules! gauge {
    ($(#[$doc:meta])* $field:ident, $setter:ident, $kind:ty) => {
        $(#[$doc])*
        #[inline]
        pub fn $field(&self) -> $kind {
            self.$field.load(Relaxed)
        }

        #[doc = concat!("For the host: sets [`", stringify!($field), "`](Self::", stringify!($field), ").")]
        #[inline]
        pub fn $setter(&self, value: $kind) {
            self.$field.store(value, Relaxed);
        }
    };
}

impl InstanceStats {
    /// Nothing known and nothing in flight.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many requests this process has sent there and not seen finished.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// For the host: one more request is under way.
    #[inline]
    pub fn began(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// For the host: one request has ended, however it ended. Stays at 0 if none was counted.
    #[inline]
    pub fn ended(&self) {
        let _ = self.in_flight.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
    }

    gauge! {
        /// Smoothed round-trip time in nanoseconds; 0 while unknown.
        rtt_ewma_ns, set_rtt_ewma_ns, u64
    }
    gauge! {
        /// Smoothed share of failed requests, in parts per million. Only calls (RPC and gRPC) have
        /// answers that can fail: it stays 0 where nothing but messages is sent.
        error_ppm, set_error_ppm, u32
    }
    gauge! {
        /// How many pings in a row went unanswered, up to now.
        ping_lost_streak, set_ping_lost_streak, u32
    }
    gauge! {
        /// Load that the server reports of itself, in parts per million of its capacity; 0 while
        /// it reports none.
        server_load_ppm, set_server_load_ppm, u32
    }
    gauge! {
        /// When the newest sample was taken, by the clock of
        /// [`Request::now_ns`](crate::Request::now_ns); 0 before the first.
        last_sample_ns, set_last_sample_ns, u64
    }

    /// How long requests take to be answered, in nanoseconds, sensitive to peaks: it rises to a
    /// slower answer at once, and comes down to faster ones over [`LATENCY_MEMORY_NS`]. 0 while
    /// nothing was answered, and in hosts that do not measure it.
    ///
    /// Unlike [`rtt_ewma_ns`](Self::rtt_ewma_ns), which pings measure, it has the time in the
    /// service in it, and differs between two instances of one process.
    #[inline]
    pub fn latency_peak_ns(&self) -> u64 {
        self.reserved[LATENCY].load(Relaxed)
    }

    /// When the newest answer came that [`latency_peak_ns`](Self::latency_peak_ns) knows of, by the
    /// clock of [`Request::now_ns`](crate::Request::now_ns); 0 before the first.
    #[inline]
    pub fn latency_at_ns(&self) -> u64 {
        self.reserved[LATENCY_AT].load(Relaxed)
    }

    /// For the host: an answer came at `now_ns`, `took_ns` after its request. Two threads that note
    /// one at the same time may lose one of them: it is a statistic, not an account.
    ///
    /// The average of Finagle's Peak-EWMA balancer (Twitter, Apache 2.0): a peak counts fully, and
    /// anything below it by the time that has passed since the answer before.
    pub fn note_latency(&self, took_ns: u64, now_ns: u64) {
        let took_ns = took_ns.max(1);
        let known_ns = self.latency_peak_ns();
        let passed_ns = now_ns.saturating_sub(self.latency_at_ns());
        let peak_ns = if took_ns >= known_ns {
            took_ns
        } else {
            let kept = (-(passed_ns as f64) / LATENCY_MEMORY_NS as f64).exp();
            took_ns.saturating_add(((known_ns - took_ns) as f64 * kept) as u64)
        };
        self.reserved[LATENCY].store(peak_ns, Relaxed);
        self.reserved[LATENCY_AT].store(now_ns.max(1), Relaxed);
    }
}

/// Over how many nanoseconds [`InstanceStats::latency_peak_ns`] comes down from a peak: after this
/// time 37 % of it is left. 10 s, as in Finagle.
pub const LATENCY_MEMORY_NS: u64 = 10_000_000_000;

/// Where in the reserved words what 1.0.0 had no fields for lies: a layout never changes, and a host
/// that knows nothing of it leaves 0.
const LATENCY: usize = 0;
const LATENCY_AT: usize = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn latency_jumps_to_a_peak_and_comes_down_slowly() {
        let stats = InstanceStats::new();
        assert_eq!((stats.latency_peak_ns(), stats.latency_at_ns()), (0, 0));
        // Took, at which second, and what is known then.
        let cases = [
            (1000, 1, 1000..=1000),
            (9000, 2, 9000..=9000),
            (1000, 2, 9000..=9000),
            (1000, 12, 3943..=3944),
            (1000, 22, 2082..=2083),
            (0, 900, 1..=1),
            (u64::MAX, 900, u64::MAX..=u64::MAX),
            (1, 3, u64::MAX - 1..=u64::MAX),
        ];
        for (took_ns, second, expected) in cases {
            stats.note_latency(took_ns, second * SECOND);
            let known_ns = stats.latency_peak_ns();
            assert!(expected.contains(&known_ns), "{took_ns} at {second}: {known_ns}");
        }
        assert_eq!(stats.latency_at_ns(), 3 * SECOND);
    }
}
