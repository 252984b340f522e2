//! How soon work on files has to be done. To read, hash and copy a library takes a core for some
//! milliseconds. At a start somebody waits for it; at a reload nobody does, and messages need the core.
//!
//! What this is not: a place for plugin code. Threads that a plugin starts would inherit the priority.

use std::thread;

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Haste {
    /// By the caller.
    AtOnce,
    /// By a thread of the lowest priority, for which the caller waits. On a machine that is busy for good,
    /// the system still gives it a hundredth of a core.
    Aside,
}

impl Haste {
    /// Has `work` done, and answers its result; panics as it does.
    pub(crate) fn run<T: Send>(self, work: impl FnOnce() -> T + Send) -> T {
        let mut work = Some(work);
        let mut run = || work.take().map(|work| work());
        if self == Self::AtOnce {
            return run().expect("invariant: it was not done before");
        }
        let done = thread::scope(|scope| {
            let body = || {
                lower_priority();
                run()
            };
            let thread = thread::Builder::new().name("skymesh-files".to_owned());
            thread.spawn_scoped(scope, body).ok().map(thread::ScopedJoinHandle::join)
        });
        match done {
            Some(Ok(Some(done))) => done,
            Some(Err(panic)) => std::panic::resume_unwind(panic),
            // There is no thread to be had.
            _ => run().expect("invariant: no thread has done it"),
        }
    }
}

/// Of the calling thread alone: Linux has a priority for each.
#[cfg(target_os = "linux")]
fn lower_priority() {
    // What can't be lowered is as urgent as the rest.
    let _ = rustix::process::setpriority_process(None, 19);
}

#[cfg(not(target_os = "linux"))]
fn lower_priority() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_once_and_what_is_set_aside_does_not_slow_the_caller() {
        let mut done = 0;
        let before = thread::current().id();
        for haste in [Haste::AtOnce, Haste::Aside] {
            let by = haste.run(|| {
                done += 1;
                thread::current().id()
            });
            assert_eq!(by == before, haste == Haste::AtOnce);
        }
        assert_eq!(done, 2);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_the_thread_that_works_aside_has_the_lowest_priority() {
        let nice = || rustix::process::getpriority_process(None).unwrap();
        let before = nice();
        assert_eq!(Haste::Aside.run(nice), 19);
        assert_eq!(nice(), before);
    }

    #[test]
    fn a_panic_aside_is_the_callers() {
        let panicked = std::panic::catch_unwind(|| Haste::Aside.run(|| panic!("at work")));
        assert_eq!(panicked.unwrap_err().downcast_ref::<&str>(), Some(&"at work"));
    }
}
