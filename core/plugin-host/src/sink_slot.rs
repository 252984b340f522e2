//! The places of a metrics sink and of a trace exporter in the core. Whatever a sink does costs its
//! own batch, and no message.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use skymesh_plugin_api::abi::host::{MetricsInstance, TraceInstance};
use skymesh_plugin_api::{ErrorKind, MetricsBatch, PluginError, TraceBatch};

use crate::clock;
use crate::config::StrategyConfig;
use crate::failure::Failure;
use crate::host::Made;
use crate::kept::Kept;
use crate::pace::Pace;
use crate::slot::Origin;
use crate::supervision::Supervision;

/// What both kinds have in common.
#[derive(Debug)]
struct Sink<I> {
    /// Dropped at quarantine, with all that it holds: a port that answers on with old values would
    /// look as if all were well. Its lock is never held while the plugin's code runs.
    instance: Mutex<Option<Arc<Kept<I>>>>,
    origin: Origin,
    supervision: Arc<Supervision>,
    /// The last batch was refused, which was said.
    failing: AtomicBool,
}

impl<I> Sink<I> {
    /// Hands a batch over, unless the sink is quarantined. Answers whether it was taken.
    fn hand_over(&self, batch: impl FnOnce(&I) -> Result<(), PluginError>) -> bool {
        let Some(instance) = self.instance().clone() else { return false };
        // Who asks meanwhile sees for how long it has had the batch.
        self.supervision.note_busy(clock::now_ns());
        let begun = Instant::now();
        let answer = batch(&instance);
        let took = begun.elapsed();
        self.supervision.note_idle();
        let budget = self.supervision.budget();
        let now_ns = clock::now_ns();
        if took > budget {
            self.supervision.failed(Failure::Slow(budget), now_ns);
        }
        self.supervision.timed(took);
        let taken = match answer {
            Ok(()) => {
                if took <= budget {
                    self.supervision.succeeded(now_ns);
                }
                if self.failing.swap(false, Relaxed) {
                    tracing::info!(strategy = self.supervision.name(), "takes batches again");
                }
                true
            }
            Err(error) if error.kind() == ErrorKind::Panicked => {
                self.supervision.failed(Failure::Panic, now_ns);
                false
            }
            Err(error) => {
                if !self.failing.swap(true, Relaxed) {
                    tracing::warn!(strategy = self.supervision.name(), %error, "a batch is lost");
                }
                false
            }
        };
        if self.supervision.is_quarantined() {
            let held = self.instance().take();
            drop((held, instance));
        }
        taken
    }

    fn instance(&self) -> MutexGuard<'_, Option<Arc<Kept<I>>>> {
        self.instance.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a sink was made of, and how it does. Keeps nothing of the plugin itself, so that a sink can be let
/// go and made once more.
#[derive(Debug, Clone)]
pub struct SinkRecord {
    pub(crate) origin: Origin,
    supervision: Arc<Supervision>,
}

impl SinkRecord {
    /// As it is named in logs: `library/id` and the library's version.
    pub fn strategy(&self) -> &str {
        self.supervision.name()
    }

    /// Whether it was made of that configuration.
    pub fn is_configured_as(&self, strategy: &StrategyConfig) -> bool {
        self.origin.strategy == *strategy
    }

    /// Whether one of that origin would be the one that serves already. One that is quarantined, or
    /// hangs, does not serve: making it anew is what ends that.
    pub(crate) fn serves(&self, origin: &Origin) -> bool {
        self.origin == *origin && self.supervision.is_fit(clock::now_ns())
    }
}

macro_rules! slot {
    ($(#[$doc:meta])* $name:ident, $instance:ident, $(#[$call_doc:meta])* $call:ident, $batch:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name {
            sink: Sink<$instance>,
        }

        impl $name {
            pub(crate) fn new(made: Made<$instance>) -> Self {
                let Made { instance, supervision, origin } = made;
                let instance = Mutex::new(Some(Arc::new(instance)));
                let failing = AtomicBool::new(false);
                Self { sink: Sink { instance, origin, supervision, failing } }
            }

            $(#[$call_doc])*
            pub fn $call(&self, batch: &$batch<'_>) -> bool {
                self.sink.hand_over(|instance| instance.$call(batch))
            }

            /// As it is named in logs: `library/id` and the library's version.
            pub fn strategy(&self) -> &str {
                self.sink.supervision.name()
            }

            /// What it was made of, and how it does.
            pub fn record(&self) -> SinkRecord {
                let (origin, supervision) = (&self.sink.origin, &self.sink.supervision);
                SinkRecord { origin: origin.clone(), supervision: Arc::clone(supervision) }
            }

            /// How long its batches take.
            pub fn pace(&self) -> Pace {
                self.sink.supervision.pace()
            }

            /// Panics so far, and batches that took longer than its budget.
            pub fn failures(&self) -> u64 {
                self.sink.supervision.failures()
            }

            /// Whether it failed too often: it was dropped, and gets nothing more until a reload.
            pub fn is_quarantined(&self) -> bool {
                self.sink.supervision.is_quarantined()
            }
        }
    };
}

slot! {
    /// The metrics sink that a configuration names.
    MetricsSlot, MetricsInstance,
    /// Hands all values over, and waits as long as the plugin does: never on the message path.
    /// Answers whether they were taken. A refusal is logged when it begins and when it ends; panics
    /// and batches that take too long count towards quarantine.
    flush, MetricsBatch
}

slot! {
    /// The trace exporter that a configuration names.
    TraceSlot, TraceInstance,
    /// Hands finished spans over, and waits as long as the plugin does: never on the message path.
    /// Answers whether they were taken; else they are lost. A refusal is logged when it begins and
    /// when it ends; panics and batches that take too long count towards quarantine.
    export, TraceBatch
}
