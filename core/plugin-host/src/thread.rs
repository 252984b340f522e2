//! What a pick needs of the calling thread: a small dense number and fresh random bits, for a
//! nanosecond together.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

#[derive(Clone, Copy)]
struct Hot {
    /// State of the generator; 0 before the thread's first pick.
    entropy: u64,
    thread: u32,
}

thread_local! {
    // Without a destructor, so that reading it needs no check whether it still lives.
    static HOT: Cell<Hot> = const { Cell::new(Hot { entropy: 0, thread: 0 }) };
    static NUMBER: Number = Number::take();
}

/// The thread's number, given back at its end.
struct Number(u32);

struct Numbers {
    next: u32,
    free: BTreeSet<u32>,
}

static NUMBERS: Mutex<Numbers> = Mutex::new(Numbers { next: 0, free: BTreeSet::new() });

impl Number {
    fn take() -> Self {
        let mut numbers = NUMBERS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(number) = numbers.free.pop_first() {
            return Self(number);
        }
        let number = numbers.next;
        numbers.next = number.wrapping_add(1);
        Self(number)
    }
}

impl Drop for Number {
    fn drop(&mut self) {
        NUMBERS.lock().unwrap_or_else(PoisonError::into_inner).free.insert(self.0);
    }
}

/// Fresh random bits, and the number of this thread. Not for secrets.
#[inline]
pub(crate) fn entropy_and_number() -> (u64, u32) {
    HOT.with(|hot| {
        let Hot { mut entropy, thread } = hot.get();
        if entropy == 0 {
            return first(hot);
        }
        // Marsaglia's xorshift64 with the multiplier of Vigna's xorshift64*: never 0.
        entropy ^= entropy >> 12;
        entropy ^= entropy << 25;
        entropy ^= entropy >> 27;
        hot.set(Hot { entropy, thread });
        (entropy.wrapping_mul(0x2545_F491_4F6C_DD1D), thread)
    })
}

/// Fresh random bits of this thread, as a pick gets them. Not for secrets.
#[inline]
pub fn entropy() -> u64 {
    entropy_and_number().0
}

#[cold]
fn first(hot: &Cell<Hot>) -> (u64, u32) {
    // The standard library seeds its hasher from the system, and a thread that is ending has no
    // number of its own any more; sharing one costs such a last pick nothing.
    let entropy = RandomState::new().hash_one(&raw const *hot as usize) | 1;
    let thread = NUMBER.try_with(|number| number.0).unwrap_or(0);
    hot.set(Hot { entropy, thread });
    (entropy.wrapping_mul(0x2545_F491_4F6C_DD1D), thread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_used_again() {
        let (_, mine) = entropy_and_number();
        let of_new_thread = || {
            let spawned = std::thread::spawn(|| entropy_and_number().1);
            spawned.join().unwrap()
        };
        let numbers: Vec<u32> = (0..100).map(|_| of_new_thread()).collect();
        assert!(numbers.iter().all(|number| *number != mine && *number < 64), "{numbers:?}");
    }

    #[test]
    fn entropy_is_spread() {
        let mut counts = [0u32; 16];
        for _ in 0..16_000 {
            counts[(entropy_and_number().0 >> 60) as usize] += 1;
        }
        // A fair bucket has 1000 with a deviation of 31: eight deviations either way.
        assert!(counts.iter().all(|count| (750..1250).contains(count)), "{counts:?}");
    }
}
