//! The thread that sends batches, one after the other, and the bounded queue before it. Knows bytes,
//! no spans.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use skymesh_plugin_api::tracing;

use crate::backoff::wait;

/// How long one attempt may take, from the dial to the last byte of the answer.
const ATTEMPT: Duration = Duration::from_secs(5);

/// How long the last batches may take once nothing more comes. Less than the 5 s that a host waits for an
/// exporter that another one replaces: its clock starts first, and what is later is left behind.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Most bytes of an answer that are read. Answers are short, and nothing hangs on them.
const ANSWER_BYTES: u64 = 64 << 10;

/// What the sender is told.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// The whole URL.
    pub(crate) url: String,
    /// Names and values.
    pub(crate) headers: Vec<(String, String)>,
    /// Bytes that may wait, the batch under way not among them; one batch may in any case.
    pub(crate) queue_bytes: usize,
    /// How long a batch is tried.
    pub(crate) give_up_after: Duration,
}

/// See the module. Dropping it sends what waits, for some seconds at most.
#[derive(Debug)]
pub(crate) struct Sender {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    queue_bytes: usize,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Bodies and how many spans each has.
    waiting: VecDeque<(Vec<u8>, usize)>,
    waiting_bytes: usize,
    /// When to end at the latest, once nothing more comes.
    end_by: Option<Instant>,
    ended: bool,
}

/// The queue is full.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Sender {
    pub(crate) fn start(target: Target) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let queue_bytes = target.queue_bytes;
        let of_thread = Arc::clone(&shared);
        let body = move || {
            let post = Post::new(&target);
            of_thread.run(&target, &post);
            of_thread.lock().ended = true;
            of_thread.changed.notify_all();
        };
        let thread = thread::Builder::new().name("skymesh-otlp".to_owned()).spawn(body)?;
        Ok(Self { shared, thread: Some(thread), queue_bytes })
    }

    /// Lets a body wait for its turn. One fits in any case: else a large batch would never be sent.
    pub(crate) fn push(&self, body: Vec<u8>, spans: usize) -> Result<(), Full> {
        let mut state = self.shared.lock();
        let bytes = state.waiting_bytes.saturating_add(body.len());
        if !state.waiting.is_empty() && bytes > self.queue_bytes {
            return Err(Full);
        }
        state.waiting_bytes += body.len();
        state.waiting.push_back((body, spans));
        self.shared.changed.notify_all();
        Ok(())
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        let end_by = Instant::now() + LAST_WORDS;
        let mut state = self.shared.lock();
        state.end_by = Some(end_by);
        self.shared.changed.notify_all();
        while !state.ended {
            let left = end_by.saturating_duration_since(Instant::now());
            if left.is_zero() {
                // It is within an attempt, which ends by itself.
                return;
            }
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, target: &Target, post: &Post) {
        let mut lost = false;
        while let Some((body, spans)) = self.next() {
            match self.deliver(&body, target, post) {
                Ok(()) if lost => {
                    tracing::info!("{} takes spans again", target.url);
                    lost = false;
                }
                Ok(()) => {}
                Err(error) if !lost => {
                    tracing::warn!("{spans} spans are lost: {}: {error}", target.url);
                    lost = true;
                }
                Err(error) => tracing::debug!("{spans} spans are lost: {}: {error}", target.url),
            }
        }
        let left: usize = self.lock().waiting.iter().map(|(_, spans)| spans).sum();
        if left > 0 {
            tracing::warn!("{left} spans are lost: {}: no time is left to send them", target.url);
        }
    }

    /// The next body; `None` once there is none and will be none, or the time is over.
    fn next(&self) -> Option<(Vec<u8>, usize)> {
        let mut state = self.lock();
        loop {
            if state.end_by.is_some_and(|end_by| end_by <= Instant::now()) {
                return None;
            }
            if let Some((body, spans)) = state.waiting.pop_front() {
                state.waiting_bytes -= body.len();
                return Some((body, spans));
            }
            if state.end_by.is_some() {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Tries until it is taken, refused for good, or given up.
    fn deliver(&self, body: &[u8], target: &Target, post: &Post) -> Result<(), String> {
        let began = Instant::now();
        let mut failed = 0;
        loop {
            let (error, asked) = match post.send(body) {
                Outcome::Taken => return Ok(()),
                Outcome::Refused(error) => return Err(error),
                Outcome::Later(error, asked) => (error, asked),
            };
            failed += 1;
            let pause = wait(failed, asked, RandomState::new().hash_one(failed));
            if began.elapsed() + pause > target.give_up_after {
                return Err(format!("{error}; given up after {failed} attempts"));
            }
            if !self.pause(pause) {
                return Err(error);
            }
        }
    }

    /// Waits; answers whether there is time left after it.
    fn pause(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if state.end_by.is_some_and(|end_by| end_by < until) {
                return false;
            }
            if until <= now {
                return true;
            }
            let waited = self.changed.wait_timeout(state, until - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// What became of one attempt.
enum Outcome {
    Taken,
    /// It would be refused again.
    Refused(String),
    /// It may be taken another time; the collector may have said when.
    Later(String, Option<Duration>),
}

/// The HTTP side.
struct Post {
    agent: ureq::Agent,
    url: String,
    headers: Vec<(String, String)>,
}

impl Post {
    fn new(target: &Target) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(ATTEMPT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("skymesh-trace-otlp/", env!("CARGO_PKG_VERSION")))
            .build();
        Self { agent: config.into(), url: target.url.clone(), headers: target.headers.clone() }
    }

    fn send(&self, body: &[u8]) -> Outcome {
        let mut request =
            self.agent.post(&self.url).header("Content-Type", "application/x-protobuf");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut answer = match request.send(body) {
            Ok(answer) => answer,
            Err(error) => return Outcome::Later(error.to_string(), None),
        };
        let status = answer.status().as_u16();
        let after = answer.headers().get("Retry-After").and_then(|value| value.to_str().ok());
        let after = after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
        // Read to its end, so that the connection can be used again.
        let _ = answer.body_mut().with_config().limit(ANSWER_BYTES).read_to_vec();
        match status {
            200..=299 => Outcome::Taken,
            // As the OTLP specification has it; all others are not to be tried again.
            429 | 502 | 503 | 504 => Outcome::Later(format!("HTTP {status}"), after),
            _ => Outcome::Refused(format!("HTTP {status}")),
        }
    }
}

#[cfg(test)]
mod tests;
