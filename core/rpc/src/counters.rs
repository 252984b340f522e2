//! What an instance's RPC counts: everything that goes another way than the usual one.

use skymesh_agent::{Counted, Counter};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// All counters of one instance's RPC, since it was attached.
        #[derive(Debug, Default)]
        pub struct RpcCounters { $($(#[$doc])* pub $name: Counter,)* }

        impl RpcCounters {
            /// Every counter with its name, in a fixed order.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get())),*]
            }
        }
    };
}

impl Counted for RpcCounters {
    fn counts(&self) -> Vec<(&'static str, u64)> {
        self.all()
    }
}

counters! {
    /// Responses to calls that nobody waits for any more: they were given up, or had ended.
    late_responses,
    /// Responses from another instance than the one that was called; dropped.
    foreign_responses,
    /// Requests, notifies and responses that could not be read.
    malformed,
    /// Requests whose correlation was that of a running one of the same caller; refused.
    duplicate_requests,
    /// Requests and notifies refused because too many handlers were running.
    over_running_limit,
    /// Notifies that were dropped unheard: too many handlers, draining, or an unknown method.
    notifies_dropped,
    /// Notifies whose handler failed: nobody is told.
    notifies_failed,
    /// Handlers that panicked.
    panics,
    /// Handlers dropped because their caller gave the call up.
    cancelled,
    /// Handlers dropped because the connection of their caller ended.
    abandoned,
    /// Handlers dropped at their deadline.
    expired,
    /// Cancels that could not be sent: too many waited for room already.
    cancels_dropped,
    /// Responses that could not be sent: the caller is gone, or does not read.
    responses_undeliverable,
    /// Failures of calls of v1 peers, which have no way to be told.
    v1_failures_untold,
    /// Plain messages and events that nobody reads, as the rest was dropped.
    rest_discarded,
}
