//! The life of a sink: it serves on a thread of its own, and another one takes its place while the
//! process goes on. Whoever counts or ends spans notices none of that.
//!
//! What this is not: what a sink is given. That is `metrics.rs` and `export.rs`. Nor the thread, which is
//! `outlet/running.rs`.

mod running;

use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use skymesh_plugin_host::{PluginHost, PluginLoadError, Renewal, SinkRecord, StrategyConfig};

use crate::sinks::TelemetryError;
use running::Running;

/// How long a sink that is replaced or dropped may take over its last batch and its end.
const PATIENCE: Duration = Duration::from_secs(5);

/// What differs between metrics and spans; lives as long as the process shows itself.
pub(crate) trait Outlet: Send + Sync + 'static {
    /// A sink.
    type Slot: Send + Sync + 'static;
    /// Of the thread.
    const NAME: &'static str;

    fn record(slot: &Self::Slot) -> SinkRecord;

    /// As [`Renewal::metrics_for`].
    fn renew(
        self: &Arc<Self>,
        renewal: &Renewal<'_>,
        record: Option<&SinkRecord>,
        strategy: &StrategyConfig,
    ) -> Result<Option<Arc<Self::Slot>>, PluginLoadError>;

    /// As [`PluginHost::metrics_again`].
    fn again(host: &PluginHost, record: &SinkRecord) -> Result<Self::Slot, PluginLoadError>;

    /// Gives the sink what there is, until nobody has orders any more; then what is left.
    fn serve(&self, slot: &Self::Slot, orders: &Receiver<()>);

    /// Has whoever serves look at its orders.
    fn wake(&self) {}

    /// A sink is about to serve.
    fn begin(&self) {}

    /// None serves from now on.
    fn rest(&self) {}
}

/// The place of one sink. Its lock is held to put one there and to take it, and for nothing else.
#[derive(Debug)]
pub(crate) struct Place<O: Outlet> {
    pub(crate) outlet: Arc<O>,
    running: Mutex<Option<Running>>,
}

/// What a reload is to do here.
#[derive(Debug)]
pub(crate) struct Plan {
    make: Make,
    /// What served before.
    from: Option<String>,
    /// What was let go for it already.
    let_go: Option<SinkRecord>,
    /// Why what is optional could not be had.
    pub(crate) fault: Option<String>,
}

#[derive(Debug)]
enum Make {
    /// What serves goes on.
    Same,
    Nothing,
    Fresh(Running),
    /// What served was to make room, is over its end for too long, and does not come back.
    Lost,
    /// It can't be had while the one that serves holds what it needs, it seems.
    AfterOld(StrategyConfig),
}

impl<O: Outlet> Place<O> {
    pub(crate) fn empty(outlet: O) -> Self {
        Self { outlet: Arc::new(outlet), running: Mutex::default() }
    }

    /// Has that sink serve; for the start.
    pub(crate) fn start(&self, slot: O::Slot) -> Result<(), TelemetryError> {
        self.put(Running::new(&self.outlet, Arc::new(slot))?);
        Ok(())
    }

    /// Has it look at its orders, and so do at once what it does at intervals.
    pub(crate) fn nudge(&self) {
        if let Some(running) = &*self.lock() {
            running.nudge();
        }
        self.outlet.wake();
    }

    /// What ends it, with what is left, and waits as long as the plugin does. Nothing serves here from
    /// now on.
    pub(crate) fn ending(&self) -> impl FnOnce() + Send + use<O> {
        let (running, outlet) = (self.lock().take(), Arc::clone(&self.outlet));
        move || {
            if let Some(running) = running {
                outlet.rest();
                running.join(&*outlet);
            }
        }
    }

    /// As [`ending`](Self::ending), and at once; one that takes longer than 5 s is left behind.
    pub(crate) fn stop(&self) {
        let running = self.lock().take();
        if let Some(mut running) = running {
            self.outlet.rest();
            if !running.end(&*self.outlet, PATIENCE) {
                let strategy = running.record().strategy();
                tracing::warn!(strategy, "has not ended within {PATIENCE:?} and is left behind");
            }
        }
    }

    /// What serves.
    pub(crate) fn strategy(&self) -> Option<String> {
        self.record().map(|record| record.strategy().to_owned())
    }

    fn record(&self) -> Option<SinkRecord> {
        self.lock().as_ref().map(|running| running.record().clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, running: Running) {
        self.outlet.begin();
        running.nudge();
        *self.lock() = Some(running);
    }

    /// Makes and tries what another configuration asks for, while what serves goes on.
    pub(crate) fn plan(
        &self,
        renewal: &Renewal<'_>,
        strategy: Option<StrategyConfig>,
    ) -> Result<Plan, TelemetryError> {
        let record = self.record();
        let from = record.as_ref().map(|record| record.strategy().to_owned());
        let plan = |make, fault| Plan { make, from, let_go: None, fault };
        let Some(strategy) = strategy else { return Ok(plan(Make::Nothing, None)) };
        match self.outlet.renew(renewal, record.as_ref(), &strategy) {
            Ok(None) => Ok(plan(Make::Same, None)),
            Ok(Some(slot)) => Ok(plan(Make::Fresh(Running::new(&self.outlet, slot)?), None)),
            Err(error) if record.is_some() && error.may_be_for_want_of_room() => {
                Ok(plan(Make::AfterOld(strategy), None))
            }
            Err(error) if strategy.required => Err(error.into()),
            Err(error) => {
                let same = record.is_some_and(|record| record.is_configured_as(&strategy));
                let make = if same { Make::Same } else { Make::Nothing };
                Ok(plan(make, Some(error.to_string())))
            }
        }
    }

    /// Where the new one can't be had beside the one that serves: lets that go first. Should the new one
    /// not be had then either, the old one is made once more.
    ///
    /// # Errors
    /// Why, one line each.
    pub(crate) fn hand_over(
        &self,
        host: &PluginHost,
        renewal: &Renewal<'_>,
        plan: &mut Plan,
    ) -> Result<(), Vec<String>> {
        let Make::AfterOld(strategy) = &plan.make else { return Ok(()) };
        let strategy = strategy.clone();
        plan.make = Make::Same;
        let old = self.lock().take();
        let Some(mut old) = old else { return Ok(()) };
        let record = old.record().clone();
        if !old.end(&*self.outlet, PATIENCE) {
            return self.keep(old, plan);
        }
        plan.let_go = Some(record);
        let made = self.outlet.renew(renewal, None, &strategy).map_err(TelemetryError::from);
        let made =
            made.and_then(|slot| slot.map(|slot| Running::new(&self.outlet, slot)).transpose());
        match made {
            Ok(Some(fresh)) => plan.make = Make::Fresh(fresh),
            Ok(None) => {}
            Err(error) => {
                let mut faults = vec![error.to_string()];
                faults.extend(self.restore(host, plan));
                if strategy.required || faults.len() > 1 {
                    return Err(faults);
                }
                plan.fault = faults.pop();
            }
        }
        Ok(())
    }

    /// What serves has not ended in time. Where it is at a batch it serves on, and all is as it was; where
    /// it is at its end nothing can stop that, and the reload goes on without it.
    fn keep(&self, mut old: Running, plan: &mut Plan) -> Result<(), Vec<String>> {
        let name = old.record().strategy().to_owned();
        if old.recall() {
            *self.lock() = Some(old);
            return Err(vec![format!(
                "{name} has had a batch for {PATIENCE:?} and has not let go of what the new one needs; \
                 it serves on: reload again once it has come back, or restart"
            )]);
        }
        self.outlet.rest();
        plan.make = Make::Lost;
        plan.fault = Some(format!(
            "{name} has not ended within {PATIENCE:?}, and holds what the new one needs; nothing is \
             shown: reload again once it has ended, or restart"
        ));
        Ok(())
    }

    /// The reload comes to nothing: what was let go for it is made once more. Answers why not, if not.
    pub(crate) fn restore(&self, host: &PluginHost, plan: &mut Plan) -> Option<String> {
        match std::mem::replace(&mut plan.make, Make::Same) {
            Make::Fresh(mut fresh) => drop(fresh.end(&*self.outlet, PATIENCE)),
            Make::Lost => return plan.fault.take(),
            Make::Same | Make::Nothing | Make::AfterOld(_) => {}
        }
        let record = plan.let_go.take()?;
        let again = O::again(host, &record).map_err(TelemetryError::from);
        match again.and_then(|slot| self.start(slot)) {
            Ok(()) => None,
            Err(error) => {
                self.outlet.rest();
                Some(format!("the one before can't be had again, nothing is shown: {error}"))
            }
        }
    }

    /// Has it take effect. Answers what serves before and now, if that differs; and what is late.
    pub(crate) fn apply(&self, plan: Plan) -> (Option<[String; 2]>, Option<String>) {
        let Plan { make, from, mut fault, .. } = plan;
        let none = || "none".to_owned();
        let (fresh, to) = match make {
            Make::Same | Make::AfterOld(_) => return (None, fault),
            Make::Nothing | Make::Lost => (None, none()),
            Make::Fresh(fresh) => {
                let name = fresh.record().strategy().to_owned();
                (Some(fresh), name)
            }
        };
        let old = self.lock().take();
        let was_there = from.is_some();
        if fresh.is_none() {
            self.outlet.rest();
        }
        if let Some(mut old) = old
            && !old.end(&*self.outlet, PATIENCE)
        {
            let name = from.as_deref().unwrap_or_default();
            fault = Some(format!("{name} has not ended within {PATIENCE:?} and is left behind"));
        }
        let Some(fresh) = fresh else {
            return (was_there.then(|| [from.unwrap_or_default(), to]), fault);
        };
        self.put(fresh);
        (Some([from.unwrap_or_else(none), to]), fault)
    }
}

impl<O: Outlet> Drop for Place<O> {
    fn drop(&mut self) {
        self.stop();
    }
}
