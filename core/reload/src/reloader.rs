//! The task that reloads: one at a time, on request, or when a file has changed.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::desk::{Desk, Request, Requests};
use crate::files::{Looks, Stamps};
use crate::outcome::{Reload, ReloadOutcome};
use crate::{Applied, Subject};

/// See the module.
#[derive(Debug)]
pub struct Reloader<S: Subject> {
    subject: Arc<S>,
    desk: Desk<S::Fresh>,
    requests: Requests<S::Fresh>,
    version: u64,
    /// How often files are looked at; zero for never.
    every: Duration,
    /// What the files have looked like so far.
    looks: Looks,
}

impl<S: Subject> Reloader<S> {
    /// Takes the first look at the files, and does nothing else before [`run`](Self::run). Make it
    /// before anybody hears that the process runs: what changes from then on is noticed. With an
    /// interval of zero no files are looked at.
    pub async fn new(
        subject: Arc<S>,
        desk: Desk<S::Fresh>,
        requests: Requests<S::Fresh>,
        every: Duration,
    ) -> Self {
        let looks = Looks::default();
        let mut new = Self { subject, desk, requests, version: 0, every, looks };
        let now = new.stamps().await;
        new.looks.settle(now);
        new
    }

    /// Reloads when asked to, until `stopped` is ready.
    pub async fn run(mut self, stopped: impl Future<Output = ()>) {
        let mut glances = (!self.every.is_zero()).then(|| glances(self.every));
        tokio::pin!(stopped);
        loop {
            tokio::select! {
                () = &mut stopped => return,
                () = next(&mut glances) => {
                    let now = self.stamps().await;
                    if self.looks.have_settled_anew(now) {
                        self.reload(None).await;
                    }
                }
                request = self.requests.0.recv() => {
                    let Some(Request { config, answer }) = request else { return };
                    let reload = self.reload(config).await;
                    // Who asked may have gone.
                    let _ = answer.send(reload);
                }
            }
        }
    }

    /// Reloads once; tells the log and those who watch.
    async fn reload(&mut self, config: Option<S::Fresh>) -> Arc<Reload> {
        // Before the files are read: what changes while they are is another change.
        let (before, began) = (self.stamps().await, SystemTime::now());
        let subject = Arc::clone(&self.subject);
        let ended = tokio::task::spawn_blocking(move || subject.attempt(config)).await;
        let attempted = ended.unwrap_or_else(|_| Err(vec!["the reload itself failed".into()]));
        let reload = Arc::new(self.conclude(attempted).await);
        // Other libraries may be in use or wanted now; of these nothing was known before.
        let now = self.stamps().await.backdated_to(&before, began);
        self.looks.settle(now);
        match reload.outcome {
            ReloadOutcome::Refused => tracing::warn!("reload {reload}"),
            _ => tracing::info!("reload: {reload}"),
        }
        self.desk.tell(&reload);
        reload
    }

    async fn conclude(&mut self, attempted: Result<Applied<S::Rest>, Vec<String>>) -> Reload {
        let applied = match attempted {
            Ok(applied) => applied,
            Err(faults) => return Reload::refused(self.version, faults),
        };
        let Applied { changed, needs_restart, mut faults, rest } = applied;
        let outcome = match changed.is_empty() {
            true => ReloadOutcome::Unchanged,
            false => ReloadOutcome::Applied,
        };
        self.version += u64::from(outcome == ReloadOutcome::Applied);
        faults.extend(self.subject.finish(rest).await);
        Reload { version: self.version, outcome, changed, needs_restart, faults }
    }

    /// What all files look like that a reload goes by; nothing where they are not watched.
    async fn stamps(&self) -> Stamps {
        if self.every.is_zero() {
            return Stamps::default();
        }
        let subject = Arc::clone(&self.subject);
        let look = move || Stamps::of(subject.files());
        tokio::task::spawn_blocking(look).await.unwrap_or_default()
    }
}

fn glances(every: Duration) -> Interval {
    let mut glances = interval(every);
    glances.set_missed_tick_behavior(MissedTickBehavior::Delay);
    glances
}

/// Never, where no files are watched.
async fn next(glances: &mut Option<Interval>) {
    match glances {
        Some(glances) => {
            glances.tick().await;
        }
        None => std::future::pending().await,
    }
}
