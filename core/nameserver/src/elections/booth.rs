//! Where an election plugin is asked: on a thread of its own, one ballot after the other, so that one that does
//! not come back holds up neither the registry nor other plugins' elections. An answer counts if it comes
//! in time and the ballot is still the same; what comes later is dropped.
//!
//! What this is not: the judge of the plugin, which its slot is; nor who says whose turn it is, which
//! `elections/desk.rs` does.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skymesh_naming::Input;
use skymesh_naming::election::{Ballot, BallotEntry};
use skymesh_plugin_host::{ElectionCandidate, ElectionSlot, Office, Verdict};
use skymesh_types::ServiceName;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::desk::{Back, Desk, PATIENCE, Put, Swept};
use super::stillness::Stillness;
use crate::keeper::Event;

/// The place of one plugin. Cheap to clone; clones share it.
#[derive(Debug, Clone)]
pub(super) struct Booth {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    slot: ElectionSlot,
    desk: Mutex<Desk>,
    /// Told of each answer.
    answered: Condvar,
}

/// What comes of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Is(Verdict),
    /// The plugin is busy: let all be as it is. The registry is told to ask again.
    Later,
}

impl Booth {
    pub(super) fn new(slot: ElectionSlot) -> Self {
        let (desk, answered) = (Mutex::default(), Condvar::new());
        Self { shared: Arc::new(Shared { slot, desk, answered }) }
    }

    pub(super) fn slot(&self) -> &ElectionSlot {
        &self.shared.slot
    }

    /// Puts a ballot to the plugin, or hears what it said of it. Must be called within a tokio runtime.
    pub(super) fn ask(
        &self,
        name: &ServiceName,
        ballot: &Ballot,
        stillness: &mut Stillness,
        events: &mpsc::Sender<Event>,
    ) -> Answer {
        let put = self.shared.desk().put(name, ballot, Instant::now());
        let verdict = match put {
            Put::Is(verdict) => Some(verdict),
            Put::Later => None,
            Put::Ask(ballot) => match self.begin(ballot, events) {
                Ok(()) => self.glance(name, stillness),
                Err(error) => {
                    tracing::warn!(%error, "no thread to ask an election plugin on: the built-in rule decides");
                    self.shared.desk().withdraw(name);
                    Some(Verdict::Builtin)
                }
            },
        };
        verdict.map_or_else(
            || {
                self.watch(events);
                Answer::Later
            },
            Answer::Is,
        )
    }

    /// Has the plugin asked, on a thread that nobody has to wait for, and all that waits by then.
    fn begin(&self, first: Arc<Ballot>, events: &mpsc::Sender<Event>) -> std::io::Result<()> {
        let (shared, events) = (Arc::clone(&self.shared), events.clone());
        let log = tracing::dispatcher::get_default(Clone::clone);
        let work = move || {
            let mut next = Some(first);
            while let Some(ballot) = next {
                let verdict = tracing::dispatcher::with_default(&log, || shared.elect(&ballot));
                let back = shared.come_back(verdict);
                next = back.next;
                if let Some(name) = back.tell
                    && events.blocking_send(ask_again(name)).is_err()
                {
                    // Without a keeper nobody waits.
                    return;
                }
            }
        };
        std::thread::Builder::new().name("skymesh-election".to_owned()).spawn(work).map(|_| ())
    }

    /// Takes the answer if it is there in a moment.
    fn glance(&self, name: &ServiceName, stillness: &mut Stillness) -> Option<Verdict> {
        let most = stillness.left(Instant::now());
        let is_out = |desk: &mut Desk| desk.has(name);
        let waited = self.shared.answered.wait_timeout_while(self.shared.desk(), most, is_out);
        let (mut desk, _) = waited.unwrap_or_else(PoisonError::into_inner);
        stillness.stood(Instant::now());
        desk.look(name)
    }

    /// Sees to it that nobody waits for too long. One task does, while anybody waits.
    fn watch(&self, events: &mpsc::Sender<Event>) {
        if !self.shared.desk().watch() {
            return;
        }
        // A plugin that is replaced meanwhile is not kept for that.
        let (shared, events) = (Arc::downgrade(&self.shared), events.clone());
        tokio::spawn(async move {
            let mut at = Instant::now() + PATIENCE;
            loop {
                sleep_until(at).await;
                let Some(swept) = shared.upgrade().map(|shared| shared.sweep()) else { return };
                for name in swept.tell {
                    let _ = events.send(ask_again(name)).await;
                }
                let Some(next) = swept.next else { return };
                at = next;
            }
        });
    }
}

fn ask_again(name: ServiceName) -> Event {
    Event::Input(Input::AskAgain(name))
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn elect(&self, ballot: &Ballot) -> Verdict {
        // In the order of the instance ids, which the plugin's candidates have as well.
        let mut candidates: Vec<_> = ballot.candidates.iter().map(candidate).collect();
        self.slot.elect(&mut candidates, &office(ballot))
    }

    /// The plugin has answered.
    fn come_back(&self, verdict: Verdict) -> Back {
        let mut desk = self.desk();
        let back = desk.come_back(verdict, Instant::now());
        if back.late {
            self.slot.note_late(false);
        }
        self.answered.notify_all();
        back
    }

    fn sweep(&self) -> Swept {
        let mut desk = self.desk();
        let swept = desk.sweep(Instant::now());
        if swept.given_up.is_some() {
            // Within the lock, as it may come back.
            self.slot.note_late(true);
        }
        drop(desk);
        let strategy = self.slot.strategy();
        if let Some(service) = &swept.given_up {
            tracing::warn!(
                strategy,
                %service,
                "it has had a ballot for {PATIENCE:?}: the built-in rule decides until it comes back, or a reload"
            );
        } else if !swept.tell.is_empty() {
            let elections = swept.tell.len();
            tracing::warn!(
                strategy,
                elections,
                "they have waited for it for {PATIENCE:?}, behind others: the built-in rule decides these"
            );
        }
        swept
    }
}

fn candidate(entry: &BallotEntry) -> ElectionCandidate {
    ElectionCandidate {
        instance: entry.instance.get(),
        handle: entry.handle.get(),
        attributes: String::from_utf8(entry.attributes.to_json())
            .expect("invariant: JSON text is UTF-8"),
        priority: entry.priority,
        joined: entry.joined,
        last_heard_ago_ns: nanoseconds(entry.silent_for),
        suspect: entry.suspect,
        draining: entry.draining,
    }
}

fn office(ballot: &Ballot) -> Office {
    let incumbent = ballot.incumbent.and_then(|index| ballot.candidates.get(index));
    Office {
        incumbent: incumbent.map(|entry| entry.handle.get()),
        term: ballot.term.0,
        now_ns: nanoseconds(ballot.now),
        led_for_ns: nanoseconds(ballot.led_for),
    }
}

/// 584 years at most.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
