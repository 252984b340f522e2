//! The task that looks at what only time changes: ejected instances, and those that are new no more.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use skymesh_stages::Observed;
use tokio::time::{MissedTickBehavior, interval};

use crate::router::RouterCore;
use crate::runtime::Runtime;

/// How often it looks. A look at a service without stages costs next to nothing.
const EVERY: Duration = Duration::from_secs(1);

/// Has views made anew where there is a reason, until the agent stops.
pub(crate) async fn review(runtime: Arc<Runtime>) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = runtime.stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let routers = runtime.directory.routers();
        let due = routers.iter().filter(|core| is_due(&runtime, core));
        let names: Vec<_> = due.map(|core| core.name.clone()).collect();
        if !names.is_empty() {
            runtime.directory.outdated(names);
        }
    }
}

fn is_due(runtime: &Runtime, core: &RouterCore) -> bool {
    let view = core.view.load();
    let settings = runtime.hot.load().services.stages(&core.name).outliers;
    let mut ejections = core.ejections.lock().unwrap_or_else(PoisonError::into_inner);
    if settings.errors_percent == 0 && ejections.is_empty() {
        return view.slow_start_is_over();
    }
    let observe = |member: &crate::router::ViewMember| Observed {
        handle: member.route.handle.get(),
        error_ppm: member.route.stats.error_ppm(),
    };
    let observed: Vec<Observed> = view.members.iter().map(observe).collect();
    let reviewed = ejections.review(&settings, runtime.elapsed(), &observed);
    drop(ejections);
    for member in &view.members {
        let handle = member.route.handle.get();
        if reviewed.ejected.contains(&handle) {
            let errors = member.route.stats.error_ppm() / 10_000;
            tracing::warn!(instance = %member.record.url, "left out for a while: {errors} % errors");
        }
        if reviewed.readmitted.contains(&handle) {
            member.route.stats.set_error_ppm(0);
            tracing::info!(instance = %member.record.url, "has another chance");
        }
    }
    let changed = !reviewed.ejected.is_empty() || !reviewed.readmitted.is_empty();
    changed || view.slow_start_is_over()
}
