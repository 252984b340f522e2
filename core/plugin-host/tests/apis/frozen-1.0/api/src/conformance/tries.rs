//! What becomes of a suite after a broken promise: in a test it ends there, for a tool it goes on and
//! tells them all.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs the parts of a suite, each of which panics if a promise is broken.
pub(super) enum Tries {
    /// The first broken promise panics.
    Strict,
    /// Broken promises are gathered. Two that differ in their numbers only are one.
    Gathered(Vec<String>),
}

impl Tries {
    /// Runs a part; `None` if a promise is broken.
    pub(super) fn of<T>(&mut self, part: impl FnOnce() -> T) -> Option<T> {
        let Self::Gathered(broken) = self else { return Some(part()) };
        match catch_unwind(AssertUnwindSafe(part)) {
            Ok(passed) => Some(passed),
            Err(payload) => {
                let told = said(payload.as_ref());
                if broken.iter().all(|known| words(known).ne(words(&told))) {
                    broken.push(told);
                }
                None
            }
        }
    }

    pub(super) fn broken(self) -> Vec<String> {
        match self {
            Self::Strict => Vec::new(),
            Self::Gathered(broken) => broken,
        }
    }
}

/// What a message says, up to the view or the bytes that it shows, without its numbers.
fn words(text: &str) -> impl Iterator<Item = char> {
    let shown = [": [", " a view of "].iter().filter_map(|begin| text.find(begin)).min();
    text[..shown.unwrap_or(text.len())].chars().filter(|c| !c.is_ascii_digit())
}

fn said(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("it panicked").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_hears_of_each_broken_promise_once() {
        let mut tries = Tries::Gathered(Vec::new());
        assert_eq!(tries.of(|| 7), Some(7));
        for promise in ["x: 5 of 6 lost: [1, 2]", "x: 4 of 6 lost: [3]", "x: late"] {
            assert_eq!(tries.of(|| panic!("{promise}")), None::<()>);
        }
        assert_eq!(tries.broken(), ["x: 5 of 6 lost: [1, 2]", "x: late"]);
    }

    #[test]
    #[should_panic(expected = "x: late")]
    fn a_test_ends_at_the_first() {
        Tries::Strict.of(|| panic!("x: late"));
    }
}
