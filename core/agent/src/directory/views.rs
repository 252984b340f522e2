//! Where new views are made: one at a time, on a thread of their own, since preparing a table is a plugin's
//! work. A plugin that does not come back keeps that thread, and its service the view that it has; the other
//! services go on with another thread.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU8, Ordering::SeqCst};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use skymesh_types::ServiceName;
use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Directory;
use crate::router::{Recipe, RouterCore, View};
use crate::runtime::Runtime;

/// How long one view may take before the others go on without it: far more than a table of a hundred
/// thousand instances needs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// For so long the task itself stands still for a view. Most are there sooner than a task is woken, and
/// so whoever was just told of an instance finds it in the router as well.
const AT_ONCE: Duration = Duration::from_millis(2);

type Job = Box<dyn FnOnce() + Send>;

/// It is being made, in time.
const MADE: u8 = 0;
/// It takes too long.
const LATE: u8 = 1;
/// And meanwhile another one is wanted.
const LATE_AND_OUTDATED: u8 = 2;
/// It is there.
const DONE: u8 = 3;

/// A view that is being made.
#[derive(Debug, Clone)]
struct Making {
    stage: Arc<AtomicU8>,
    /// Of the selector that makes it.
    version: u64,
}

impl Directory {
    /// The routers of `names` need new views; see [`build_views`](Self::build_views).
    pub(crate) fn outdated(&self, names: impl IntoIterator<Item = ServiceName>) {
        self.outdated.lock().unwrap_or_else(PoisonError::into_inner).extend(names);
        self.builder.notify_one();
    }

    /// Makes new views wherever the membership has changed, for ever. A burst of changes makes one
    /// new view.
    pub(crate) async fn build_views(&self, runtime: &Arc<Runtime>) {
        let mut bench = None;
        let mut late = HashMap::new();
        loop {
            self.builder.notified().await;
            for name in self.take_outdated() {
                let Some(core) = self.router(&name) else { continue };
                if self.is_waited_for(&mut late, &core) {
                    continue;
                }
                if let Some(making) = build(runtime, &core, &mut bench).await {
                    late.insert(name, making);
                }
            }
        }
    }

    fn take_outdated(&self) -> HashSet<ServiceName> {
        std::mem::take(&mut *self.outdated.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the selector is still at an earlier view. Then it is asked again once it has come back.
    fn is_waited_for(&self, late: &mut HashMap<ServiceName, Making>, core: &RouterCore) -> bool {
        let Some(making) = late.get(&core.name) else { return false };
        let is_late = making.version == core.selector.version()
            && making
                .stage
                .fetch_update(SeqCst, SeqCst, |stage| (stage != DONE).then_some(LATE_AND_OUTDATED))
                .is_ok();
        if !is_late {
            // It is there, or a reload has put another selector in its place.
            late.remove(&core.name);
        }
        is_late
    }

    /// Makes one new view. Runs plugin code: no lock is held.
    fn build_view(&self, runtime: &Arc<Runtime>, core: &RouterCore) {
        let known = self.lock().cache.known(&core.name);
        let stages = runtime.hot.load().services.stages(&core.name);
        let chooser = runtime.chooser();
        let ejections = core.ejections.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let previous = core.view.load();
        let recipe = Recipe {
            selector: &core.selector,
            stages: &stages,
            chooser,
            ejections: &ejections,
            previous: &previous,
        };
        let view = View::new(known, &recipe, |record| self.route_to(runtime, record));
        // A late one must not take the place of one that a newer selector has made meanwhile.
        if core.view.load().selector_version() <= view.selector_version() {
            core.show(view);
        }
        if runtime.stopped.is_cancelled() {
            // It may have come after the end cleared all views.
            core.show(View::loading(&core.selector));
        }
    }
}

/// Has a view made on the bench; answers the making if it takes too long.
async fn build(
    runtime: &Arc<Runtime>,
    core: &Arc<RouterCore>,
    bench: &mut Option<SyncSender<Job>>,
) -> Option<Making> {
    let stage = Arc::new(AtomicU8::new(MADE));
    let making = Making { stage: Arc::clone(&stage), version: core.selector.version() };
    let version = making.version;
    let (done, finished) = oneshot::channel::<()>();
    let (soon, at_once) = sync_channel::<()>(1);
    let (on_bench, its_core) = (Arc::clone(runtime), Arc::clone(core));
    let job: Job = Box::new(move || {
        on_bench.directory.build_view(&on_bench, &its_core);
        let was = stage.swap(DONE, SeqCst);
        if was != MADE {
            tracing::warn!(name = %its_core.name, "the selector's table is there, late");
            its_core.selector.note_late(version, false);
        }
        // One by another selector may have been there just before, and have lost its place to this one.
        if was == LATE_AND_OUTDATED || version < its_core.selector.version() {
            on_bench.directory.outdated([its_core.name.clone()]);
        }
        // Who waited may have gone.
        let _ = soon.send(());
        let _ = done.send(());
    });
    hand_over(bench, job);
    if at_once.recv_timeout(AT_ONCE).is_ok() {
        return None;
    }
    if timeout(PATIENCE, finished).await.is_ok() {
        return None;
    }
    if making.stage.compare_exchange(MADE, LATE, SeqCst, SeqCst).is_err() {
        return None;
    }
    // Nothing can end it: its thread is left to it.
    *bench = None;
    core.selector.note_late(making.version, true);
    let strategy = core.selector.strategy();
    tracing::error!(
        name = %core.name, strategy,
        "the selector has not prepared its table within {PATIENCE:?}: messages go by the one before"
    );
    Some(making)
}

/// Gives a job to the thread, or to a new one.
fn hand_over(bench: &mut Option<SyncSender<Job>>, job: Job) {
    let job = match bench.take() {
        Some(jobs) => match jobs.send(job) {
            Ok(()) => {
                *bench = Some(jobs);
                return;
            }
            Err(unsent) => unsent.0,
        },
        None => job,
    };
    // Never full: each job is waited for, or the thread given up.
    let (jobs, given) = sync_channel::<Job>(1);
    // A route's connection is made by the runtime's tasks.
    let tokio = tokio::runtime::Handle::current();
    let work = move || {
        let _entered = tokio.enter();
        given.into_iter().for_each(|job| job());
    };
    match std::thread::Builder::new().name("skymesh-views".to_owned()).spawn(work) {
        Ok(_) => {
            let _ = jobs.send(job);
            *bench = Some(jobs);
        }
        // The system has no thread: better here than never.
        Err(_) => job(),
    }
}
