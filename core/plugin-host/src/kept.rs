//! A strategy's instance as slots keep it: a panic at its end, which its own guards catch, is noted.

use std::ops::Deref;
use std::sync::Arc;

use crate::failure::Failure;
use crate::supervision::Supervision;
use crate::{clock, log};

/// An instance together with whoever watches over it. Cheap to clone, as instances are.
#[derive(Debug, Clone)]
pub(crate) struct Kept<I> {
    /// `None` only while it is dropped.
    instance: Option<I>,
    supervision: Arc<Supervision>,
}

impl<I> Kept<I> {
    pub(crate) fn new(instance: I, supervision: Arc<Supervision>) -> Self {
        Self { instance: Some(instance), supervision }
    }
}

impl<I> Deref for Kept<I> {
    type Target = I;

    #[inline]
    fn deref(&self) -> &I {
        self.instance.as_ref().expect("invariant: it is taken by `drop` alone")
    }
}

impl<I> Drop for Kept<I> {
    fn drop(&mut self) {
        let instance = self.instance.take();
        end(&self.supervision, || drop(instance));
    }
}

/// Drops something of a plugin's. A panic then shows in nothing but the log that the plugin's panic hook
/// writes to, so that is where it is looked for.
pub(crate) fn end(supervision: &Supervision, end: impl FnOnce()) {
    let before = log::panics();
    end();
    if log::panics() != before {
        supervision.failed(Failure::PanicAtEnd, clock::now_ns());
        supervision.say_at_parting(&Failure::PanicAtEnd.to_string());
    }
}
