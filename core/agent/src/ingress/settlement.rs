//! What a connection's sender is told of its messages once the service has them.

use skymesh_proto::{Credit, Msg, Refused};
use skymesh_transport::Outbox;
use skymesh_types::Handle;
use skymesh_wire::encode_msg;

use crate::convert;
use crate::inbox::{Settle, UndeliverableReason};

/// Tells one dialler about one destination.
#[derive(Debug)]
pub(super) struct Settlement {
    pub(super) destination: u64,
    /// `None` for a v1 dialler, which never reads.
    pub(super) outbox: Option<Outbox>,
}

impl Settlement {
    fn tell(&self, msg: impl Into<Msg>) {
        if let Some(outbox) = &self.outbox {
            let msg = msg.into();
            // An error means that the connection is gone, and with it whom this was for.
            let _ = outbox.push_control(|out| encode_msg(&msg, out));
        }
    }
}

impl Settle for Settlement {
    fn credit(&self, bytes: u64, messages: u64) {
        self.tell(Credit { destination: self.destination, bytes, messages });
    }

    fn refuse_unread(&self, source: Handle, bytes: u64, messages: u64) {
        let reason = convert::refusal_reason(UndeliverableReason::Closing).into();
        let (destination, source) = (self.destination, source.get());
        // Who waits for answers hears that nobody is there any more: none has to be named.
        self.tell(Refused { destination, source, reason, bytes, messages, ..Refused::default() });
    }
}
