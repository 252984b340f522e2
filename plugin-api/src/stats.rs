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
        /// Smoothed share of failed requests, in parts per million.
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
}
