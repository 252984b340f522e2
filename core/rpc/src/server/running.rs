//! The handlers that run, so that a caller can take its call back. Handlers that end without ever
//! waiting never come here.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skymesh_types::Handle;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use super::Reply;
use crate::outgoing::NOTIFY;
use crate::shared::Shared;

/// See the module.
#[derive(Debug)]
pub(crate) struct Running {
    limit: usize,
    state: Mutex<State>,
    /// Nothing new is started.
    draining: AtomicBool,
    idle: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Handlers that run, notifies among them.
    count: usize,
    last_serial: u64,
    /// Requests by caller and correlation.
    requests: HashMap<(Handle, u64), Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Tells it from another of the same caller and correlation.
    serial: u64,
    task: AbortHandle,
    /// For whoever learns that the handler was dropped.
    reply: Reply,
}

impl Running {
    pub(crate) fn new(limit: usize) -> Self {
        let (draining, idle) = (AtomicBool::new(false), Notify::new());
        Self { limit, state: Mutex::default(), draining, idle }
    }

    /// Whether one more handler may run.
    pub(crate) fn has_room(&self) -> bool {
        self.lock().count < self.limit
    }

    /// Whether that call of that caller runs.
    pub(crate) fn contains(&self, source: Handle, correlation: u64) -> bool {
        correlation != NOTIFY && self.lock().requests.contains_key(&(source, correlation))
    }

    /// Runs `task`, which answers by `reply`, in a task of its own.
    pub(crate) fn spawn(
        shared: &Arc<Shared>,
        reply: Reply,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let running = &shared.running;
        let key @ (_, correlation) = reply.key();
        let mut state = running.lock();
        state.count += 1;
        state.last_serial += 1;
        let serial = state.last_serial;
        let finish = Finish { shared: Arc::clone(shared), key, serial };
        // Under the lock, so that it is noted before it can end. The task runs elsewhere.
        let task = tokio::spawn(async move {
            let _finish = finish;
            task.await;
        });
        if correlation != NOTIFY {
            let entry = Entry { serial, task: task.abort_handle(), reply };
            state.requests.insert(key, entry);
        }
    }

    /// Drops the handler of a call. Answers whether it ran.
    pub(crate) fn cancel(&self, source: Handle, correlation: u64) -> bool {
        let entry = self.lock().requests.remove(&(source, correlation));
        entry.inspect(|entry| entry.task.abort()).is_some()
    }

    /// Drops all handlers of calls of `source`; answers how it could be told.
    pub(crate) fn abandon(&self, source: Handle) -> Vec<Reply> {
        let mut state = self.lock();
        let theirs = state.requests.extract_if(|(caller, _), _| *caller == source);
        let dropped: Vec<Entry> = theirs.map(|(_, entry)| entry).collect();
        drop(state);
        let abort = |entry: Entry| {
            entry.task.abort();
            entry.reply
        };
        dropped.into_iter().map(abort).collect()
    }

    /// Drops all handlers.
    pub(crate) fn abort_all(&self) {
        let requests = std::mem::take(&mut self.lock().requests);
        requests.into_values().for_each(|entry| entry.task.abort());
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(SeqCst)
    }

    /// Starts nothing new from now on, and waits until what runs has ended. Cancel safe.
    pub(crate) async fn drain(&self) {
        self.draining.store(true, SeqCst);
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            // Registered before the look, so that an end in between is not missed.
            idle.as_mut().enable();
            if self.lock().count == 0 {
                return;
            }
            idle.await;
        }
    }

    fn finish(&self, key: (Handle, u64), serial: u64) {
        let mut state = self.lock();
        state.count -= 1;
        let last = state.count == 0;
        if state.requests.get(&key).is_some_and(|entry| entry.serial == serial) {
            state.requests.remove(&key);
        }
        drop(state);
        if last {
            self.idle.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every step under the lock is whole, so a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes a handler off the list, however it ends.
struct Finish {
    shared: Arc<Shared>,
    key: (Handle, u64),
    serial: u64,
}

impl Drop for Finish {
    fn drop(&mut self) {
        self.shared.running.finish(self.key, self.serial);
    }
}
