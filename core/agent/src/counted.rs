//! What protocols on top of messages count, shown by service. The count of a service never falls: what
//! was counted stays when who counted it is gone.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use skymesh_telemetry::catalogue::Metric;

/// From how many counting protocols on those that are gone are looked for when one more comes: a process
/// whose metrics nobody looks at is not to keep them.
const SWEEP_FROM: usize = 16;

/// Who counts events for one instance, such as its RPC.
pub trait Counted: Send + Sync {
    /// Every count so far by the name of its event, in a fixed order. Must not fall, nor wait: it is
    /// asked at each flush of metrics, under a lock.
    fn counts(&self) -> Vec<(&'static str, u64)>;
}

/// All that is counted for the instances of one service.
#[derive(Default)]
pub(crate) struct Accounts(Mutex<BTreeMap<&'static str, Account>>);

/// What is shown as one metric.
struct Account {
    metric: &'static Metric,
    open: Vec<Arc<dyn Counted>>,
    sweep_from: usize,
    /// Of those that are gone.
    closed: BTreeMap<&'static str, u64>,
}

impl Accounts {
    /// From now on its counts are shown as `metric`.
    pub(crate) fn open(&self, metric: &'static Metric, counted: Arc<dyn Counted>) {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let account = accounts.entry(metric.name).or_insert_with(|| Account::of(metric));
        if account.open.len() >= account.sweep_from {
            account.sweep();
            account.sweep_from = SWEEP_FROM.max(2 * account.open.len());
        }
        account.open.push(counted);
    }

    /// The sums, by metric and event.
    pub(crate) fn sums(&self) -> Vec<(&'static Metric, &'static str, u64)> {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let sums = accounts.values_mut().flat_map(|account| {
            account.sweep();
            let mut sums = account.closed.clone();
            account.open.iter().for_each(|one| add(&mut sums, &**one));
            sums.into_iter().map(|(event, count)| (account.metric, event, count))
        });
        sums.collect()
    }
}

impl Account {
    fn of(metric: &'static Metric) -> Self {
        Self { metric, open: Vec::new(), sweep_from: SWEEP_FROM, closed: BTreeMap::new() }
    }

    fn sweep(&mut self) {
        let Self { open, closed, .. } = self;
        open.retain_mut(|one| {
            // Nobody else has it: its counts are final.
            let gone = Arc::get_mut(one).is_some();
            if gone {
                add(closed, &**one);
            }
            !gone
        });
    }
}

fn add(sums: &mut BTreeMap<&'static str, u64>, counted: &dyn Counted) {
    for (event, count) in counted.counts() {
        *sums.entry(event).or_default() += count;
    }
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Accounts")
    }
}

#[cfg(test)]
mod tests {
    use skymesh_telemetry::catalogue::{GRPC_EVENTS, RPC_EVENTS};

    use super::*;
    use crate::counters::Counter;

    #[derive(Default)]
    struct Falls(Counter);

    impl Counted for Falls {
        fn counts(&self) -> Vec<(&'static str, u64)> {
            vec![("fell", self.0.get()), ("rose", 0)]
        }
    }

    #[test]
    fn counts_add_up_and_stay_when_who_counted_is_gone() {
        let accounts = Accounts::default();
        let all: Vec<Arc<Falls>> = (0..100).map(|_| Arc::default()).collect();
        for one in &all {
            accounts.open(&RPC_EVENTS, Arc::clone(one) as Arc<dyn Counted>);
            one.0.add(2);
        }
        let other = Arc::<Falls>::default();
        accounts.open(&GRPC_EVENTS, Arc::clone(&other) as Arc<dyn Counted>);
        other.0.add(1);
        let expected = [
            (&GRPC_EVENTS, "fell", 1),
            (&GRPC_EVENTS, "rose", 0),
            (&RPC_EVENTS, "fell", 200),
            (&RPC_EVENTS, "rose", 0),
        ];
        assert_eq!(accounts.sums(), expected);
        drop(all);
        assert_eq!(accounts.sums(), expected);
    }

    #[test]
    fn who_is_gone_is_not_kept_though_nobody_asks() {
        let accounts = Accounts::default();
        for _ in 0..1000 {
            accounts.open(&RPC_EVENTS, Arc::<Falls>::default());
        }
        let open = accounts.0.lock().unwrap()[RPC_EVENTS.name].open.len();
        assert!(open <= SWEEP_FROM, "{open}");
    }
}
