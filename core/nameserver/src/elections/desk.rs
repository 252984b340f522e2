//! Whose ballot a plugin has, whose wait for it, since when, and what it said of which. Knows no plugin, no
//! thread and no clock.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use skymesh_naming::election::{Ballot, BallotEntry};
use skymesh_plugin_host::Verdict;
use skymesh_types::ServiceName;
use tokio::time::Instant;

/// How long an election waits for its answer, behind others as well, and however its ballot changes, before
/// the built-in rule decides. A hundred times the default budget, which slow ones are quarantined by; and a
/// third of the default lease, as nobody may lead meanwhile.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// How often is looked at most for those who have waited long enough: all are looked at each time.
const STEP: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Desk {
    out: Option<Out>,
    /// Each name once; bounded by the registry's.
    cases: BTreeMap<ServiceName, Case>,
    /// Whose ballots wait, the first first. Some may wait no more.
    queue: VecDeque<ServiceName>,
    /// Somebody is to call [`sweep`](Self::sweep).
    watched: bool,
}

/// What the plugin has, until it comes back, however long that takes.
#[derive(Debug)]
struct Out {
    name: ServiceName,
    since: Instant,
    /// Nobody waits for it any more.
    given_up: bool,
}

/// An election that is not answered for, or has not heard it yet.
#[derive(Debug)]
struct Case {
    since: Instant,
    /// The newest one.
    ballot: Arc<Ballot>,
    stage: Stage,
    /// It went on without an answer, so it is to be told when there is one.
    later: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waits,
    Out,
    Answered(Verdict),
    /// The built-in rule is to decide; it was told to ask again.
    Overdue,
}

/// What becomes of a ballot.
#[derive(Debug)]
pub(super) enum Put {
    Is(Verdict),
    /// It will be told.
    Later,
    /// The plugin is free: who puts it is to ask.
    Ask(Arc<Ballot>),
}

/// What follows when the plugin comes back.
#[derive(Debug, Default)]
pub(super) struct Back {
    /// Who is to hear that.
    pub(super) tell: Option<ServiceName>,
    /// Nobody waited any more.
    pub(super) late: bool,
    /// What to ask next.
    pub(super) next: Option<Arc<Ballot>>,
}

/// What follows from the time.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// Whose elections have waited long enough.
    pub(super) tell: Vec<ServiceName>,
    /// Whose ballot the plugin has had for so long that nobody waits any more, if that is new.
    pub(super) given_up: Option<ServiceName>,
    /// When to sweep again; `None` for no more, until something waits.
    pub(super) next: Option<Instant>,
}

impl Desk {
    /// A ballot of an election, which may have waited.
    pub(super) fn put(&mut self, name: &ServiceName, ballot: &Ballot, now: Instant) -> Put {
        let known = self.cases.get(name);
        let same = known.is_some_and(|case| is_same(&case.ballot, ballot));
        let verdict = match known.map(|case| case.stage) {
            Some(Stage::Answered(verdict)) if same => Some(verdict),
            Some(Stage::Overdue) => Some(Verdict::Builtin),
            _ => self.out.as_ref().filter(|out| out.given_up).map(|_| Verdict::Builtin),
        };
        if let Some(verdict) = verdict {
            self.cases.remove(name);
            return Put::Is(verdict);
        }
        let (before, since) = known.map_or((None, now), |case| (Some(case.stage), case.since));
        let stage = match before {
            _ if self.out.is_none() => Stage::Out,
            Some(Stage::Out) if same => Stage::Out,
            _ => Stage::Waits,
        };
        if stage == Stage::Waits && before != Some(Stage::Waits) {
            self.queue.push_back(name.clone());
        }
        let (ballot, later) = (Arc::new(ballot.clone()), self.out.is_some());
        let case = Case { since, ballot: Arc::clone(&ballot), stage, later };
        self.cases.insert(name.clone(), case);
        if later {
            return Put::Later;
        }
        self.out = Some(Out { name: name.clone(), since: now, given_up: false });
        Put::Ask(ballot)
    }

    /// Whether the plugin has the newest ballot of that election.
    pub(super) fn has(&self, name: &ServiceName) -> bool {
        self.cases.get(name).is_some_and(|case| case.stage == Stage::Out)
    }

    /// What came of an election's ballot; if there is no answer yet, it will be told of that.
    pub(super) fn look(&mut self, name: &ServiceName) -> Option<Verdict> {
        let Some(case) = self.cases.get_mut(name) else { return Some(Verdict::Builtin) };
        let verdict = match case.stage {
            Stage::Out | Stage::Waits => {
                case.later = true;
                return None;
            }
            Stage::Answered(verdict) => verdict,
            Stage::Overdue => Verdict::Builtin,
        };
        self.cases.remove(name);
        Some(verdict)
    }

    /// The plugin could not be asked.
    pub(super) fn withdraw(&mut self, name: &ServiceName) {
        self.out = None;
        self.cases.remove(name);
    }

    /// The plugin has answered, and gets what waits.
    pub(super) fn come_back(&mut self, verdict: Verdict, now: Instant) -> Back {
        let Some(out) = self.out.take() else { return Back::default() };
        let mut back = Back { late: out.given_up, ..Back::default() };
        if let Some(case) = self.cases.get_mut(&out.name)
            && case.stage == Stage::Out
        {
            case.stage = Stage::Answered(verdict);
            back.tell = case.later.then_some(out.name);
        }
        while let Some(name) = self.queue.pop_front() {
            if let Some(case) = self.cases.get_mut(&name)
                && case.stage == Stage::Waits
            {
                case.stage = Stage::Out;
                back.next = Some(Arc::clone(&case.ballot));
                self.out = Some(Out { name, since: now, given_up: false });
                break;
            }
        }
        back
    }

    /// Has somebody look at the time; answers whether nobody does yet.
    pub(super) fn watch(&mut self) -> bool {
        !std::mem::replace(&mut self.watched, true)
    }

    /// Looks who has waited long enough.
    pub(super) fn sweep(&mut self, now: Instant) -> Swept {
        let mut swept = Swept::default();
        if let Some(out) = self.out.as_mut().filter(|out| !out.given_up)
            && out.since + PATIENCE <= now
        {
            out.given_up = true;
            swept.given_up = Some(out.name.clone());
        }
        let given_up = self.out.as_ref().is_some_and(|out| out.given_up);
        for (name, case) in &mut self.cases {
            let waits = matches!(case.stage, Stage::Waits | Stage::Out);
            if waits && (given_up || case.since + PATIENCE <= now) {
                case.stage = Stage::Overdue;
                swept.tell.push(name.clone());
            }
        }
        // Whose election has ended meanwhile does not ask again.
        self.cases.retain(|_, case| now < case.since + 2 * PATIENCE);
        let cases = &self.cases;
        let waits =
            |name: &ServiceName| cases.get(name).map(|case| case.stage) == Some(Stage::Waits);
        self.queue.retain(waits);
        let out = self.out.as_ref().filter(|out| !out.given_up).map(|out| out.since + PATIENCE);
        let due = self.cases.values().map(|case| match case.stage {
            Stage::Waits | Stage::Out => case.since + PATIENCE,
            Stage::Answered(_) | Stage::Overdue => case.since + 2 * PATIENCE,
        });
        swept.next = due.chain(out).min().map(|at| at.max(now + STEP));
        self.watched = swept.next.is_some();
        swept
    }
}

/// Whether two ballots are the same, but for what changes by the clock alone.
fn is_same(one: &Ballot, other: &Ballot) -> bool {
    let Ballot { candidates, incumbent, term, now: _, led_for: _ } = one;
    let timeless =
        |entry: &BallotEntry| BallotEntry { silent_for: Duration::ZERO, ..entry.clone() };
    (*incumbent, *term) == (other.incumbent, other.term)
        && candidates.iter().map(timeless).eq(other.candidates.iter().map(timeless))
}

#[cfg(test)]
mod tests;
