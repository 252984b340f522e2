//! Where an election plugin is asked: on a thread of its own, one ballot at a time, so that one that does
//! not come back holds up neither the registry nor other plugins' elections. An answer counts if it comes
//! in time and the ballot is still the same; what comes later is dropped.
//!
//! What this is not: the judge of the plugin, which its slot is.

use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use skymesh_naming::Input;
use skymesh_naming::election::{Ballot, BallotEntry};
use skymesh_plugin_host::{ElectionCandidate, ElectionSlot, Office, Verdict};
use skymesh_types::ServiceName;
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::keeper::Event;

/// How long the registry stands still for an answer: a good algorithm takes microseconds, and its thread may
/// have to wait for a core. A tenth of the shortest lease.
const GLANCE: Duration = Duration::from_millis(100);

/// How long a ballot is waited for, while all is as it was, before the built-in rule decides. A hundred times
/// the default budget, which slow ones are quarantined by; and a third of the default lease, as nobody may
/// lead meanwhile.
const PATIENCE: Duration = Duration::from_secs(2);

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

#[derive(Debug, Default)]
enum Desk {
    #[default]
    Free,
    /// Until the plugin comes back, however long that takes.
    Asked(Asked),
    /// Nobody has heard it yet.
    Answered(Arc<Question>, Verdict),
}

#[derive(Debug)]
struct Asked {
    question: Arc<Question>,
    /// Whose elections go on when there is an answer; who asked is the first.
    waiting: Vec<ServiceName>,
    /// Nobody waits for it any more.
    given_up: bool,
}

/// A ballot, less what changes by the clock alone.
#[derive(Debug, PartialEq)]
struct Question {
    name: ServiceName,
    ballot: Ballot,
}

impl Question {
    fn new(name: &ServiceName, ballot: &Ballot) -> Self {
        let candidates = ballot.candidates.iter().cloned();
        let timeless = |entry| BallotEntry { silent_for: Duration::ZERO, ..entry };
        let ballot = Ballot {
            candidates: candidates.map(timeless).collect(),
            now: Duration::ZERO,
            led_for: Duration::ZERO,
            ..*ballot
        };
        Self { name: name.clone(), ballot }
    }
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
        events: &mpsc::Sender<Event>,
    ) -> Answer {
        let question = Arc::new(Question::new(name, ballot));
        {
            let mut desk = self.shared.desk();
            match &mut *desk {
                Desk::Answered(known, verdict) if *known == question => {
                    let verdict = *verdict;
                    *desk = Desk::Free;
                    return Answer::Is(verdict);
                }
                Desk::Asked(asked) if asked.given_up => return Answer::Is(Verdict::Builtin),
                Desk::Asked(asked) => {
                    asked.wait(name);
                    return Answer::Later;
                }
                Desk::Free | Desk::Answered(..) => {}
            }
            let asked = Arc::clone(&question);
            *desk = Desk::Asked(Asked { question: asked, waiting: Vec::new(), given_up: false });
        }
        if let Err(error) = self.begin(&question, ballot, events) {
            tracing::warn!(%error, "no thread to ask an election plugin on: the built-in rule decides");
            *self.shared.desk() = Desk::Free;
            return Answer::Is(Verdict::Builtin);
        }
        self.glance(name, question, events)
    }

    /// Has the plugin asked, on a thread that nobody has to wait for.
    fn begin(
        &self,
        question: &Arc<Question>,
        ballot: &Ballot,
        events: &mpsc::Sender<Event>,
    ) -> std::io::Result<()> {
        // In the order of the instance ids, which the plugin's candidates have as well.
        let mut candidates: Vec<_> = ballot.candidates.iter().map(candidate).collect();
        let office = office(ballot);
        let (shared, question) = (Arc::clone(&self.shared), Arc::clone(question));
        let (events, log) = (events.clone(), tracing::dispatcher::get_default(Clone::clone));
        let work = move || {
            let elect = || shared.slot.elect(&mut candidates, &office);
            let verdict = tracing::dispatcher::with_default(&log, elect);
            for name in shared.came_back(question, verdict) {
                // Without a keeper there is nobody to tell.
                let _ = events.blocking_send(Event::Input(Input::AskAgain(name)));
            }
        };
        std::thread::Builder::new().name("skymesh-election".to_owned()).spawn(work).map(|_| ())
    }

    /// Takes the answer if it is there in a moment.
    fn glance(
        &self,
        name: &ServiceName,
        question: Arc<Question>,
        events: &mpsc::Sender<Event>,
    ) -> Answer {
        let is_out = |desk: &mut Desk| matches!(desk, Desk::Asked(_));
        let waited = self.shared.answered.wait_timeout_while(self.shared.desk(), GLANCE, is_out);
        let (mut desk, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if let Desk::Asked(asked) = &mut *desk {
            asked.wait(name);
            drop(desk);
            // One that is replaced meanwhile is not kept for it, nor ended by it.
            let (shared, events) = (Arc::downgrade(&self.shared), events.clone());
            tokio::spawn(async move {
                sleep(PATIENCE).await;
                let unheard = shared.upgrade().map(|shared| shared.give_up(&question));
                for name in unheard.unwrap_or_default() {
                    let _ = events.send(Event::Input(Input::AskAgain(name))).await;
                }
            });
            return Answer::Later;
        }
        match mem::take(&mut *desk) {
            Desk::Answered(_, verdict) => Answer::Is(verdict),
            Desk::Free | Desk::Asked(_) => Answer::Is(Verdict::Builtin),
        }
    }
}

impl Shared {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The plugin has answered. Answers whose elections waited for that.
    fn came_back(&self, question: Arc<Question>, verdict: Verdict) -> Vec<ServiceName> {
        let mut desk = self.desk();
        let Desk::Asked(asked) = mem::take(&mut *desk) else { return Vec::new() };
        if asked.given_up {
            self.slot.note_late(false);
        } else {
            *desk = Desk::Answered(question, verdict);
            self.answered.notify_all();
        }
        asked.waiting
    }

    /// Nobody waits for that answer any more, if it is not there yet. Answers whose elections did.
    fn give_up(&self, question: &Arc<Question>) -> Vec<ServiceName> {
        let mut desk = self.desk();
        let asked = match &mut *desk {
            Desk::Asked(asked) if Arc::ptr_eq(&asked.question, question) => asked,
            _ => return Vec::new(),
        };
        asked.given_up = true;
        let waiting = mem::take(&mut asked.waiting);
        self.slot.note_late(true);
        drop(desk);
        let (strategy, service) = (self.slot.strategy(), &question.name);
        tracing::warn!(
            strategy,
            %service,
            "it has had a ballot for {PATIENCE:?}: the built-in rule decides until it comes back, or a reload"
        );
        waiting
    }
}

impl Asked {
    fn wait(&mut self, name: &ServiceName) {
        if !self.waiting.contains(name) {
            self.waiting.push(name.clone());
        }
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

#[cfg(test)]
mod tests {
    use skymesh_naming::election::Term;
    use skymesh_types::{Handle, InstanceId};

    use super::*;

    fn ballot(instances: u64, silent_ms: u64) -> Ballot {
        let entry = |id| BallotEntry {
            instance: InstanceId::new(id).unwrap(),
            handle: Handle::new(id + 10).unwrap(),
            attributes: Arc::default(),
            priority: 0,
            joined: id,
            silent_for: Duration::from_millis(silent_ms),
            suspect: false,
            draining: false,
        };
        let candidates = (1..=instances).map(entry).collect();
        let (now, led_for) = (Duration::from_millis(silent_ms), Duration::ZERO);
        Ballot { candidates, incumbent: None, term: Term(7), now, led_for }
    }

    fn name(service: &str) -> ServiceName {
        format!("app.env.{service}").parse().unwrap()
    }

    /// A booth whose plugin is busy with a ballot of one candidate for the room.
    fn busy() -> (Booth, Arc<Question>) {
        let question = Arc::new(Question::new(&name("room"), &ballot(1, 0)));
        let (asked, waiting) = (Arc::clone(&question), Vec::new());
        let booth = Booth::new(ElectionSlot::builtin());
        *booth.shared.desk() = Desk::Asked(Asked { question: asked, waiting, given_up: false });
        (booth, question)
    }

    #[tokio::test]
    async fn an_answer_is_for_the_very_ballot_whatever_the_clock_says() {
        let chosen = Verdict::Chosen(Some(0));
        let (events, _queue) = mpsc::channel(8);
        // (whose ballot, of how many, what is heard once the room's ballot of one is answered)
        let cases = [
            ("room", 1, Answer::Is(chosen)),
            ("room", 2, Answer::Is(Verdict::Builtin)),
            ("hall", 1, Answer::Is(Verdict::Builtin)),
        ];
        for (service, candidates, heard) in cases {
            let (booth, question) = busy();
            let name = name(service);
            for _ in 0..2 {
                let answer = booth.ask(&name, &ballot(candidates, 3), &events);
                assert_eq!(answer, Answer::Later, "one ballot at a time");
            }
            assert_eq!(booth.shared.came_back(question, chosen), std::slice::from_ref(&name));
            assert_eq!(booth.ask(&name, &ballot(candidates, 400), &events), heard, "{name}");
            assert!(matches!(*booth.shared.desk(), Desk::Free), "heard once");
        }
    }

    #[tokio::test]
    async fn what_comes_back_late_is_dropped_and_the_plugin_is_asked_again_then() {
        let (events, _queue) = mpsc::channel(8);
        let (booth, question) = busy();
        let ask = |service| booth.ask(&name(service), &ballot(1, 0), &events);
        assert_eq!((ask("room"), ask("hall")), (Answer::Later, Answer::Later));
        assert_eq!(booth.shared.give_up(&question), [name("room"), name("hall")]);
        assert_eq!(ask("room"), Answer::Is(Verdict::Builtin));
        assert!(booth.shared.give_up(&question).is_empty(), "they heard of it");

        let chosen = Verdict::Chosen(Some(0));
        assert!(booth.shared.came_back(Arc::clone(&question), chosen).is_empty());
        assert!(matches!(*booth.shared.desk(), Desk::Free));
        // That of a ballot before is no word on one that is out.
        let (booth, _) = busy();
        assert!(booth.shared.give_up(&question).is_empty());
        assert!(matches!(&*booth.shared.desk(), Desk::Asked(asked) if !asked.given_up));
    }
}
