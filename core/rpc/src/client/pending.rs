//! The calls that wait for their answer: a slab whose slots carry a generation, so that a late
//! answer can't reach the next user of its slot. No I/O and no clock; who waits is woken outside
//! of the lock.

use std::collections::HashSet;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use skymesh_types::Handle;

use crate::response::Response;
use crate::status::Status;

/// What became of a call.
pub(crate) type Outcome = Result<Response, Status>;

/// See the module.
#[derive(Debug)]
pub(crate) struct Pending {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Why no call can be made any more.
    ended: Option<Status>,
    /// Whom the end of a called instance is heard of already.
    watched: HashSet<Handle, BuildHasherDefault<HandleHasher>>,
}

#[derive(Debug)]
struct Slot {
    /// Changes with every call; never 0, so that no correlation is.
    generation: u32,
    call: Stage,
}

#[derive(Debug)]
enum Stage {
    Free,
    Waiting(Handle, Option<Waker>),
    Done(Outcome),
}

/// What became of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completed {
    /// The caller has it.
    Taken,
    /// Nobody waits for it.
    Late,
    /// It is not from whom was called.
    Foreign,
}

/// A call that may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Opened {
    pub(crate) correlation: u64,
    /// Whether the end of the called instance would be heard of.
    pub(crate) watched: bool,
}

impl Pending {
    pub(crate) fn new(limit: usize) -> Self {
        // An index has 32 bits.
        Self { limit: limit.min(u32::MAX as usize), state: Mutex::default() }
    }

    /// A slot for a call to `target`.
    pub(crate) fn open(&self, target: Handle) -> Result<Opened, Status> {
        let mut state = self.lock();
        if let Some(status) = &state.ended {
            return Err(status.clone().not_processed());
        }
        let watched = state.watched.contains(&target);
        let call = Stage::Waiting(target, None);
        let (index, generation) = match state.free.pop() {
            Some(index) => {
                let slot = &mut state.slots[index as usize];
                slot.call = call;
                (index, slot.generation)
            }
            None if state.slots.len() < self.limit => {
                state.slots.push(Slot { generation: 1, call });
                (state.slots.len() as u32 - 1, 1)
            }
            None => {
                let text = format!("{} calls are pending: max_pending_calls", self.limit);
                return Err(Status::resource_exhausted(text).not_processed());
            }
        };
        Ok(Opened { correlation: u64::from(generation) << 32 | u64::from(index), watched })
    }

    /// Frees a call's slot. Answers whom it was still waiting for.
    pub(crate) fn close(&self, correlation: u64) -> Option<Handle> {
        let mut state = self.lock();
        let slot = state.slot(correlation)?;
        slot.generation = slot.generation.checked_add(1).unwrap_or(1);
        let call = std::mem::replace(&mut slot.call, Stage::Free);
        state.free.push(correlation as u32);
        drop(state);
        match call {
            Stage::Waiting(target, _) => Some(target),
            Stage::Free | Stage::Done(_) => None,
        }
    }

    /// A call goes to another instance than it was opened for.
    pub(crate) fn redirect(&self, correlation: u64, to: Handle) {
        if let Some(Slot { call: Stage::Waiting(target, _), .. }) = self.lock().slot(correlation) {
            *target = to;
        }
    }

    /// Fails one call, whoever it waits for.
    pub(crate) fn refuse(&self, correlation: u64, status: Status) {
        let mut state = self.lock();
        let Some(slot) = state.slot(correlation) else { return };
        let Stage::Waiting(_, waker) = &mut slot.call else { return };
        let waker = waker.take();
        slot.call = Stage::Done(Err(status));
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The call's outcome, once.
    pub(crate) fn poll(&self, correlation: u64, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.lock();
        let Some(slot) = state.slot(correlation) else {
            unreachable!("invariant: an open call keeps its slot");
        };
        match &mut slot.call {
            Stage::Waiting(_, Some(waker)) => waker.clone_from(cx.waker()),
            Stage::Waiting(_, waker) => *waker = Some(cx.waker().clone()),
            // The slot stays taken until it is closed.
            done => {
                return match std::mem::replace(done, Stage::Free) {
                    Stage::Done(outcome) => Poll::Ready(outcome),
                    _ => unreachable!("invariant: a call is not polled after its outcome"),
                };
            }
        }
        Poll::Pending
    }

    /// Gives a call the answer that came from `source`.
    pub(crate) fn complete(&self, correlation: u64, source: Handle, outcome: Outcome) -> Completed {
        let mut state = self.lock();
        let Some(slot) = state.slot(correlation) else { return Completed::Late };
        let waker = match &mut slot.call {
            Stage::Waiting(target, _) if *target != source => return Completed::Foreign,
            Stage::Waiting(_, waker) => waker.take(),
            Stage::Free | Stage::Done(_) => return Completed::Late,
        };
        slot.call = Stage::Done(outcome);
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Completed::Taken
    }

    /// Fails every call to an instance that `lost` answers a status for.
    pub(crate) fn fail(&self, lost: impl Fn(Handle) -> Option<Status>) {
        let mut wakers = Vec::new();
        let mut state = self.lock();
        for slot in &mut state.slots {
            if let Stage::Waiting(target, waker) = &mut slot.call
                && let Some(status) = lost(*target)
            {
                wakers.extend(waker.take());
                slot.call = Stage::Done(Err(status));
            }
        }
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Fails every call, and all that are tried from now on.
    pub(crate) fn end(&self, status: &Status) {
        self.lock().ended = Some(status.clone());
        self.fail(|_| Some(status.clone()));
    }

    /// Whether any call is open.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.free.len() == state.slots.len()
    }

    /// Whom calls wait for now.
    pub(crate) fn targets(&self) -> HashSet<Handle> {
        let state = self.lock();
        let waiting = state.slots.iter().filter_map(|slot| match slot.call {
            Stage::Waiting(target, _) => Some(target),
            _ => None,
        });
        waiting.collect()
    }

    /// Notes that the end of `target` will be heard of.
    pub(crate) fn note_watched(&self, target: Handle) {
        self.lock().watched.insert(target);
    }

    /// Forgets an instance that is gone.
    pub(crate) fn forget(&self, target: Handle) {
        self.lock().watched.remove(&target);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every step under the lock is whole, so a panic leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The slot of a correlation, if it is still of that call.
    fn slot(&mut self, correlation: u64) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(correlation as u32 as usize)?;
        (u64::from(slot.generation) == correlation >> 32).then_some(slot)
    }
}

/// Handles are random already.
#[derive(Default)]
struct HandleHasher(u64);

impl Hasher for HandleHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = number;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::Code;
    use std::task::Waker;

    fn handle(number: u64) -> Handle {
        Handle::new(number).unwrap()
    }

    fn poll(pending: &Pending, correlation: u64) -> Poll<Outcome> {
        pending.poll(correlation, &mut Context::from_waker(Waker::noop()))
    }

    fn answer(text: &'static str) -> Outcome {
        Ok(Response::new(text))
    }

    #[test]
    fn a_late_answer_never_reaches_the_next_user_of_the_slot() {
        let pending = Pending::new(8);
        let first = pending.open(handle(1)).unwrap().correlation;
        assert_eq!(pending.close(first), Some(handle(1)), "it was waiting");
        let second = pending.open(handle(1)).unwrap().correlation;
        assert_eq!(first as u32, second as u32, "the slot is used again");
        assert_eq!(pending.complete(first, handle(1), answer("late")), Completed::Late);
        assert!(poll(&pending, second).is_pending());
        assert_eq!(pending.complete(second, handle(1), answer("right")), Completed::Taken);
        assert_eq!(pending.complete(second, handle(1), answer("again")), Completed::Late);
        assert_eq!(poll(&pending, second), Poll::Ready(answer("right")));
        assert_eq!(pending.close(second), None, "it had its outcome");
        assert!(pending.is_empty());
    }

    #[test]
    fn only_who_was_called_may_answer() {
        let pending = Pending::new(8);
        let call = pending.open(handle(1)).unwrap().correlation;
        assert_eq!(pending.complete(call, handle(2), answer("forged")), Completed::Foreign);
        for unknown in [0, call + 1, call + (1 << 32), u64::MAX] {
            assert_eq!(pending.complete(unknown, handle(1), answer("odd")), Completed::Late);
        }
        assert!(poll(&pending, call).is_pending());
    }

    #[test]
    fn a_call_that_was_routed_anew_is_answered_by_its_new_callee() {
        let pending = Pending::new(8);
        let calls = [1, 1].map(|to| pending.open(handle(to)).unwrap().correlation);
        pending.redirect(calls[0], handle(2));
        assert_eq!(pending.complete(calls[0], handle(1), answer("old")), Completed::Foreign);
        pending.fail(|to| (to == handle(1)).then(|| Status::unavailable("lost")));
        assert!(poll(&pending, calls[0]).is_pending(), "it waits for another");
        assert_eq!(pending.complete(calls[0], handle(2), answer("new")), Completed::Taken);
        let third = pending.open(handle(1)).unwrap().correlation;
        pending.refuse(third, Status::unavailable("no owner").not_processed());
        let Poll::Ready(Err(refused)) = poll(&pending, third) else { panic!("it ended") };
        assert!(refused.is_retryable());
        pending.redirect(third, handle(2));
        pending.redirect(u64::MAX, handle(2));
    }

    #[test]
    fn calls_beyond_the_limit_fail_as_not_processed() {
        let pending = Pending::new(2);
        let first = pending.open(handle(1)).unwrap().correlation;
        pending.open(handle(1)).unwrap();
        let refused = pending.open(handle(1)).unwrap_err();
        assert!(refused.is_retryable() && refused.code() == Code::ResourceExhausted);
        pending.close(first);
        pending.open(handle(1)).unwrap();
    }

    #[test]
    fn the_calls_to_a_lost_instance_fail_and_the_others_wait_on() {
        let pending = Pending::new(8);
        let calls = [1, 2, 1].map(|to| pending.open(handle(to)).unwrap().correlation);
        pending.fail(|to| (to == handle(1)).then(|| Status::unavailable("lost")));
        assert!(matches!(poll(&pending, calls[0]), Poll::Ready(Err(_))));
        assert!(poll(&pending, calls[1]).is_pending());
        assert!(matches!(poll(&pending, calls[2]), Poll::Ready(Err(_))));
        pending.end(&Status::unavailable("over"));
        assert!(matches!(poll(&pending, calls[1]), Poll::Ready(Err(_))));
        assert!(pending.open(handle(2)).unwrap_err().is_retryable());
    }

    #[test]
    fn a_generation_is_never_zero() {
        let pending = Pending::new(1);
        pending.open(handle(1)).unwrap();
        pending.lock().slots[0].generation = u32::MAX;
        assert!(pending.close(u64::from(u32::MAX) << 32).is_some());
        assert_eq!(pending.open(handle(1)).unwrap().correlation, 1 << 32);
    }
}
