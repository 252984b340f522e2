//! The task that reads an instance's inbox: answers go to who waits for them, requests to the
//! service, everything else to the [`Rest`](crate::Rest).

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::SelectAll;
use skymesh_agent::{
    Delivery, Event, Inbox, Message, SendError, UndeliverableReason, UnroutedReason,
};
use skymesh_types::Handle;
use skymesh_wire::Kind;
use tokio::sync::mpsc;
use tower::{BoxError, Service};

use crate::client::Completed;
use crate::config::V1Payloads;
use crate::outgoing::NOTIFY;
use crate::request::Request;
use crate::response::Response;
use crate::rest::{REST_BYTES, REST_HARD_BYTES, RestSender};
use crate::server::Server;
use crate::shared::{Shared, Watch};
use crate::status::Status;
use crate::v1::Packet;
use crate::wire;

/// How many deliveries are taken in a row before other tasks of the thread get their turn.
const BATCH: usize = 128;

/// See the module.
pub(crate) struct Driver<S> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) inbox: Inbox,
    pub(crate) server: Server<S>,
    pub(crate) rest: RestSender,
    pub(crate) new_watches: mpsc::Receiver<Watch>,
    pub(crate) watches: SelectAll<Watch>,
}

impl<S> Driver<S>
where
    S: Service<Request, Response = Response> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    /// Runs until the inbox ends: the instance is off the mesh.
    pub(crate) async fn run(mut self) {
        let _ended = Ended(Arc::clone(&self.shared));
        self.inbox.note_departures();
        loop {
            let paused = self.pauses();
            tokio::select! {
                delivery = self.inbox.recv(), if !paused => match delivery {
                    Some(delivery) => self.take(delivery),
                    None => return,
                },
                Some(watch) = self.new_watches.recv() => self.watches.push(watch),
                Some(event) = self.watches.next(), if !self.watches.is_empty() => {
                    self.watched(&event);
                }
                () = self.rest.below(REST_BYTES), if paused => {}
                () = self.shared.resumed(), if paused => {}
            }
            if !self.pauses() && self.take_ready(BATCH) {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Whether the inbox is not read for now, because nobody reads the rest.
    fn pauses(&self) -> bool {
        let waiting = self.rest.waiting_bytes();
        if waiting < REST_BYTES {
            return false;
        }
        // Said first: a call that opens after the look will see it.
        self.shared.set_paused(true);
        let pauses = waiting >= REST_HARD_BYTES || self.shared.pending.is_empty();
        self.shared.set_paused(pauses);
        pauses
    }

    /// Takes what is in the inbox already; answers whether there may be more.
    fn take_ready(&mut self, most: usize) -> bool {
        for _ in 0..most {
            match self.inbox.try_recv() {
                Some(delivery) => self.take(delivery),
                None => return false,
            }
        }
        true
    }

    fn take(&mut self, delivery: Delivery) {
        match delivery {
            Delivery::Message(message) => match Kind(message.kind()) {
                Kind::RESPONSE => self.response(&message),
                Kind::REQUEST => {
                    let correlation = message.correlation();
                    self.server.take(message, correlation);
                }
                Kind::NOTIFY => self.server.take(message, NOTIFY),
                Kind::MESSAGE if message.source().protocol() == 1 => self.v1(message),
                _ => self.pass_on(Delivery::Message(message)),
            },
            Delivery::Event(event) => self.event(event),
        }
    }

    fn response(&self, message: &Message) {
        let outcome = match wire::read_response(message.metadata()) {
            Ok(Ok(metadata)) => Ok(Response { payload: message.payload().clone(), metadata }),
            Ok(Err(status)) => Err(status),
            Err(error) => {
                self.shared.counters.malformed.add(1);
                Err(Status::internal(format!("the answer can't be read: {error}")))
            }
        };
        self.complete(message.correlation(), message.source().handle(), outcome);
    }

    fn complete(&self, correlation: u64, source: Handle, outcome: Result<Response, Status>) {
        match self.shared.pending.complete(correlation, source, outcome) {
            Completed::Taken => {}
            Completed::Late => self.shared.counters.late_responses.add(1),
            Completed::Foreign => self.shared.counters.foreign_responses.add(1),
        }
    }

    /// A message of a v1 peer: it has no kind, only perhaps the layout of a call.
    fn v1(&mut self, message: Message) {
        let calls = self.shared.config.v1 == V1Payloads::Calls;
        match Packet::read(message.payload()).filter(|_| calls) {
            None => self.pass_on(Delivery::Message(message)),
            Some(Packet { method: Some(method), seq, body, .. }) => {
                self.server.take_v1(message, method, seq, body);
            }
            Some(Packet { method: None, seq, body, .. }) => {
                let source = message.source().handle();
                self.complete(seq, source, Ok(Response::new(body)));
            }
        }
    }

    /// An event of the instance's own inbox.
    fn event(&self, event: Event) {
        match &event {
            Event::ConnectionLost { to, .. } => {
                let lost = |target| to.contains(&target).then(connection_lost);
                self.shared.pending.fail(lost);
            }
            Event::Undeliverable { to, reason, requests, .. } => {
                self.undeliverable(*to, *reason, requests);
            }
            Event::Rerouted { correlation, to } => {
                return self.shared.pending.redirect(*correlation, *to);
            }
            Event::Unrouted { correlation, reason, .. } if *correlation != NOTIFY => {
                return self.unrouted(*correlation, *reason);
            }
            Event::SourceLeft { source } => return self.abandon(*source),
            _ => {}
        }
        self.pass_on(Delivery::Event(event));
    }

    /// A receiver refused some messages: the calls among them were not processed. Where that is
    /// because one of the two is not there, the others end as well; those may have been processed.
    fn undeliverable(&self, to: Handle, reason: UndeliverableReason, requests: &[u64]) {
        use UndeliverableReason::{Closing, SourceOffline, UnknownHandle, UnknownSource};
        let pending = &self.shared.pending;
        let text = || format!("the call was refused: {reason}");
        for correlation in requests {
            let refused = match reason {
                UndeliverableReason::InboxFull => Status::resource_exhausted(text()),
                // To call again does not help.
                UndeliverableReason::StaleTerm { .. } => Status::failed_precondition(text()),
                _ => Status::unavailable(text()),
            };
            // One that was given up meanwhile is nobody's concern.
            let _ = pending.complete(*correlation, to, Err(refused.not_processed()));
        }
        if matches!(reason, Closing | SourceOffline | UnknownHandle | UnknownSource) {
            let refused = || Status::unavailable(format!("messages were refused: {reason}"));
            pending.fail(|target| (target == to).then(refused));
        }
    }

    /// A call by key was taken over and then found no owner.
    fn unrouted(&self, correlation: u64, reason: UnroutedReason) {
        let text = format!("the call could not be routed: {reason}");
        let status = match reason {
            UnroutedReason::InboxFull => Status::resource_exhausted(text),
            UnroutedReason::Codec => Status::invalid_argument(text),
            _ => Status::unavailable(text),
        };
        self.shared.pending.refuse(correlation, status.not_processed());
    }

    /// The connection of callers ended: their calls are over. Who is only being connected anew is
    /// told so.
    fn abandon(&self, source: Handle) {
        for reply in self.shared.running.abandon(source) {
            self.shared.counters.abandoned.add(1);
            reply.refuse(connection_lost());
        }
    }

    /// An event of a service that is called.
    fn watched(&mut self, event: &Event) {
        if matches!(event, Event::Offline { .. } | Event::Lagged { .. }) {
            // What an instance sent before it left is in the inbox already. Where that is not read
            // for now, no call waits for it, or there is no room for what comes before it.
            while !self.pauses() && self.take_ready(BATCH) {}
        }
        let pending = &self.shared.pending;
        match event {
            Event::Offline { record, .. } => {
                pending.forget(record.handle);
                let offline = || Status::unavailable(format!("{} went offline", record.url));
                pending.fail(|target| (target == record.handle).then(offline));
            }
            Event::Lagged { .. } => {
                for target in pending.targets() {
                    let found = self.shared.instance.try_resolve(target);
                    if let Err(SendError::UnknownHandle(_)) = found {
                        let gone = || Status::unavailable("the called instance is gone");
                        pending.fail(|called| (called == target).then(gone));
                    }
                }
            }
            _ => {}
        }
    }

    fn pass_on(&self, delivery: Delivery) {
        if !self.rest.push(delivery) {
            self.shared.counters.rest_discarded.add(1);
        }
    }
}

fn connection_lost() -> Status {
    Status::unavailable("the connection broke")
}

/// Ends what waits, also if the driver itself breaks.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.pending.end(&Status::unavailable("this instance is off the mesh"));
        self.0.running.abort_all();
    }
}
