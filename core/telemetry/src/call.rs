//! The span of one call, whatever the protocol: how it ends is said in one place, also for a call that is
//! dropped. Numbers of codes are gRPC's.

use std::time::Instant;

use crate::context::SpanContext;
use crate::span::{ActiveSpan, Value};
use crate::spans::{ERROR, STATUS, status_name};

const OK: u32 = 0;
const CANCELLED: u32 = 1;
const DEADLINE_EXCEEDED: u32 = 4;

/// Which codes are failures of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failures {
    /// Each but `OK`: the caller did not get what it wanted.
    All,
    /// Those that are the callee's fault, as OpenTelemetry's conventions for gRPC servers have it.
    OfTheServer,
}

impl Failures {
    fn contain(self, code: u32) -> bool {
        match self {
            Self::All => code != OK,
            // unknown, deadline exceeded, unimplemented, internal, unavailable, data loss
            Self::OfTheServer => matches!(code, 2 | 4 | 12 | 13 | 14 | 15),
        }
    }
}

/// A span that ends with a code. Dropped before that, its call was given up: `CANCELLED`, or
/// `DEADLINE_EXCEEDED` if its deadline has passed. Without a span it is nothing, and costs a look.
#[derive(Debug)]
pub struct CallSpan {
    span: Option<ActiveSpan>,
    deadline: Option<Instant>,
    failures: Failures,
}

impl CallSpan {
    /// Covers a call that ends at `deadline` at the latest.
    pub fn new(span: Option<ActiveSpan>, deadline: Option<Instant>, failures: Failures) -> Self {
        Self { span, deadline, failures }
    }

    /// What travels with the call; `None` without a span.
    pub fn context(&self) -> Option<SpanContext> {
        self.span.as_ref().map(ActiveSpan::context)
    }

    /// Whether it goes on, and is recorded.
    pub fn is_recorded(&self) -> bool {
        self.span.as_ref().is_some_and(|span| span.context().is_sampled())
    }

    /// Notes a fact; made only if it is recorded.
    pub fn note(&mut self, key: &'static str, value: impl FnOnce() -> Value) {
        if let Some(span) = &mut self.span {
            span.note(key, value);
        }
    }

    /// The call has ended; `message` is made only if that is a failure and recorded. Once.
    pub fn end(&mut self, code: u32, message: impl FnOnce() -> String) {
        let Some(mut span) = self.span.take() else { return };
        span.note(STATUS, || Value::Word(status_name(code)));
        if self.failures.contain(code) {
            span.note(ERROR, || Value::Word(status_name(code)));
            span.fail(message);
        }
    }
}

impl Drop for CallSpan {
    fn drop(&mut self) {
        if self.span.is_none() {
            return;
        }
        match self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            true => self.end(DEADLINE_EXCEEDED, || "it did not end in time".to_owned()),
            false => self.end(CANCELLED, || "it was given up".to_owned()),
        }
    }
}
