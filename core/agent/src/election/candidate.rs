//! What an instance does in the election of its service.

use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Instant;

use tokio::sync::oneshot;

use super::leadership::{Leadership, NotLeading};
use crate::instance::Instance;
use crate::uplink::{Command, RequestError};

/// An instance that is to stand; `await` it. [`Instance::run_for_leader`].
#[derive(Debug)]
#[must_use = "it does not stand until this is awaited"]
pub struct RunForLeader {
    instance: Instance,
    priority: i64,
}

impl RunForLeader {
    /// For algorithms that rank candidates: higher is more willing. Default 0. The built-in one
    /// (who came first) does not look at it. A nameserver of protocol 1 has no word for any but 0: the
    /// candidacy is refused.
    pub const fn priority(mut self, priority: i64) -> Self {
        self.priority = priority;
        self
    }

    async fn run(self) -> Result<(), RequestError> {
        let Self { instance, priority } = self;
        let runtime = &instance.runtime;
        if priority != 0 {
            runtime.check_beyond_v1("a candidate's priority")?;
        }
        // The place in the queue comes first: it bounds what the elections have to say.
        let place = runtime.uplink.reserve().await.map_err(|_| RequestError::Stopped)?;
        if runtime.stopping.is_cancelled() {
            return Err(RequestError::Stopped);
        }
        let (reply, answer) = oneshot::channel();
        runtime.elections.stand(&instance, priority, reply);
        place.send(Command::Elections);
        tokio::select! {
            answer = answer => answer.map_err(|_| RequestError::Stopped)?,
            () = runtime.stopped.cancelled() => Err(RequestError::Stopped),
        }
    }
}

impl IntoFuture for RunForLeader {
    type Output = Result<(), RequestError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl Instance {
    /// Stands for the leadership of its service from now on, until [`give_up`](Self::give_up) or the
    /// end of the instance; a lost connection or a restart of the nameserver changes nothing about
    /// it. The future waits for the nameserver to accept the candidacy, as long as that takes, not for
    /// being elected: that is an [`Event::Elected`](crate::Event::Elected), or see
    /// [`elected`](Self::elected). Does nothing if the instance stands already.
    ///
    /// If the future is dropped after its first poll, the instance may stand all the same.
    ///
    /// # Errors
    /// [`RequestError`] if the nameserver refuses (then it does not stand), the instance is no longer
    /// registered, it gave up meanwhile, or the agent stopped.
    pub fn run_for_leader(&self) -> RunForLeader {
        RunForLeader { instance: self.clone(), priority: 0 }
    }

    /// Stands no longer. If it leads, it stops: at once, or when all guarded work is done (see
    /// [`Leadership::guard`]), but at its deadline at the latest. The nameserver hears of it as soon
    /// as it can be reached, and seats somebody else. Answers whether the instance stood.
    pub fn give_up(&self) -> bool {
        self.runtime.elections.give_up(&self.runtime, self.handle())
    }

    /// Whether it leads its service, by this process's own clock: no two instances answer yes at one
    /// true time, as long as no clock goes more than 5 % wrong. Costs a read of the clock.
    ///
    /// At a nameserver of protocol 1, which knows no terms, it is what that nameserver said last;
    /// without a connection to it for a while, it is no.
    pub fn is_leader(&self) -> bool {
        self.queue.belief().now().leads(Instant::now()).is_some()
    }

    /// Its leadership, if it leads.
    ///
    /// # Errors
    /// [`NotLeading`] if it does not, or at a nameserver of protocol 1.
    pub fn leadership(&self) -> Result<Leadership, NotLeading> {
        self.runtime.elections.leadership(self.handle())
    }

    /// Waits until it leads, as long as it is on the mesh.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    /// [`NotLeading::NotLeading`] once the instance is off the mesh; [`NotLeading::NotSupported`] at a nameserver of protocol 1: wait for
    /// [`Event::Elected`](crate::Event::Elected) there.
    pub async fn elected(&self) -> Result<Leadership, NotLeading> {
        let mut believed = self.queue.belief().subscribe();
        loop {
            believed.borrow_and_update();
            match self.leadership() {
                Err(NotLeading::NotLeading) if !self.queue.is_closed() => {}
                other => return other,
            }
            // The instance keeps the sender, and the end of its queue is told too.
            let _ = believed.changed().await;
        }
    }
}
