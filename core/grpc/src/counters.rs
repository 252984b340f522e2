//! What an instance's virtual connections count: everything that goes another way than the usual.

use skymesh_agent::{Counted, Counter};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// All counters of one instance's virtual connections, since it was attached.
        #[derive(Debug, Default)]
        pub struct GrpcCounters { $($(#[$doc])* pub $name: Counter,)* }

        impl GrpcCounters {
            /// Every counter with its name, in a fixed order.
            pub fn all(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name.get())),*]
            }
        }
    };
}

impl Counted for GrpcCounters {
    fn counts(&self) -> Vec<(&'static str, u64)> {
        self.all()
    }
}

counters! {
    /// Connections refused: nobody serves here, or there are too many.
    refused,
    /// Segments for a connection that is not there; their sender was told.
    unknown_connection,
    /// Connections that broke because a segment was missing.
    gaps,
    /// Connections that broke because the peer sent more than it may.
    overruns,
    /// Connections closed because nothing happened on them for long.
    idle_closed,
    /// Messages of this protocol that could not be read; dropped.
    malformed,
    /// Refusals that could not be sent, as there was no room: the peer finds out later.
    refusals_unsent,
    /// Plain messages and events of other protocols, which nobody reads here.
    discarded,
}
