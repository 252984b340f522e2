//! The callback style: a type that takes messages and events, driven by a task of its own.

use std::future::{Future, ready};

use crate::inbox::{Delivery, Event, Inbox, Message};
use crate::instance::Instance;

/// Takes an instance's messages and events, one at a time and in order. For anything else (several
/// inboxes, select loops, batches) use the [`Inbox`] itself.
///
/// While a call runs, what comes next waits in the inbox; senders to this instance wait when its
/// window is used up, and nobody else does. A panic ends the task and takes the instance off the
/// mesh.
pub trait Service: Send + 'static {
    /// A message came.
    fn on_message(
        &mut self,
        instance: &Instance,
        message: Message,
    ) -> impl Future<Output = ()> + Send;

    /// Something happened. Does nothing unless implemented.
    fn on_event(&mut self, instance: &Instance, event: Event) -> impl Future<Output = ()> + Send {
        let _ = (instance, event);
        ready(())
    }
}

/// Runs `service` until the inbox ends. However this ends, the inbox goes with it, and that takes the
/// instance off the mesh: who does not read is not on it.
pub(crate) async fn drive(mut service: impl Service, instance: Instance, mut inbox: Inbox) {
    while let Some(delivery) = inbox.recv().await {
        match delivery {
            Delivery::Message(message) => service.on_message(&instance, message).await,
            Delivery::Event(event) => service.on_event(&instance, event).await,
        }
    }
}
