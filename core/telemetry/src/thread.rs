//! A small dense number for each thread that counts, so that it has words of its own to count in.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Numbers below this belong to one thread at a time. All other threads share this one.
pub(crate) const SHARED: usize = 31;

/// Not asked yet.
const UNKNOWN: usize = usize::MAX;

thread_local! {
    // Without a destructor, so that reading it needs no check whether it still lives.
    static PLACE: Cell<usize> = const { Cell::new(UNKNOWN) };
    static OWNED: Owned = Owned::take();
}

/// A number, given back at the thread's end. What its owner counted happened before what the next
/// one counts: the lock is between them.
struct Owned(usize);

struct Free {
    next: usize,
    returned: BTreeSet<usize>,
}

static FREE: Mutex<Free> = Mutex::new(Free { next: 0, returned: BTreeSet::new() });

impl Owned {
    fn take() -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = free.returned.pop_first() {
            return Self(number);
        }
        let number = free.next;
        free.next = (number + 1).min(SHARED);
        Self(number)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        // What this thread still counts in later destructors goes to the shared place.
        PLACE.set(SHARED);
        if self.0 < SHARED {
            FREE.lock().unwrap_or_else(PoisonError::into_inner).returned.insert(self.0);
        }
    }
}

/// This thread's number: its own below [`SHARED`].
#[inline]
pub(crate) fn place() -> usize {
    let place = PLACE.get();
    if place == UNKNOWN { first() } else { place }
}

#[cold]
fn first() -> usize {
    let place = OWNED.try_with(|owned| owned.0).unwrap_or(SHARED);
    PLACE.set(place);
    place
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn threads_alive_together_have_numbers_of_their_own_or_share_the_last() {
        const THREADS: usize = 50;
        let alive = Barrier::new(THREADS);
        let numbers: Vec<usize> = std::thread::scope(|scope| {
            let of_one = || {
                let number = place();
                alive.wait();
                assert_eq!(place(), number);
                number
            };
            let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(of_one)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let own: Vec<usize> = numbers.iter().copied().filter(|number| *number < SHARED).collect();
        let distinct: BTreeSet<usize> = own.iter().copied().collect();
        assert_eq!(distinct.len(), own.len(), "{numbers:?}");
        assert!(numbers.iter().all(|number| *number <= SHARED));
    }
}
