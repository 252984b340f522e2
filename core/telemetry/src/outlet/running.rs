//! The thread of one sink: it serves from its first order on, ends when there are no orders any more, and
//! can be called back from that as long as it has not come to its end.

use std::convert::Infallible;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use skymesh_plugin_host::SinkRecord;

use super::Outlet;
use crate::sinks::TelemetryError;

/// A thread with its sink, which waits for its first order before it serves.
#[derive(Debug)]
pub(super) struct Running {
    /// `None` once it is to end.
    orders: Option<SyncSender<()>>,
    after: Arc<Mutex<After>>,
    ended: Receiver<Infallible>,
    thread: JoinHandle<()>,
    record: SinkRecord,
}

/// What comes after the last order.
#[derive(Debug, Default)]
enum After {
    #[default]
    End,
    /// It was called back, and these are its orders.
    Serve(Receiver<()>),
    /// It is too late: the sink is being dropped.
    Over,
}

impl Running {
    pub(super) fn new<O: Outlet>(
        outlet: &Arc<O>,
        slot: Arc<O::Slot>,
    ) -> Result<Self, TelemetryError> {
        let (orders, ordered) = sync_channel(1);
        let (alive, ended) = sync_channel(0);
        let record = O::record(&slot);
        let (outlet, after) = (Arc::clone(outlet), Arc::<Mutex<After>>::default());
        let of_thread = Arc::clone(&after);
        let serve = move || {
            let mut next = Some(ordered);
            while let Some(ordered) = next.take() {
                // Without a first order it was made in vain.
                if ordered.recv().is_ok() {
                    outlet.serve(&slot, &ordered);
                }
                let mut after = lock(&of_thread);
                if let After::Serve(again) = std::mem::replace(&mut *after, After::Over) {
                    *after = After::End;
                    next = Some(again);
                }
            }
            drop(slot);
            drop(alive);
        };
        let thread = std::thread::Builder::new().name(O::NAME.to_owned()).spawn(serve)?;
        Ok(Self { orders: Some(orders), after, ended, thread, record })
    }

    /// What its sink was made of.
    pub(super) fn record(&self) -> &SinkRecord {
        &self.record
    }

    /// Has it serve, or do at once what it does at intervals.
    pub(super) fn nudge(&self) {
        if let Some(orders) = &self.orders {
            // Full: it has an order anyway, after this.
            let _ = orders.try_send(());
        }
    }

    /// Has it end. Answers whether it has, its sink dropped.
    pub(super) fn end(&mut self, outlet: &impl Outlet, patience: Duration) -> bool {
        // It never says anything: it ends, or is waited for in vain.
        self.leave(outlet) && self.ended.recv_timeout(patience) != Err(RecvTimeoutError::Timeout)
    }

    /// Has it end, and waits for that as long as the plugin does.
    pub(super) fn join(mut self, outlet: &impl Outlet) {
        if self.leave(outlet) {
            // A panic of it has been said by the panic hook.
            let _ = self.thread.join();
        }
    }

    /// Gives no more orders. Answers whether its end can be waited for.
    fn leave(&mut self, outlet: &impl Outlet) -> bool {
        self.orders = None;
        outlet.wake();
        // A source may have been the last to hold this, and be dropped by the flush itself.
        self.thread.thread().id() != std::thread::current().id()
    }

    /// After an [`end`](Self::end) in vain: has it serve on once it comes back from where it is. Answers
    /// whether it will; else it is at its end.
    pub(super) fn recall(&mut self) -> bool {
        let mut after = lock(&self.after);
        if matches!(*after, After::Over) {
            return false;
        }
        let (orders, ordered) = sync_channel(1);
        // The first one; there is room.
        let _ = orders.try_send(());
        *after = After::Serve(ordered);
        drop(after);
        self.orders = Some(orders);
        true
    }
}

fn lock(after: &Mutex<After>) -> MutexGuard<'_, After> {
    after.lock().unwrap_or_else(PoisonError::into_inner)
}
